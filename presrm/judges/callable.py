"""Any Python function as a judge of single steps."""

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, Literal

from presrm.errors import ConfigError, JudgeError, RequestError, boundary
from presrm.protocols import Composition
from presrm.registry import load_code
from presrm.types import Candidates, Judgement, Status, Step

StepFunction = Callable[[str, list[str], str], float | None]


class CallableJudge:
    """Scores each step by ``function(problem, steps_before, step)``, all of it text.

    Args:
        function: Gives a score in [0, 1], 0.5 dividing right from wrong, or none if it cannot say. In a config it is
            named, as in ``judge.options: {function: "package.module:name"}`` or ``{function: "my.py:name"}``.

    Raises:
        ConfigError: if the name leads to no function.

    >>> from presrm.types import Problem, Trajectory
    >>> judge = CallableJudge(lambda problem, steps_before, step: 1.0 if "5" in step else None)
    >>> [judged] = judge.judge([Candidates(Trajectory(Problem("p", "2 + 3?")), (Step("It is 5."), Step("Hm.")))])
    >>> [judgement.score for judgement in judged]
    [1.0, None]
    """

    scale: Literal["absolute", "relative"] = "absolute"
    composition: Composition = "product"

    def __init__(self, function: str | StepFunction) -> None:
        self._function: Any = function
        self._name = getattr(function, "__qualname__", type(function).__name__)
        if isinstance(function, str):
            self._name = function
            try:
                self._function = load_code(function if ":" in function else ":".join(function.rsplit(".", 1)))
            except RequestError as error:
                raise ConfigError(
                    f"judge.options.function {function!r} (expected 'package.module:name' or 'file.py:name'): {error}"
                ) from error
        if not callable(self._function):
            raise ConfigError(f"judge.options.function {function!r:.80}: not a function")

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item with one call of the function each.

        Raises:
            JudgeError: naming the function, if it raises or gives anything but none or a number in [0, 1].
        """
        return [tuple(self._judge(item, step) for step in item.steps) for item in batch]

    def _judge(self, item: Candidates, step: Step) -> Judgement:
        culprit = f"judge function {self._name!r}"
        with boundary(JudgeError, culprit):
            score = self._function(
                item.prefix.problem.question, [before.text for before in item.prefix.steps], step.text
            )
        if score is None:
            return Judgement(None, Status.UNREADABLE, f"{culprit} gave none")
        value = float(score) if isinstance(score, Real) else math.nan
        if not 0 <= value <= 1:
            raise JudgeError(f"{culprit} gave {score!r:.80}: expected none or a number in [0, 1]")
        return Judgement(value)
