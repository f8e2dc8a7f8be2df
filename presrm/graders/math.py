r"""Mathematical equality, by math-verify, in one notation and with the order of tuples.

>>> MathGrader().grade(r"Half of it: \boxed{0.5}", r"\frac{1}{2}").value
'correct'
"""

import re
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from typing import Any

from presrm.answers.find import equal_numbers, find_answer, last_boxes, read_number
from presrm.answers.notation import Listing, normalize, read_listing
from presrm.answers.worker import Worker
from presrm.errors import DataError
from presrm.types import Grade

_LONGEST = 5_000  # characters of an answer that is compared
_LONGEST_SHORT = 500  # and of one that is touched outside of the time limit
_EQUATION = re.compile(r"(?<![<>!\\=])=(?!=)")
_NAME = re.compile(r"(?:\\[a-zA-Z]+|[A-Za-z_{}|:(), /']|(?<=[_{])[0-9]+)+")
_FUNCTION = re.compile(r"([A-Za-z])\(([A-Za-z])\)=(.+)")
_CHOICE = re.compile(r"\(?([A-K])\)?")
_CHOSEN = re.compile(r"(?:[Oo]ption |[Cc]hoice )?(?:\(([A-K])\)|([A-K])(?:[.:)]|$))")
_UNWRAPPED = re.compile(r"\\text\{([^{}]*)\}")
_LETTERS = re.compile(r"[A-Z]{2,}")
_HALF_OF_DAY = re.compile(r" ([ap])m$")
_BASED = re.compile(r"([0-9A-Z]+)_\{?([0-9]+)\}?")
_AMBIGUOUS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
_DECIMAL_COMMA = re.compile(r"-?(?:0,[0-9]+|[0-9]+,[0-9]{2})")
_WORDS = re.compile(r"[A-Za-z]{2,}(?:[ -][A-Za-z]+)*")
_TEXT = re.compile(r"\s*\$?\\text\{[^{}]*\}\$?\s*")
_TOLERANCE = re.compile(r"(.*\S)\s*\(tolerance ([0-9.]+(?:[eE]-?[0-9]+)?)\)\s*", re.DOTALL)
_SAME = 1e-6  # relative


class MathGrader:
    r"""Compares mathematical values: ``1/2`` is ``\frac12`` is ``0.5``, sets have no order, tuples and intervals have.

    `presrm.answers.find.find_answer` finds the answer, `presrm.answers.notation` brings both sides into one notation.
    Plain numbers are compared exactly, with one liberty: ``50\%`` is 50 and is 0.5. Lists and sets are compared
    element by element in any order, points and intervals in theirs; a tuple never equals a set. What is left goes to
    math-verify, which holds other numbers for equal if they agree to about six digits. A reference such as
    ``4.2 (tolerance 0.1)`` takes every number that is as close.

    Comparing runs in a worker process, because an expression such as ``9^{9^{9^9}}`` can only be stopped by killing
    whoever evaluates it. What cannot be compared within the limits could not be read, and is no answer.

    Args:
        time_limit: Seconds for one comparison.
    """

    def __init__(self, time_limit: float = 5.0) -> None:
        self._worker = Worker(time_limit, "math_verify")

    def extract(self, solution: str) -> str | None:
        """Find the final answer."""
        return find_answer(solution)

    def grade(self, solution: str, answer: str) -> Grade:
        """Compare the final answer with `answer`: an expression, or a reference solution with a box.

        Raises:
            DataError: if `answer` is blank.
        """
        reference = (last_boxes(answer) or answer.rpartition("\\boxed{")[2]).strip()
        if not reference:
            raise DataError("the answer is blank")
        if solution.strip() == answer.strip():
            return Grade.CORRECT
        extracted = self.extract(solution)
        if extracted is None:
            return Grade.NO_ANSWER
        is_equal = _are_surely_equal(reference, extracted)
        if is_equal is None and len(extracted) <= _LONGEST:
            is_equal = self._worker.run(are_equal, reference, extracted)
        if is_equal is None:
            return Grade.NO_ANSWER
        return Grade.CORRECT if is_equal else Grade.INCORRECT


def _are_surely_equal(reference: str, answer: str) -> bool | None:
    """Compare what needs no mathematics; none for all else."""
    if reference == answer:
        return True
    if max(len(reference), len(answer)) > _LONGEST_SHORT:
        return None
    if _may_be_lists(reference, answer):
        return None
    is_equal = equal_numbers(reference, answer)
    return True if is_equal is None and normalize(reference) == normalize(answer) else is_equal


def are_equal(reference: str, answer: str) -> bool:
    """Compare two final answers. Without limits: it runs in a worker."""
    expected, given = normalize(reference), normalize(answer)
    if (_TEXT.fullmatch(reference) or _TEXT.fullmatch(answer)) and _WORDS.fullmatch(expected):
        return expected.casefold() == given.casefold()
    if tolerant := _TOLERANCE.fullmatch(reference):
        distance = _distance(normalize(tolerant[1]), normalize(answer).removesuffix("\\%"))
        return distance is not None and distance <= Fraction(tolerant[2])
    if _is_equal(expected, given):
        return True
    if _may_be_lists(reference, answer):
        both = [read_listing(normalize(text, keeps_thousands=True)) for text in (reference, answer)]
        return both[0] is not None and both[1] is not None and _are_alike(both[0], both[1])
    return _differ_by_comma(reference, answer) or _differ_by_comma(answer, reference)


def _may_be_lists(reference: str, answer: str) -> bool:
    """Tell whether both look like ``100,200``: a number, or two."""
    return all(_AMBIGUOUS.fullmatch(text.strip("$ ")) for text in (reference, answer))


def _differ_by_comma(text: str, other: str) -> bool:
    """Tell whether `text` is `other` with a decimal comma; ``1,2`` is a list, ``1,25`` and ``0,2`` are not."""
    bare = text.strip("$ ")
    return bool(_DECIMAL_COMMA.fullmatch(bare)) and bare.replace(",", ".") == other.strip("$ ")


def _is_equal(reference: str, answer: str) -> bool:
    if (is_equal := _compare_plain(reference, answer)) is not None:
        return is_equal
    if _HALF_OF_DAY.search(reference) or _HALF_OF_DAY.search(answer):
        return _is_equal(_HALF_OF_DAY.sub("", reference), _HALF_OF_DAY.sub("", answer))
    reference, answer = _drop_name(reference, answer), _drop_name(answer, reference)
    if (left := _FUNCTION.fullmatch(reference)) and (right := _FUNCTION.fullmatch(answer)) and left[1] == right[1]:
        if left[2] != right[2] and left[2] in right[3]:
            return False
        return _is_equal(left[3], re.sub(rf"(?<![A-Za-z\\]){right[2]}(?![A-Za-z])", left[2], right[3]))
    expected, given = read_listing(reference), read_listing(answer)
    if expected and given:
        return _are_alike(expected, given)
    listing, single = (expected, answer) if expected else (given, reference)
    if listing and listing.kind != "set" and read_number(single) is not None:
        return False
    return _verify(reference, answer)


def _compare_plain(reference: str, answer: str) -> bool | None:
    """Compare texts, numbers, choices, letters, times of day and numerals with a base; none for all else."""
    if reference == answer:
        return True
    if (is_equal := equal_numbers(reference, answer)) is not None:
        return is_equal
    if _CHOICE.fullmatch(reference) and (chosen := _CHOSEN.match(_UNWRAPPED.sub(r"\1", answer))):
        return (chosen[1] or chosen[2]) == reference.strip("()")
    if _LETTERS.fullmatch(reference) and _LETTERS.fullmatch(answer):
        return False  # IV is not VI: no product of I and V
    half, other_half = _HALF_OF_DAY.search(reference), _HALF_OF_DAY.search(answer)
    if half and other_half and half[1] != other_half[1]:
        return False
    numeral, other = _BASED.fullmatch(reference), _BASED.fullmatch(answer)
    return numeral.groups() == other.groups() if numeral and other else None


def _distance(reference: str, answer: str) -> Fraction | None:
    """Give how far apart two numbers are; none for what is no number."""
    values = []
    for text in (reference, _drop_name(answer, reference)):
        value = read_number(text)
        if value is None:
            parsed = _parse(text)
            if not (parsed and getattr(parsed[0], "is_real", False) and parsed[0].is_number):
                return None
            value = Fraction(float(parsed[0].evalf()))
        values.append(value)
    return abs(values[0] - values[1])


def _drop_name(text: str, other: str) -> str:
    r"""Take ``x=`` off ``x=5`` where the other side names nothing."""
    sides = _EQUATION.split(text)
    is_named = len(sides) == 2 and not _EQUATION.search(other) and _NAME.fullmatch(sides[0])
    return sides[1].strip() if is_named else text


def _are_alike(expected: Listing, given: Listing) -> bool:
    """Compare element by element, in order for tuples."""
    names_values = all(_EQUATION.search(element) for element in expected.elements)
    if expected.kind == "tuple" or (given.kind == "tuple" and names_values):
        if given.kind == "set" or (given.brackets and expected.brackets and given.brackets != expected.brackets):
            return False
        return len(given.elements) == len(expected.elements) and all(map(_is_equal, expected.elements, given.elements))
    if given.kind == "tuple":
        return False
    left = list(given.elements)
    for element in expected.elements:
        found = next((i for i, other in enumerate(left) if other == element), None)
        if found is None:
            found = next((i for i, other in enumerate(left) if _is_equal(element, other)), None)
        if found is None:
            return False
        del left[found]
    return not left


def _verify(reference: str, answer: str) -> bool:
    from math_verify import verify

    left, right = _parse(reference), _parse(answer)
    if _are_far_apart(left, right):
        return False
    # The reference comes first: the comparison has a direction.
    return bool(verify(left, right, timeout_seconds=None, allow_set_relation_comp=True))


@lru_cache(maxsize=256)
def _parse(text: str) -> list[Any]:
    from math_verify import parse

    return list(parse(f"\\boxed{{{text}}}", parsing_timeout=None))  # the box makes it read all of it


def _are_far_apart(left: list[Any], right: list[Any]) -> bool:
    """Tell numbers apart by value, before simplifying their difference takes long."""
    from sympy import Expr

    if not (left and right and isinstance(left[0], Expr) and isinstance(right[0], Expr)):
        return False
    if not (left[0].is_number and right[0].is_number):
        return False
    try:
        expected, given = complex(left[0].evalf()), complex(right[0].evalf())
    except (TypeError, ValueError, OverflowError):
        return False
    return isfinite(abs(expected) + abs(given)) and abs(expected - given) > _SAME * max(abs(expected), abs(given))
