"""The judge card: how far a judge is to be trusted, on solutions whose first wrong step is known.

Every figure has a 95 % interval: Wilson's for a plain share; for the others by bootstrap over solutions (percentiles,
seeded), since the steps of one solution stand or fall together. What cannot be measured is none, never zero.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from presrm.statistics import CONFIDENCE, NO_WIDTH, Figure, share
from presrm.types import Judgement, Status

_MIN_SAMPLES, _MAX_SAMPLES = 200, 2000
_NUM_BINS = 10
_MAX_CELLS = 2_000_000
_MAX_DRAWN = 100_000_000
_UNKNOWN = -2
_FIGURES = ("f1", "auc", "brier", "calibration_error", "mean_distance")
_EDGES = np.arange(1, _NUM_BINS) / _NUM_BINS
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JudgedSolution:
    """What a judge made of a labelled solution.

    Attributes:
        label: 0-based index of the first wrong step, -1 if none is wrong.
        first_error: What the judge takes it for, or none where it could not say.
        judgements: One for each step.
    """

    label: int
    first_error: int | None
    judgements: tuple[Judgement, ...]

    @classmethod
    def of_row(cls, row: Mapping[str, Any], label: int) -> "JudgedSolution":
        """Take it from a row as ``presrm judge-steps`` writes it; rationales are let go of."""
        judgements = tuple(Judgement(step["score"], Status(step["status"])) for step in row["judged"])
        return cls(label, row["first_error"], judgements)

    @property
    def labelled(self) -> tuple[Judgement, ...]:
        """The judgements of the steps known to be right or wrong: those up to the first error."""
        return self.judgements if self.label < 0 else self.judgements[: self.label + 1]


@dataclass(frozen=True, slots=True)
class Bin:
    """The labelled steps with a score in [low, high); the last bin holds 1 as well.

    Attributes:
        low: Least score.
        high: Where the next bin begins.
        mean_score: What the judge says; none in an empty bin.
        right: The share of steps that are right: what it should say.
    """

    low: float
    high: float
    mean_score: float | None
    right: Figure


@dataclass(frozen=True, slots=True)
class StepFigures:
    """How well scores tell right steps from wrong ones, and whether they can be read as probabilities.

    Labelled are the steps up to the first error: all before it are right, and of those behind it nothing is known.

    Attributes:
        num_right: Right steps with a score.
        num_wrong: Wrong steps with a score.
        unread: Labelled steps without one, by the reason. They are left out below.
        auc: Probability that a right step scores above a wrong one, a tie counting half; 0.5 is chance.
        brier: Mean squared distance of the score from 1 (right) or 0 (wrong).
        calibration_error: Mean distance, over the bins by their steps, of the mean score from the share of right steps.
        bins: Ten of equal width.
    """

    num_right: int
    num_wrong: int
    unread: dict[Status, int]
    auc: Figure
    brier: Figure
    calibration_error: Figure
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Misses:
    """Where the judge sees the first error of erroneous solutions; the five shares add up to one.

    Attributes:
        early: Before it.
        exact: On it.
        late: Behind it.
        missed: Nowhere.
        unknown: It could not say.
        mean_distance: Steps from the first error to the one named, where one is: below zero is too early.
    """

    early: Figure
    exact: Figure
    late: Figure
    missed: Figure
    unknown: Figure
    mean_distance: Figure


@dataclass(frozen=True, slots=True)
class JudgeCard:
    """How well the judge found the first error of labelled solutions, as ProcessBench (arXiv 2412.06559) counts.

    Attributes:
        erroneous: Solutions with an error whose first error was named exactly.
        clean: Solutions without an error that were found clean.
        f1: Harmonic mean of both accuracies, or none where a kind is missing. Its interval is by bootstrap; where that
            does not vary, it goes from both lower to both upper ends above: conservative.
        unknown: Solutions of which the judge could not say (null). They count as wrong above.
        steps: The scores of single steps.
        misses: Where first errors were seen instead.
    """

    erroneous: Figure
    clean: Figure
    f1: Figure
    unknown: Figure
    steps: StepFigures
    misses: Misses


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far judges agree on the same solutions, whether right or not; rows and columns are judges.

    Attributes:
        judges: Their names.
        same: Solutions with the same first error, of those that both could tell.
        kappa: Cohen's kappa of finding a solution clean or not, on the same solutions: 0 is what chance gives, 1 is
            full agreement. None where there is no solution, or where both always say the same one thing.
    """

    judges: tuple[str, ...]
    same: tuple[tuple[Figure, ...], ...]
    kappa: tuple[tuple[float | None, ...], ...]


def make_card(found: Sequence[JudgedSolution]) -> JudgeCard:
    """Make the card of a judge from its labelled solutions."""
    table = _Table(found)
    estimates = _estimate(table)
    f1 = estimates["f1"]
    wrong = [one for one in found if one.label >= 0]
    erroneous = share([one.first_error == one.label for one in wrong])
    clean = share([one.first_error == -1 for one in found if one.label < 0])
    return JudgeCard(
        erroneous=erroneous,
        clean=clean,
        f1=replace(f1, interval=f1.interval or _widest_f1(erroneous, clean)),
        unknown=share([one.first_error is None for one in found]),
        steps=_step_figures(found, table, estimates),
        misses=_misses(wrong, estimates["mean_distance"]),
    )


def agreement(first_errors: Mapping[str, Sequence[int | None]]) -> Agreement:
    """Compare judges by the first errors that they found in the same solutions, in the same order.

    Raises:
        ValueError: if they did not judge equally many.
    """
    if len({len(found) for found in first_errors.values()}) > 1:
        raise ValueError("judges of different numbers of solutions cannot be compared")
    both_known = [
        [
            [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
            for other in first_errors.values()
        ]
        for one in first_errors.values()
    ]
    return Agreement(
        tuple(first_errors),
        tuple(tuple(share([a == b for a, b in pairs]) for pairs in row) for row in both_known),
        tuple(tuple(_kappa([(a < 0, b < 0) for a, b in pairs]) for pairs in row) for row in both_known),
    )


def _widest_f1(erroneous: Figure, clean: Figure) -> tuple[float, float] | None:
    if erroneous.interval is None or clean.interval is None:
        return None
    low, high = (2 * a * b / (a + b) if a + b else 0.0 for a, b in zip(erroneous.interval, clean.interval, strict=True))
    return low, high


def _kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    if not pairs:
        return None
    num = len(pairs)
    observed = sum(a == b for a, b in pairs) / num
    clean_a, clean_b = sum(a for a, _ in pairs) / num, sum(b for _, b in pairs) / num
    by_chance = clean_a * clean_b + (1 - clean_a) * (1 - clean_b)
    return (observed - by_chance) / (1 - by_chance) if by_chance < 1 else None


def _step_figures(found: Sequence[JudgedSolution], table: "_Table", estimates: Mapping[str, Figure]) -> StepFigures:
    bins = []
    for place in range(_NUM_BINS):
        inside = table.bins_N == place
        scores = table.scores_N[inside]
        mean = float(scores.mean()) if len(scores) else None
        right = share(table.is_right_N[inside].tolist())
        bins.append(Bin(place / _NUM_BINS, (place + 1) / _NUM_BINS, mean, right))
    unread = Counter(step.status for one in found for step in one.labelled if step.score is None)
    return StepFigures(
        num_right=int(table.is_right_N.sum()),
        num_wrong=int((~table.is_right_N).sum()),
        unread=dict(sorted(unread.items())),
        auc=estimates["auc"],
        brier=estimates["brier"],
        calibration_error=estimates["calibration_error"],
        bins=tuple(bins),
    )


def _misses(wrong: Sequence[JudgedSolution], mean_distance: Figure) -> Misses:
    places = [(one.first_error, one.label) for one in wrong]
    return Misses(
        early=share([first is not None and 0 <= first < label for first, label in places]),
        exact=share([first == label for first, label in places]),
        late=share([first is not None and first > label for first, label in places]),
        missed=share([first == -1 for first, _ in places]),
        unknown=share([first is None for first, _ in places]),
        mean_distance=mean_distance,
    )


class _Table:
    """What the figures are computed from: S solutions with N labelled steps that have a score, R right and W wrong."""

    def __init__(self, found: Sequence[JudgedSolution]) -> None:
        steps = [
            (owner, step.score, place != one.label)
            for owner, one in enumerate(found)
            for place, step in enumerate(one.labelled)
            if step.score is not None
        ]
        self.num_solutions = len(found)
        self.owners_N = np.array([owner for owner, _, _ in steps], int)
        self.scores_N = np.array([score for _, score, _ in steps], float)
        self.is_right_N = np.array([is_right for _, _, is_right in steps], bool)
        self.bins_N = np.digitize(self.scores_N, _EDGES)
        self._sums_K_S = np.stack([*self._sum_solutions(found), *self._sum_steps()])
        order = np.argsort(self.scores_N, kind="stable")
        right, wrong = order[self.is_right_N[order]], order[~self.is_right_N[order]]
        self._right_R, self._wrong_W = self.owners_N[right], self.owners_N[wrong]
        self._num_below_W = np.searchsorted(self.scores_N[right], self.scores_N[wrong], "left")
        self._num_up_to_W = np.searchsorted(self.scores_N[right], self.scores_N[wrong], "right")

    def _sum_solutions(self, found: Sequence[JudgedSolution]) -> list[Floats]:
        """Erroneous and hit; clean and hit; named an error in an erroneous one, and how many steps off."""
        labels = np.array([one.label for one in found], int)
        firsts = np.array([_UNKNOWN if one.first_error is None else one.first_error for one in found], int)
        is_wrong, is_hit, is_named = labels >= 0, firsts == labels, (labels >= 0) & (firsts >= 0)
        rows = (is_wrong, is_wrong & is_hit, ~is_wrong, ~is_wrong & is_hit, is_named)
        return [row.astype(float) for row in (*rows, np.where(is_named, firsts - labels, 0))]

    def _sum_steps(self) -> list[Floats]:
        """Steps; their squared distances; and for each bin, how many more were right than the scores say."""
        gaps = self.is_right_N - self.scores_N
        of_bins = (np.where(self.bins_N == place, gaps, 0.0) for place in range(_NUM_BINS))
        return [
            np.bincount(self.owners_N, weights, self.num_solutions).astype(float)
            for weights in (np.ones_like(gaps), gaps**2, *of_bins)
        ]

    def figures(self, counts_S_B: Floats) -> Floats:
        """Compute every figure for B samples, of which sample b holds solution s `counts_S_B[s, b]` times.

        Returns:
            A row for each of `_FIGURES`, shape (5, B); nan where a sample has none.
        """
        wrong, wrong_hit, clean, clean_hit, named, distance, num, squares, *gaps = self._sums_K_S @ counts_S_B
        with np.errstate(invalid="ignore"):
            on_wrong, on_clean = wrong_hit / wrong, clean_hit / clean
            both = on_wrong + on_clean
            f1 = np.where(both == 0, 0.0, 2 * on_wrong * on_clean / both)
            calibration_error = np.abs(gaps).sum(axis=0) / num
            return np.stack([f1, self._auc(counts_S_B), squares / num, calibration_error, distance / named])

    def _auc(self, counts_S_B: Floats) -> Floats:
        """Mann-Whitney's U over the number of pairs, every step counted as often as its solution."""
        num_right_R_B = np.zeros((len(self._right_R) + 1, counts_S_B.shape[1]))
        np.cumsum(counts_S_B[self._right_R], axis=0, out=num_right_R_B[1:])
        above_W_B = num_right_R_B[-1] - (num_right_R_B[self._num_below_W] + num_right_R_B[self._num_up_to_W]) / 2
        wrong_W_B = counts_S_B[self._wrong_W]
        auc_B: Floats = (wrong_W_B * above_W_B).sum(axis=0) / (wrong_W_B.sum(axis=0) * num_right_R_B[-1])
        return auc_B

    def nums(self) -> tuple[int, ...]:
        """Count the cases of each of `_FIGURES`: solutions of the F1, steps with a score, first errors named."""
        named, num_steps = int(self._sums_K_S[4].sum()), len(self.owners_N)
        return self.num_solutions, num_steps, num_steps, num_steps, named

    def num_behind(self) -> tuple[int, ...]:
        """Count the solutions behind each of `_FIGURES`; where two kinds are compared, those of the rarer one."""
        wrong, _, clean, _, named, *_ = (int(total) for total in self._sums_K_S.sum(axis=1))
        scored = len(np.unique(self.owners_N))
        compared = min(len(np.unique(self._right_R)), len(np.unique(self._wrong_W)))
        return min(wrong, clean), compared, scored, scored, named


def _estimate(table: _Table) -> dict[str, Figure]:
    """Give every figure with its interval.

    Samples that miss a kind of solution have no figure and are left out.
    """
    values = table.figures(np.ones((table.num_solutions, 1)))[:, 0]
    sampled = np.concatenate([table.figures(counts) for counts in _resample(table)], axis=1)
    estimates = {}
    columns = zip(_FIGURES, values, sampled, table.nums(), table.num_behind(), strict=True)
    for name, value, samples, num, num_solutions in columns:
        interval = None
        if num_solutions > 1:
            low, high = np.nanquantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
            interval = (float(low), float(high)) if high - low > NO_WIDTH else None
        estimates[name] = Figure(num, None if np.isnan(value) else float(value), interval)
    return estimates


def _resample(table: _Table) -> Iterator[Floats]:
    """Draw solutions with replacement: how often each is drawn, (S, B), in blocks that bound the memory.

    From some 50,000 steps on, where intervals are narrow anyhow, fewer samples bound the time.
    """
    num, rng = table.num_solutions, np.random.default_rng(0)
    largest = max(1, num, len(table.owners_N))
    num_samples = min(_MAX_SAMPLES, max(_MIN_SAMPLES, _MAX_DRAWN // largest))
    block = max(1, _MAX_CELLS // largest)
    for start in range(0, num_samples, block):
        size = min(block, num_samples - start)
        places = rng.integers(max(1, num), size=(num, size)) * size + np.arange(size)
        counts = np.bincount(places.ravel(), minlength=num * size)
        yield counts.reshape(num, size).astype(float)
