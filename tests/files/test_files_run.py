"""A run folder trusts its manifest and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from presrm.config import Config, load_config
from presrm.errors import RunConfigError, RunError
from presrm.files.content import hash_path, replace_file
from presrm.files.manifest import check_run
from presrm.files.run import RunDir
from presrm.types import Checkpoint, Problem

PROBLEMS = [Problem(f"p{i}", f"question {i}") for i in range(6)]


def groups_from(have: int, until: int = 6) -> list[list[Problem]]:
    return [PROBLEMS[i : i + 2] for i in range(have, until, 2)]


class Killed(Exception):  # noqa: N818
    pass


def dying(have: int, after: int):
    yield from groups_from(have, until=after)
    raise Killed


def edit_manifest(run: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest as somebody would who knows how it is hashed."""
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    del manifest["sha256"]
    manifest["sha256"] = sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(manifest))


def test_rows_are_made_once_and_then_read(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(1).rows(Problem, "trees.jsonl", groups_from) == PROBLEMS
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(1).rows(Problem, "trees.jsonl", lambda have: pytest.fail("made again")) == PROBLEMS


@pytest.mark.parametrize("after", [0, 2, 4, 6])
def test_killed_rows_go_on_at_the_last_group_with_equal_bytes(tmp_path: Path, after: int) -> None:
    with RunDir(tmp_path / "whole", Config()) as run:
        run.iteration(1).rows(Problem, "trees.jsonl", groups_from)
    with RunDir(tmp_path / "killed", Config()) as run, pytest.raises(Killed):
        run.iteration(1).rows(Problem, "trees.jsonl", lambda have: dying(have, after))
    started_at = []

    def go_on(have: int) -> list[list[Problem]]:
        started_at.append(have)
        return groups_from(have)

    with RunDir(tmp_path / "killed", Config()) as run:
        run.iteration(1).rows(Problem, "trees.jsonl", go_on)
    assert started_at == [after]
    name = "iterations/1/trees.jsonl"
    assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_first_facts_about_the_policy_stand(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.facts == {}
        run.remember({"device": "cpu"})
    with RunDir(tmp_path / "run", Config()) as run:
        run.remember({"device": "cuda"})
        assert run.facts == {"device": "cpu"}


def test_rows_that_the_manifest_does_not_count_are_cut_off(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run, pytest.raises(Killed):
        run.iteration(1).rows(Problem, "trees.jsonl", lambda have: dying(have, 2))
    with (tmp_path / "run/iterations/1/trees.jsonl").open("a") as file:
        file.write('{"id": "half a ro')
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(1).rows(Problem, "trees.jsonl", groups_from) == PROBLEMS


def test_a_changed_artefact_is_refused_by_name(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(2).value("scores.json", lambda: {"accuracy": 0.5})
    path = tmp_path / "run/iterations/2/scores.json"
    path.write_text('{"accuracy": 0.9}')
    with RunDir(tmp_path / "run", Config()) as run, pytest.raises(RunError, match=r"scores\.json"):
        run.iteration(2).value("scores.json", lambda: pytest.fail("made again"))


def test_changed_rows_and_policies_are_refused_by_name_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with RunDir(run, Config()) as opened:
        opened.iteration(1).rows(Problem, "trees.jsonl", groups_from)
    trees = run / "iterations/1/trees.jsonl"
    trees.write_text(trees.read_text().replace("question 3", "question 4"))
    (run / "iterations/2/policy/model.safetensors").write_bytes(b"others")
    with RunDir(run, Config()) as opened:
        with pytest.raises(RunError, match=r"trees\.jsonl is not what the run wrote"):
            opened.iteration(1).rows(Problem, "trees.jsonl", lambda have: pytest.fail("made again"))
        with pytest.raises(RunError, match="policy is not what the run wrote"):
            opened.iteration(2).policy(lambda folder: pytest.fail("made again"))


def test_a_changed_fixed_setting_is_refused_by_name_and_a_free_one_is_not(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(1).value("scores.json", dict)
    with pytest.raises(RunConfigError, match=r"seed: 0 -> 7") as caught:
        RunDir(tmp_path / "run", Config(seed=7))
    assert caught.value.exit_code == 2
    with RunDir(tmp_path / "run", Config(iterations=9)):
        pass
    assert "iterations: 9" in (tmp_path / "run/config.yaml").read_text()


def test_settings_bind_only_once_something_was_made(tmp_path: Path) -> None:
    RunDir(tmp_path / "run", Config()).__exit__(None, None, None)
    with RunDir(tmp_path / "run", Config(seed=7)):
        pass
    assert "seed: 7" in (tmp_path / "run/config.yaml").read_text()


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()), pytest.raises(RunError, match=r"process \d+ on .* is working on"):
        RunDir(tmp_path / "run", Config())
    with RunDir(tmp_path / "run", Config()):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        RunDir(tmp_path, Config())
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    RunDir(tmp_path / "run", Config()).__exit__(None, None, None)
    (tmp_path / "run/manifest.json").write_text("{")
    with pytest.raises(RunError, match=r"manifest\.json is damaged"):
        RunDir(tmp_path / "run", Config())


def test_a_policy_is_found_again_whether_whole_or_adapter(tmp_path: Path) -> None:
    def full(out: Path) -> Checkpoint:
        out.mkdir()
        (out / "weights").write_text("w")
        return Checkpoint(str(out))

    def adapter(out: Path) -> Checkpoint:
        full(out)
        return Checkpoint("base", out)

    for number, make in ((2, full), (3, adapter)):
        folder = tmp_path / f"run/iterations/{number}/policy"
        expected = Checkpoint(str(folder)) if number == 2 else Checkpoint("base", folder)
        with RunDir(tmp_path / "run", Config()) as run:
            assert run.iteration(number).policy(make) == expected
        with RunDir(tmp_path / "run", Config()) as run:
            assert run.iteration(number).policy(lambda out: pytest.fail("made again")) == expected


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(1).value("scores.json", lambda: {"accuracy": 0.5})
        before = (tmp_path / "run/manifest.json").read_text()

        def full(fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("presrm.files.content.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            run.iteration(2).value("scores.json", lambda: {"accuracy": 0.6})
    assert (tmp_path / "run/manifest.json").read_text() == before
    assert not list((tmp_path / "run").rglob("*.tmp"))


def test_replacing_a_file_keeps_the_old_one_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    replace_file(path, "old")
    with pytest.raises(UnicodeEncodeError):
        replace_file(path, "new \ud800")
    assert path.read_text() == "old"


def test_metrics_carry_clocks_and_the_rest_does_not(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.log(stage="search", seconds=1.5)
    row = json.loads((tmp_path / "run/metrics.jsonl").read_text())
    assert row["stage"] == "search"
    assert row["time"] > 0


def test_a_manifest_from_elsewhere_names_no_address(tmp_path: Path) -> None:
    def adapter(out: Path) -> Checkpoint:
        out.mkdir()
        (out / "weights").write_text("w")
        return Checkpoint("base", out)

    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(2).policy(adapter)
    edit_manifest(tmp_path / "run", lambda manifest: manifest["artefacts"]["2/policy"].update(model="http://host/v1#m"))
    with RunDir(tmp_path / "run", Config()) as run, pytest.raises(RunError, match="names an address"):
        run.iteration(2).policy(lambda out: pytest.fail("made again"))


def test_inputs_are_bound_by_content_once_something_was_made(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config(), inputs={"problems.train": "a", "prompts": "b"}):
        pass
    with RunDir(tmp_path / "run", Config(), inputs={"problems.train": "c", "prompts": "b"}) as run:
        run.iteration(1).value("scores.json", dict)
    with pytest.raises(RunConfigError, match=r"what problems\.train names has another content\)"):
        RunDir(tmp_path / "run", Config(), inputs={"problems.train": "a", "prompts": "b"})
    with RunDir(tmp_path / "run", Config(), inputs={"problems.train": "c", "prompts": "b"}):
        pass


def test_a_policy_whose_files_were_renamed_or_moved_or_added_to_is_not_what_the_run_wrote(tmp_path: Path) -> None:
    def full(out: Path) -> Checkpoint:
        (out / "deep").mkdir(parents=True)
        (out / "a").write_text("w")
        (out / "b").write_text("v")
        return Checkpoint(str(out))

    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(2).policy(full)
    folder = tmp_path / "run/iterations/2/policy"

    def is_refused() -> bool:
        with RunDir(tmp_path / "run", Config()) as run:
            try:
                run.iteration(2).policy(lambda out: pytest.fail("made again"))
            except RunError as error:
                assert "is not what the run wrote" in str(error)  # noqa: PT017
                return True
        return False

    assert not is_refused()
    (folder / "b").rename(folder / "c")
    assert is_refused(), "its order among the others is the same"
    (folder / "c").rename(folder / "deep/b")
    assert is_refused()
    (folder / "deep/b").rename(folder / "b")
    assert not is_refused()
    (folder / "empty").touch()
    assert is_refused()


def test_a_hash_goes_by_every_byte_of_a_large_file(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(3_000_000))
    before = hash_path(path)
    assert before == sha256(bytes(3_000_000)).hexdigest()
    path.write_bytes(bytes(2_999_999) + b"x")
    assert hash_path(path) != before


def test_a_run_of_another_version_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    RunDir(tmp_path / "run", Config()).__exit__(None, None, None)
    path = tmp_path / "run/manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"format": 1}))
    with pytest.raises(RunError, match=r"another version of presrm \(format 1, this one writes 3\)"):
        RunDir(tmp_path / "run", Config())
    del manifest["format"]
    path.write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"manifest\.json is damaged"):
        RunDir(tmp_path / "run", Config())


def test_rows_that_are_none_are_made_once(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(1).rows(Problem, "pairs.jsonl", lambda have: []) == []
        assert run.iteration(1).is_done("pairs.jsonl")
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(1).rows(Problem, "pairs.jsonl", lambda have: pytest.fail("made again")) == []


def test_a_part_of_an_iteration_is_discarded_with_all_that_it_holds_and_nothing_else(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        iteration = run.iteration(1)
        kept = iteration.rows(Problem, "problems.jsonl", groups_from)
        part = iteration.inside("health")
        part.rows(Problem, "trees.jsonl", groups_from)
        with pytest.raises(Killed):
            part.rows(Problem, "begun.jsonl", lambda have: dying(have, 1))
        iteration.discard("health")
        iteration.discard("health")
        assert not part.path.exists()
    assert check_run(tmp_path / "run") == (1, [])
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(1).rows(Problem, "problems.jsonl", groups_from) == kept
        assert not run.iteration(1).inside("health").is_done("trees.jsonl")


@pytest.mark.parametrize("until", [0, 6])
def test_the_manifest_says_how_many_rows_there_are(tmp_path: Path, until: int) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(1).rows(Problem, "trees.jsonl", lambda have: groups_from(have, until))
        entry = run.manifest["artefacts"]["1/trees.jsonl"]
        assert entry["rows"] == until
        assert "sha256_begun" not in entry, "it is finished"


def test_the_size_of_groups_is_remembered_with_the_next_group_and_none_changes_nothing(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        iteration = run.iteration(1)
        assert iteration.group_size("trees.jsonl") is None
        iteration.set_group_size("trees.jsonl", 2)
        iteration.set_group_size("trees.jsonl", None)
        with pytest.raises(Killed):
            iteration.rows(Problem, "trees.jsonl", lambda have: dying(have, 2))
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(1).group_size("trees.jsonl") == 2


def test_a_value_has_its_keys_in_order(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(1).value("scores.json", lambda: {"b": 1, "a": {"d": 2, "c": 3}})
    text = (tmp_path / "run/iterations/1/scores.json").read_text()
    assert text == '{\n "a": {\n  "c": 3,\n  "d": 2\n },\n "b": 1\n}\n'


def test_another_policy_of_an_iteration_stands_beside_the_first(tmp_path: Path) -> None:
    def made(out: Path) -> Checkpoint:
        out.mkdir()
        (out / "weights").write_text(out.name)
        return Checkpoint(str(out))

    with RunDir(tmp_path / "run", Config()) as run:
        first, other = run.iteration(1).policy(made), run.iteration(1).policy(made, "seed")
        assert Path(first.model).name == "policy"
        assert Path(other.model).name == "seed"
        assert run.iteration(1).policy(made, "seed") == other


def test_the_lock_is_given_back_where_a_run_cannot_be_opened(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(1).value("scores.json", dict)
    with pytest.raises(RunConfigError):
        RunDir(tmp_path / "run", Config(seed=7))
    with RunDir(tmp_path / "run", Config()):
        pass


def test_every_group_is_on_the_disk_before_the_manifest_counts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    with RunDir(tmp_path / "run", Config()) as run:

        def sync(fd: int) -> None:
            file = Path(f"/proc/self/fd/{fd}").resolve()
            if file.name == "trees.jsonl":
                entry = json.loads((tmp_path / "run/manifest.json").read_text())["artefacts"].get("1/trees.jsonl", {})
                counted.append((len(file.read_text().splitlines()), entry.get("rows", 0)))

        monkeypatch.setattr("os.fsync", sync)
        run.iteration(1).rows(Problem, "trees.jsonl", groups_from)
    assert counted == [(2, 0), (4, 2), (6, 4)]


def begun(folder: Path) -> Path:
    """A run that was killed after two of three groups."""
    with RunDir(folder, Config()) as run, pytest.raises(Killed):
        run.iteration(2).rows(Problem, "trees.jsonl", lambda have: dying(have, 4))
    return folder / "iterations/2/trees.jsonl"


DAMAGE = {
    "an edited row": lambda data: data.replace(b"question 1", b"question 7"),
    "swapped rows": lambda data: b"".join(reversed(data.splitlines(keepends=True))),
    "a row too few": lambda data: data[: data.rindex(b"\n", 0, -1) + 1],
    "torn": lambda data: data[:-3],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_an_unfinished_artefact_holds_is_not_believed_once_it_was_changed(tmp_path: Path, damage: str) -> None:
    path = begun(tmp_path / "run")
    changed = DAMAGE[damage](path.read_bytes())
    path.write_bytes(changed)
    with (
        RunDir(tmp_path / "run", Config()) as run,
        pytest.raises(RunError, match=r"trees\.jsonl is not what the run wrote so far.*or remove it"),
    ):
        run.iteration(2).rows(Problem, "trees.jsonl", groups_from)
    assert path.read_bytes() == changed
    path.unlink()
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(2).rows(Problem, "trees.jsonl", groups_from) == PROBLEMS


def test_an_unfinished_artefact_that_is_gone_is_made_anew_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    begun(tmp_path / "run").unlink()
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(2).rows(Problem, "trees.jsonl", groups_from) == PROBLEMS
    assert "trees.jsonl is gone, before it was finished: it is made anew" in caplog.text


@pytest.mark.parametrize(
    "edit",
    [
        lambda manifest: manifest["artefacts"].update({"2/trees.jsonl": {"sha256": "x"}}),
        lambda manifest: manifest["artefacts"].update({"2/trees.jsonl": {"rows": -1}}),
        lambda manifest: manifest["artefacts"].update({"2/trees.jsonl": {"bytes": "many"}}),
        lambda manifest: manifest["artefacts"].update({"2/trees.jsonl": []}),
        lambda manifest: manifest["artefacts"].update({"2/policy": {"sha256": "0" * 64, "model": 7}}),
        lambda manifest: manifest.update(artefacts=[]),
        lambda manifest: manifest.update(config=None),
        lambda manifest: manifest.update(inputs={"prompts": 1}),
        lambda manifest: manifest.pop("inputs"),
        lambda manifest: manifest.pop("config"),
    ],
)
def test_a_manifest_with_an_odd_field_is_damaged(tmp_path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    begun(tmp_path / "run")
    edit_manifest(tmp_path / "run", edit)
    with pytest.raises(RunError, match=r"manifest\.json is damaged"):
        RunDir(tmp_path / "run", Config())


@pytest.mark.parametrize("text", ["", "[]", "null", "7", '"x"', "[" * 100_000, '{"format": 3}', "\ud800"])
def test_a_manifest_that_is_none_is_damaged(tmp_path: Path, text: str) -> None:
    begun(tmp_path / "run")
    (tmp_path / "run/manifest.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(RunError, match=r"manifest\.json is damaged"):
        RunDir(tmp_path / "run", Config())


def test_an_edited_manifest_is_damaged(tmp_path: Path) -> None:
    path = begun(tmp_path / "run").parents[2] / "manifest.json"
    path.write_text(path.read_text().replace('"rows": 4', '"rows": 2'))
    with pytest.raises(RunError, match=r"manifest\.json is damaged: it is not what was written last"):
        RunDir(tmp_path / "run", Config())


def test_settings_are_bound_by_the_manifest_whatever_becomes_of_the_config_beside_it(tmp_path: Path) -> None:
    begun(tmp_path / "run")
    path = tmp_path / "run/config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 7"))
    with pytest.raises(RunConfigError, match="seed: 0 -> 7"):
        RunDir(tmp_path / "run", load_config(str(path)))
    path.unlink()
    with RunDir(tmp_path / "run", Config()):
        assert "seed: 0" in path.read_text()


@pytest.mark.parametrize("number", range(1, 8))
def test_a_folder_that_was_left_while_it_was_made_is_a_run(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever sync of the first start is the last thing that happens."""
    syncs = 0

    def sync(descriptor: int) -> None:
        nonlocal syncs
        syncs += 1
        if syncs == number:
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("presrm.files.content.os.fsync", sync)
        try:
            RunDir(tmp_path / "run", Config()).__exit__(None, None, None)
        except OSError:
            (tmp_path / "run/.manifest.json.tmp").write_text("{")  # as a kill would leave it
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(2).rows(Problem, "trees.jsonl", groups_from) == PROBLEMS


def test_a_torn_last_line_of_the_metrics_is_cut(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.log(stage="search")
    path = tmp_path / "run/metrics.jsonl"
    whole = path.read_bytes()
    for torn in (b'{"stage": "he', b"\x00" * 50):
        path.write_bytes(whole + torn)
        with RunDir(tmp_path / "run", Config()) as run:
            run.log(stage="fit")
        assert [json.loads(line)["stage"] for line in path.read_text().splitlines()] == ["search", "fit"]
    path.write_bytes(b'{"torn')
    with RunDir(tmp_path / "run", Config()):
        assert path.read_bytes() == b""


def test_a_lost_ledger_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        assert list(run.ledger.calls()) == []
    begun(tmp_path / "run")
    with RunDir(tmp_path / "run", Config()) as run:
        assert list(run.ledger.calls()) == []
    assert caplog.text == ""
    (tmp_path / "run/ledger.sqlite").unlink()
    with RunDir(tmp_path / "run", Config()) as run:
        assert list(run.ledger.calls()) == []
    assert "ledger.sqlite is gone" in caplog.text


def test_no_ledger_is_missed_where_no_tree_was_searched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(1).rows(Problem, "answers.jsonl", groups_from)
        with pytest.raises(Killed):
            run.iteration(2).rows(Problem, "trees.jsonl", lambda have: dying(have, 0))
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.ledger
    assert not caplog.records


def test_the_ledger_is_closed_with_the_run(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        ledger = run.ledger
        assert list(ledger.calls()) == []
    with pytest.raises(RunError, match="closed"):
        list(ledger.calls())


def test_versions_and_inputs_of_the_first_start_stand_in_the_manifest(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config(), {"presrm": "1"}, {"problems.train": "hash"}) as run:
        run.iteration(1).value("scores.json", dict)
    with RunDir(tmp_path / "run", Config(), {"presrm": "2"}, {"problems.train": "hash"}):
        pass
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert (manifest["versions"], manifest["inputs"]) == ({"presrm": "1"}, {"problems.train": "hash"})


def test_settings_are_written_as_people_read_them(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config(name="größer")):
        pass
    text = (tmp_path / "run/config.yaml").read_text("utf-8")
    assert text.splitlines()[0] == "name: größer"


def test_a_row_of_the_metrics_has_its_keys_in_order(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.log(stage="search", iteration=2, zeal=0, answers=1)
    (row,) = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
    assert [*json.loads(row)] == ["answers", "iteration", "stage", "time", "zeal"]


def test_a_damaged_ledger_is_told_with_what_to_do(tmp_path: Path) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        (tmp_path / "run/ledger.sqlite").write_text("no ledger" * 1000)
        with pytest.raises(RunError, match=r"cannot open the verdict ledger .*ledger\.sqlite"):
            _ = run.ledger


def test_what_a_killed_writer_left_of_the_ledger_becomes_one_file(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from presrm.config import Config; from presrm.files.run import RunDir\n"
        "RunDir(Path(sys.argv[1]), Config()).ledger.record([]); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "run"], check=False)
    assert (tmp_path / "run/ledger.sqlite-wal").exists()
    with RunDir(tmp_path / "run", Config()):
        pass
    assert [path.name for path in (tmp_path / "run").glob("ledger*")] == ["ledger.sqlite"]


LINKS = [
    ".lock",
    "config.yaml",
    "metrics.jsonl",
    "ledger.sqlite",
    "report.md",
    "iterations",
    "iterations/2/pairs.jsonl",
]


@pytest.mark.parametrize("name", LINKS)
def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path, name: str) -> None:
    begun(tmp_path / "run")
    mine, link = tmp_path / "mine", tmp_path / "run" / name
    if name == "iterations":
        link.rename(mine)
    else:
        mine.write_text("mine")
        link.unlink(missing_ok=True)
    link.symlink_to(mine)
    with pytest.raises(RunError, match=f"{name} is a symbolic link, and nothing is written through one"):
        RunDir(tmp_path / "run", Config())
    assert name == "iterations" or mine.read_text() == "mine"


def test_a_run_may_lie_behind_a_link_that_the_user_named(tmp_path: Path) -> None:
    begun(tmp_path / "disk")
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(2).rows(Problem, "trees.jsonl", groups_from) == PROBLEMS


def test_replacing_a_file_follows_no_link_of_its_temporary_name(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / ".file.json.tmp").symlink_to(mine)
    replace_file(tmp_path / "file.json", "new")
    assert (mine.read_text(), (tmp_path / "file.json").read_text()) == ("mine", "new")


def may_not_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder of somebody else; permissions would not keep out a test that runs as root."""
    plain = os.open

    def refuse(path: Any, flags: int, *mode: int) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, flags, *mode)

    monkeypatch.setattr("os.open", refuse)


def test_a_finished_run_is_read_where_nothing_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(2).rows(Problem, "trees.jsonl", groups_from)
        run.write("report.md", "old")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    may_not_write(monkeypatch)
    with RunDir(tmp_path / "run", Config()) as run:
        assert run.iteration(2).rows(Problem, "trees.jsonl", lambda have: pytest.fail("made again")) == PROBLEMS
        run.write("report.md", "new")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    with pytest.raises(RunError, match="may not be written, and there is work left to do"):
        RunDir(tmp_path / "run", Config(iterations=9))
    with pytest.raises(PermissionError):
        RunDir(tmp_path / "new", Config())


def make_run(path: Path) -> Path:
    """A run with a finished artefact, a policy and one that was cut off at its second group."""

    def save(folder: Path) -> Checkpoint:
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        return Checkpoint(str(folder))

    with RunDir(path, Config()) as run:
        run.iteration(1).value("scores.json", lambda: {"a": 1})
        run.iteration(2).policy(save)
        with pytest.raises(Killed):
            run.iteration(2).rows(Problem, "trees.jsonl", lambda have: dying(have, 4))
    return path


def test_a_run_that_nobody_touched_is_what_it_was_finished_or_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with (run / "iterations/2/trees.jsonl").open("a") as file:
        file.write("what a killed writer left")  # not counted yet, and cut off at the next start
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert check_run(run) == (3, [])
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("iterations/1/scores.json", "changed since it was finished"),
        ("iterations/2/policy/model.safetensors", "iterations/2/policy: changed since it was finished"),
        ("iterations/2/trees.jsonl", "changed while unfinished"),
        ("config.yaml", "not the settings of the run"),
    ],
)
def test_a_flipped_byte_is_found_in_what_is_finished_and_in_what_is_not(tmp_path: Path, name: str, told: str) -> None:
    run = make_run(tmp_path / "run")
    content = bytearray((run / name).read_bytes())
    content[2] ^= 1
    (run / name).write_bytes(content)
    _, [difference] = check_run(run)
    assert told in difference


def test_what_is_missing_or_outside_is_found(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "iterations/1/scores.json").unlink()
    edit_manifest(run, lambda manifest: manifest["artefacts"].update({"../../x": {"sha256": "0" * 64}}))
    num, differences = check_run(run)
    assert num == 4
    assert "outside of the run" in differences[0]
    assert "scores.json: missing" in differences[1]
    with pytest.raises(RunError, match="holds no run"):
        check_run(tmp_path)


def test_a_run_that_holds_a_link_is_not_compared(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "iterations/1/more.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(RunError, match="is a symbolic link"):
        check_run(run)
