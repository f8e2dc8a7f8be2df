"""What a judge draws belongs to the question: to its text and the number of the vote, and to nothing beside it."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Request
from presrm.types import Candidates, Judgement, Problem, Step, Trajectory

DRAWN = {"votes": 3, "temperature": 0.7}
KINDS: dict[str, dict[str, Any]] = {
    "pointwise": {"kind": "pointwise", **DRAWN},
    "pairwise": {"kind": "pairwise", **DRAWN},
    "additive": {"kind": "additive", **DRAWN},
    "listwise": {"kind": "listwise", **DRAWN},
    "first-error": {"kind": "first-error", **DRAWN},
}


def item(name: str) -> Candidates:
    prefix = Trajectory(Problem(name, f"{name}?"), (Step("before\n"),))
    return Candidates(prefix, (Step("a\n"), Step("b\n"), Step("c\n")))


class Notes(ScriptedEngine):
    """Draws a verdict of any kind, and notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(self._draw)
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.requests += requests
        return super().generate(requests)

    def _draw(self, prompt: Prompt, rng: random.Random) -> str:
        points = ", ".join(str(rng.randint(1, 10)) for _ in "abc")
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
