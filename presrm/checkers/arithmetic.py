"""Exact labels of the steps of `presrm.problems.arithmetic`, read off the problem's canonical form."""

import re
from collections.abc import Sequence

from presrm.problems.arithmetic import Plan, apply
from presrm.types import Problem, Trajectory

_STEP = re.compile(r"\s*(\d{1,6}) ([-+*]) (\d{1,6}) = (\d{1,9})\s*")
_ANSWER = re.compile(r"\s*#### (\d{1,9})\s*")


class ArithmeticChecker:
    """Says of each step of a solution whether it does the right thing next, and rightly.

    A step is judged by what stands before it: after a slip, the next step is right if it goes on from the number that
    was written. After a skipped operation, it is right if it goes on with the one behind it. A line that is neither
    step nor answer is wrong.
    """

    def check(self, items: Sequence[Trajectory]) -> list[list[bool | None]]:
        """Label every step of every trajectory; all unknown for a problem of another set."""
        return [_check(item.problem, [step.text for step in item.steps]) for item in items]


def _check(problem: Problem, steps: Sequence[str]) -> list[bool | None]:
    try:
        plan = Plan.of(problem)
    except ValueError:
        return [None] * len(steps)
    value, done = plan.start, 0
    labels: list[bool | None] = []
    for text in steps:
        if answer := _ANSWER.fullmatch(text):
            labels.append(done == len(plan.operations) and int(answer[1]) == value)
            continue
        step = _STEP.fullmatch(text)
        if not step:
            labels.append(False)
            continue
        left, operator, right, result = int(step[1]), step[2], int(step[3]), int(step[4])
        due = plan.operations[done] if done < len(plan.operations) else None
        labels.append(left == value and (operator, right) == due and result == apply(operator, left, right))
        ahead = plan.operations[done + 1 :]
        done += 1 if (operator, right) == due or (operator, right) not in ahead else 2 + ahead.index((operator, right))
        value = result
    return labels
