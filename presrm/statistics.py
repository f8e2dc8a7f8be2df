"""Figures with their counts and intervals, and paired tests, by scipy. No data gives none, never zero."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from statistics import fmean

import numpy as np

CONFIDENCE = 0.95
NO_WIDTH = 1e-12
"""An interval that is not wider has no width, up to rounding."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured: a share, a mean, a difference, a correlation.

    Attributes:
        num: Cases that it was measured on.
        value: The figure; none where it cannot be told.
        interval: Its 95 % interval. None where none is known, and where the cases behind the figure say nothing of its
            spread, as a single one does: an interval without a width would claim a certainty that is not there.
    """

    num: int = 0
    value: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def num_hits(self) -> int:
        """Of a share, the cases that it counts; 0 where there are none."""
        return round(self.num * (self.value or 0.0))


UNMEASURED = Figure()
"""Of no case at all."""


def share(hits: Collection[bool]) -> Figure:
    """Give the share of what holds, with its Wilson interval."""
    num, num_hits = len(hits), sum(hits)
    return Figure(num, num_hits / num if num else None, wilson_interval(num_hits, num))


def mean(values: Sequence[float]) -> Figure:
    """Give a mean over independent cases, with its bootstrap interval."""
    return Figure(len(values), fmean(values) if values else None, bootstrap_mean(values))


def wilson_interval(num_hits: int, num: int) -> tuple[float, float] | None:
    """95 % Wilson score interval of a share; none for no trials."""
    if num == 0:
        return None
    from scipy import stats  # takes a second to import

    found = stats.binomtest(num_hits, num).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def mcnemar_exact(num_lost: int, num_gained: int) -> float:
    """Two-sided p-value of the exact McNemar test on the discordant pairs; 1 where there are none."""
    discordant = num_lost + num_gained
    from scipy import stats

    return float(stats.binomtest(num_gained, discordant, 0.5).pvalue) if discordant else 1.0


def pass_at_k(num: int, num_correct: int, k: int) -> float | None:
    """Probability that at least one of k samples is right, drawn from `num` of which `num_correct` are; unbiased.

    None where k > num. Source: Chen et al. (arXiv 2107.03374), section 2.1.

    Raises:
        ValueError: if there are more right ones than samples, or k < 1.
    """
    if not 0 <= num_correct <= num or k < 1:
        raise ValueError(f"pass@{k} of {num_correct} right in {num}")
    return None if k > num else 1 - comb(num - num_correct, k) / comb(num, k)


def maj_at_k(votes: Sequence[tuple[int, bool]], num_silent: int, k: int) -> float | None:
    """Probability that the answer given most often among k samples is right, over all draws of k; unbiased.

    Of answers given equally often each is as likely to be taken. A sample without an answer has no vote; where all k
    have none, nothing is right. None where there are fewer than k samples.

    Args:
        votes: For each distinct answer, how many samples gave it, and whether it is right.
        num_silent: Samples without an answer.
        k: Samples that vote.
    """
    num = sum(count for count, _ in votes) + num_silent
    if k < 1:
        raise ValueError(f"maj@{k}")
    if k > num:
        return None
    favourable = Fraction(0)
    for place, (count, is_right) in enumerate(votes):
        if is_right:
            others = [other for number, (other, _) in enumerate(votes) if number != place]
            for won in range(1, min(count, k) + 1):
                ways = _ways_to_lose(others, num_silent, won, k - won)
                favourable += comb(count, won) * sum(Fraction(way, 1 + ties) for ties, way in enumerate(ways))
    return float(favourable / comb(num, k))


def _ways_to_lose(others: Sequence[int], num_silent: int, won: int, left: int) -> list[int]:
    """Draws of `left` samples in which no other answer is given more than `won` times, by how many have as many."""
    ways = [[comb(num_silent, drawn) for drawn in range(left + 1)]]  # [ties][drawn]
    for other in others:
        after = [[0] * (left + 1) for _ in range(len(ways) + 1)]
        for ties, by_drawn in enumerate(ways):
            for drawn, way in enumerate(by_drawn):
                for more in range(min(other, won, left - drawn) + 1):
                    after[ties + (more == won)][drawn + more] += way * comb(other, more)
        ways = after
    return [by_drawn[left] for by_drawn in ways]


def bootstrap_mean(values: Sequence[float], *, num_samples: int = 2000, seed: int = 0) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of a mean over cases; none for no values, and where it has no width."""
    if not values:
        return None
    means = np.random.default_rng(seed).choice(np.asarray(values), (num_samples, len(values))).mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return (float(low), float(high)) if high - low > NO_WIDTH else None
