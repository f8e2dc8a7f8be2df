"""A run folder trusts its manifest and nothing else."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from presrm.config import Config
from presrm.errors import RunConfigError, RunError
from presrm.files.run import RunDir, hash_path, replace_file
from presrm.types import Checkpoint, Problem

PROBLEMS = [Problem(f"p{i}", f"question {i}") for i in range(6)]


def groups_from(have: int, until: int = 6) -> list[list[Problem]]:
    return [PROBLEMS[i : i + 2] for i in range(have, until, 2)]


class Killed(Exception):  # noqa: N818
    pass


def dying(have: int, after: int):
    yield from groups_from(have, until=after)
    raise Killed


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
    with RunDir(tmp_path / "run", Config()), pytest.raises(RunError, match="another process"):
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
        with RunDir(tmp_path / "run", Config()) as run:
            made = run.iteration(number).policy(make)
        with RunDir(tmp_path / "run", Config()) as run:
            assert run.iteration(number).policy(lambda out: pytest.fail("made again")) == made


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunDir(tmp_path / "run", Config()) as run:
        run.iteration(1).value("scores.json", lambda: {"accuracy": 0.5})
        before = (tmp_path / "run/manifest.json").read_text()

        def full(fd: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("presrm.files.run.os.fsync", full)
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
    path = tmp_path / "run/manifest.json"
    path.write_text(path.read_text().replace('"base"', '"http://host/v1#m"'))
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
    with pytest.raises(RunError, match=r"another version of presrm \(format 1, this one writes 2\)"):
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
