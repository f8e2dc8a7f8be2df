"""Exact labels of the steps of a problem whose reference solution is a list of operations: ``56 * 9 = 504``."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from itertools import combinations

from presrm.types import Problem, Trajectory

_NUMBER = r"-?\d{1,9}(?:\.\d{1,6})?"
_STEP = re.compile(rf"\s*({_NUMBER}) ([-+*/]) ({_NUMBER}) = ({_NUMBER})\s*")
_ANSWER = re.compile(rf"\s*#### ({_NUMBER})\s*")
_MOST_NUMBERS = 4
"""Numbers of a problem up to which all orders of operations are tried: five take a second or more a step."""


class Finding(StrEnum):
    """What is to be said of a line."""

    RIGHT = "right"
    OPERATION = "operation"
    """Not on a way to the answer, whatever its result."""
    SUM = "sum"
    """The right operation with a wrong result."""
    END = "end"
    """An answer that is not the last result, or that comes before all is done."""
    FORM = "form"
    """Neither an operation nor an answer."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A line such as ``56 * 9 = 504``."""

    left: Fraction
    operator: str
    right: Fraction
    result: Fraction

    @property
    def is_exact(self) -> bool:
        """Whether the result is that of the operation."""
        return apply(self.left, self.operator, self.right) == self.result


def read_operation(line: str) -> Operation | None:
    """Read a line; none for one that is no operation.

    >>> read_operation("2.5 * 4 = 10")
    Operation(left=Fraction(5, 2), operator='*', right=Fraction(4, 1), result=Fraction(10, 1))
    """
    step = _STEP.fullmatch(line)
    return Operation(Fraction(step[1]), step[2], Fraction(step[3]), Fraction(step[4])) if step else None


def apply(left: Fraction, operator: str, right: Fraction) -> Fraction | None:
    """Give the result of an operation; none for a division by zero."""
    if operator == "/":
        return left / right if right else None
    return left + right if operator == "+" else left - right if operator == "-" else left * right


class OperationsChecker:
    """Says of each step whether the reference answer can still be reached behind it, and whether its sum is right.

    The numbers that the reference solution starts from have to be used up, each as often as there, in whatever order.
    A step is right if its result is, and if the answer follows from what is then left. After a wrong sum, the next step
    is right if it goes on with the number that was written. What follows a wrong operation, and any step of a problem
    with more than four numbers, cannot be told. The reference is one way; one over other numbers counts as wrong.
    """

    def check(self, items: Sequence[Trajectory]) -> list[list[bool | None]]:
        """Label every step of every trajectory; all unknown without a reference solution of operations."""
        labels = []
        for item in items:
            found = find(item.problem, [step.text for step in item.steps])
            labels.append([None if one is None else one is Finding.RIGHT for one in found])
        return labels


@dataclass(frozen=True, slots=True)
class _Number:
    """A number at hand: as it was written, and what it would be without wrong sums."""

    written: Fraction
    exact: Fraction


def find(problem: Problem, steps: Sequence[str]) -> list[Finding | None]:
    """Say of each step what is to be said of its first line that is not right, none where that cannot be told."""
    start = _numbers(problem)
    if start is None:
        return [None] * len(steps)
    target, numbers = start
    held: tuple[_Number, ...] | None = tuple(_Number(number, number) for number in numbers)
    findings: list[Finding | None] = []
    for text in steps:
        finding: Finding | None = None if held is None else Finding.FORM
        for line in text.splitlines() if held is not None else ():
            if not line.strip():
                continue
            finding, held = _take(line, held, target)
            if finding is not Finding.RIGHT:
                break
        findings.append(finding)
    return findings


def _numbers(problem: Problem) -> tuple[Fraction, tuple[Fraction, ...]] | None:
    """The answer of a problem, and the numbers that its reference solution starts from."""
    lines = [line for line in (problem.solution or "").splitlines() if line.strip()]
    operations = [read_operation(line) for line in lines[:-1]]
    if not operations or not _ANSWER.fullmatch(lines[-1]):
        return None
    numbers: list[Fraction] = []
    results: list[Fraction] = []
    for operation in operations:
        if operation is None or not operation.is_exact:
            return None
        for operand in (operation.left, operation.right):
            if operand in results:
                results.remove(operand)
            else:
                numbers.append(operand)
        results.append(operation.result)
    if len(results) != 1 or len(numbers) > _MOST_NUMBERS:
        return None
    return results[0], tuple(numbers)


def _take(
    line: str, held: tuple[_Number, ...] | None, target: Fraction
) -> tuple[Finding | None, tuple[_Number, ...] | None]:
    """Say what is to be said of a line, and what numbers are at hand behind it; none where that cannot be told."""
    if held is None:
        return None, None
    if answer := _ANSWER.fullmatch(line):
        is_last = len(held) == 1 and held[0].written == Fraction(answer[1])
        return (Finding.RIGHT if is_last else Finding.END), held
    operation = read_operation(line)
    if operation is None:
        return Finding.FORM, held
    for one, other in _choose(operation, held):
        exact = apply(held[one].exact, operation.operator, held[other].exact)
        rest = tuple(number for place, number in enumerate(held) if place not in (one, other))
        if exact is not None and _is_reachable(target, tuple(sorted([*(n.exact for n in rest), exact]))):
            finding = Finding.RIGHT if operation.is_exact else Finding.SUM
            return finding, (*rest, _Number(operation.result, exact))
    return Finding.OPERATION, None


def _choose(operation: Operation, held: Sequence[_Number]) -> Iterator[tuple[int, int]]:
    """Which two of the numbers at hand an operation can be about."""
    for one, other in combinations(range(len(held)), 2):
        for left, right in ((one, other), (other, one)):
            if (held[left].written, held[right].written) == (operation.left, operation.right):
                yield left, right


@lru_cache(maxsize=100_000)
def _is_reachable(target: Fraction, numbers: tuple[Fraction, ...]) -> bool:
    """Whether some operations that use up all numbers come to the target."""
    if len(numbers) == 1:
        return numbers[0] == target
    for one, other in combinations(range(len(numbers)), 2):
        rest = [number for place, number in enumerate(numbers) if place not in (one, other)]
        orders = ((numbers[one], numbers[other]), (numbers[other], numbers[one]))
        results = {apply(left, operator, right) for operator in "+-*/" for left, right in orders}
        if any(_is_reachable(target, tuple(sorted([*rest, result]))) for result in results if result is not None):
            return True
    return False
