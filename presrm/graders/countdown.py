r"""Countdown: reach a target with every number once, by ``+ - * /`` and brackets.

>>> CountdownGrader().grade("24 is \\boxed{(10 - 4) * 4}", '{"numbers": [10, 4, 4], "target": 24}').value
'correct'
>>> CountdownGrader().grade("4 * 6", "(10 - 4) * 4").value
'incorrect'
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from presrm.answers.find import after_hashes, after_phrases, last_boxed
from presrm.errors import DataError
from presrm.types import Grade

_LONGEST = 1000  # characters of an expression: far more than the game needs
_DEEPEST = 50  # brackets
_LONGEST_NUMBER = 20  # digits
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL)
_SIGNS = (
    (re.compile(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}"), r"((\1)/(\2))"),
    (re.compile(r"\\times|\\cdot|\\ast|[\u00d7\u00b7\u22c5\u2217\u2715]|(?<=[\d)])\s*[xX]\s*(?=[\d(])"), "*"),
    (re.compile(r"\\div|[\u00f7\u2044\u2215]"), "/"),
    (re.compile(r"[\u2212\u2013\u2014]"), "-"),
    (re.compile(r"\\left|\\right|\\[,;:!() \[\]]|[$`]|\*\*(?=\s*$)|^\s*\*\*"), ""),
)
_LEXEME = re.compile(r"\s*(?:([0-9]+)|([-+*/()]))")
_EXPRESSION = re.compile(r"[-+*/() \t0-9]*[0-9][-+*/() \t0-9]*")


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression comes to, and the numbers that it uses."""

    result: Fraction
    numbers: Counter[int]


class CountdownGrader:
    r"""Computes with exact fractions, by a parser of its own.

    The reference says numbers and target: as JSON, ``{"numbers": [1, 1, 4, 6], "target": 24}``, or by any right
    expression, whose numbers and value these are. A solution gives its expression in ``<answer>`` or the last
    ``\boxed{}``, after ``####`` or "answer is", or as its last line that holds one; ``= 24`` may follow it.
    """

    def extract(self, solution: str) -> str | None:
        """Find the expression."""
        tagged = _TAGGED.findall(solution)
        phrases = after_phrases(solution)
        marked = (tagged and tagged[-1]) or last_boxed(solution) or after_hashes(solution) or (phrases and phrases[-1])
        if marked and marked.strip():
            return _sides(marked) or marked.strip()
        return next(filter(None, map(_sides, reversed(solution.splitlines()))), None)

    def parses(self, answer: str) -> bool:
        """Whether a final answer is an expression that can be computed."""
        try:
            evaluate(answer)
        except ValueError:
            return False
        return True

    def grade(self, solution: str, answer: str) -> Grade:
        """Check the expression against the numbers and the target of `answer`.

        Raises:
            DataError: if `answer` names neither.
        """
        numbers, target = _read_reference(answer)
        expression = self.extract(solution)
        if expression is None:
            return Grade.NO_ANSWER
        try:
            value = evaluate(expression)
        except ValueError:
            return Grade.INCORRECT
        return Grade.CORRECT if value.result == target and value.numbers == numbers else Grade.INCORRECT


def evaluate(expression: str) -> Value:
    """Compute an expression of whole numbers, ``+ - * /`` and brackets.

    Raises:
        ValueError: for any other text, a division by zero, or one that is longer or deeper than the game needs.
    """
    if len(expression) > _LONGEST:
        raise ValueError("too long")
    parser = _Parser(list(_lex(expression)))
    result = parser.total()
    if parser.rest:
        raise ValueError(f"left over: {parser.rest[-1]!r}")
    return Value(result, parser.numbers)


class _Parser:
    """Reads lexemes by recursive descent: a total of products of factors.

    Attributes:
        rest: What is not read yet, the next lexeme last.
        numbers: Those read.
    """

    def __init__(self, lexemes: list[str]) -> None:
        self.rest = lexemes[::-1]
        self.numbers: Counter[int] = Counter()
        self._depth = 0

    def total(self) -> Fraction:
        result = self._product()
        while self.rest and self.rest[-1] in "+-":
            result = result + self._product() if self.rest.pop() == "+" else result - self._product()
        return result

    def _product(self) -> Fraction:
        result = self._factor()
        while self.rest and self.rest[-1] in "*/":
            if self.rest.pop() == "*":
                result *= self._factor()
            elif divisor := self._factor():
                result /= divisor
            else:
                raise ValueError("a division by zero")
        return result

    def _factor(self) -> Fraction:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("too deep")
        lexeme = self.rest.pop() if self.rest else ""
        if lexeme == "-":
            result = -self._factor()
        elif lexeme == "(":
            result = self.total()
            if not self.rest or self.rest.pop() != ")":
                raise ValueError("a bracket is not closed")
        elif lexeme.isdigit() and len(lexeme) <= _LONGEST_NUMBER:
            result = Fraction(int(lexeme))
            self.numbers[int(lexeme)] += 1
        else:
            raise ValueError(f"expected a number, found {lexeme!r:.30}")
        self._depth -= 1
        return result


def _lex(expression: str) -> Iterator[str]:
    position, text = 0, expression.strip()
    while position < len(text):
        found = _LEXEME.match(text, position)
        if found is None:
            raise ValueError(f"no part of an expression: {text[position : position + 20]!r}")
        yield found[1] or found[2]
        position = found.end()


def _sides(line: str) -> str | None:
    """Find the expression in a line: of the sides of an equation the first that computes anything."""
    if len(line) > _LONGEST:
        return None
    for pattern, sign in _SIGNS:
        line = pattern.sub(sign, line)
    for side in line.split("="):
        found = [text.strip() for text in _EXPRESSION.findall(side)]
        whole = [text for text in found if any(operator in text for operator in "+-*/")]
        if whole:
            bare = side.strip().removesuffix(".")
            return bare if _EXPRESSION.fullmatch(bare) else whole[-1]
    return None


def _read_reference(answer: str) -> tuple[Counter[int], Fraction]:
    try:
        given: Any = json.loads(answer)
    except (ValueError, RecursionError):
        given = None
    if isinstance(given, dict):
        numbers, target = given.get("numbers"), given.get("target")
        if isinstance(numbers, list) and isinstance(target, int) and all(type(one) is int for one in numbers):
            return Counter(numbers), Fraction(target)
    try:
        value = evaluate(_sides(answer) or "")
    except ValueError as error:
        raise DataError(
            f"the answer {answer[:80]!r} names no numbers and target: expected "
            '{"numbers": [...], "target": N} or a right expression'
        ) from error
    return value.numbers, value.result
