"""What small policies really reply, and the verdict that a person finds in it.

Every row is the reply of the embedded policy or of SmolLM2-135M-Instruct to a question of a judge: `stop` says
why it ended, `num_shown` how many steps the question was about, `verdict` what a reader found, or that it has none
(``unreadable``), or none before it was cut off (``truncated``).
"""

import json
from pathlib import Path
from typing import Any

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.prompts import PromptSet
from presrm.types import Candidates, Judgement, Problem, Step, Trajectory

FOLDER = Path(__file__).with_name("ugly_replies")
SCORES = {
    "pairwise": {"A": 1.0, "B": 0.5},  # the swapped question is always answered in favour of the first step
    "pointwise": {"yes": 1.0, "no": 0.0},
    "first-error": {},  # neither policy ever kept the form that these three ask for
    "additive": {},
    "listwise": {},
}


def read(kind: str) -> list[dict[str, Any]]:
    path = FOLDER / f"{kind.replace('-', '_')}.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def judge_first_step(kind: str, row: dict[str, Any]) -> Judgement:
    """Judge the first of the steps shown by the reply of a row."""
    is_cut_off = row["stop"] == "max_tokens"
    steps = tuple(Step(letter) for letter in "abc"[: row["num_shown"]])

    def reply(prompt: Any, rng: object) -> str:
        if kind == "pairwise" and prompt.subject.shown[0].text != "a":
            return "[[B]]"
        return row["reply"] + "..." * is_cut_off

    length = len(row["reply"]) if is_cut_off else 10_000
    judge = make_judge(JudgeConfig(kind=kind, max_tokens=length), ScriptedEngine(reply), PromptSet("paper"))
    prefix = Trajectory(Problem("p", "How many?"))
    if kind == "first-error":
        [(judgement,)] = judge.judge([Candidates(prefix.extend(steps[0]), steps[1:])])
    else:
        judgement = judge.judge([Candidates(prefix, steps)])[0][0]
    return judgement


@pytest.mark.parametrize("kind", SCORES)
def test_a_verdict_is_read_as_a_person_reads_it(kind: str) -> None:
    rows = read(kind)

    assert len(rows) >= 12
    for row in rows:
        judgement = judge_first_step(kind, row)
        if row["verdict"] in SCORES[kind]:
            assert judgement.score == SCORES[kind][row["verdict"]], row["reply"]
        else:
            assert (judgement.score, judgement.status.value) == (None, row["verdict"]), row["reply"]
