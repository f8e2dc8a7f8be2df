"""An output that grows by groups and is gone on with."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest

from presrm.errors import RunConfigError, RunError
from presrm.files import journal
from presrm.files.journal import Journal, read_request
from presrm.files.jsonl import BadRow

ROWS = [{"n": 1}, {"n": 2}]


def state_of(path: Path) -> Path:
    return Path(f"{path}.state.json")


def num_finished(path: Path) -> int:
    return json.loads(state_of(path).read_text())["num_rows"]


def test_it_goes_on_behind_the_last_finished_group(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {"seed": 0}).append(ROWS, tokens=3)
    again = Journal(path, {"seed": 0})
    assert (again.num_rows, again.totals, again.is_done) == (2, {"tokens": 3}, False)
    again.append([{"n": 3}], tokens=4)
    again.finish()
    last = Journal(path, {"seed": 0})
    assert (last.num_rows, last.totals, last.is_done) == (3, {"tokens": 7}, True)
    assert path.read_text() == '{"n": 1}\n{"n": 2}\n{"n": 3}\n'


def test_what_a_killed_writer_left_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {}).append(ROWS)
    with path.open("a") as file:
        file.write('{"n": 99}\n{"half')
    Journal(path, {}).append([{"n": 3}])
    assert path.read_text() == '{"n": 1}\n{"n": 2}\n{"n": 3}\n'


def test_rows_set_aside_have_a_file_of_their_own_that_is_cut_as_well(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    first = Journal(path, {})
    first.append(ROWS)
    assert not first.rejected.exists()
    first.append([], [BadRow(3, "no question", "{}")], {"next_line": 4})
    for file in (path, first.rejected):
        with file.open("a") as opened:
            opened.write('{"half')
    del first
    again = Journal(path, {})
    assert again.notes == {"next_line": 4}
    again.append([{"n": 4}], [BadRow(5, "no answer", "{}")], {"next_line": 6})
    assert path.read_text() == '{"n": 1}\n{"n": 2}\n{"n": 4}\n'
    assert again.rejected.read_text() == '{"line": 3, "reason": "no question"}\n{"line": 5, "reason": "no answer"}\n'


def test_what_a_killed_writer_set_aside_in_no_finished_group_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {}).append(ROWS)
    left = Path(f"{path}.rejected.jsonl")
    left.write_text('{"line": 3}\n')
    Journal(path, {}).append([{"n": 3}])
    assert not left.exists()


def test_cheap_groups_share_a_sync_and_dear_ones_have_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal(tmp_path / "cheap.jsonl", {}) as cheap:
        for row in ROWS:
            cheap.append([row])
        assert num_finished(cheap.path) == 0
    assert Journal(cheap.path, {}).num_rows == 2
    monkeypatch.setattr(journal, "_SECONDS_BETWEEN_SYNCS", 0.0)
    with Journal(tmp_path / "dear.jsonl", {}) as dear:
        dear.append(ROWS)
        assert num_finished(dear.path) == 2


def test_what_was_appended_counts_however_the_block_is_left(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with suppress(KeyboardInterrupt), Journal(path, {}) as stopped:
        stopped.append(ROWS)
        raise KeyboardInterrupt
    assert Journal(path, {}).num_rows == 2


def test_a_block_in_which_nothing_is_appended_leaves_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "rows.jsonl", {}):
        pass
    assert list(tmp_path.iterdir()) == []


def test_once_discarded_another_request_may_follow(tmp_path: Path) -> None:
    first = Journal(tmp_path / "rows.jsonl", {"seed": 0})
    first.append([], [BadRow(1, "no question", "{}")])
    first.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl.rejected.jsonl"]
    Journal(tmp_path / "rows.jsonl", {"seed": 1}).append(ROWS)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["rows.jsonl", "rows.jsonl.state.json"]


def test_another_request_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {"seed": 0, "num": 2}).append(ROWS)
    with pytest.raises(RunConfigError, match="seed: 0 -> 1"):
        Journal(path, {"seed": 1, "num": 2})
    with pytest.raises(RunConfigError, match="num: 2 -> None"):
        Journal(path, {"seed": 0})


def test_of_a_hash_only_the_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {"input_sha256": "5fec"}).append(ROWS)
    with pytest.raises(RunConfigError, match=r"\(the input has changed\)"):
        Journal(path, {"input_sha256": "2c26"})


def test_a_file_that_is_not_ours_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("mine\n")
    with pytest.raises(RunConfigError, match="is no unfinished output"):
        Journal(path, {})


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"request": 1}'])
def test_a_damaged_state_is_told(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {}).append(ROWS)
    Path(f"{path}.state.json").write_text(damage)
    with pytest.raises(RunError, match="is damaged"):
        Journal(path, {})


DAMAGE = {
    "a flipped byte": lambda data: data.replace(b"1", b"7", 1),
    "swapped rows": lambda data: b"".join(reversed(data.splitlines(keepends=True))),
    "a row too few": lambda data: data[: data.index(b"\n") + 1],
    "torn": lambda data: data[:-3],
    "empty": lambda data: b"",
    "gone": lambda data: None,
}


@pytest.mark.parametrize("is_done", [False, True])
@pytest.mark.parametrize("which", ["rows.jsonl", "rows.jsonl.rejected.jsonl"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_what_was_changed_is_told_and_not_believed_finished_or_not(
    tmp_path: Path, damage: str, which: str, is_done: bool
) -> None:
    rows = Journal(tmp_path / "rows.jsonl", {})
    rows.append(ROWS, [BadRow(11, "no question", "{}"), BadRow(3, "none", "{}")])
    if is_done:
        rows.finish()
    del rows
    path = tmp_path / which
    changed = DAMAGE[damage](path.read_bytes())
    path.unlink() if changed is None else path.write_bytes(changed)
    left = sorted(tmp_path.iterdir())
    with pytest.raises(RunError, match=f"{which} is not what was written there.*restore it, or remove"):
        Journal(tmp_path / "rows.jsonl", {})
    assert sorted(tmp_path.iterdir()) == left
    assert changed is None or path.read_bytes() == changed


def test_a_row_behind_a_finished_output_is_told(tmp_path: Path) -> None:
    rows = Journal(tmp_path / "rows.jsonl", {})
    rows.append(ROWS)
    rows.finish()
    with rows.path.open("a") as file:
        file.write('{"n": 3}\n')
    with pytest.raises(RunError, match="is not what was written there"):
        Journal(rows.path, {})


def test_an_edited_state_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {}).append(ROWS, right=1)
    state = state_of(path)
    state.write_text(state.read_text().replace('"right": 1', '"right": 2'))
    with pytest.raises(RunError, match="is damaged"):
        Journal(path, {})


def test_a_state_whose_keys_were_put_in_another_order_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {"seed": 0, "model": "m"}).append(ROWS)
    state = json.loads(state_of(path).read_text())
    state_of(path).write_text(json.dumps(dict(reversed(state.items()))))
    assert Journal(path, {"seed": 0, "model": "m"}).num_rows == 2


def test_an_output_has_one_writer_and_the_second_is_told_whose_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    first = Journal(path, {})
    first.append(ROWS)
    with pytest.raises(
        RunError, match=rf"process {os.getpid()} on .* \(since 2\d\d\d-.*\) is working on .*rows\.jsonl; wait"
    ):
        Journal(path, {})
    first.append([{"n": 3}])
    first.finish()
    assert Journal(path, {}).num_rows == 3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["rows.jsonl", "rows.jsonl.state.json"]


@pytest.mark.parametrize(
    "which", ["rows.jsonl", "rows.jsonl.rejected.jsonl", "rows.jsonl.state.json", ".rows.jsonl.lock"]
)
def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path, which: str) -> None:
    """Not even through one to the very file that was written."""
    mine = tmp_path / "mine"
    (tmp_path / "out").mkdir()
    path = tmp_path / "out/rows.jsonl"
    Journal(path, {}).append(ROWS, [BadRow(3, "no question", "{}")])
    (tmp_path / "out" / which).touch()  # the lock is gone by now
    (tmp_path / "out" / which).replace(mine)
    content = mine.read_bytes()
    (tmp_path / "out" / which).symlink_to(mine)
    with pytest.raises(RunError, match="is a symbolic link"):
        Journal(path, {}).append(ROWS)
    assert mine.read_bytes() == content


def test_a_finished_output_is_read_where_nothing_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Journal(tmp_path / "rows.jsonl", {})
    rows.append(ROWS)
    rows.finish()
    monkeypatch.setattr("presrm.files.lock.os.open", lambda *arguments: pytest.fail("a lock is written"))
    assert Journal(rows.path, {}).num_rows == 2


def test_notes_stand_until_they_are_told_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {}).append(ROWS, (), {"next_line": 3, "seen": ["a"]})
    again = Journal(path, {})
    again.append(ROWS, (), {"next_line": 5})
    again.append(ROWS)
    del again
    assert Journal(path, {}).notes == {"next_line": 5, "seen": ["a"]}


def test_inside_of_a_block_what_is_older_than_a_second_is_synced_with_the_next_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(journal.time, "monotonic", lambda: now)
    path = tmp_path / "rows.jsonl"
    finished = []
    with Journal(path, {}) as rows:
        for now in (100.5, 100.9, 101.0, 101.9, 102.0):
            rows.append([{"n": now}])
            finished.append(num_finished(path))
    assert finished == [0, 0, 3, 3, 5], "every second, counted from the last time"


def test_what_is_told_to_be_finished_is_on_the_disk_before_the_state_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "rows.jsonl", []

    def sync(fd: int) -> None:
        state = Path(f"{path}.state.json")
        done = json.loads(state.read_text())["num_rows"] if state.exists() else 0
        synced.append((Path(f"/proc/self/fd/{fd}").resolve().name, done))

    monkeypatch.setattr("os.fsync", sync)
    Journal(path, {}).append(ROWS, [BadRow(3, "no question", "{}")])
    of_rows = [done for name, done in synced if name == "rows.jsonl"]
    of_rejected = [done for name, done in synced if name == "rows.jsonl.rejected.jsonl"]
    assert (of_rows, of_rejected) == ([0], [0])


def test_a_state_of_another_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {}).append(ROWS)
    state = Path(f"{path}.state.json")
    state.write_text(json.dumps(json.loads(state.read_text()) | {"format": 1}))
    with pytest.raises(RunConfigError, match="another version of presrm"):
        Journal(path, {})


def test_an_output_in_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "new" / "er" / "rows.jsonl"
    Journal(path, {}).append(ROWS)
    assert Journal(path, {}).num_rows == 2


def test_what_was_set_aside_stays_through_groups_that_set_nothing_aside(tmp_path: Path) -> None:
    rows = Journal(tmp_path / "rows.jsonl", {})
    rows.append(ROWS, [BadRow(3, "no question", "{}")])
    rows.append(ROWS)
    del rows
    again = Journal(tmp_path / "rows.jsonl", {})
    again.append(ROWS)
    again.append(ROWS, [BadRow(9, "no answer", "{}")])
    assert [json.loads(line)["line"] for line in again.rejected.read_text().splitlines()] == [3, 9]


def test_an_output_without_rows_is_there_and_empty(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = Journal(path, {})
    rows.append([], [BadRow(1, "no question", "{}")])
    rows.append([])
    rows.finish()
    assert path.read_bytes() == b""
    assert Journal(path, {}).is_done


def test_what_was_never_begun_can_be_discarded(tmp_path: Path) -> None:
    Journal(tmp_path / "rows.jsonl", {}).discard()
    assert list(tmp_path.iterdir()) == []


def test_what_the_rows_depend_on_is_read_back_and_is_nothing_where_it_cannot_be(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_request(path) == {}
    Journal(path, {"seed": 0, "model": "m"}).append(ROWS)
    assert read_request(path) == {"seed": 0, "model": "m"}
    for text in ('{"request": ["seed"]}', "{}", "[]", "{"):
        state_of(path).write_text(text)
        assert read_request(path) == {}
