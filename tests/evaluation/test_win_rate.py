"""Win rates: both orders, ties, what cannot be read, and what is left at equal length."""

import random
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.evaluation.win_rate import compare_answers, length_controlled
from presrm.judges.pairwise import PairwiseJudge
from presrm.prompts import Prompt, PromptSet
from presrm.types import Candidates, Judgement, Problem

PROBLEMS = [Problem(str(n), f"Write {n} words.") for n in range(4)]


def prefers(text: str) -> PairwiseJudge:
    """Prefers an answer with a text in it; of two alike, the one shown first; says nothing about an empty one."""

    def reply(prompt: Prompt, rng: random.Random) -> str:
        first, second = [part.text for part in prompt.tail if part.is_content][:2]
        if "mute" in first + second:
            return "Well."
        return f"[[{'B' if text in second and text not in first else 'A'}]]"

    return PairwiseJudge(ScriptedEngine(reply), PromptSet("compact"))


def test_both_orders_make_a_win_and_a_contradiction_is_a_tie() -> None:
    first = ["bad", "good", "bad", "same"]
    second = ["good", "bad", "also bad", "same"]

    found = compare_answers(PROBLEMS, first, second, prefers("good"))

    assert (found.wins.num, found.wins.value) == (4, 0.5)  # a win, a loss, a contradiction, equal answers
    assert found.wins.interval is not None
    better = compare_answers(PROBLEMS[:2], first[:2], ["good good", "good good!"], prefers("good"))
    assert better.wins.value == 0.75  # the second pair is alike to the judge


def test_what_cannot_be_read_has_no_part() -> None:
    found = compare_answers(PROBLEMS[:3], ["bad", "mute", "bad"], ["good", "good", "good"], prefers("good"))

    assert (found.wins.num, found.wins.value, found.num_unreadable) == (2, 1.0, 1)
    assert found.length_ratio == pytest.approx(8 / 6)


def test_a_preference_for_length_is_taken_out() -> None:
    """The judge prefers whatever is longer, nothing else: at equal length it is even, although it wins nine of ten."""
    rng = np.random.default_rng(1)
    differences = rng.normal(60, 50, 400)
    wins = (rng.random(400) < 1 / (1 + np.exp(-differences / 20))).astype(float)

    found = length_controlled(wins, differences)

    assert wins.mean() > 0.8
    assert found.value == pytest.approx(0.5, abs=0.12)
    assert found.interval is not None
    assert found.interval[0] < 0.5 < found.interval[1]


def test_a_preference_for_content_stays() -> None:
    rng = np.random.default_rng(2)
    differences = rng.normal(0, 50, 300)
    wins = (rng.random(300) < 0.8).astype(float)

    found = length_controlled(wins, differences)

    assert found.value == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("wins", [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
def test_one_sided_wins_give_a_finite_figure_near_their_end(wins: list[float]) -> None:
    found = length_controlled(wins, [3, -1, 2])

    assert found.value == pytest.approx(wins[0], abs=0.01)


def test_without_a_difference_in_length_there_is_nothing_to_control_for() -> None:
    assert length_controlled([1.0, 0.0], [5, 5]).value is None
    assert length_controlled([], []).value is None


def test_a_judge_that_does_not_compare_is_refused() -> None:
    class Absolute:
        scale: Literal["absolute", "relative"] = "absolute"

        def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
            raise AssertionError

    with pytest.raises(ValueError, match="relative scale"):
        compare_answers(PROBLEMS, ["a"] * 4, ["b"] * 4, Absolute())
