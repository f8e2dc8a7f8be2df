"""A grader from elsewhere, with what it gives checked, so that what is wrong is told by its name."""

from typing import Any

from presrm.errors import PresrmError, boundary
from presrm.graders import GRADERS
from presrm.protocols import Grader
from presrm.registry import blame, is_ours
from presrm.types import Grade


def make_grader(name: str) -> Grader:
    """Make the registered grader `name`; what one from elsewhere gives is checked.

    Raises:
        UnknownNameError: if there is none; naming the nearest.
        PresrmError: naming the grader, if it cannot be made.
    """
    factory = GRADERS.factory(name)
    with blame(factory, PresrmError, f"grader {name!r}"):
        grader = factory()
    return grader if is_ours(grader) else CheckedGrader(grader, name)


class CheckedGrader:
    """Asks a grader, and checks what it gives. Whatever else the grader has, this has, too.

    Args:
        grader: Asked.
        name: What errors call it.

    Raises:
        PresrmError: naming the grader, here if it is none, and from each method if it raises or gives something else.
            A `DataError` of its own, which says that the reference is no such answer, passes unchanged.
    """

    def __init__(self, grader: Grader, name: str) -> None:
        self._grader, self._culprit = grader, f"grader {name!r}"
        for member in ("extract", "grade"):
            if not callable(getattr(grader, member, None)):
                raise PresrmError(f"{self._culprit} has no {member!r}: expected an object with 'extract' and 'grade'")

    def __getattr__(self, name: str) -> Any:
        """Give what else the grader has, such as `parses`."""
        return getattr(self._grader, name)

    def extract(self, solution: str) -> str | None:
        """Find the final answer in a solution, or none."""
        with boundary(PresrmError, self._culprit):
            found = self._grader.extract(solution)
        if found is not None and not isinstance(found, str):
            raise PresrmError(f"{self._culprit} gave {found!r:.80} from 'extract': expected text, or none")
        return found

    def grade(self, solution: str, answer: str) -> Grade:
        """Grade `solution` against the reference `answer`."""
        with boundary(PresrmError, self._culprit):
            grade = self._grader.grade(solution, answer)
        if not isinstance(grade, Grade):
            raise PresrmError(f"{self._culprit} gave {grade!r:.80} from 'grade': expected a Grade, as Grade.CORRECT")
        return grade
