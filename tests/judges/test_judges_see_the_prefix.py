"""A step is judged after the steps before it: every question shows the problem, the prefix and the candidates."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.prompts import Prompt, PromptSet
from presrm.types import Candidates, Judgement, Problem, Step, Trajectory

KINDS: dict[str, dict[str, Any]] = {
    "pointwise": {"kind": "pointwise"},
    "pointwise, direct": {"kind": "pointwise", "verdict": "direct"},
    "pairwise": {"kind": "pairwise"},
    "pairwise, direct": {"kind": "pairwise", "verdict": "direct"},
    "additive": {"kind": "additive"},
    "listwise": {"kind": "listwise"},
    "listwise, meta": {"kind": "listwise", "votes": 2, "temperature": 0.7, "options": {"meta": True}},
    "first-error": {"kind": "first-error"},
}
PREFIX = Trajectory(Problem("p", "How many apples?"), (Step("the first step\n"), Step("the second step\n")))
ITEM = Candidates(PREFIX, (Step("one way on\n"), Step("another way on\n")))


def ask(kind: str, prompt_set: str) -> tuple[list[Prompt], list[tuple[Judgement, ...]]]:
    """Judge, and note every question."""
    asked: list[Prompt] = []

    def reply(prompt: Prompt, rng: random.Random) -> str:
        asked.append(prompt)
        return "[[3, 4]]"

    def weigh(prompt: Prompt, words: Sequence[str]) -> Sequence[float]:
        asked.append(prompt)
        return [0.75, 0.25]

    judge = make_judge(JudgeConfig(**KINDS[kind]), ScriptedEngine(reply, weigh), PromptSet(prompt_set))
    return asked, judge.judge([ITEM])


@pytest.mark.parametrize("prompt_set", ["paper", "compact", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_question_shows_the_problem_the_prefix_and_the_candidates(kind: str, prompt_set: str) -> None:
    asked, _ = ask(kind, prompt_set)

    assert asked
    for prompt in asked:
        content = [part.text for part in (*prompt.trunk, *prompt.tail) if part.is_content]
        assert content[:3] == ["How many apples?", "the first step\n", "the second step\n"]
        assert set(content[3:]) & {step.text for step in ITEM.steps}
        subject = prompt.subject
        assert subject is not None
        assert subject.prefix.problem == PREFIX.problem


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "direct" in kind])
def test_a_direct_verdict_is_asked_for_by_the_direct_question(kind: str) -> None:
    asked, judged = ask(kind, "paper")

    for prompt in asked:
        assert "Reply with your verdict alone" in prompt.text
        assert prompt.forced == "[["
    assert [one.score for one in judged[0]] == ([0.5, 0.5] if "pairwise" in kind else [0.75, 0.75])


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "direct" not in kind and "meta" not in kind])
def test_a_written_verdict_is_asked_for_with_reasons_and_nothing_forced(kind: str) -> None:
    for prompt in ask(kind, "paper")[0]:
        assert "Reply with your verdict alone" not in prompt.text
        assert prompt.forced == ""
