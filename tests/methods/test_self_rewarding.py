"""Self-Rewarding LMs on a scripted policy: whole answers, points, votes, pairs of whole answers."""

import random
from pathlib import Path

import pytest
from scripted_arithmetic import known
from scripted_run import check_kills, run

from presrm.assembly.parts import Parts
from presrm.config import load_config
from presrm.errors import ConfigError
from presrm.methods.parts import SilentProgress
from presrm.prompts import Prompt
from presrm.types import Checkpoint, PreferencePair

SMALL = [
    "iterations=2",
    "problems.num_train=6",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=2",
    "evaluation.group_size=4",
    "watch.num_problems=0",
    "search.group_size=3",
    "search.max_step_tokens=40",
]
CONFIG = load_config("embedded-self-rewarding", SMALL)


def reply(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
    """Solves with slips; gives five points to what has none, and now and then no points at all."""
    content = [part.text for part in (*prompt.trunk, *prompt.tail) if part.is_content]
    steps = known(content[0]).solution or ""
    if prompt.template == "additive":
        solution = "".join(content[1:])
        if rng.random() < 0.1:
            return "I cannot tell."
        return f"I count. [[{5 if solution == steps else rng.choice((1, 2))}]]"
    return steps.replace("= ", "= 1", 1) if rng.random() < 0.5 else steps


def test_pairs_are_whole_answers_best_over_worst(tmp_path: Path) -> None:
    rows, parts = run(CONFIG, tmp_path / "run", reply)

    assert [row.name for row in rows] == ["M1", "M2", "M3"]
    lessons = [lesson for given, _, _ in parts.fake.calls for lesson in given]
    assert lessons
    for pair in lessons:
        assert isinstance(pair, PreferencePair)
        right = pair.prefix.problem.solution
        assert not pair.prefix.steps
        assert pair.chosen.text == right != pair.rejected.text
        assert 0 < pair.margin <= 0.8
    assert rows[1].num_lessons is not None
    assert rows[1].dropped is not None
    assert rows[1].num_lessons + sum(rows[1].dropped.values()) == 6


def test_every_answer_is_judged_once_by_several_votes(tmp_path: Path) -> None:
    _, parts = run(CONFIG, tmp_path / "run", reply)
    trees = (tmp_path / "run/iterations/2/trees.jsonl").read_text()

    assert parts.config.judge.votes == 3
    assert trees.count("votes readable") >= 6
    assert "steps:" not in trees  # nothing is composed of steps


def test_a_kill_changes_no_byte(tmp_path: Path) -> None:
    check_kills(CONFIG, tmp_path, reply, every=3)


def test_a_search_that_goes_step_by_step_is_refused() -> None:
    config = load_config("embedded", ["method.kind=self-rewarding"])
    with pytest.raises(ConfigError, match=r"search\.unit to solution"):
        Parts(config, SilentProgress(), lambda **_: None).check()
