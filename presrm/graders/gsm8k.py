"""Numbers, as in GSM8K.

>>> Gsm8kGrader().extract("She makes 9 * 2 = $18 every day."), Gsm8kGrader(strict=True).extract("So it is 18.")
('18', None)
"""

import re

from presrm.answers.clauses import state, unwrap, value_of
from presrm.answers.find import after_hashes, find_answer
from presrm.answers.notation import combines_variables
from presrm.answers.numbers import find_numbers, read_number, split_tolerance
from presrm.errors import DataError
from presrm.types import Grade

# 4 x 5, 5 m + 3 m: no letters that stand for numbers, and neither are words
_MEASURED = re.compile(r"([0-9)])\s*(?:(?:[mgshL]|[cmk]m|kg|ft)(?![A-Za-z])|x\s*(?=[0-9(]))|[A-Za-z]{2,}")
_NAMED = re.compile(r"^[^=]*(?<![<>!=≤≥])=(?=[^=]*$)")  # x =


class Gsm8kGrader:
    r"""Compares numbers by value: what follows ``####``, else the last ``\boxed{}``, "the answer is", the last number.

    An answer that is not one number (``5 or 6``, ``x + 1``) is an answer, but equals none.

    Args:
        strict: Whether the number must stand after ``####``, as in reference solutions.
    """

    def __init__(self, *, strict: bool = False) -> None:
        self._is_strict = strict

    def extract(self, solution: str) -> str | None:
        """Find the final number, without currency signs and thousands separators."""
        return _extract(solution, self._is_strict)

    def grade(self, solution: str, answer: str) -> Grade:
        """Compare the final number with `answer`: a number, or a reference solution that ends with one.

        Raises:
            DataError: if `answer` holds no number.
        """
        stated, tolerance = split_tolerance(answer)
        reference = read_number(_extract(stated) or "")
        if reference is None:
            raise DataError(f"the answer {answer[:80]!r} is no number: grade it with 'math' or 'auto'")
        extracted = self.extract(solution)
        if extracted is None:
            return Grade.NO_ANSWER
        value = read_number(extracted)
        is_right = value is not None and abs(value - reference) <= (tolerance or 0)
        return Grade.CORRECT if is_right else Grade.INCORRECT


def strict_gsm8k() -> Gsm8kGrader:
    """Make the grader that reads only what follows ``####``."""
    return Gsm8kGrader(strict=True)


def _extract(solution: str, is_strict: bool = False) -> str | None:
    """Give the number in plain digits where the answer is one; else the answer as it is, which then equals none."""
    found = state(after_hashes(solution) or "") if is_strict else find_answer(solution, prefers_hashes=True)
    if found is None:
        return None
    named = _NAMED.match(found)
    is_name = named is not None and not combines_variables(_MEASURED.sub(r"\1", named[0].rstrip("= ")))
    side = found[named.end() :] if named and is_name else found
    side = side[1:-1] if side[:1] + side[-1:] in ("()", "[]") else side
    stated = side if read_number(side) is not None else value_of(unwrap(side)) or found
    return found if read_number(stated) is None else find_numbers(stated)[0].text.removesuffix("%")
