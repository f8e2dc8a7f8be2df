"""A part of a run is made anew: the same bytes, what was there is set aside, and a kill loses nothing."""

import json
import shutil
from pathlib import Path

import pytest
from scripted_arithmetic import solve_or_judge
from scripted_run import Bomb, Killed, ScriptedParts, bytes_of

from presrm.assembly import runs
from presrm.config import Config, load_config
from presrm.errors import RequestError, RunError
from presrm.files import aside
from presrm.files.manifest import check_run
from presrm.files.run import RunDir
from presrm.methods.parts import SilentProgress

SMALL = [
    "problems.num_train=4",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=2",
    "evaluation.max_tokens=200",
    "watch.num_problems=0",
    "search.group_size=2",
    "search.num_candidates=3",
    "search.max_step_tokens=64",
    "judge.verdict=explained",
    "prompts=compact",
]
ROUND = ("rounds/1/trees.jsonl", "rounds/1/shadow.json", "rounds/1/attempts.jsonl")
OWN = ("problems.jsonl", "trees.jsonl", "shadow.json", "attempts.jsonl", "policy", "answers.jsonl")
METHODS = {
    "presrm": ("embedded", []),
    "rlsr": ("embedded-rlsr", ["search.unit=solution", "method.options.inner_steps=2"]),
}


def config(method: str, iterations: int = 1) -> Config:
    name, settings = METHODS[method]
    return load_config(name, [*SMALL, *settings, f"iterations={iterations}"])


@pytest.fixture
def bomb(monkeypatch: pytest.MonkeyPatch) -> Bomb:
    """Runs have scripted parts, and go off at its call."""
    bomb = Bomb()
    monkeypatch.setattr(runs, "Parts", lambda config, progress, log: ScriptedParts(config, bomb, solve_or_judge))
    return bomb


def contents(out: Path) -> dict[str, bytes]:
    return {name: text for name, text in bytes_of(out).items() if not name.startswith("aside/")}


@pytest.mark.parametrize(
    ("method", "stage", "iteration", "kept"),
    [
        ("presrm", "search", 2, {"2/problems.jsonl"}),
        ("presrm", "fit", 2, {f"2/{name}.jsonl" for name in ("problems", "trees", "pairs", "demonstrations")}),
        ("presrm", "answers", 1, set()),
        ("rlsr", "fit", 2, {f"2/{name}" for name in ("problems.jsonl", *ROUND)}),
        ("rlsr", "health", 2, {f"2/{name}" for name in (*OWN, *ROUND, "rounds/1/policy")}),
    ],
)
def test_a_part_is_made_anew_to_the_byte_and_what_was_there_is_kept(method, stage, iteration, kept, tmp_path, bomb):
    made, out = tmp_path / "made", tmp_path / "again"
    runs.train(config(method), made, SilentProgress())
    shutil.copytree(made, out)
    runs.rerun(config(method), out, stage, iteration, SilentProgress())

    assert contents(out) == contents(made)
    assert check_run(out)[1] == []
    before, aside_1 = json.loads((made / "manifest.json").read_text())["artefacts"], out / "aside/1"
    assert json.loads((aside_1 / "manifest.json").read_text())["artefacts"] == before
    moved = {name for name in before if (aside_1 / "iterations" / name).exists()}
    early = {name for name, entry in before.items() if entry and name.startswith("1/") and iteration > 1}
    assert {name for name, entry in before.items() if entry} - moved == kept | early
    for name in moved:
        old, new = made / "iterations" / name, aside_1 / "iterations" / name
        assert old.is_dir() or old.read_bytes() == new.read_bytes()


def test_a_kill_anywhere_loses_nothing_and_the_same_command_resumes(tmp_path, bomb, monkeypatch):
    made, settings = tmp_path / "made", config("presrm")
    runs.train(settings, made, SilentProgress())
    expected = contents(made)
    moves = 0
    rename = Path.rename

    def dying(path: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == dies_at:
            raise Killed
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", dying)
    for dies_at in (1, 4):
        out, moves = tmp_path / f"moved-{dies_at}", 0
        shutil.copytree(made, out)
        with pytest.raises(Killed):
            runs.rerun(settings, out, "search", 2, SilentProgress())
        runs.rerun(settings, out, "search", 2, SilentProgress())
        assert contents(out) == expected
        assert [path.name for path in (out / "aside").iterdir()] == ["1"]
        assert not expected.keys() - {*contents(out), *bytes_of(out / "aside/1")}

    dies_at = 0
    out = tmp_path / "trained"
    shutil.copytree(made, out)
    bomb.calls, bomb.at = 0, 3
    with pytest.raises(Killed):
        runs.rerun(settings, out, "search", 2, SilentProgress())
    bomb.at = None
    runs.rerun(settings, out, "search", 2, SilentProgress())
    assert [path.name for path in (out / "aside").iterdir()] == ["1"]
    runs.rerun(settings, out, "search", 2, SilentProgress())  # the run was finished: this is another one
    assert sorted(path.name for path in (out / "aside").iterdir()) == ["1", "2"]
    assert contents(out) == expected


def test_what_cannot_be_made_anew_is_told(tmp_path, bomb):
    settings = config("presrm")
    runs.train(settings, tmp_path / "run", SilentProgress())
    with pytest.raises(RequestError, match="M1 is not made by 'search': give --from fit"):
        runs.rerun(settings, tmp_path / "run", "search", 1, SilentProgress())
    with pytest.raises(RequestError, match="has made nothing yet from 'fit' of M7 on"):
        runs.rerun(settings, tmp_path / "run", "fit", 7, SilentProgress())
    assert not (tmp_path / "run/aside").exists()


def test_nothing_that_was_set_aside_is_written_over(tmp_path, bomb):
    settings = config("presrm")
    runs.train(settings, tmp_path / "run", SilentProgress())
    kept = tmp_path / "run/aside/7/iterations/2/answers.jsonl"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with RunDir(tmp_path / "run", settings) as run:
        run.manifest["moving"] = 7  # as in a folder that came from elsewhere
        with pytest.raises(RunError, match="is there already: move it"):
            aside.set_aside(run, "answers", 2)
    assert kept.read_text() == "mine"
