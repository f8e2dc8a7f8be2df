"""How sure a pair is: what two judges, or several votes, say of the same candidates. Pure.

The doubt of a pair is the probability that it is the wrong way round, e of conservative DPO.
"""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean


def rank_agreement(one: Sequence[float | None], other: Sequence[float | None]) -> float | None:
    """Confidence C = (tau + 1) / 2 in a ranking, by Kendall's tau (b) of two rankings of the same candidates.

    CREAM (arXiv 2410.12735), where the current policy and the one before it rank by the reward implicit in DPO; here by
    the scores of their judges. Where the other judge tells nothing apart tau is 0, and C one half.

    Args:
        one: Scores of the judge whose pairs are in question, none for those that it could not read.
        other: Of the judge before.

    Returns:
        C in [0, 1]; none where fewer than two candidates have both scores, or the first judge tells none of them apart.

    >>> rank_agreement([3.0, 2.0, 1.0], [3.0, 1.0, 2.0])
    0.6666666666666666
    >>> rank_agreement([1.0, 0.0], [0.0, 1.0]), rank_agreement([1.0, 0.0], [1.0, 1.0]), rank_agreement([1.0], [1.0])
    (0.0, 0.5, None)
    """
    both = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    signs = [(_sign(a - c), _sign(b - d)) for (a, b), (c, d) in combinations(both, 2)]
    num_one, num_other = sum(abs(a) for a, _ in signs), sum(abs(b) for _, b in signs)
    if not num_one:
        return None
    tau = sum(a * b for a, b in signs) / math.sqrt(num_one * num_other) if num_other else 0.0
    return (tau + 1) / 2


def doubts(confidences: Sequence[float | None], *, by: str) -> list[float]:
    """Give e = 1 - C of pairs, so that the loss is C L(chosen, rejected) + (1 - C) L(rejected, chosen).

    Args:
        confidences: C of each pair's candidates, or none.
        by: ``set``: the mean C of all that have one (CREAM's), for every pair; ``pair``: each its own, and the mean for
            those that have none. Where none has one there is no doubt.

    >>> doubts([1.0, 0.5, None], by="set"), doubts([1.0, 0.5, None], by="pair")
    ([0.25, 0.25, 0.25], [0.0, 0.5, 0.25])
    """
    known = [one for one in confidences if one is not None]
    mean = fmean(known) if known else 1.0
    return [1 - (mean if by == "set" or one is None else one) for one in confidences]


def vote_doubt(margin: float) -> float:
    """Give e = (1 - margin) / 2: one less the share of votes for the chosen of two steps.

    Where k votes say of each step whether it is right, the chance that a vote on the chosen one beats a vote on the
    rejected one, half for a tie, is (1 + margin) / 2 for shares that differ by the margin; where they compare the two,
    the shares add up to 1, and it is the share itself.

    >>> vote_doubt(1.0), vote_doubt(0.5)
    (0.0, 0.25)
    """
    return (1 - margin) / 2


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
