"""Exact labels of the steps of `presrm.problems.arithmetic`, read off the problem's canonical form."""

import re
from collections.abc import Sequence

from presrm.problems.arithmetic import plan_of
from presrm.problems.arithmetic.plan import Plan, apply
from presrm.types import Problem, Trajectory

_STEP = re.compile(r"\s*(\d{1,6}) ([-+*/]) (\d{1,6}) = (\d{1,9})\s*")
_ANSWER = re.compile(r"\s*#### (\d{1,9})\s*")


class ArithmeticChecker:
    """Says of each step of a solution whether it does the right thing next, and rightly.

    A step is judged by what stands before it: after a slip, the next step is right if it goes on from the number that
    was written. After a skipped operation, it is right if it goes on with the one behind it. Operations that do not
    need each other may come in any order, and sums and products the other way round. A line that is neither step nor
    answer is wrong. A step of several lines, such as a whole solution, is right if each of its lines is.
    """

    def check(self, items: Sequence[Trajectory]) -> list[list[bool | None]]:
        """Label every step of every trajectory; all unknown for a problem of another set."""
        return [_check(item.problem, [step.text for step in item.steps]) for item in items]


def _check(problem: Problem, steps: Sequence[str]) -> list[bool | None]:
    try:
        plan = plan_of(problem)
    except ValueError:
        return [None] * len(steps)
    results: list[int | None] = [None] * len(plan.operations)
    labels: list[bool | None] = []
    for text in steps:
        lines = [_check_line(plan, results, line) for line in text.splitlines() if line.strip()]
        labels.append(bool(lines) and all(lines))
    return labels


def _check_line(plan: Plan, results: list[int | None], line: str) -> bool:
    """Label a line, and note in `results` what was done in it."""
    if answer := _ANSWER.fullmatch(line):
        return results[-1] == int(answer[1])
    step = _STEP.fullmatch(line)
    if not step:
        return False
    left, operator, right, result = int(step[1]), step[2], int(step[3]), int(step[4])
    number, is_due = locate(plan, results, left, operator, right)
    if number is not None:
        for below in plan.under(number):
            results[below] = result  # what a skipped operation would have given is never asked for again
    return is_due and result == apply(operator, left, right)


def locate(plan: Plan, results: Sequence[int | None], left: int, operator: str, right: int) -> tuple[int | None, bool]:
    """Find the operation that a written one stands for.

    Returns:
        Its number, none where all are done, and whether it is due and has the right operands. Else it is one that is
        due and shares the operator and an operand; one that is not due yet and does so; or the first that is due.
    """
    due = list(plan.due(results))
    written = {(left, right), (right, left)} if operator in "+*" else {(left, right)}
    for number, *operands in due:
        if plan.operations[number].operator == operator and tuple(operands) in written:
            return number, True
    alike = [
        number
        for number, one in enumerate(plan.operations)
        if results[number] is None and one.operator == operator and {left, right} & set(one.known(results))
    ]
    are_due = [number for number, *_ in due]
    return next(iter([*(n for n in alike if n in are_due), *alike, *are_due]), None), False
