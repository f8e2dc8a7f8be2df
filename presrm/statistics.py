"""Intervals and paired tests, by scipy. No data gives none, never zero."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def wilson_interval(num_hits: int, num: int) -> tuple[float, float] | None:
    """95 % Wilson score interval of a share; none for no trials."""
    if num == 0:
        return None
    found = stats.binomtest(num_hits, num).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def mcnemar_exact(num_lost: int, num_gained: int) -> float:
    """Two-sided p-value of the exact McNemar test on the discordant pairs; 1 where there are none."""
    discordant = num_lost + num_gained
    return float(stats.binomtest(num_gained, discordant, 0.5).pvalue) if discordant else 1.0


def bootstrap_difference(
    before: Sequence[bool], after: Sequence[bool], *, num_samples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of the difference of two paired shares, over problems; none for no pairs.

    Raises:
        ValueError: if the two are not paired.
    """
    changes = np.asarray(after, float) - np.asarray(before, float)
    if len(before) != len(after):
        raise ValueError(f"{len(before)} results against {len(after)}: not paired")
    if len(changes) == 0:
        return None
    rng = np.random.default_rng(seed)
    means = rng.choice(changes, (num_samples, len(changes))).mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
