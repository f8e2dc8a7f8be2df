"""Which solutions of a problem give the same answer, however they spell it: what a vote among them counts.

Right answers are one, by their grade. Wrong ones are compared by the grader that found them wrong: ``0.5`` and ``1/2``
are one answer to `math`, and two to `exact`.
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from presrm.errors import DataError
from presrm.protocols import Grader
from presrm.types import Grade

_MOST_COMPARISONS = 200
"""Of wrong spellings, for one problem. The commonest come first, so what is left apart cannot win a vote."""
_NUM_REMEMBERED = 10_000
_FORMS = ("{}", "\\boxed{{{}}}", "#### {}")
"""How an answer is put for a grader to read it back as it is."""


class Votes:
    """Groups the answers to a problem; what was compared is remembered.

    Args:
        grader: Decides whether two answers are equal: if it grades either one correct by the other.
    """

    def __init__(self, grader: Grader) -> None:
        self._grader = grader
        self._are_equal = lru_cache(maxsize=_NUM_REMEMBERED)(self._compare)

    def group(self, answers: Sequence[tuple[str | None, Grade]]) -> list[int | None]:
        """Say for each solution which is the first one with the same answer; none where it gives none.

        Args:
            answers: What was extracted from each solution, and its grade.
        """
        spellings = [
            None if extracted is None or grade is Grade.NO_ANSWER else (grade, " ".join(extracted.split()))
            for extracted, grade in answers
        ]
        groups = self._merge([one[1] for one in spellings if one is not None and one[0] is Grade.INCORRECT])
        keys = [one and (one[0], "" if one[0] is Grade.CORRECT else groups[one[1]]) for one in spellings]
        return [None if key is None else keys.index(key) for key in keys]

    def _merge(self, wrong: Sequence[str]) -> dict[str, str]:
        """Name for each wrong spelling the one that stands for it, the commonest first."""
        groups: dict[str, str] = {}
        left = _MOST_COMPARISONS
        for spelling, _ in Counter(wrong).most_common():
            for other in dict.fromkeys(groups.values()):
                if not left:
                    break
                left -= 1
                if self._are_equal(*sorted((spelling, other))):
                    groups[spelling] = other
                    break
            groups.setdefault(spelling, spelling)
        return groups

    def _compare(self, one: str, other: str) -> bool:
        return self._is_graded_right(one, other) or self._is_graded_right(other, one)

    def _is_graded_right(self, answer: str, reference: str) -> bool:
        read_back = (form.format(answer) for form in _FORMS if self._grader.extract(form.format(answer)) == answer)
        try:
            return self._grader.grade(next(read_back, answer), reference) is Grade.CORRECT
        except DataError:  # no reference to this grader, so equal to nothing but itself
            return False
