"""Intervals and tests, against closed forms and scipy."""

import math

import pytest
from scipy import stats

from presrm.statistics import bootstrap_difference, mcnemar_exact, wilson_interval


@pytest.mark.parametrize(("hits", "num"), [(0, 10), (7, 10), (10, 10), (321, 500)])
def test_wilson_is_the_closed_form(hits: int, num: int) -> None:
    z, share = stats.norm.ppf(0.975), hits / num
    middle = (share + z * z / (2 * num)) / (1 + z * z / num)
    half = z / (1 + z * z / num) * math.sqrt(share * (1 - share) / num + z * z / (4 * num * num))
    assert wilson_interval(hits, num) == pytest.approx((max(0, middle - half), min(1, middle + half)), abs=1e-9)


@pytest.mark.parametrize(("lost", "gained", "p"), [(0, 0, 1.0), (3, 3, 1.0), (0, 5, 2 / 32), (1, 5, 14 / 64)])
def test_mcnemar_is_the_sign_test_on_what_changed(lost: int, gained: int, p: float) -> None:
    assert mcnemar_exact(lost, gained) == pytest.approx(p)
    assert mcnemar_exact(gained, lost) == mcnemar_exact(lost, gained)


def test_the_bootstrap_covers_the_difference_and_agrees_with_scipy() -> None:
    before, after = [True] * 40 + [False] * 60, [True] * 65 + [False] * 35
    low, high = bootstrap_difference(before, after) or (0, 0)
    changes = [float(b) - float(a) for a, b in zip(before, after, strict=True)]
    mean = lambda x, axis=-1: x.mean(axis=axis)  # noqa: E731
    theirs = stats.bootstrap((changes,), mean, method="percentile", random_state=1).confidence_interval
    assert low < 0.25 < high
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert bootstrap_difference(before, after) == bootstrap_difference(before, after)


def test_no_data_is_none_and_unpaired_data_is_refused() -> None:
    assert wilson_interval(0, 0) is None
    assert bootstrap_difference([], []) is None
    with pytest.raises(ValueError, match="not paired"):
        bootstrap_difference([True], [])
