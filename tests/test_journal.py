"""An output that grows by groups and is gone on with."""

from pathlib import Path

import pytest

from presrm.errors import RunConfigError, RunError
from presrm.journal import Journal

ROWS = [{"n": 1}, {"n": 2}]


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


def test_another_request_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {"seed": 0, "num": 2}).append(ROWS)
    with pytest.raises(RunConfigError, match="seed: 0 -> 1"):
        Journal(path, {"seed": 1, "num": 2})
    with pytest.raises(RunConfigError, match="num: 2 -> None"):
        Journal(path, {"seed": 0})


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


def test_a_file_that_lost_rows_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    Journal(path, {}).append(ROWS)
    path.write_text("")
    with pytest.raises(RunError, match="shorter"):
        Journal(path, {}).append(ROWS)
