"""Step-labelled files -> labelled steps to learn judging from."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from presrm.errors import DataError
from presrm.files.jsonl import BadRow
from presrm.files.tables import read_table
from presrm.formats.step_labels import Completion, is_prm800k, read_prm800k, read_step_labels
from presrm.types import LabelledSteps, Problem, Step, Trajectory

_PROCESSBENCH = {"generator", "label", "steps"}


def rows(path: Path) -> Iterator[LabelledSteps]:
    """Read labelled steps from a table in any format of `presrm.formats.step_labels`; each row shows which.

    PRM800K gives the alternatives rated 1 and -1 after one prefix (0, neutral, is neither). All others give single
    steps, up to the first that is wrong, or of which the row does not say whether it is.

    Raises:
        DataError: naming file, line, field and what was expected; also for rows without labels, and for rows of
            ProcessBench, which is for measuring only.
    """
    for row in read_table(path):
        where = f"{path}, line {row.line}"
        if isinstance(row, BadRow):
            raise DataError(f"{where}: {row.reason}")
        try:
            yield from _read(row.value, where)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def _read(row: Mapping[str, Any], where: str) -> list[LabelledSteps]:
    if row.keys() >= _PROCESSBENCH or "final_answer_correct" in row:
        raise DataError("this looks like a row of ProcessBench, which is for measuring only, never for training")
    if is_prm800k(row):
        return _alternatives(row, where)
    read = read_step_labels(row)
    if read is None or all(is_right is None for is_right in read.are_right):
        raise DataError("expected steps with labels")
    prefix = Trajectory(Problem(where, read.question))
    found = []
    for text, is_right in zip(read.steps, read.are_right, strict=True):
        if is_right is None:
            break
        step = _step(text)
        found.append(LabelledSteps(prefix, step if is_right else None, None if is_right else step))
        if not is_right:
            break
        prefix = prefix.extend(step)
    return found


def _alternatives(row: Mapping[str, Any], where: str) -> list[LabelledSteps]:
    read = read_prm800k(row)
    prefix = Trajectory(Problem(where, read.question.problem, read.question.ground_truth_answer))
    found = []
    for level in read.label.steps:
        completions = level.completions or []
        good, bad = (_first_rated(completions, rating) for rating in (1, -1))
        if good is not None or bad is not None:
            found.append(LabelledSteps(prefix, good, bad))
        if level.chosen is None or level.chosen.rating == -1:
            break
        prefix = prefix.extend(_step(level.chosen.text))
    return found


def _first_rated(completions: list[Completion], rating: int) -> Step | None:
    return next((_step(completion.text) for completion in completions if completion.rating == rating), None)


def _step(text: str) -> Step:
    """Delimit a step; steps of a list mostly come without their delimiters."""
    return Step(text if text[-1:].isspace() else text + "\n")
