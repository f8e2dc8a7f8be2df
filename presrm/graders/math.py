r"""Mathematical equality, by math-verify, in one notation and with the order of tuples.

>>> MathGrader().grade(r"Half of it: \boxed{0.5}", r"\frac{1}{2}").value
'correct'
"""

from presrm.answers.equality import are_equal, are_surely_equal
from presrm.answers.find import find_answer, find_clause, last_boxes
from presrm.answers.numbers import split_tolerance
from presrm.answers.units import states_unit, units_differ
from presrm.answers.worker import Worker
from presrm.errors import DataError
from presrm.types import Grade

_LONGEST = 5_000  # characters of an answer that is compared


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
        stated, tolerance = split_tolerance(answer)
        reference = (last_boxes(stated) or stated.rpartition("\\boxed{")[2]).strip()
        if not reference:
            raise DataError("the answer is blank")
        if solution.strip() == answer.strip():
            return Grade.CORRECT
        extracted = self.extract(solution)
        if extracted is None:
            return Grade.NO_ANSWER
        if states_unit(reference) and units_differ(reference, find_clause(solution) or ""):
            return Grade.INCORRECT
        is_equal = are_surely_equal(reference, extracted) if tolerance is None else None
        if is_equal is None and len(extracted) <= _LONGEST:
            is_equal = self._worker.run(are_equal, reference, extracted, tolerance)
        if is_equal is None:
            return Grade.NO_ANSWER
        return Grade.CORRECT if is_equal else Grade.INCORRECT
