r"""Solutions whose steps stand apart in a row, as neighbouring tools write them -> a question, steps, what each is.

A row shows by its keys which format it has:

- ours and ProcessBench's: ``problem`` (or ``question``, ``prompt``), ``steps``, perhaps ``label`` or ``labels``;
- TRL's: ``prompt``, ``completions``, ``labels``;
- PRM800K's (arXiv 2305.20050): ``question.problem`` and ``label.steps[].completions[]``, each with a rating;
- Math-Shepherd's (arXiv 2312.08935): ``input`` and ``label``, the same text with a mark or a sign behind each step;
- OpenRLHF's: that ``input``, with ``value`` (or ``labels``, ``label``), a list of signs or numbers;
- RLHFlow's: ``conversations`` (or ``messages``), a step in each user turn, ``+`` or ``-`` in each reply;
- OpenR's: ``question``, ``process`` with a run of line ends behind each step, and ``label``, a list of signs;
- BIG-Bench-Mistake's (arXiv 2311.08516): ``input``, ``steps``, ``mistake_index``, where null says that none is wrong.

>>> row = {"prompt": "1 + 1 + 1?", "completions": ["1 + 1 = 2", "2 + 1 = 4"], "labels": [True, False]}
>>> read_step_labels(row)
StepLabels(question='1 + 1 + 1?', steps=('1 + 1 = 2', '2 + 1 = 4'), are_right=(True, False), is_whole=True)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, StrictInt, ValidationError

from presrm.errors import DataError
from presrm.formats.fields import ASSISTANT, QUESTION_KEYS, USER, check_text, question_of, read_turns, require_text

_LABELS = ("label", "labels", "step_labels", "ratings")
_LISTS_ALONE = ("value", "is_correct", "correct", "correctness")
"""Under these a list says what each step is; anything else there is about something else."""
_LABELS_OF_ONE = ("rating", "label", "is_correct", "correct", "correctness")
PLACEHOLDER = "ки"
_OPENR_END = "\n\n\n\n\n"
_SIGNS = {"+": True, "-": False}
_LEAST_RIGHT = 0.5
_UNFINISHED = ("give_up", "bad_problem")
_FIRST_STEP = re.compile(r"\bStep 1\b\s*[:：.]")  # noqa: RUF001 (a full-width colon)


@dataclass(frozen=True, slots=True)
class StepLabels:
    """A solution and what its row says of the steps.

    Attributes:
        question: What was to be solved.
        steps: The steps, verbatim.
        are_right: Of each step; none where the row does not say.
        is_whole: Whether these are all steps and all labels that there were to be given.
    """

    question: str
    steps: tuple[str, ...]
    are_right: tuple[bool | None, ...]
    is_whole: bool = True

    @property
    def first_error(self) -> int | None:
        """0-based index of the first wrong step, -1 if none is wrong, or none where that is not known."""
        for index, is_right in enumerate(self.are_right):
            if is_right is not True:
                return index if is_right is False else None
        return -1 if self.is_whole else None


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


def read_step_labels(row: Mapping[str, Any]) -> StepLabels | None:
    """Read a row of any of the formats; none for one whose solution is text to be cut.

    Raises:
        DataError: naming the field and what was expected.
    """
    read = _read(row)
    if read is not None:
        if not read.steps:
            raise DataError("the solution has no steps")
        for name, text in [("question", read.question), *(("steps", text) for text in read.steps)]:
            check_text(text, name, may_be_blank=name == "steps")
    return read


def _read(row: Mapping[str, Any]) -> StepLabels | None:
    has_question = any(row.get(key) is not None for key in QUESTION_KEYS)
    if is_prm800k(row):
        return _prm800k(read_prm800k(row))
    for name in ("conversations", "messages"):
        if _is_rlhflow(row.get(name)):
            return _rlhflow(row[name], name)
    if not has_question and "input" in row:
        if "steps" in row:
            return _bigbench_mistake(row)
        listed = next((key for key in ("value", "labels", "label") if isinstance(row.get(key), list)), None)
        if listed is not None:
            return _openrlhf(row, listed)
        return _math_shepherd(row) if "label" in row else None
    if row.get("process") is not None and row.get("steps") is None:
        return _openr(row)
    if row.get("completions") is not None and row.get("steps") is None:
        return _trl(row)
    if row.get("steps") is not None:
        steps, ratings = _steps(row["steps"])
        are_right = labels_of(row, len(steps), ratings)
        return StepLabels(question_of(row), steps, are_right)
    return None


def labels_of(
    row: Mapping[str, Any], num_steps: int, ratings: Sequence[bool | None] | None = None
) -> tuple[bool | None, ...]:
    """Say of each step what the row says of it; `ratings` stand in the steps.

    That is ``label`` (an index, or a list), or a list under ``labels``, ``step_labels``, ``ratings``, ``value``,
    ``is_correct``, ``correct`` or ``correctness``.

    Raises:
        DataError: if they are malformed, or contradict each other.
    """
    said = {} if ratings is None else {"steps": tuple(ratings)}
    for name in (*_LABELS, *_LISTS_ALONE):
        if isinstance(row.get(name), list):
            said[name] = _are_right(row[name], num_steps, name, are_ratings=name == "ratings")
        elif name not in _LISTS_ALONE and row.get(name) is not None:
            said[name] = _up_to_first_error(row[name], num_steps, name)
    firsts = {
        name: first for name, values in said.items() if (first := StepLabels("", (), values).first_error) is not None
    }
    if len(set(firsts.values())) > 1:
        contradiction = ", ".join(f"{name} say {first}" for name, first in firsts.items())
        raise DataError(f"{next(iter(firsts))}: expected one first wrong step, but {contradiction}")
    return said.get(next(iter(firsts or said), ""), (None,) * num_steps)


def _up_to_first_error(label: Any, num_steps: int, name: str) -> tuple[bool | None, ...]:
    if type(label) is not int or not -1 <= label < num_steps:
        raise DataError(
            f"{name} {label!r:.40}: expected the 0-based index of the first wrong of {num_steps} steps, or -1"
        )
    if label == -1:
        return (True,) * num_steps
    return (*[True] * label, False, *[None] * (num_steps - label - 1))


def _are_right(
    values: Sequence[Any], num_steps: int, name: str, *, are_ratings: bool = False
) -> tuple[bool | None, ...]:
    """Read one value a step: true or false, a sign, a number from 0 to 1, or a rating -1, 0, 1 (where -1 occurs).

    A number is right from 0.5 on, a rating from 0, neutral, on. The values may end behind the first wrong step.
    """
    has_ratings = are_ratings or any(type(value) in (int, float) and value == -1 for value in values)
    are_right: list[bool | None] = []
    for number, value in enumerate(values):
        sign = value.strip() if isinstance(value, str) else value
        if value is None or isinstance(value, bool):
            are_right.append(value)
        elif isinstance(sign, str) and sign in _SIGNS:
            are_right.append(_SIGNS[sign])
        elif isinstance(value, int | float) and has_ratings and value in (-1, 0, 1):
            are_right.append(value >= 0)
        elif isinstance(value, int | float) and not has_ratings and 0 <= value <= 1:
            are_right.append(value >= _LEAST_RIGHT)
        else:
            raise DataError(f"{name}.{number}: expected true or false, + or -, or 0 to 1, found {value!r:.40}")
    num_left = num_steps - len(are_right)
    if num_left < 0 or (num_left and False not in are_right):
        raise DataError(f"{name}: expected one for each of {num_steps} steps, found {len(are_right)}")
    return (*are_right, *[None] * num_left)


def _steps(steps: Any, name: str = "steps") -> tuple[tuple[str, ...], tuple[bool | None, ...] | None]:
    """Read texts, or objects that hold a text and perhaps a rating (right unless -1) or a label."""
    if not isinstance(steps, list) or not all(isinstance(step, str | Mapping) for step in steps):
        raise DataError(f"expected a list of texts under {name!r}")
    objects = [step for step in steps if isinstance(step, Mapping)]
    if not objects:
        return tuple(steps), None
    if len(objects) < len(steps):
        raise DataError(f"{name}: expected texts or objects, found both")
    text_name = next((key for key in ("text", "step", "content") if key in objects[0]), "text")
    texts = tuple(
        require_text(step, text_name, f"{name}.{i}.{text_name}", may_be_blank=True) for i, step in enumerate(objects)
    )
    label_name = next((key for key in _LABELS_OF_ONE if any(key in step for step in objects)), None)
    if label_name is None:
        return texts, None
    values = [step.get(label_name) for step in objects]
    return texts, _are_right(values, len(texts), f"{name}.{label_name}", are_ratings=label_name == "rating")


def _trl(row: Mapping[str, Any]) -> StepLabels:
    if row.get("labels") is None:
        raise DataError("completions: expected 'labels' beside them, as without they may be whole answers")
    steps, _ = _steps(row["completions"], "completions")
    return StepLabels(question_of(row), steps, labels_of(row, len(steps)))


def _openr(row: Mapping[str, Any]) -> StepLabels:
    steps = tuple(step.strip() for step in require_text(row, "process").split(_OPENR_END) if step.strip())
    return StepLabels(question_of(row), steps, labels_of(row, len(steps)))


def _is_rlhflow(turns: Any) -> bool:
    return isinstance(turns, list) and any(
        isinstance(turn, Mapping) and str(turn.get("content", turn.get("value"))).strip() in _SIGNS for turn in turns
    )


def _rlhflow(conversation: Any, name: str) -> StepLabels:
    turns = read_turns(conversation, name)
    shown, signs = turns[::2], turns[1::2]
    for number, turn in enumerate(turns):
        expected = USER if number % 2 == 0 else ASSISTANT
        if turn.role != expected:
            raise DataError(f"{name}.{number}: expected a turn of the {expected}, found one of {turn.role}")
    first = max(_FIRST_STEP.finditer(shown[0].text), key=re.Match.start, default=None)
    if first is None:
        raise DataError(f"{name}.0: expected the question and behind it the first step, marked 'Step 1:'")
    question = shown[0].text[: first.start()].strip()
    steps = (shown[0].text[first.start() :].strip(), *(turn.text.strip() for turn in shown[1:]))
    are_right = _are_right([turn.text for turn in signs], len(signs), name)
    return StepLabels(question, steps, (*are_right, *[None] * (len(steps) - len(are_right))))


def _bigbench_mistake(row: Mapping[str, Any]) -> StepLabels:
    steps, ratings = _steps(row["steps"])
    if "mistake_index" not in row:
        return StepLabels(require_text(row, "input"), steps, labels_of(row, len(steps), ratings))
    index = -1 if row["mistake_index"] is None else row["mistake_index"]
    return StepLabels(require_text(row, "input"), steps, _up_to_first_error(index, len(steps), "label"))


def _cut_input(row: Mapping[str, Any]) -> tuple[str, list[str], str]:
    """Cut ``input`` into the question, the texts that a placeholder ends, and the rest."""
    shown, placeholder, others = require_text(row, "input").partition(PLACEHOLDER)
    start = shown.rfind("Step 1:")  # the last, as the question may speak of steps, too
    if start < 0 or not placeholder:
        raise DataError(f"input: expected a solution that begins with 'Step 1:', with {PLACEHOLDER!r} behind each step")
    *texts, rest = others.split(PLACEHOLDER)
    return shown[:start], [shown[start:], *texts], rest


def _openrlhf(row: Mapping[str, Any], name: str) -> StepLabels:
    question, texts, rest = _cut_input(row)
    are_right = _are_right(row[name], len(texts), name)
    return _joined(question, texts, rest, are_right)


def _math_shepherd(row: Mapping[str, Any]) -> StepLabels:
    question, texts, rest = _cut_input(row)
    label = require_text(row, "label")
    signs, at = "", len(question)
    for text in texts:
        at += len(text)
        signs += label[at : at + 1]
        at += 1
    signed = "".join(text + sign for text, sign in zip(texts, signs, strict=False))
    if len(signs) != len(texts) or question + signed + rest != label or not set(signs) <= _SIGNS.keys():
        raise DataError(f"label: expected the input with + or - in place of every {PLACEHOLDER!r}")
    return _joined(question, texts, rest, [_SIGNS[sign] for sign in signs])


def _joined(question: str, texts: Sequence[str], rest: str, are_right: Sequence[bool | None]) -> StepLabels:
    """Put a solution together; a last step that was cut off before its placeholder has no label."""
    steps = [text.strip() for text in (*texts, rest)]
    if not steps[-1]:
        steps.pop()
    return StepLabels(question.strip(), tuple(steps), (*are_right, *[None] * (len(steps) - len(are_right))))


def is_prm800k(row: Mapping[str, Any]) -> bool:
    """Whether a row is one of PRM800K."""
    return isinstance(row.get("question"), Mapping) and row.get("problem") is None


def read_prm800k(row: Mapping[str, Any]) -> Prm800k:
    """Check a row of PRM800K.

    Raises:
        DataError: naming the field and what was expected.
    """
    try:
        return Prm800k.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise DataError(f"{field}: {first['msg']} (expected a row of PRM800K)") from error


def _prm800k(row: Prm800k) -> StepLabels:
    """Follow the choices.

    Where none was made, labelling ended at the first error: there the first completion is the solution's own step. A
    step by the labeller's hand has no rating and is right, as it was asked for as one (README of PRM800K).
    """
    steps: list[str] = []
    are_right: list[bool | None] = []
    is_whole = row.label.finish_reason not in _UNFINISHED
    for level in row.label.steps:
        step = level.chosen or next((first for first in (level.completions or [])[:1] if first.rating == -1), None)
        if step is None:
            is_whole = False
            break
        steps.append(step.text)
        is_by_hand = step.rating is None and step is level.human_completion
        are_right.append(True if is_by_hand else None if step.rating is None else step.rating >= 0)
        if level.chosen is None:
            break
    return StepLabels(row.question.problem, tuple(steps), tuple(are_right), is_whole)
