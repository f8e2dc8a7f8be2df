r"""Integrals: an antiderivative up to its constant, or a value.

>>> IntegralGrader().grade(r"So it is \boxed{\sin^2 x + C}", r"-\cos^2 x").value
'correct'
"""

import re
from math import isfinite
from typing import Any

from presrm.answers.find import find_answer, last_boxes
from presrm.answers.notation import normalize
from presrm.answers.worker import Worker
from presrm.errors import DataError
from presrm.types import Grade

_UNDONE = re.compile(
    r"\\i+nt(?![a-z])|\\oint|\u222b|\\sum|\\prod|\\lim(?![a-z])|\\frac\s*\{\s*d\s*\}"
    r"|(?<![A-Za-z])(?:Integral|integrate|int|Derivative|diff|quad)\s*[\[({_^]"
)
_NAMED = re.compile(r"^\s*(?:[A-Za-z](?:\([a-z]\))?|\\int.*?(?:d|\\mathrm\{d\})\s*[a-z])\s*=(?!=)", re.DOTALL)
_LOG = re.compile(r"\\log(?!\s*_)")
_EXPONENTIAL = re.compile(r"\\exp(?![a-z])|(?<![A-Za-z\\])exp(?=\s*\()")
_EULER = re.compile(r"(?<![A-Za-z\\_])E(?![A-Za-z_(])")
_POINTS = (0.137, 0.291, 0.433, 0.617, 0.811, 0.953, 1.271, 1.733, 2.291, 3.117, 4.659, 7.213)
_FEWEST_POINTS = 4
_LONGEST = 5_000  # characters
_SAME = 1e-7  # relative, of derivatives and values; they are computed to 30 digits


class IntegralGrader:
    r"""Compares derivatives at points, so that constants and forms of writing do not matter.

    The reference is an antiderivative, a value, or the integral itself, as in ``\int x \, dx``: what is then compared
    is the derivative with the integrand, and a value with what quadrature gives. A reference without a variable is a
    value. An answer that hands back an integral (or an unfinished sum, limit or derivative) is incorrect: that is the
    known way to fool such a check (LADDER, arXiv 2503.00735). ``\log`` is the natural logarithm.

    Derivatives are compared at twelve points on both sides of zero, where both are real; fewer than four such points
    are none: the answer could not be compared, and is no answer.

    Args:
        time_limit: Seconds for one comparison, in a worker process.
    """

    def __init__(self, time_limit: float = 10.0) -> None:
        self._worker = Worker(time_limit, "math_verify")

    def extract(self, solution: str) -> str | None:
        """Find the final answer."""
        return find_answer(solution)

    def parses(self, answer: str) -> bool:
        """Whether a final answer is an expression, and hands back no integral."""
        bare = _NAMED.sub("", answer)
        return not _UNDONE.search(bare) and len(bare) <= _LONGEST and bool(self._worker.run(_is_expression, bare))

    def grade(self, solution: str, answer: str) -> Grade:
        """Compare the final answer with `answer`.

        Raises:
            DataError: if `answer` is blank.
        """
        reference = (last_boxes(answer) or answer).strip()
        if not reference:
            raise DataError("the answer is blank")
        extracted = self.extract(solution)
        if extracted is None:
            return Grade.NO_ANSWER
        bare = _NAMED.sub("", extracted)
        if _UNDONE.search(bare):
            return Grade.INCORRECT
        if len(bare) > _LONGEST:
            return Grade.NO_ANSWER
        is_equal = self._worker.run(are_equal, reference, bare)
        if is_equal is None:
            return Grade.NO_ANSWER
        return Grade.CORRECT if is_equal else Grade.INCORRECT


def _is_expression(answer: str) -> bool:
    """Whether an answer can be read, in the worker."""
    return parse_expression(answer) is not None


def are_equal(reference: str, answer: str) -> bool | None:
    """Compare in the worker; none if either side cannot be evaluated."""
    from sympy import Integral

    expected, given = parse_expression(reference), parse_expression(answer)
    if expected is None or given is None or given.has(Integral):
        return None if expected is None or given is None else False
    if isinstance(expected, Integral) and len(expected.limits[0]) == 1:
        return _agree(expected.function, given.diff(expected.limits[0][0]))
    variables = sorted(expected.free_symbols - _constants(expected), key=str)
    if not variables:
        return _values_agree(expected, given)
    variable = variables[0] if len(variables) == 1 else next((v for v in variables if v.name == "x"), variables[0])
    return _agree(expected.diff(variable), given.diff(variable))


def parse_expression(text: str) -> Any:
    """Read an expression of real symbols."""
    from math_verify import parse
    from sympy import Expr, Symbol

    latex = _EULER.sub("e", _EXPONENTIAL.sub(r"\\exp", _LOG.sub(r"\\ln", normalize(text))))
    found = parse(f"\\boxed{{{latex}}}", parsing_timeout=None)
    if not found or not isinstance(found[0], Expr):
        return None
    return found[0].subs({symbol: Symbol(symbol.name, real=True) for symbol in found[0].free_symbols})


def _constants(expression: Any) -> set[Any]:
    """Give the constant of integration: a C or c that is only added."""
    terms = expression.as_ordered_terms()
    return {term for term in terms if term.is_Symbol and term.name in ("C", "c", "K", "k")} if len(terms) > 1 else set()


def _values_agree(expected: Any, given: Any) -> bool | None:
    if given.free_symbols - _constants(given):
        return False
    left, right = (complex(side.evalf(20)) for side in (expected, given))
    return _are_close(left, right)


def _agree(expected: Any, given: Any) -> bool | None:
    """Compare two functions of one variable at points where both are real."""
    symbols = sorted(expected.free_symbols | given.free_symbols, key=str)
    if len(symbols) > 1 and not given.free_symbols <= expected.free_symbols:
        return False
    num_compared = 0
    for point in (*_POINTS, *(-point for point in _POINTS)):
        # Parameters get values of their own.
        values = {symbol: point + 0.217 * place for place, symbol in enumerate(symbols)}
        left, right = (_value(side, values) for side in (expected, given))
        if left is None or right is None:
            continue
        if not _are_close(left, right):
            return False
        num_compared += 1
    return True if num_compared >= _FEWEST_POINTS else None


def _value(expression: Any, values: dict[Any, float]) -> complex | None:
    """Evaluate at a point; none where it is not a real number."""
    try:
        value = complex(expression.evalf(30, subs=values))
    except (TypeError, ValueError, OverflowError):  # a symbol is left, or a pole
        return None
    return value if abs(value.imag) <= _SAME * (1 + abs(value.real)) and abs(value.real) < 1e12 else None


def _are_close(left: complex, right: complex) -> bool:
    largest = max(1.0, abs(left), abs(right))
    return isfinite(largest) and abs(left - right) <= _SAME * largest
