"""Step-labelled files -> labelled steps: PRM800K and Math-Shepherd, as JSON Lines."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from presrm.errors import DataError
from presrm.training.eft import LabelledSteps
from presrm.types import Problem, Step, Trajectory

_PLACEHOLDER = "ки"
_PROCESSBENCH = {"generator", "label", "steps"}


class _Completion(BaseModel):
    text: str
    rating: Literal[-1, 0, 1] | None = None


class _Level(BaseModel):
    completions: list[_Completion] | None = None
    chosen_completion: int | None = None
    human_completion: _Completion | None = None


class _Label(BaseModel):
    steps: list[_Level]


class _Question(BaseModel):
    problem: str
    ground_truth_answer: str | None = None


class _Prm800k(BaseModel):
    question: _Question
    label: _Label


class _MathShepherd(BaseModel):
    input: str
    label: str


def rows(path: Path) -> Iterator[LabelledSteps]:
    """Read labelled steps from a file in the format of PRM800K or of Math-Shepherd; each row shows which.

    PRM800K gives the alternatives rated 1 and -1 after one prefix (0, neutral, is neither). Math-Shepherd gives
    single steps, up to the first wrong one.

    Raises:
        DataError: naming file, line, field and what was expected; also for rows of ProcessBench, which is for measuring
            only.
    """
    if not path.is_file():
        raise DataError(f"seed_stage.eft_path: no file {str(path)!r}")
    is_empty = True
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                is_empty = False
                yield from _read(line, f"{path}, line {number}")
    if is_empty:
        raise DataError(f"{path} is empty: expected step-labelled rows")


def _read(line: bytes, where: str) -> list[LabelledSteps]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected an object, found {type(row).__name__}")
    if row.keys() >= _PROCESSBENCH or "final_answer_correct" in row:
        raise DataError(
            f"{where}: this looks like a row of ProcessBench, which is for measuring only, never for training"
        )
    try:
        return _math_shepherd(row, where) if "input" in row else _prm800k(row, where)
    except ValidationError as error:
        details = error.errors()[0]
        key = ".".join(map(str, details["loc"]))
        raise DataError(f"{where}: {key}: {details['msg']} (expected a row of PRM800K or Math-Shepherd)") from error


def _prm800k(row: Mapping[str, Any], where: str) -> list[LabelledSteps]:
    read = _Prm800k.model_validate(row)
    problem = Problem(where, read.question.problem, read.question.ground_truth_answer)
    prefix = Trajectory(problem)
    found = []
    for level in read.label.steps:
        completions = level.completions or []
        good, bad = (next((_line(c) for c in completions if c.rating == rating), None) for rating in (1, -1))
        if good is not None or bad is not None:
            found.append(LabelledSteps(prefix, good, bad))
        chosen = level.human_completion
        if level.chosen_completion is not None:
            if not 0 <= level.chosen_completion < len(completions):
                raise DataError(f"{where}: label.steps.chosen_completion: no completion {level.chosen_completion}")
            chosen = completions[level.chosen_completion]
        if chosen is None or chosen.rating == -1:
            break
        prefix = prefix.extend(_line(chosen))
    return found


def _line(completion: _Completion) -> Step:
    return Step(completion.text + "\n")


def _math_shepherd(row: Mapping[str, Any], where: str) -> list[LabelledSteps]:
    read = _MathShepherd.model_validate(row)
    question, mark, solution = read.input.partition("Step 1:")
    if not mark:
        raise DataError(f"{where}: input: expected a solution that begins with 'Step 1:'")
    *texts, rest = (mark + solution).split(_PLACEHOLDER)
    marks, at = [], len(question)
    for text in texts:
        at += len(text)
        marks.append(read.label[at : at + 1])
        at += 1
    rebuilt = question + "".join(text + sign for text, sign in zip(texts, marks, strict=True)) + rest
    if rebuilt != read.label or not set(marks) <= {"+", "-"}:
        raise DataError(f"{where}: label: expected the input with + or - in place of every {_PLACEHOLDER!r}")
    prefix = Trajectory(Problem(where, question.strip()))
    found = []
    for text, sign in zip(texts, marks, strict=True):
        step = Step(text.strip() + "\n")
        found.append(LabelledSteps(prefix, step if sign == "+" else None, step if sign == "-" else None))
        if sign == "-":
            break
        prefix = prefix.extend(step)
    return found
