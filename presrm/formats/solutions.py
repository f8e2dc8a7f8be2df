r"""Rows -> solutions to judge: a question, its steps, and where known the first wrong one.

A row shows by its keys which format it has:

- ours and ProcessBench's: ``problem`` (or ``question``, ``prompt``), ``steps`` or a text, perhaps ``label``;
- BIG-Bench-Mistake's (arXiv 2311.08516): ``input``, ``steps``, ``mistake_index``, where null says that none is wrong;
- PRM800K's (arXiv 2305.20050): ``question.problem`` and ``label.steps[].completions[]``, each with a rating;
- Math-Shepherd's (arXiv 2312.08935): ``input`` and ``label``, the same text with a mark or a sign behind each step.

A label that a row does not give is unknown, which is not -1.

>>> from presrm.splitters import SPLITTERS
>>> row = {"input": "1 + 1 + 1? Step 1: 1 + 1 = 2 ки\nStep 2: 2 + 1 = 4 ки", "label": "1 + 1 + 1? Step 1: 1 + 1 = 2 +"}
>>> row["label"] += "\nStep 2: 2 + 1 = 4 -"
>>> solution = read_solution(row, SPLITTERS.create("newline"))
>>> solution.question, solution.steps, solution.label
('1 + 1 + 1?', ('Step 1: 1 + 1 = 2', 'Step 2: 2 + 1 = 4'), 1)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, StrictInt, ValidationError

from presrm.errors import DataError, SplitterError, boundary
from presrm.protocols import StepSplitter
from presrm.types import Candidates, Judgement, Problem, Step, Trajectory

QUESTION_KEYS = ("problem", "question", "prompt")
SOLUTION_KEYS = ("solution", "completion", "response")
_PLACEHOLDER = "ки"
_UNFINISHED = ("give_up", "bad_problem")
_Row = TypeVar("_Row", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Solution:
    """What a row asks to have judged.

    Attributes:
        row: The row as read.
        question: What was to be solved.
        steps: The steps, verbatim.
        label: 0-based index of the first wrong step, -1 if none is wrong, or none where the row does not say.
        id: What the row calls itself, or none.
        are_delimited: Whether the steps join to the solution as they are: those that a splitter cut.
    """

    row: Mapping[str, Any]
    question: str
    steps: tuple[str, ...]
    label: int | None
    id: str | None = None
    are_delimited: bool = False

    def candidates(self, default_id: str) -> list[Candidates]:
        """Ask for every step after its prefix.

        Steps of a list come without their delimiters: those before another are given a line end, lest the judge see
        them run together.

        Args:
            default_id: Names the problem where the row has no id.
        """
        *before, last = self.steps
        shown = [Step(text if self.are_delimited or text[-1:].isspace() else text + "\n") for text in before]
        shown.append(Step(last))
        problem = Problem(default_id if self.id is None else self.id, self.question)
        return [Candidates(Trajectory(problem, tuple(shown[:i])), (step,)) for i, step in enumerate(shown)]


class Completion(BaseModel):
    """A step of PRM800K: right (1), neutral (0), wrong (-1), or not rated."""

    text: str
    rating: Literal[-1, 0, 1] | None = None


class Level(BaseModel):
    """The alternatives for one step of PRM800K, and which of them the solution goes on with."""

    completions: list[Completion] | None = None
    chosen_completion: StrictInt | None = None
    human_completion: Completion | None = None

    @property
    def chosen(self) -> Completion | None:
        """What the solution goes on with, or none where it ends.

        Raises:
            DataError: if the choice points to nothing.
        """
        if self.chosen_completion is None:
            return self.human_completion
        completions = self.completions or []
        if not 0 <= self.chosen_completion < len(completions):
            raise DataError(f"label.steps.chosen_completion: no completion {self.chosen_completion}")
        return completions[self.chosen_completion]


class _Levels(BaseModel):
    steps: list[Level]
    finish_reason: str | None = None


class _Question(BaseModel):
    problem: str
    ground_truth_answer: str | None = None


class Prm800k(BaseModel):
    """A row of PRM800K."""

    question: _Question
    label: _Levels


class _MathShepherd(BaseModel):
    model_config = ConfigDict(strict=True)

    input: str
    label: str


@dataclass(frozen=True, slots=True)
class MathShepherd:
    """A row of Math-Shepherd.

    Attributes:
        question: What was to be solved.
        steps: The steps, blanks around them removed.
        signs: ``+`` or ``-`` for each step; a last step that was cut off before its mark has none.
    """

    question: str
    steps: tuple[str, ...]
    signs: str


def solution_text(row: Mapping[str, Any]) -> str:
    """Find the solution of a row.

    Raises:
        DataError: if there is none, or it is not text.
    """
    return _text(row, SOLUTION_KEYS, "a solution")


def read_solution(row: Any, splitter: StepSplitter) -> Solution:
    """Read what a row of any of the formats asks to have judged.

    Args:
        row: As read from a file: anything.
        splitter: Cuts a solution that is text.

    Raises:
        DataError: saying what was expected.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"expected an object, found {type(row).__name__}")
    are_delimited = False
    steps: Any
    has_input = "input" in row and all(row.get(key) is None for key in QUESTION_KEYS)
    if isinstance(row.get("question"), Mapping) and row.get("problem") is None:
        question, steps, label = _judged_prm800k(read_prm800k(row))
    elif has_input and "steps" in row:
        question, steps, label = _bigbench_mistake(row)
    elif has_input and "label" in row:
        question, steps, label = _judged_math_shepherd(read_math_shepherd(row))
    else:
        question, steps, label = _text(row, QUESTION_KEYS, "a question"), row.get("steps"), row.get("label")
        are_delimited = steps is None
        if are_delimited:
            with boundary(SplitterError, f"splitter {type(splitter).__name__}"):
                steps = splitter.split(solution_text(row))
    _check(question, steps, label)
    return Solution(row, question, tuple(steps), label, _id(row), are_delimited)


def read_prm800k(row: Mapping[str, Any]) -> Prm800k:
    """Check a row of PRM800K.

    Raises:
        DataError: naming the field and what was expected.
    """
    return _validate(Prm800k, row, "PRM800K")


def read_math_shepherd(row: Mapping[str, Any]) -> MathShepherd:
    """Read a row of Math-Shepherd.

    Raises:
        DataError: naming the field and what was expected; also if `label` is not `input` with a sign for every mark.
    """
    read = _validate(_MathShepherd, row, "Math-Shepherd")
    question, mark, solution = read.input.partition("Step 1:")
    if not mark or _PLACEHOLDER not in solution:
        raise DataError(
            f"input: expected a solution that begins with 'Step 1:', with {_PLACEHOLDER!r} behind each step"
        )
    *texts, rest = (mark + solution).split(_PLACEHOLDER)
    signs, at = "", len(question)
    for text in texts:
        at += len(text)
        signs += read.label[at : at + 1]
        at += 1
    signed = "".join(text + sign for text, sign in zip(texts, signs, strict=False))
    if len(signs) != len(texts) or question + signed + rest != read.label or not set(signs) <= {"+", "-"}:
        raise DataError(f"label: expected the input with + or - in place of every {_PLACEHOLDER!r}")
    steps = [text.strip() for text in (*texts, rest)]
    return MathShepherd(question.strip(), tuple(steps if steps[-1] else steps[:-1]), signs)


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


def _judged_prm800k(row: Prm800k) -> tuple[str, list[str], int | None]:
    """Follow the choices.

    Where none was made, labelling ended at the first error: there the first completion is the solution's own step. A
    step by the labeller's hand has no rating and is right, as it was asked for as one (README of PRM800K).
    """
    steps: list[str] = []
    label: int | None = -1
    for level in row.label.steps:
        step = level.chosen or next((first for first in (level.completions or [])[:1] if first.rating == -1), None)
        if step is None:
            label = None if label == -1 else label
            break
        if label == -1 and step.rating is None and step is not level.human_completion:
            label = None
        if label == -1 and step.rating == -1:
            label = len(steps)
        steps.append(step.text)
        if level.chosen is None:
            break
    if label == -1 and row.label.finish_reason in _UNFINISHED:
        label = None
    return row.question.problem, steps, label


def _bigbench_mistake(row: Mapping[str, Any]) -> tuple[str, Any, Any]:
    label = row.get("mistake_index", row.get("label"))
    if label is None and "mistake_index" in row:
        label = -1
    return _text(row, ("input",), "a question"), row["steps"], label


def _judged_math_shepherd(row: MathShepherd) -> tuple[str, list[str], int | None]:
    label = row.signs.find("-")
    is_known = label >= 0 or len(row.signs) == len(row.steps)
    return row.question, list(row.steps), label if is_known else None


def _check(question: str, steps: Any, label: Any) -> None:
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise DataError("expected a list of texts under 'steps'")
    if not steps:
        raise DataError("the solution has no steps")
    if not question.strip():
        raise DataError("expected a question, found blanks")
    if not all(map(_is_encodable, (question, *steps))):
        raise DataError("half a surrogate pair in the text, which no tokenizer takes")
    if label is not None and (type(label) is not int or not -1 <= label < len(steps)):
        raise DataError(
            f"label {label!r:.40}: expected the 0-based index of the first wrong of {len(steps)} steps, or -1"
        )


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _id(row: Mapping[str, Any]) -> str | None:
    found = row.get("id")
    return found if isinstance(found, str) and found.strip() and _is_encodable(found) else None


def _text(row: Mapping[str, Any], keys: Sequence[str], what: str) -> str:
    found = next((row[key] for key in keys if row.get(key) is not None), None)
    names = ", ".join(repr(key) for key in keys)
    if not isinstance(found, str) or not found.strip():
        expected = names if len(keys) == 1 else f"one of {names}"
        raise DataError(f"expected {what} as text under {expected}")
    return found


def _validate(kind: type[_Row], row: Mapping[str, Any], name: str) -> _Row:
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(f"{field}: {first['msg']} (expected a row of {name})") from error
