"""Which of two policies answers better, where nothing can be graded: a judge compares their answers in both orders."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from presrm.protocols import Judge, ask_judge
from presrm.statistics import NO_WIDTH, Figure, mean
from presrm.types import Candidates, Problem, Step, Stop, Trajectory

_NUM_SAMPLES = 1000
_RIDGE = 1e-3
"""Pull of the fit to 0, so that it exists where every comparison went the same way."""


@dataclass(frozen=True, slots=True)
class WinRate:
    """How often the second policy's answer is preferred.

    Attributes:
        wins: Mean over problems: 1 where both orders prefer the second answer, 0 where both prefer the first, 1/2 where
            they disagree or the answers are equal; with a bootstrap interval over problems.
        length_controlled: The same at equal length, see `length_controlled`.
        num_unreadable: Problems without a readable comparison: they have no part in either figure.
        length_ratio: Mean length of the second answers over that of the first, in characters.
    """

    wins: Figure
    length_controlled: Figure
    num_unreadable: int
    length_ratio: float | None


def compare_answers(problems: Sequence[Problem], first: Sequence[str], second: Sequence[str], judge: Judge) -> WinRate:
    """Have a judge of relative scale compare the answers of two policies to the same problems, in both orders.

    The protocol of Self-Rewarding LMs (arXiv 2401.10020, section 3.1.2): where the orders contradict each other it is a
    tie.

    Raises:
        ValueError: if the judge is of absolute scale: it compares nothing.
        JudgeError: if the judge raises, or does not give one judgement for each answer.
    """
    if judge.scale != "relative":
        raise ValueError("a win rate needs a judge of relative scale, such as pairwise")
    different = [i for i in range(len(problems)) if first[i] != second[i]]
    batch = [
        Candidates(Trajectory(problems[i]), (Step(first[i], stop=Stop.EOS), Step(second[i], stop=Stop.EOS)))
        for i in different
    ]
    wins: dict[int, float | None] = dict.fromkeys(range(len(problems)), 0.5)
    for i, (one, other) in zip(different, ask_judge(judge, batch), strict=True):
        known = one.score is not None and other.score is not None
        wins[i] = (1 + (other.score or 0) - (one.score or 0)) / 2 if known else None
    readable = [(i, win) for i, win in wins.items() if win is not None]
    won = [win for _, win in readable]
    lengths = [(len(first[i]), len(second[i])) for i, _ in readable]
    total_first, total_second = (sum(length[side] for length in lengths) for side in (0, 1))
    return WinRate(
        mean(won),
        length_controlled(won, [b - a for a, b in lengths]),
        len(problems) - len(readable),
        total_second / total_first if total_first else None,
    )


def length_controlled(wins: Sequence[float], differences: Sequence[float]) -> Figure:
    """Win rate that is left when both answers are equally long.

    The length term of AlpacaEval's length-controlled win rate (arXiv 2404.04475, equation 2) for two policies alone: a
    logistic regression of wins on ``tanh(difference / its standard deviation)``, read off at a difference of 0. Its
    interval is a percentile bootstrap over problems. Where all differences are equal there is nothing to control for,
    and no figure.

    Args:
        wins: In [0, 1].
        differences: Length of the second answer less that of the first.
    """
    wins_N, differences_N = np.asarray(wins, float), np.asarray(differences, float)
    if len(wins_N) < 2 or differences_N.std() < NO_WIDTH:
        return Figure(len(wins_N))
    lengths_N = np.tanh(differences_N / differences_N.std())
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(wins_N), len(wins_N)) for _ in range(_NUM_SAMPLES))
    rates = [_at_equal_length(wins_N[places], lengths_N[places]) for places in drawn]
    low, high = np.quantile(rates, [0.025, 0.975])
    interval = (float(low), float(high)) if high - low > NO_WIDTH else None
    return Figure(len(wins_N), _at_equal_length(wins_N, lengths_N), interval)


def _at_equal_length(wins_N: np.ndarray, lengths_N: np.ndarray) -> float:
    """Fit ``wins = sigmoid(a + b * lengths)`` by Newton steps; sigmoid(a)."""
    features_2_N = np.stack([np.ones_like(lengths_N), lengths_N])
    weights_2 = np.zeros(2)
    for _ in range(25):
        odds_N = 1 / (1 + np.exp(-np.clip(weights_2 @ features_2_N, -30, 30)))
        gradient_2 = features_2_N @ (odds_N - wins_N) + _RIDGE * weights_2
        curvature_2_2 = (features_2_N * odds_N * (1 - odds_N)) @ features_2_N.T + _RIDGE * np.eye(2)
        step_2 = np.linalg.solve(curvature_2_2, gradient_2)
        weights_2 = weights_2 - step_2
        if np.abs(step_2).max() < 1e-10:
            break
    return float(1 / (1 + np.exp(-weights_2[0])))
