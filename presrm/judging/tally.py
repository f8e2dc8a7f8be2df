"""What the judgements of a file come to, counted while they are made: nothing is read again for the summary."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter

from presrm.types import Judgement, Status

NUM_POSITIONS = 10
"""Steps from here on are counted together, as "later"."""
OTHER_REASONS = "other reasons"
_MOST_REASONS = 50
_NUMBER = re.compile(r"(?<= )\d+(?=[ :,]|$)")


@dataclass(slots=True)
class PositionTally:
    """The steps at one place of their solutions: how many have a score, and the sum of those scores."""

    num_scored: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        """The mean score; none if no step there has one."""
        return self.total / self.num_scored if self.num_scored else None


@dataclass(slots=True)
class JudgeTally:
    """Running counts.

    Attributes:
        num_judged: Rows that were judged.
        num_labelled: Those of them that say which step is the first wrong one.
        num_clean: Those in which no step was found wrong.
        num_unknown: Those of which the judge could not say.
        num_split: Those whose solution was text, to be cut by the splitter.
        num_uncut: Those of these in which it found no boundary.
        statuses: Steps by status.
        positions: Scores by place: the first `NUM_POSITIONS` steps, then all later ones.
        reasons: Rows set aside by reason, numbers in it left out, lest every row have a reason of its own.
    """

    num_judged: int = 0
    num_labelled: int = 0
    num_clean: int = 0
    num_unknown: int = 0
    num_split: int = 0
    num_uncut: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    positions: list[PositionTally] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, value: Any) -> "JudgeTally":
        """Take it from plain data.

        Raises:
            ValueError: if it is something else.
        """
        return TypeAdapter(cls).validate_python(value)

    def dump(self) -> dict[str, Any]:
        """Give plain data."""
        return asdict(self)

    @property
    def num_rejected(self) -> int:
        """Rows set aside."""
        return sum(self.reasons.values())

    @property
    def num_steps(self) -> int:
        """Steps judged."""
        return sum(self.statuses.values())

    @property
    def num_scored(self) -> int:
        """Steps with a score."""
        return self.statuses.get(Status.OK, 0)

    @property
    def num_erroneous(self) -> int:
        """Rows in which a step was found wrong."""
        return self.num_judged - self.num_clean - self.num_unknown

    def add_solution(
        self, judgements: Sequence[Judgement], first_error: int | None, *, is_labelled: bool, is_split: bool = False
    ) -> None:
        """Count a judged row; `is_split`: a splitter cut its steps."""
        self.num_judged += 1
        self.num_split += is_split
        self.num_uncut += is_split and len(judgements) == 1
        self.num_labelled += is_labelled
        self.num_clean += first_error == -1
        self.num_unknown += first_error is None
        while len(self.positions) < min(len(judgements), NUM_POSITIONS + 1):
            self.positions.append(PositionTally())
        for place, judgement in enumerate(judgements):
            self.statuses[judgement.status] = self.statuses.get(judgement.status, 0) + 1
            if judgement.score is not None:
                position = self.positions[min(place, NUM_POSITIONS)]
                position.num_scored += 1
                position.total += judgement.score

    def add_rejected(self, reasons: Iterable[str]) -> None:
        """Count rows set aside."""
        for reason, num in Counter(_NUMBER.sub("…", reason) for reason in reasons).items():
            key = reason if reason in self.reasons or len(self.reasons) < _MOST_REASONS else OTHER_REASONS
            self.reasons[key] = self.reasons.get(key, 0) + num
