"""Trees -> demonstrations of the solutions that the searches arrived at. Pure."""

from collections.abc import Iterable
from itertools import chain

from presrm.types import Demonstration, SearchTree, Step, Trajectory


def imitate_solutions(trees: Iterable[SearchTree], name: str, weight: float) -> list[Demonstration]:
    """Show each solution that a search arrived at whole, from its first step to its end, each text once.

    Pairs compare steps after one prefix. What hardly a pair is about, above all when to stop, is held by these.
    Iterative RPO (arXiv 2404.19733) does so with chosen answers; a step-wise chosen answer is the path of the search.

    Args:
        trees: Those without a solution show nothing.
        name: What the ids begin with, as in ``<name>/<problem>/solution/<number>``.
        weight: Of each demonstration beside the pairs.
    """
    shown = []
    for tree in trees:
        solutions = {found.text: found for found in tree.solution_trajectories()}
        shown += [
            Demonstration(
                f"{name}/{tree.problem.id}/solution/{number}", Trajectory(tree.problem), _joined(found), weight
            )
            for number, found in enumerate(solutions.values())
        ]
    return shown


def _joined(found: Trajectory) -> Step:
    """All steps as one, with the tokens that were generated where each step knows its own."""
    tokens = [step.tokens for step in found.steps]
    known = None if None in tokens else tuple(chain.from_iterable(ids for ids in tokens if ids is not None))
    return Step(found.text, known, found.stop)
