r"""Numbers by value, everything else as mathematics.

>>> AutoGrader().grade(r"That makes \boxed{\$1,250.00}.", "1250").value
'correct'
"""

from presrm.answers.numbers import read_number, split_tolerance
from presrm.answers.units import states_unit
from presrm.graders import GRADERS
from presrm.types import Grade


class AutoGrader:
    """Grades by ``gsm8k`` where the final answer and the reference are plain numbers, else by ``math``."""

    def __init__(self) -> None:
        self._numbers = GRADERS.create("gsm8k")
        self._math = GRADERS.create("math")

    def extract(self, solution: str) -> str | None:
        """Find the final answer as ``math`` does."""
        return self._math.extract(solution)

    def grade(self, solution: str, answer: str) -> Grade:
        """Compare the final answer with `answer`."""
        extracted = self.extract(solution)
        if extracted is not None and _is_plain(extracted) and _is_plain(split_tolerance(answer)[0]):
            return self._numbers.grade(extracted, answer)
        return self._math.grade(solution, answer)


def _is_plain(text: str) -> bool:
    """Tell whether `text` is a number alone, without a unit; with a sign of per cent it may mean two."""
    return "%" not in text and read_number(text) is not None and not states_unit(text)
