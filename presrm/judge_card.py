"""The judge card: how far a judge is to be trusted, on solutions whose first wrong step is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from presrm.statistics import wilson_interval
from presrm.types import Judgement, Status


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
        """Take it from a row as `presrm judge-steps` writes it; rationales are let go of."""
        judgements = tuple(Judgement(step["score"], Status(step["status"])) for step in row["judged"])
        return cls(label, row["first_error"], judgements)


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % Wilson interval; both none where there is nothing to count."""

    num: int
    num_right: int
    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class JudgeCard:
    """How well the judge found the first error of labelled solutions, as ProcessBench (arXiv 2412.06559) counts.

    Attributes:
        erroneous: Solutions with an error whose first error was named exactly.
        clean: Solutions without an error that were found clean.
        f1: Harmonic mean of both accuracies, or none where a kind is missing.
        f1_interval: From both lower to both upper ends: conservative.
        unknown: Solutions of which the judge could not say (null). They count as wrong above.
    """

    erroneous: Share
    clean: Share
    f1: float | None
    f1_interval: tuple[float, float] | None
    unknown: Share


def make_card(found: Sequence[JudgedSolution]) -> JudgeCard:
    """Make the card of a judge from its labelled solutions."""
    erroneous = _share([one.first_error == one.label for one in found if one.label >= 0])
    clean = _share([one.first_error == one.label for one in found if one.label < 0])
    f1 = interval = None
    if erroneous.value is not None and clean.value is not None:
        f1 = _harmonic(erroneous.value, clean.value)
    if erroneous.interval and clean.interval:
        low, high = (_harmonic(*ends) for ends in zip(erroneous.interval, clean.interval, strict=True))
        interval = (low, high)
    return JudgeCard(erroneous, clean, f1, interval, _share([one.first_error is None for one in found]))


def _share(flags: Sequence[bool]) -> Share:
    if not flags:
        return Share(0, 0, None, None)
    return Share(len(flags), sum(flags), sum(flags) / len(flags), wilson_interval(sum(flags), len(flags)))


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0
