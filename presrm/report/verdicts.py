"""What figures come to, in one plain sentence: whether a judge can be told from chance, and why its figures moved.

A judge is told from chance where the whole 95 % interval of its figure lies on one side of one half.
"""

from collections.abc import Sequence
from math import comb
from typing import Literal

from presrm.iteration import IterationSummary
from presrm.judging.card import JudgeCard
from presrm.judging.evolve import Evolved
from presrm.judging.health import JudgeAccuracy
from presrm.report.figures import figure_text, p_text, value_text
from presrm.statistics import CONFIDENCE, Figure, share

_CHANCE = 0.5
_DO_NOT = "do not train on this judge"
Side = Literal["above", "below", "unknown"]
_MEANING = {
    "above": "better than chance",
    "below": f"worse than chance; {_DO_NOT}",
    "unknown": f"not told from chance; {_DO_NOT}",
}


def card_verdict(card: JudgeCard) -> str:
    """Say whether the scores of a judge tell right steps from wrong ones.

    >>> from presrm.judging.card import make_card
    >>> card_verdict(make_card([]))
    'AUC -: nothing to tell it by, since no right and wrong steps have scores; do not train on this judge.'
    """
    steps = card.steps
    text = f"AUC {figure_text(steps.auc, 'number')}"
    if steps.auc.value is None:
        return f"{text}: nothing to tell it by, since no right and wrong steps have scores; {_DO_NOT}."
    side = _side(steps.auc)
    if steps.auc.value == 1 and 2 / comb(steps.num_right + steps.num_wrong, steps.num_wrong) < 1 - CONFIDENCE:
        side = "above"  # all wrong steps below all right ones: no interval, but more than chance gives
    return f"{text}: {_MEANING[side]}."


def evolution_verdict(evolved: Evolved) -> str:
    """Say whether evolved instructions judge better than those before, on the rows that evolution never saw."""
    if not evolved.winner:
        return (
            "no rewritten instruction did better on the validation part, so the prompt set is the one that was there."
        )
    before, after = evolved.before, evolved.after
    name, figures = "F1", (before.f1.value, after.f1.value)
    if None in figures:  # a kind of solution is missing in the test part
        name, figures = "first error found", (before.erroneous.value, after.erroneous.value)
        if None in figures:
            name, figures = "clean found clean", (before.clean.value, after.clean.value)
    told = " -> ".join(value_text(value, "number") for value in figures)
    side = "better" if evolved.num_gained > evolved.num_lost else "worse"
    return (
        f"{name} {told} on {before.unknown.num} rows that evolution never saw ({evolved.num_gained} gained, "
        f"{evolved.num_lost} lost), {p_text(evolved.p_value)}: "
        f"{side if evolved.p_value < 1 - CONFIDENCE else 'not told from chance'}."
    )


def judge_verdict(summary: IterationSummary) -> str:
    """Say whether the judge of a policy is better than chance, by the best figure that there is."""
    siblings, fixed = summary.health.siblings, summary.health.fixed
    for accuracy, pairs in (
        (siblings and siblings.accuracy, "of its policy's own siblings"),
        (fixed, "of the fixed set"),
    ):
        if accuracy and accuracy.right.num:
            figure, side, decided = figure_text(accuracy.right, "share", with_num=True), _side(accuracy.right), ""
            num = accuracy.right.num - accuracy.ties - accuracy.unreadable
            if side != "above" and num < accuracy.right.num:
                # A pair that is not decided is not right, but no sign of a judge that prefers the wrong step either.
                told = share([True] * accuracy.right.num_hits + [False] * (num - accuracy.right.num_hits))
                side, decided = _side(told), f", and in {figure_text(told, 'share')} of the {num:,} that it decides"
            return (
                f"Judge of {summary.name}: prefers the right step in {figure} pairs {pairs}{decided}: {_MEANING[side]}."
            )
    return f"Judge of {summary.name}: its accuracy was not measured, so nothing says that it can be trusted."


def siblings_verdict(summaries: Sequence[IterationSummary]) -> str | None:
    """Say why the figure on own siblings moved: because of the judge, or because other pairs are left.

    None where there is one policy only, or one of the figures is missing.
    """
    first, last = summaries[0], summaries[-1]
    figures = []
    for health in (first.health, last.health):
        own = health.siblings and health.siblings.accuracy
        if not own or not health.first_siblings or own.right.value is None or health.first_siblings.right.value is None:
            return None
        figures.append((own, health.first_siblings))
    if first is last:
        return None
    (own, same), (own_now, same_now) = figures
    told = (
        f"Judge on own siblings: {_share(own)} for {first.name}, {_share(own_now)} for {last.name}. On the siblings of "
        f"{first.name}, the same pairs for every judge: {_share(same)}, then {_share(same_now)}."
    )
    if _value(own_now) >= _value(own):
        return told
    if _value(same_now) >= _value(same):
        return (
            f"{told} The judge did not get worse: a policy that makes fewer slips leaves fewer pairs, and the harder "
            "ones."
        )
    low, high = same_now.right.interval or (0.0, 1.0)
    if low <= _value(same) <= high:
        return (
            f"{told} Whether the judge got worse cannot be told: on the same pairs it changed by less than chance may."
        )
    return f"{told} The judge got worse, on the same pairs, too."


def _value(accuracy: JudgeAccuracy) -> float:
    return accuracy.right.value or 0.0


def _share(accuracy: JudgeAccuracy) -> str:
    return f"{figure_text(accuracy.right, 'share', with_num=True)} pairs"


def _side(figure: Figure) -> Side:
    """Tell on which side of chance the whole interval of a figure lies."""
    least, most = figure.interval or (_CHANCE, _CHANCE)
    if least > _CHANCE:
        return "above"
    return "below" if most < _CHANCE else "unknown"
