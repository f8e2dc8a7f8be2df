"""Rows -> solutions to judge: a question, its steps, and where known the first wrong one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from presrm.errors import DataError, SplitterError, boundary
from presrm.protocols import StepSplitter
from presrm.types import Candidates, Judgement, Problem, Step, Trajectory

QUESTION_KEYS = ("problem", "question", "prompt")
SOLUTION_KEYS = ("solution", "completion", "response")


@dataclass(frozen=True, slots=True)
class Solution:
    """What a row asks to have judged.

    Attributes:
        row: The row as read.
        question: What was to be solved.
        steps: The steps, verbatim.
        label: 0-based index of the first wrong step, -1 if none is wrong, or none where the row does not say.
    """

    row: Mapping[str, Any]
    question: str
    steps: tuple[str, ...]
    label: int | None

    def candidates(self, problem_id: str) -> list[Candidates]:
        """Ask for every step after its prefix.

        Steps of a list come without their delimiters: those before another are given a line end, lest the judge see
        them run together.
        """
        ends = ["" if text[-1:].isspace() else "\n" for text in self.steps[:-1]] if "steps" in self.row else []
        texts = [text + end for text, end in zip(self.steps, [*ends, *[""] * len(self.steps)], strict=False)]
        shown = tuple(Step(text) for text in texts)
        problem = Problem(problem_id, self.question)
        return [Candidates(Trajectory(problem, shown[:i]), (step,)) for i, step in enumerate(shown)]


def solution_text(row: Mapping[str, Any]) -> str:
    """Find the solution of a row.

    Raises:
        DataError: if there is none, or it is not text.
    """
    return _text(row, SOLUTION_KEYS, "a solution")


def read_solution(row: Any, splitter: StepSplitter) -> Solution:
    """Read what a row asks to have judged.

    Raises:
        DataError: saying what was expected.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"expected an object, found {type(row).__name__}")
    question = _text(row, QUESTION_KEYS, "a question")
    if row.get("steps") is None:
        with boundary(SplitterError, f"splitter {type(splitter).__name__}"):
            steps = splitter.split(solution_text(row))
    else:
        steps = row["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise DataError("expected a list of texts under 'steps'")
    if not steps:
        raise DataError("the solution has no steps")
    if any("\ud800" <= character <= "\udfff" for character in "".join((question, *steps))):
        raise DataError("half a surrogate pair in the text, which no tokenizer takes")
    label = row.get("label")
    if label is not None and (type(label) is not int or not -1 <= label < len(steps)):
        raise DataError(
            f"label {label!r:.40}: expected the 0-based index of the first wrong of {len(steps)} steps, or -1"
        )
    return Solution(row, question, tuple(steps), label)


def find_first_error(judgements: Sequence[Judgement], threshold: float = 0.5) -> int | None:
    """Find the first step scored below `threshold`.

    Returns:
        Its 0-based index; -1 if all are readable and none is below; none if an unreadable one comes first.
    """
    for i, judgement in enumerate(judgements):
        if judgement.score is None:
            return None
        if judgement.score < threshold:
            return i
    return -1


def _text(row: Mapping[str, Any], keys: Sequence[str], what: str) -> str:
    found = next((row[key] for key in keys if row.get(key) is not None), None)
    names = ", ".join(repr(key) for key in keys)
    if not isinstance(found, str) or not found.strip():
        raise DataError(f"expected {what} as text under one of {names}")
    return found
