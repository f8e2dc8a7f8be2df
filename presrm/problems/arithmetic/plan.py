r"""What a problem asks for: operations on whole numbers below 100, some of them on the results of others.

>>> plan = Plan.parse("50-(4*7)")
>>> plan.steps()
[' 4 * 7 = 28\n', ' 50 - 28 = 22\n', '#### 22']
>>> plan.form
'50-(4*7)'
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

LARGEST = 99
OPERATORS = "+-*/"
_TOKEN = re.compile(r"\d{1,6}|[-+*/()]")


def apply(operator: str, left: int, right: int) -> int | None:
    """Compute ``left operator right`` for one of ``+ - * /``; none for a division that leaves a rest."""
    if operator == "/":
        return left // right if right and left % right == 0 else None
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


def write(left: int, operator: str, right: int, result: int) -> str:
    """Write a step."""
    return f" {left} {operator} {right} = {result}\n"


@dataclass(frozen=True, slots=True)
class Result:
    """An operand that is the result of operation number `of`."""

    of: int


Operand = int | Result


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: two operands, each a number of the question or the result of an earlier operation."""

    left: Operand
    operator: str
    right: Operand

    def known(self, results: Sequence[int | None]) -> list[int]:
        """The numbers among its operands that are known."""
        values = (results[one.of] if isinstance(one, Result) else one for one in (self.left, self.right))
        return [value for value in values if value is not None]

    def operands(self, results: Sequence[int | None]) -> tuple[int, int] | None:
        """The two numbers, once both are known."""
        known = self.known(results)
        return (known[0], known[1]) if len(known) == 2 else None


@dataclass(frozen=True)
class Plan:
    """Operations in an order in which they can be done; the last one gives the answer."""

    operations: tuple[Operation, ...]

    @classmethod
    def parse(cls, form: str) -> "Plan":
        """Read a canonical form: worked from left to right, whatever the operators, brackets first.

        Raises:
            ValueError: if it is none.
        """
        tokens = _TOKEN.findall(form)
        if "".join(tokens) != form or not tokens:
            raise ValueError(f"not a canonical form: {form!r:.80}")
        operations: list[Operation] = []
        rest = iter([*tokens, ")"])

        def operand(token: str) -> Operand:
            if token == "(":
                return expression()
            if not token.isdigit():
                raise ValueError(f"not a canonical form: {form!r:.80}")
            return int(token)

        def expression() -> Operand:
            value = operand(next(rest))
            while (operator := next(rest)) != ")":
                if operator not in OPERATORS:
                    raise ValueError(f"not a canonical form: {form!r:.80}")
                right = operand(next(rest))
                operations.append(Operation(value, operator, right))
                value = Result(len(operations) - 1)
            return value

        try:
            expression()
        except (StopIteration, RecursionError):
            raise ValueError(f"not a canonical form: {form!r:.80}") from None
        if next(rest, None) is not None or not operations:
            raise ValueError(f"not a canonical form: {form!r:.80}")
        return cls(tuple(operations))

    @cached_property
    def form(self) -> str:
        """The canonical form, which `parse` reads: equal for equal plans."""

        def text(operand: Operand, *, brackets: bool) -> str:
            if isinstance(operand, int):
                return str(operand)
            one = self.operations[operand.of]
            inner = f"{text(one.left, brackets=False)}{one.operator}{text(one.right, brackets=True)}"
            return f"({inner})" if brackets else inner

        return text(Result(len(self.operations) - 1), brackets=False)

    def due(self, results: Sequence[int | None]) -> Iterator[tuple[int, int, int]]:
        """The operations not done yet whose operands are known: (number, left, right)."""
        for number, one in enumerate(self.operations):
            if results[number] is None and (operands := one.operands(results)):
                yield number, *operands

    def results(self) -> list[int]:
        """The right results, one an operation.

        Raises:
            ValueError: if a division leaves a rest.
        """
        results: list[int | None] = [None] * len(self.operations)
        for number, one in enumerate(self.operations):
            left, right = one.operands(results) or (0, 0)
            results[number] = apply(one.operator, left, right)
            if results[number] is None:
                raise ValueError(f"{left} / {right} leaves a rest")
        return [result for result in results if result is not None]

    def steps(self) -> list[str]:
        """Write the right solution, one step a line."""
        results = self.results()
        lines = []
        for number, one in enumerate(self.operations):
            left, right = one.operands(results) or (0, 0)
            lines.append(write(left, one.operator, right, results[number]))
        return [*lines, f"#### {results[-1]}"]

    def under(self, number: int) -> set[int]:
        """Operation `number` and all whose results it needs."""
        one = self.operations[number]
        below = [self.under(operand.of) for operand in (one.left, one.right) if isinstance(operand, Result)]
        return {number}.union(*below)
