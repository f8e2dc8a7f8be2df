"""Trees -> demonstrations of the solutions that the searches arrived at. Pure."""

from collections.abc import Iterable
from itertools import chain

from presrm.types import Demonstration, SearchTree, Step, Trajectory


def imitate_solutions(
    trees: Iterable[SearchTree], name: str, weight: float, *, min_score: float = 0.0
) -> list[Demonstration]:
    """Show each solution that a search arrived at whole, from its first step to its end, each text once.

    Pairs compare steps after one prefix. What hardly a pair is about, above all when to stop, is held by these.
    Iterative RPO (arXiv 2404.19733) does so with chosen answers; a step-wise chosen answer is the path of the search.

    Args:
        trees: Those without a solution show nothing.
        name: What the ids begin with, as in ``<name>/<problem>/solution/<number>``.
        weight: Of each demonstration beside the pairs.
        min_score: Of every step, in [0, 1]. Above 0 a solution with a step that scores less, or has no score, is left
            out: a search arrives somewhere even where the judge accepts no candidate.
    """
    shown = []
    for tree in trees:
        ends = [end for end in tree.solutions if (lowest_score(tree, end) or 0.0) >= min_score]
        solutions = {found.text: found for found in map(tree.trajectory, ends)}
        shown += [
            Demonstration(
                f"{name}/{tree.problem.id}/solution/{number}", Trajectory(tree.problem), _joined(found), weight
            )
            for number, found in enumerate(solutions.values())
        ]
    return shown


def lowest_score(tree: SearchTree, end: tuple[int, int]) -> float | None:
    """The lowest score, in [0, 1], on the way to the (expansion, candidate) `end`; none where a step has none."""
    judged = [tree.expansions[number].candidates[candidate].judgement.score for number, candidate in tree.path(end)]
    known = [score for score in judged if score is not None]
    return min(known) if len(known) == len(judged) else None


def _joined(found: Trajectory) -> Step:
    """All steps as one, with the tokens that were generated where each step knows its own."""
    tokens = [step.tokens for step in found.steps]
    known = None if None in tokens else tuple(chain.from_iterable(ids for ids in tokens if ids is not None))
    return Step(found.text, known, found.stop)
