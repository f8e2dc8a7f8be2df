"""The exact judge, for problems whose steps can be checked: the ceiling of what a judge can do."""

from collections.abc import Sequence
from typing import Literal

from presrm.problems.arithmetic import StepChecker, is_arithmetic
from presrm.types import Candidates, Judgement, Status


class CheckerJudge:
    """Scores 1 for a right step and 0 for a wrong one; what no problem set can check is `Status.UNREADABLE`.

    Of the shipped problem sets `arithmetic` can check its steps. A problem is known by its id.
    """

    scale: Literal["absolute", "relative"] = "absolute"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Check every candidate of every item."""
        return [_check(item) for item in batch]


def _check(item: Candidates) -> tuple[Judgement, ...]:
    problem, before = item.prefix.problem, [step.text for step in item.prefix.steps]
    if not is_arithmetic(problem):
        unknown = Judgement(None, Status.UNREADABLE, f"no checker knows problem {problem.id!r:.80}")
        return (unknown,) * len(item.steps)
    checker = StepChecker(problem)
    return tuple(Judgement(float(checker.check([*before, step.text])[-1])) for step in item.steps)
