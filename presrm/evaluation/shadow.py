"""The exact checker in the judge's shadow: it changes no reward, and says how far the rewards can be trusted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from presrm.statistics import Figure, share
from presrm.types import SearchTree, Trajectory

_RIGHT = 0.5


@dataclass(frozen=True, slots=True)
class Shadow:
    """What the judge and the gate said of candidates that can be checked, beside what is true.

    Attributes:
        judged: Share of the candidates with a score whose score is 1/2 or more: the self-judged accuracy.
        checked: Share of all candidates that can be checked which are right.
        disagree: Share of the candidates with a score on which judge and checker disagree.
        false_accepts: Share of the wrong candidates with a score that got 1/2 or more.
        false_rejects: Share of the right ones that got less.
        gate_refused: Share of the candidates with a score that the gate refused.
        gate_false_accepts: Share of the wrong ones that the gate let pass.
        num_unknown: Candidates that can be checked but have no score.
    """

    judged: Figure
    checked: Figure
    disagree: Figure
    false_accepts: Figure
    false_rejects: Figure
    gate_refused: Figure
    gate_false_accepts: Figure
    num_unknown: int


@dataclass(frozen=True, slots=True)
class _Case:
    is_right: bool
    score: float | None
    is_refused: bool


def shadow(trees: Sequence[SearchTree], check: Callable[[Trajectory], bool | None], refused: str) -> Shadow | None:
    """Check every whole candidate of every expansion; none where none can be checked.

    Args:
        trees: As searched and judged.
        check: Says whether a solution is right up to its last step, or none where that cannot be told.
        refused: What the rationale of a judgement begins with that the gate made.
    """
    cases = [
        _Case(is_right, candidate.judgement.score, candidate.judgement.rationale.startswith(refused))
        for tree in trees
        for number, expansion in enumerate(tree.expansions)
        for candidate in expansion.candidates
        if candidate.step.is_whole and (is_right := check(tree.prefix(number).extend(candidate.step))) is not None
    ]
    if not cases:
        return None
    known = [case for case in cases if case.score is not None]
    accepted = [case.score is not None and case.score >= _RIGHT for case in known]
    pairs = list(zip(known, accepted, strict=True))
    return Shadow(
        judged=share(accepted),
        checked=share([case.is_right for case in cases]),
        disagree=share([case.is_right != yes for case, yes in pairs]),
        false_accepts=share([yes for case, yes in pairs if not case.is_right]),
        false_rejects=share([not yes for case, yes in pairs if case.is_right]),
        gate_refused=share([case.is_refused for case in known]),
        gate_false_accepts=share([not case.is_refused for case in known if not case.is_right]),
        num_unknown=len(cases) - len(known),
    )


def explain_shadow(found: Shadow) -> str:
    """Say in one line what the shadow saw."""

    def percent(figure: Figure) -> str:
        return "unknown" if figure.value is None else f"{figure.value:.0%} of {figure.num}"

    return (
        f"judged right {percent(found.judged)}, checked right {percent(found.checked)}; wrong ones accepted "
        f"{percent(found.false_accepts)}, right ones rejected {percent(found.false_rejects)}"
    )
