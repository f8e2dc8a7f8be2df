r"""Equal text, white space aside.

>>> ExactGrader().grade(r"So it is \boxed{New  York}.", "New York").value
'correct'
"""

from presrm.answers.find import after_hashes, last_boxed
from presrm.types import Grade


class ExactGrader:
    r"""Compares strings: the last ``\boxed{}``, else what follows ``####``, else the last line that is not blank."""

    def extract(self, solution: str) -> str | None:
        """Find the final answer, its white space normalised."""
        found = last_boxed(solution) or after_hashes(solution) or solution.strip().rpartition("\n")[2]
        return _normalize(found) or None

    def grade(self, solution: str, answer: str) -> Grade:
        """Compare the final answer with `answer`."""
        extracted = self.extract(solution)
        if extracted is None:
            return Grade.NO_ANSWER
        return Grade.CORRECT if extracted == _normalize(answer) else Grade.INCORRECT


def _normalize(text: str) -> str:
    return " ".join(text.split())
