"""What a judge draws belongs to the question: to its text and the number of the vote, and to nothing beside it."""

import os
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Request
from presrm.types import Candidates, Judgement, Problem, Step, Trajectory

DRAWN = {"votes": 5, "temperature": 0.7}  # of a list of two there are fewer orders than votes
KINDS: dict[str, dict[str, Any]] = {
    "pointwise": {"kind": "pointwise", **DRAWN},
    "pairwise": {"kind": "pairwise", **DRAWN},
    "additive": {"kind": "additive", **DRAWN},
    "listwise": {"kind": "listwise", **DRAWN},
    "first-error": {"kind": "first-error", **DRAWN},
}


def item(name: str) -> Candidates:
    prefix = Trajectory(Problem(name, f"{name}?"), (Step("before\n"),))
    return Candidates(prefix, (Step("a\n"), Step("b\n")))


class Notes(ScriptedEngine):
    """Draws a verdict of any kind, and notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(self._draw)
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.requests += requests
        return super().generate(requests)

    def _draw(self, prompt: Prompt, rng: random.Random) -> str:
        points = ", ".join(str(rng.randint(1, 10)) for _ in "ab")
        verdicts = {
            "pointwise": rng.choice(["[[yes]]", "[[no]]"]),
            "pairwise": rng.choice(["[[A]]", "[[B]]"]),
            "additive": f"[[{rng.randint(0, 5)}]]",
            "listwise": f"[[{points}]]",
            "first_error": f"\\boxed{{{rng.randint(-1, 1)}}}",
        }
        return verdicts[prompt.template]


def judge(kind: str, *names: str) -> tuple[list[Request], list[tuple[Judgement, ...]]]:
    engine = Notes()
    judged = make_judge(JudgeConfig(**KINDS[kind]), engine, PromptSet("paper")).judge([item(name) for name in names])
    return engine.requests, judged


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_questions_or_votes_share_their_draws(kind: str) -> None:
    requests, _ = judge(kind, "first", "second")

    assert len({request.seed for request in requests}) == len(requests)
    assert sum(request.num for request in requests) % KINDS[kind]["votes"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_judgement_does_not_depend_on_its_company(kind: str) -> None:
    _, together = judge(kind, "first", "second")

    assert together == judge(kind, "first")[1] + judge(kind, "second")[1]
    assert together == judge(kind, "second", "first")[1][::-1]


def test_every_item_has_its_own_orders_of_a_list() -> None:
    requests, _ = judge("listwise", *"abcdefgh")
    orders = [
        tuple(step.text for step in request.prompt.subject.shown) for request in requests if request.prompt.subject
    ]

    assert len({tuple(orders[at : at + 5]) for at in range(0, len(orders), 5)}) > 3


ASKS = """
import sys
sys.path.insert(0, sys.argv[1])
from test_judges_draw import KINDS, judge
for kind in KINDS:
    print([request.prompt.text for request in judge(kind, "first", "second")[0]])
"""


def test_what_is_asked_does_not_depend_on_the_hashes_of_the_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", ASKS, str(Path(__file__).parent)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in "123"
    }

    assert len(said) == 1
    assert said != {b""}
