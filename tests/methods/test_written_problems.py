"""A run on problems that the policy writes: two ways, its artefacts, and kills."""

import json
import random
import re
from pathlib import Path

import pytest
from scripted_arithmetic import known
from scripted_run import Bomb, check_kills, run

from presrm.assembly.parts import Parts
from presrm.config import Config, load_config
from presrm.errors import ConfigError, NoLessonsError, RequestError
from presrm.methods.parts import SilentProgress
from presrm.prompts import Prompt
from presrm.types import Checkpoint

WORDS = "red blue green black white pink brown grey yellow violet amber azure coral ivory olive".split()


def config(way: str, *settings: str) -> Config:
    return load_config(
        "embedded-rlsr",
        [
            "problems.train=self",
            "problems.seeds=arithmetic",
            "problems.num_seeds=8",
            f"problems.train_options={{way: {way}, max_calls: 30}}",
            "problems.num_train=6",
            "problems.num_held_out=4",
            "evaluation.num_judge_problems=0",
            "watch.num_problems=0",
            "search.group_size=3",
            "search.num_candidates=4",
            "method.options.inner_steps=1",
            *settings,
        ],
    )


def reply(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
    """Writes sums in ever new words, solves them with slips, and judges rightly."""
    content = [part.text for part in (*prompt.trunk, *prompt.tail) if part.is_content]
    if prompt.template in ("write", "variant"):
        if rng.random() < 0.3:
            return content[0]
        return f"{' '.join(rng.sample(WORDS, 7))} {rng.randint(1, 40)} + {rng.randint(1, 40)}?"
    asked = re.search(r"(\d+) \+ (\d+)\?", content[0])
    right = f"#### {int(asked[1]) + int(asked[2])}" if asked else f"#### {known(content[0]).answer}"
    if prompt.template == "pointwise":
        return f"[[{'yes' if content[-1] == right else 'no'}]]"
    return right if rng.random() < 0.5 else f"{right}{rng.randint(0, 3)}"


@pytest.mark.parametrize("way", ["instruct", "variants"])
def test_the_policy_is_trained_on_what_it_wrote(tmp_path: Path, way: str) -> None:
    _, parts = run(config(way, "iterations=2"), tmp_path / "run", reply)

    folder = tmp_path / "run/iterations/3"
    problems = [json.loads(line) for line in (folder / "problems.jsonl").read_text().splitlines()]
    written = [json.loads(line) for line in (folder / "written.jsonl").read_text().splitlines()]
    summary = json.loads((folder / "written.json").read_text())
    assert [row["problem"] for row in written if row["problem"]] == problems
    assert len(problems) == summary["kept"] == 6
    assert summary["causes"]["near_duplicate"] > 0
    assert 0 < summary["diversity"] < 1
    assert all(problem["id"].startswith("self/3/") and problem.get("answer") is None for problem in problems)
    attempts = parts.fake.calls[1][0]
    assert {attempt.prefix.problem.id for attempt in attempts} <= {problem["id"] for problem in problems}


@pytest.mark.parametrize("way", ["instruct", "variants"])
def test_a_kill_changes_no_byte(tmp_path: Path, way: str) -> None:
    check_kills(config(way), tmp_path, reply, every=2)


def test_a_policy_that_writes_no_problem_says_what_it_wrote(tmp_path: Path) -> None:
    def mute(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
        return "No." if prompt.template == "write" else reply(prompt, rng, policy)

    with pytest.raises(NoLessonsError, match="M2 cannot be trained: 0 problems of 30 written, left out: 30 too short"):
        run(config("instruct"), tmp_path / "run", mute)
    with pytest.raises(NoLessonsError):
        run(config("instruct"), tmp_path / "run", mute, again := Bomb())
    assert again.calls == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["problems.train=self"], r"problems.train: self needs problems\.seeds"),
        (["problems.seeds=arithmetic"], r"nothing else reads them"),
        (
            ["problems.train=self", "problems.seeds=arithmetic", "problems.train_options.way=haiku"],
            "'haiku' is unknown",
        ),
        (["problems.train=self", "problems.seeds=arithmetic", "problems.train_options.num_example=3"], "num_examples"),
        (["problems.train=self", "problems.seeds=arithmetic", "problems.train_options.max_calls=0"], "greater than 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_any_work(settings: list[str], message: str) -> None:
    with pytest.raises((ConfigError, RequestError), match=message):
        Parts(load_config("embedded-rlsr", settings), SilentProgress(), lambda **_: None).check()
