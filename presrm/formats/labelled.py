"""Step-labelled files -> labelled steps: PRM800K and Math-Shepherd, as JSON Lines."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from presrm.errors import DataError
from presrm.formats.solutions import Completion, read_math_shepherd, read_prm800k
from presrm.types import LabelledSteps, Problem, Step, Trajectory

_PROCESSBENCH = {"generator", "label", "steps"}


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
    except DataError as error:
        raise DataError(f"{where}: {error}") from error


def _prm800k(row: Mapping[str, Any], where: str) -> list[LabelledSteps]:
    read = read_prm800k(row)
    problem = Problem(where, read.question.problem, read.question.ground_truth_answer)
    prefix = Trajectory(problem)
    found = []
    for level in read.label.steps:
        completions = level.completions or []
        good, bad = (next((_line(c) for c in completions if c.rating == rating), None) for rating in (1, -1))
        if good is not None or bad is not None:
            found.append(LabelledSteps(prefix, good, bad))
        if level.chosen is None or level.chosen.rating == -1:
            break
        prefix = prefix.extend(_line(level.chosen))
    return found


def _line(completion: Completion) -> Step:
    return Step(completion.text + "\n")


def _math_shepherd(row: Mapping[str, Any], where: str) -> list[LabelledSteps]:
    read = read_math_shepherd(row)
    prefix = Trajectory(Problem(where, read.question))
    found = []
    for text, sign in zip(read.steps, read.signs, strict=False):
        step = Step(text + "\n")
        found.append(LabelledSteps(prefix, step if sign == "+" else None, step if sign == "-" else None))
        if sign == "-":
            break
        prefix = prefix.extend(step)
    return found
