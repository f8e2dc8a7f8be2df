r"""Rows -> solutions to judge: a question, its steps, and where known the first wrong one.

A solution is text under one of three names, or under ``answer`` as in GSM8K, which a splitter cuts; or it stands in
steps already, as `presrm.formats.step_labels` reads them. A label that a row does not give is unknown, which is not -1.

>>> from presrm.splitters import SPLITTERS
>>> row = {"input": "1 + 1 + 1? Step 1: 1 + 1 = 2 ки\nStep 2: 2 + 1 = 4 ки", "label": "1 + 1 + 1? Step 1: 1 + 1 = 2 +"}
>>> row["label"] += "\nStep 2: 2 + 1 = 4 -"
>>> solution = read_solution(row, SPLITTERS.create("newline"))
>>> solution.question, solution.steps, solution.label
('1 + 1 + 1?', ('Step 1: 1 + 1 = 2', 'Step 2: 2 + 1 = 4'), 1)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from presrm.errors import DataError
from presrm.formats.fields import (
    ASSISTANT,
    QUESTION_KEYS,
    SOLUTION_KEYS,
    check_text,
    one_turn,
    question_of,
    worked_answer,
)
from presrm.formats.step_labels import StepLabels, labels_of, read_step_labels
from presrm.protocols import StepSplitter, split_steps
from presrm.types import Candidates, Judgement, Problem, Step, Trajectory

_WITH_QUESTION = (*QUESTION_KEYS, "input", "conversations")


@dataclass(frozen=True, slots=True)
class Solution:
    """What a row asks to have judged.

    Attributes:
        row: The row as read.
        question: What was to be solved.
        steps: The steps, verbatim.
        label: 0-based index of the first wrong step, -1 if none is wrong, or none where the row does not say.
        id: What the row calls itself, or none.
        kind: Of the problem, which names its exact checker where there is one (`presrm.checkers`), or none.
        are_delimited: Whether the steps join to the solution as they are: those that a splitter cut.
    """

    row: Mapping[str, Any]
    question: str
    steps: tuple[str, ...]
    label: int | None
    id: str | None = None
    kind: str | None = None
    are_delimited: bool = False

    def candidates(self, default_id: str) -> list[Candidates]:
        """Ask for every step after its prefix.

        Steps of a list come without their delimiters: those before another are given a line end, lest the judge see
        them run together.

        Args:
            default_id: Names the problem where the row has no id.
        """
        texts = self.steps if self.are_delimited else _delimited(self.steps)
        shown = [Step(text) for text in texts]
        problem = Problem(default_id if self.id is None else self.id, self.question, kind=self.kind or "text")
        return [Candidates(Trajectory(problem, tuple(shown[:i])), (step,)) for i, step in enumerate(shown)]


def _delimited(steps: Sequence[str]) -> list[str]:
    """Give each step that another follows a line end, unless it ends with white space."""
    *before, last = steps
    return [*(text if text[-1:].isspace() else text + "\n" for text in before), last]


def with_question(row: Mapping[str, Any], question: str | None) -> Mapping[str, Any]:
    """Give a row that has no question this one, if any."""
    if question is None or any(row.get(key) is not None for key in _WITH_QUESTION):
        return row
    return {"question": question, **row}


def solution_text(row: Mapping[str, Any]) -> str:
    """Find the solution of a row of any of the formats: text, the one assistant's message, or its steps, joined.

    Raises:
        DataError: if there is none, or it is something else.
    """
    name = next((key for key in SOLUTION_KEYS if row.get(key) is not None), None)
    if name is not None:
        return one_turn(row, name, ASSISTANT)
    if worked := worked_answer(row):
        return worked[0]
    read = read_step_labels(row)
    if read is None:
        raise DataError(f"expected a solution as text under one of {', '.join(map(repr, SOLUTION_KEYS))}")
    return "".join(_delimited(read.steps))


def reference_of(row: Mapping[str, Any]) -> str:
    """Find the reference answer of a row: text, a number, an object or a list of these under ``answer``.

    Of an ``answer`` that is a whole solution, as in GSM8K, it is what stands behind ``####``.

    Raises:
        DataError: if there is none.
    """
    worked = worked_answer(row)
    return worked[1] if worked else _answer_text(row.get("answer"))


def _answer_text(answer: Any) -> str:
    if isinstance(answer, str):
        return answer
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        return str(answer)
    if isinstance(answer, dict) and answer:
        return json.dumps(answer)
    if isinstance(answer, list) and answer:
        return ", ".join(map(_answer_text, answer))
    raise DataError("expected text or a number under 'answer'")


def read_solution(row: Any, splitter: StepSplitter) -> Solution:
    """Read what a row of any of the formats asks to have judged.

    Args:
        row: As read from a file: anything.
        splitter: Cuts a solution that is text.

    Raises:
        DataError: saying what was expected.
        SplitterError: if the splitter raises or breaks its law.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"expected an object, found {type(row).__name__}")
    read = read_step_labels(row)
    are_delimited = read is None
    if read is None:
        question = question_of(row)
        steps = tuple(split_steps(splitter, solution_text(row)))
        read = StepLabels(question, steps, labels_of(row, len(steps)))
    return Solution(
        row, read.question, read.steps, read.first_error, _text(row, "id"), _text(row, "kind"), are_delimited
    )


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


def _text(row: Mapping[str, Any], name: str) -> str | None:
    """A field of a row that has to be text to count."""
    found = row.get(name)
    if not isinstance(found, str):
        return None
    try:
        check_text(found, name)
    except DataError:
        return None
    return found
