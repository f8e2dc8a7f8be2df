"""Countdown: use every number once, with + - * / and brackets, to reach a target. Game of 24 is one of its kind."""

import json
from collections.abc import Mapping
from typing import Any

from presrm.errors import RequestError
from presrm.formats.problems import problems_from_file, text_of
from presrm.types import Problem

_QUESTION = (
    "Using each of the numbers {numbers} exactly once, with + - * / and brackets, write an expression that equals "
    "{target}. Give the expression in \\boxed{{}}."
)


def load_countdown(
    path: str | None = None, *, split: str = "test", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Load puzzles from `path`: JSON Lines or Parquet with ``numbers`` and ``target`` (or ``nums`` and ``target``).

    Raises:
        RequestError: if there is no path.
    """
    del split  # a file is what its owner says it is
    if path is None:
        raise RequestError("problem set 'countdown' needs a file: countdown:PATH")
    return problems_from_file(path, read_row, num=num, seed=seed)


def read_row(row: Mapping[str, Any], fallback_id: str) -> Problem:
    """Make a problem of a puzzle; its answer says numbers and target, as the grader ``countdown`` reads them.

    Raises:
        ValueError: if numbers or target are missing, or no whole numbers.
    """
    numbers, target = row.get("numbers", row.get("nums")), row.get("target")
    if not isinstance(numbers, list) or not numbers or not all(type(number) is int for number in [*numbers, target]):
        raise ValueError("expected whole numbers under 'numbers' and 'target'")
    shown = ", ".join(map(str, numbers))
    answer = json.dumps({"numbers": numbers, "target": target})
    return Problem(
        text_of(row, "id") or fallback_id,
        _QUESTION.format(numbers=shown, target=target),
        answer,
        text_of(row, "solution"),
    )
