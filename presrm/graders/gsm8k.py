"""Numbers, as in GSM8K.

>>> Gsm8kGrader().extract("She makes 9 * 2 = $18 every day."), Gsm8kGrader(strict=True).extract("So it is 18.")
('18', None)
"""

from presrm.answers.find import after_hashes, find_numbers, last_boxed, read_number
from presrm.errors import DataError
from presrm.types import Grade


class Gsm8kGrader:
    r"""Compares numbers by value: the one after ``####``, else the one in the last ``\boxed{}``, else the last.

    A box that does not hold one number (``\frac{3}{4}``) is an answer, but none of these numbers.

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
        reference = read_number(_extract(answer) or "")
        if reference is None:
            raise DataError(f"the answer {answer[:80]!r} is no number: grade it with 'math' or 'auto'")
        extracted = self.extract(solution)
        if extracted is None:
            return Grade.NO_ANSWER
        return Grade.CORRECT if read_number(extracted) == reference else Grade.INCORRECT


def strict_gsm8k() -> Gsm8kGrader:
    """Make the grader that reads only what follows ``####``."""
    return Gsm8kGrader(strict=True)


def _extract(solution: str, is_strict: bool = False) -> str | None:
    if marked := find_numbers(after_hashes(solution) or ""):
        return marked[0]
    if is_strict:
        return None
    if boxed := last_boxed(solution):
        numbers = find_numbers(boxed)
        return numbers[0] if len(numbers) == 1 else boxed
    numbers = find_numbers(solution)
    return numbers[-1] if numbers else None
