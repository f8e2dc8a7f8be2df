"""The sentences that figures end in: they follow from the interval, and say what to do."""

from dataclasses import replace

import pytest
from test_summary import FIRST

from presrm.judging.card import JudgedSolution, make_card
from presrm.judging.health import Health, JudgeAccuracy, Siblings
from presrm.report import to_markdown
from presrm.report.verdicts import card_verdict, judge_verdict, siblings_verdict
from presrm.statistics import Figure, share
from presrm.types import Judgement


def card(num: int, right: float, wrong: float, *, every: int = 10**9):
    """Solutions of a right and a wrong step with these scores; every n-th has them the other way round."""
    judged = []
    for number in range(num):
        scores = (wrong, right) if number % every == 0 and every < 10**9 else (right, wrong)
        judged.append(JudgedSolution(1, 1, tuple(map(Judgement, scores))))
    return make_card(judged)


def test_a_judge_at_chance_is_not_to_be_trained_on() -> None:
    text = card_verdict(card(20, 0.9, 0.1, every=2))
    assert text.startswith("AUC 0.50 [")
    assert text.endswith("]: not told from chance; do not train on this judge.")


def test_a_judge_above_chance_is_called_better_and_one_below_worse() -> None:
    assert card_verdict(card(60, 0.9, 0.1, every=5)).endswith("]: better than chance.")
    assert card_verdict(card(60, 0.1, 0.9, every=5)).endswith("]: worse than chance; do not train on this judge.")


def test_a_perfect_judge_has_no_interval_and_needs_enough_steps() -> None:
    assert card_verdict(card(1, 0.9, 0.1)) == "AUC 1.00: not told from chance; do not train on this judge."
    assert card_verdict(card(9, 0.9, 0.1)) == "AUC 1.00: better than chance."


def measured(name: str, own: float, same: float, num: int = 100):
    def accuracy(value: float, num: int) -> JudgeAccuracy:
        return JudgeAccuracy(Figure(num, value, (value - 0.05, value + 0.05)), 0, 0)

    health = Health(None, Siblings(accuracy(own, num), 700, num), first_siblings=accuracy(same, 127))
    return replace(FIRST, name=name, health=health)


@pytest.mark.parametrize(
    ("own", "same", "why"),
    [
        (0.8, 0.9, "The judge did not get worse: a policy that makes fewer slips leaves fewer pairs"),
        (0.8, 0.7, "The judge got worse, on the same pairs, too."),
        (0.8, 0.84, "Whether the judge got worse cannot be told"),
    ],
)
def test_the_report_says_why_the_figure_on_own_siblings_falls(own: float, same: float, why: str) -> None:
    rows = [measured("M1", 0.86, 0.86), measured("M4", own, same, 67)]
    text = siblings_verdict(rows)
    assert text is not None
    assert f"{100 * own:.1f} % [{100 * own - 5:.1f}, {100 * own + 5:.1f}] of 67 pairs for M4" in text
    assert why in text
    assert text in to_markdown(rows, {})


def test_a_figure_that_does_not_fall_needs_no_reason_and_one_policy_has_none() -> None:
    rows = [measured("M1", 0.86, 0.86), measured("M2", 0.9, 0.9)]
    text = siblings_verdict(rows)
    assert text is not None
    assert text.endswith("of 127 pairs.")
    assert siblings_verdict(rows[:1]) is None
    assert siblings_verdict([FIRST, FIRST]) is None


@pytest.mark.parametrize(
    ("accuracy", "meaning"),
    [
        (Figure(67, 0.82, (0.71, 0.89)), "better than chance."),
        (Figure(67, 0.55, (0.43, 0.66)), "not told from chance; do not train on this judge."),
        (Figure(67, 0.2, (0.12, 0.31)), "worse than chance; do not train on this judge."),
    ],
)
def test_the_judge_of_a_policy_has_a_verdict(accuracy: Figure, meaning: str) -> None:
    row = replace(FIRST, health=Health(None, Siblings(JudgeAccuracy(accuracy, 0, 0), 700, 67)))
    assert judge_verdict(row).endswith(f"of 67 pairs of its policy's own siblings: {meaning}")


@pytest.mark.parametrize(
    ("right", "ties", "unreadable", "verdict"),
    [
        (33, 46, 0, "and in 50.8 % [38.9, 62.5] of the 65 that it decides: not told from chance; do not train"),
        (40, 30, 31, "and in 80.0 % [67.0, 88.8] of the 50 that it decides: better than chance."),
        (5, 46, 0, "and in 7.7 % [3.3, 16.8] of the 65 that it decides: worse than chance; do not train"),
        (0, 111, 0, "and in - of the 0 that it decides: not told from chance; do not train"),
        (90, 21, 0, "81.1 % [72.8, 87.3] of 111 pairs of its policy's own siblings: better than chance."),
    ],
)
def test_a_pair_that_is_not_decided_is_no_sign_of_a_wrong_judge(right, ties, unreadable, verdict) -> None:
    accuracy = JudgeAccuracy(share([n < right for n in range(111)]), ties, unreadable)
    row = replace(FIRST, health=Health(None, Siblings(accuracy, 700, 67)))
    assert verdict in judge_verdict(row)


def test_without_a_measure_nothing_says_that_a_judge_can_be_trusted() -> None:
    assert "not measured" in judge_verdict(replace(FIRST, health=Health(None, None)))
