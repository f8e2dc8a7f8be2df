"""Intervals and tests, against closed forms and scipy."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from presrm.statistics import (
    Figure,
    bootstrap_mean,
    maj_at_k,
    mcnemar_exact,
    mean,
    pass_at_k,
    share,
    wilson_interval,
)

Votes = list[tuple[int, bool]]


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


def test_the_mean_of_paired_changes_covers_the_difference_and_agrees_with_scipy() -> None:
    changes = [0.0] * 65 + [1.0] * 30 + [-1.0] * 5
    found = mean(changes)
    low, high = found.interval or (0, 0)
    theirs = stats.bootstrap((changes,), np.mean, method="percentile", rng=np.random.default_rng(1)).confidence_interval
    assert (found.num, found.value) == (100, 0.25)
    assert low < 0.25 < high
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert found == mean(changes)


def test_no_data_is_none_and_never_zero() -> None:
    assert wilson_interval(0, 0) is None
    assert share([]) == mean([]) == Figure()


@pytest.mark.parametrize("values", [[0.5], [1.0] * 20])
def test_what_never_varies_has_no_interval(values: list[float]) -> None:
    assert mean(values) == Figure(len(values), values[0])


def test_a_share_knows_its_hits() -> None:
    found = share([True, False, True])
    assert (found.num, found.num_hits, found.value, found.interval) == (3, 2, 2 / 3, wilson_interval(2, 3))
    assert Figure().num_hits == 0


@pytest.mark.parametrize(("num", "right", "k"), [(5, 2, 1), (5, 2, 3), (6, 0, 2), (4, 4, 2), (7, 1, 7)])
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(num: int, right: int, k: int) -> None:
    samples = [True] * right + [False] * (num - right)
    draws = list(combinations(samples, k))
    assert pass_at_k(num, right, k) == pytest.approx(sum(map(any, draws)) / len(draws))


def test_pass_at_k_by_its_closed_forms() -> None:
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert pass_at_k(10, 3, 8) == 1.0
    assert pass_at_k(3, 3, 4) is None
    with pytest.raises(ValueError, match="pass@1 of 4 right in 3"):
        pass_at_k(3, 4, 1)


def majority_by_brute_force(votes: Votes, num_silent: int, k: int) -> float:
    """Every draw of k samples, every tie shared out evenly."""
    samples = [name for name, (count, _) in enumerate(votes) for _ in range(count)] + [None] * num_silent
    draws = list(combinations(samples, k))
    total = 0.0
    for draw in draws:
        counts = Counter(name for name in draw if name is not None)
        top = [name for name, count in counts.items() if count == max(counts.values())]
        total += sum(votes[name][1] for name in top) / len(top) if top else 0
    return total / len(draws)


@given(
    votes=st.lists(st.tuples(st.integers(1, 3), st.booleans()), max_size=4),
    num_silent=st.integers(0, 3),
    k=st.integers(1, 5),
)
def test_maj_at_k_is_the_share_of_draws_that_a_right_answer_wins(votes: Votes, num_silent: int, k: int) -> None:
    found = maj_at_k(votes, num_silent, k)
    if k > sum(count for count, _ in votes) + num_silent:
        assert found is None
    else:
        assert found == pytest.approx(majority_by_brute_force(votes, num_silent, k))


def test_maj_at_1_is_the_share_of_right_samples() -> None:
    assert maj_at_k([(3, True), (2, False)], 5, 1) == pytest.approx(0.3)
    assert maj_at_k([], 4, 2) == 0.0


def test_the_bootstrap_of_a_mean_is_that_of_scipy() -> None:
    values = [0.1, 0.5, 0.9, 0.4, 0.7, 0.2] * 20
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile", rng=np.random.default_rng(1))
    assert bootstrap_mean(values) == pytest.approx(tuple(theirs.confidence_interval), abs=0.01)
    assert bootstrap_mean([]) is None
