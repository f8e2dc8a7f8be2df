"""What several solutions a problem come to: pass@k, maj@k, the judge-weighted vote and the judge's best of n.

A single greedy solution, or the one that a search ended with, gives plain accuracy.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from statistics import fmean

from presrm.evaluation.answers import Answer, Solution
from presrm.statistics import Figure, maj_at_k, mean, pass_at_k, share
from presrm.types import Grade, Stop

_ENDS: dict[str, Callable[[Solution], bool]] = {
    "no answer": lambda solution: solution.grade is Grade.NO_ANSWER,
    "cut off": lambda solution: solution.stop is Stop.MAX_TOKENS,
    "no room": lambda solution: solution.stop is Stop.NO_ROOM,
    "filtered": lambda solution: solution.stop is Stop.FILTERED,
}


def summarize(answers: Sequence[Answer]) -> dict[str, Figure]:
    """Sum up answers: ``accuracy`` where something was chosen, and what several solutions tell.

    A problem for which a search found nothing is not solved. A vote that no solution takes part in is not right.

    Raises:
        ValueError: if there are none.
    """
    if not answers:
        raise ValueError("nothing to sum up")
    figures: dict[str, Figure] = {}
    num = min((len(answer.solutions) for answer in answers if not answer.is_search), default=0)
    if num <= 1:
        figures["accuracy"] = share([answer.is_right for answer in answers])
    for k in _powers_of_two(num):
        values = [pass_at_k(len(answer.solutions), _num_right(answer.solutions), k) for answer in answers]
        figures[f"pass@{k}"] = _mean(values)
    for k in _powers_of_two(num)[1:]:
        figures[f"maj@{k}"] = _mean([_majority(answer.solutions, k) for answer in answers])
    if num > 1 and any(solution.score is not None for answer in answers for solution in answer.solutions):
        figures[f"best of {num}"] = share([answer.is_right for answer in answers])
        figures[f"judge-weighted vote of {num}"] = _mean([_weighted_vote(answer.solutions) for answer in answers])
    if drawn := [answer.solutions for answer in answers if answer.solutions]:
        for name, holds in _ENDS.items():
            figures[name] = _mean([fmean(map(holds, solutions)) for solutions in drawn])
    if any(answer.is_search for answer in answers):
        figures["nothing found"] = share([not answer.solutions for answer in answers])
    return figures


def _num_right(solutions: Sequence[Solution]) -> int:
    return sum(solution.grade is Grade.CORRECT for solution in solutions)


def _by_vote(solutions: Sequence[Solution]) -> list[list[Solution]]:
    """Solutions by what they answer; those without an answer have no vote."""
    votes: defaultdict[int, list[Solution]] = defaultdict(list)
    for solution in solutions:
        if solution.vote is not None:
            votes[solution.vote].append(solution)
    return list(votes.values())


def _majority(solutions: Sequence[Solution], k: int) -> float | None:
    votes = [(len(alike), alike[0].grade is Grade.CORRECT) for alike in _by_vote(solutions)]
    return maj_at_k(votes, len(solutions) - sum(count for count, _ in votes), k)


def _weighted_vote(solutions: Sequence[Solution]) -> float:
    """Whether the answer with the largest sum of readable scores is right; of equal ones each with equal chance."""
    weights = [
        (sum(scores), alike[0].grade is Grade.CORRECT)
        for alike in _by_vote(solutions)
        if (scores := [solution.score for solution in alike if solution.score is not None])
    ]
    most = max((weight for weight, _ in weights), default=0.0)
    return fmean(is_right for weight, is_right in weights if weight == most) if weights else 0.0


def _powers_of_two(num: int) -> list[int]:
    """1, 2, 4, ... and `num` itself; nothing where there are not several solutions."""
    return [] if num <= 1 else sorted({2**i for i in range(num.bit_length()) if 2**i <= num} | {num})


def _mean(values: Sequence[float | None]) -> Figure:
    """A mean over problems; of 0 and 1 alone it is a share."""
    known = [value for value in values if value is not None]
    return share([value == 1 for value in known]) if set(known) <= {0.0, 1.0} else mean(known)
