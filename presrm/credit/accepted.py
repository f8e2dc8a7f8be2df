"""Traces with a known verdict -> demonstrations and pairs: the rejective stage of SPCT (arXiv 2504.02495, 3.1). Pure.

A trace is a whole reply to a problem whose solution is a judgement; its score is 1 where the verdict is right, else 0.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from presrm.types import Candidate, Demonstration, PreferencePair, Problem, SearchTree, Trajectory

_CAUSES = {
    "too_easy": "all of whose verdicts are right",
    "never_right": "none of whose verdicts is right",
    "unread": "none of whose replies is whole",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is imitated, and what gave nothing.

    Attributes:
        demonstrations: One for each distinct right trace, in the order of the trees.
        dropped: Number of problems that gave none, by cause: ``too_easy``, ``never_right``, ``unread``.
        never_right: The problems of that cause.
    """

    demonstrations: tuple[Demonstration, ...]
    dropped: Mapping[str, int]
    never_right: tuple[Problem, ...] = ()


def accept(traces: Iterable[SearchTree], name: str, *, keep_easy: bool = False) -> Accepted:
    """Keep the right traces of problems on which the policy is not right each time.

    Args:
        traces: One tree a problem, of whole replies.
        name: What the ids begin with, as in ``<name>/<problem>/<candidate>``.
        keep_easy: Keep those on which it is.
    """
    demonstrations: list[Demonstration] = []
    never: list[Problem] = []
    dropped: Counter[str] = Counter()
    for tree in traces:
        right, wrong = _split(tree)
        if not right:
            dropped["never_right" if wrong else "unread"] += 1
            never += [tree.problem] if wrong else []
        elif not wrong and not keep_easy:
            dropped["too_easy"] += 1
        else:
            prefix = Trajectory(tree.problem)
            demonstrations += [
                Demonstration(f"{name}/{tree.problem.id}/{number}", prefix, one.step) for number, one in right.items()
            ]
    return Accepted(tuple(demonstrations), dict(dropped), tuple(never))


def trace_pairs(traces: Iterable[SearchTree], name: str) -> list[PreferencePair]:
    """Pair the first right trace of each problem with the first wrong one (R-PRM, arXiv 2503.21295; 3.3).

    Problems that lack either give none.
    """
    pairs = []
    for tree in traces:
        right, wrong = _split(tree)
        if right and wrong:
            chosen, rejected = next(iter(right.values())), next(iter(wrong.values()))
            prefix = Trajectory(tree.problem)
            pairs.append(PreferencePair(f"{name}/{tree.problem.id}/0", prefix, chosen.step, rejected.step, 1.0))
    return pairs


def explain_none_accepted(dropped: Mapping[str, int]) -> str:
    """Say in one line why nothing can be learned, with counts, and what to change."""
    causes = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    counted = ", ".join(f"{count} {_CAUSES[cause]}" for cause, count in causes)
    return (
        f"no verdict to learn from: {sum(dropped.values())} problems, {counted}; raise search.temperature, or choose "
        "judge_problems that are neither too easy nor too hard"
    )


def _split(tree: SearchTree) -> tuple[dict[int, Candidate], dict[int, Candidate]]:
    """The right and the wrong traces of a problem, each text once, by the number of the candidate."""
    right: dict[int, Candidate] = {}
    wrong: dict[int, Candidate] = {}
    for expansion in tree.expansions:
        numbers = {id(one): number for number, one in enumerate(expansion.candidates)}
        for one in expansion.whole.values():
            if one.judgement.score is not None:
                (right if one.judgement.score == 1 else wrong)[numbers[id(one)]] = one
    return right, wrong
