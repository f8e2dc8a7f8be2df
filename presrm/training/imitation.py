"""Imitation: raise the log-probability of what was shown."""

from collections.abc import Sequence
from math import isfinite
from typing import ClassVar

from torch import Tensor

from presrm.config import Section
from presrm.training.scores import Scores
from presrm.training.tokens import LessonTokens
from presrm.types import Demonstration, PreferencePair, Step


class Imitation(Section):
    """Cross entropy over the tokens of demonstrations; of a preference pair, of the chosen step.

    ``-weight * log p(reply | prefix)``, divided by the number of tokens of all replies: the mean loss of a token, as in
    supervised fine-tuning. A weight multiplies the loss and not that number, so that a demonstration weighs the same
    whatever is beside it.
    """

    name: ClassVar[str] = "imitation"
    takes: ClassVar[tuple[type, ...]] = (Demonstration, PreferencePair)
    reads: ClassVar[frozenset[str]] = frozenset()

    def replies(self, lesson: Demonstration | PreferencePair) -> tuple[Step, ...]:
        """The reply, or the chosen step."""
        return (lesson.chosen if isinstance(lesson, PreferencePair) else lesson.reply,)

    def weigh(self, lessons: Sequence[Demonstration | PreferencePair]) -> list[float | str]:
        """The weight that a demonstration has, and 1 for a pair.

        Raises:
            ValueError: if a weight is negative or not finite; a weight of 0 leaves its demonstration out.
        """
        weights = [lesson.weight if isinstance(lesson, Demonstration) else 1.0 for lesson in lessons]
        for lesson, weight in zip(lessons, weights, strict=True):
            if not (isfinite(weight) and weight >= 0):
                raise ValueError(f"demonstration {lesson.id!r} has the weight {weight}")
        return [weight or "no_weight" for weight in weights]

    def count(self, lesson: LessonTokens) -> int:
        """The tokens of the reply."""
        return sum(lesson.lengths)

    def losses(self, scores: Scores) -> tuple[Tensor, dict[str, Tensor]]:
        """Negative log-probability (nats) of each reply, weighted."""
        (logps_B,) = scores.sum(scores.policy_N)
        return -scores.weights_B * logps_B, {"logps/imitated": logps_B}
