"""Objectives: lessons and log-probabilities -> a loss for each lesson.

How to add one: write a class with what `Objective` asks for, whose factory takes the user's ``objective.options`` as
keywords, and name it with ``@OBJECTIVES.register("mine")``, or in the entry-point group ``presrm.objectives`` of your
package. A subclass of `presrm.config.Section` gets its options checked, and explained where they are wrong. An
objective knows no batches, packs or processes: it gives one loss a lesson, and `presrm.training.packed` divides their
sum over an optimiser step by their number, as `Objective.count` says. Importing this module loads no torch.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from pydantic import ValidationError

from presrm.config import ObjectiveConfig, Section, explain_invalid
from presrm.errors import ConfigError, boundary
from presrm.registry import Registry
from presrm.types import Lesson, Step

if TYPE_CHECKING:
    from torch import Tensor

    from presrm.training.scores import Scores
    from presrm.training.tokens import LessonTokens


class Objective(Protocol):
    """A loss over lessons. A value: equal options make equal objectives, and it can be a key.

    Attributes:
        name: What its metrics are called by.
        takes: The kinds of lesson that it learns from.
        reads: Which frozen log-probabilities its loss needs: of the ``reference``, of the ``start`` of the training.
    """

    @property
    def name(self) -> str:
        """Such as ``dpo``."""
        ...

    @property
    def takes(self) -> tuple[type, ...]:
        """Such as `PreferencePair`."""
        ...

    @property
    def reads(self) -> frozenset[str]:
        """Some of ``reference`` and ``start``."""
        ...

    def replies(self, lesson: Any) -> tuple[Step, ...]:
        """Give the steps whose tokens are scored; the same number for every lesson."""
        ...

    def weigh(self, lessons: Sequence[Any]) -> list[float | str]:
        """Give each lesson of a training its weight, or a word for why nothing can be learned from it."""
        ...

    def count(self, lesson: "LessonTokens") -> int:
        """Say how much a lesson adds to the number that the sum of the losses is divided by."""
        ...

    def losses(self, scores: "Scores") -> "tuple[Tensor, dict[str, Tensor]]":
        """Give the loss of each of B lessons, and what is to be logged of each: losses_B, name -> values_B."""
        ...


OBJECTIVES: Registry[Objective] = Registry(
    "objective",
    {
        "dpo": "presrm.training.preference:DPO",
        "imitation": "presrm.training.imitation:Imitation",
        "ipo": "presrm.training.preference:IPO",
        "policy-gradient": "presrm.training.policy_gradient:PolicyGradient",
    },
    group="presrm.objectives",
)


def make_objective(config: ObjectiveConfig) -> Objective:
    """Make the objective that a config names.

    Raises:
        UnknownNameError: if nothing has that name.
        ConfigError: if its options are wrong.
    """
    factory: Any = OBJECTIVES.factory(config.kind)
    if isinstance(factory, type) and issubclass(factory, Section):
        try:
            return cast(Objective, factory.model_validate(config.options))
        except ValidationError as error:
            raise ConfigError(explain_invalid(error, factory, "objective.options")) from error
    with boundary(ConfigError, f"objective {config.kind!r} with options {config.options}"):
        return cast(Objective, factory(**config.options))


def assign(lessons: Sequence[Lesson], objective: Objective) -> list[Objective]:
    """Say which objective each lesson is for: `objective`, or imitation for demonstrations beside its lessons.

    Raises:
        ConfigError: if a lesson is for neither.
    """
    others = [] if objective.name == "imitation" else [OBJECTIVES.create("imitation")]
    assigned = []
    for lesson in lessons:
        takers = [objective] if isinstance(lesson, objective.takes) else []
        takers += [other for other in others if type(lesson) is other.takes[0]]
        if not takers:
            names = ", ".join(kind.__name__ for kind in objective.takes)
            raise ConfigError(
                f"objective.kind {objective.name!r} learns from {names}, not from {type(lesson).__name__}: "
                "name an objective that does"
            )
        assigned.append(takers[0])
    return assigned
