"""Rows -> problems: what the problem sets that are read from files have in common."""

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice
from pathlib import Path
from typing import Any

from presrm.errors import DataError, counted
from presrm.files.jsonl import BadRow, NoGoodRowError, explain_rejected
from presrm.files.tables import read_table
from presrm.formats.fields import check_text
from presrm.types import Problem

logger = logging.getLogger(__name__)

_set_aside: ContextVar[dict[str, list[BadRow]] | None] = ContextVar("set_aside", default=None)

Reader = Callable[[Mapping[str, Any], str], Problem | None]
"""Makes a problem from a row and a fallback id, gives none for a row that was not asked for, or raises ValueError."""


@contextmanager
def collect_rejected() -> Iterator[dict[str, list[BadRow]]]:
    """Give the rows that problem sets set aside while the block runs, by file; outside of it they are only logged."""
    rejected: dict[str, list[BadRow]] = {}
    token = _set_aside.set(rejected)
    try:
        yield rejected
    finally:
        _set_aside.reset(token)


def problems_from_file(path: str, read: Reader, *, num: int | None, seed: int) -> list[Problem]:
    """Read the problems of a table (JSON Lines, JSON, CSV, Parquet); bad rows are set aside and counted.

    Args:
        path: The file.
        read: Reads a row; the ValueError of a bad one says what is wrong.
        num: How many, drawn by `seed`; a larger number gives the same ones and more. None: all, in the file's order.
        seed: Decides the draw.

    Raises:
        DataError: if the file cannot be read, or no row is good.
    """
    stem = Path(path).stem
    rows = (
        (row.line, f"{stem}/{row.line}", row if isinstance(row, BadRow) else row.value)
        for row in read_table(Path(path))
    )
    return sample(_good(path, rows, read), num, seed)


def _good(
    source: str,
    rows: Iterable[tuple[int, str, Mapping[str, Any] | BadRow]],
    read: Reader,
) -> list[Problem]:
    """Read (line, fallback id, row) triples; bad rows and later rows of an id already seen are set aside."""
    problems: dict[str, Problem] = {}
    rejected: list[BadRow] = []
    num_left_out = 0
    for line, fallback_id, row in rows:
        try:
            if isinstance(row, BadRow):
                raise ValueError(row.reason)
            problem = read(row, fallback_id)
            if problem is None:
                num_left_out += 1
            elif problems.setdefault(problem.id, problem) is not problem:
                raise ValueError(f"id {problem.id!r} stands in an earlier row")
        except ValueError as error:
            rejected.append(BadRow(line, str(error), ""))
    if num_left_out:
        logger.info("%s: %s left out, as not asked for", source, counted(num_left_out, "row"))
    if num_left_out and not problems:
        raise DataError(f"{source}: no row is left: {num_left_out} were not asked for, {len(rejected)} are bad")
    if not problems:
        raise NoGoodRowError(source, rejected) if rejected else DataError(f"{source} is empty")
    _report_rejected(source, rejected)
    return list(problems.values())


def _report_rejected(source: str, rejected: list[BadRow]) -> None:
    collected = _set_aside.get()
    if collected is not None:
        collected[source] = rejected
    elif rejected:
        logger.warning("%s: %s set aside; %s", source, counted(len(rejected), "row"), explain_rejected(rejected))


def sample(problems: list[Problem], num: int | None, seed: int) -> list[Problem]:
    """Draw `num` problems; a larger number gives the same ones and more."""
    if num is None:
        return problems
    return list(islice(random.Random(seed).sample(problems, len(problems)), num))


def text_of(row: Mapping[str, Any], *names: str) -> str | None:
    """The first of several fields that a row has, which must be text or a number.

    Raises:
        ValueError: if it is something else, blank, or holds half a surrogate pair, which no tokenizer takes.
    """
    for name in names:
        value = row.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{name}: expected text, found {type(value).__name__}")
        text = str(value)
        check_text(text, name)
        return text
    return None


def question_of(row: Mapping[str, Any], *names: str) -> str:
    """The question of a row.

    Raises:
        ValueError: if there is none.
    """
    question = text_of(row, *names)
    if question is None:
        raise ValueError(f"no {' or '.join(repr(name) for name in names)}")
    return question


def problems_from_hub(name: str, configs: tuple[str | None, ...], split: str, read: Reader, flag: str) -> list[Problem]:
    """Load a data set from the Hub; bad rows are set aside and counted.

    Raises:
        DataError: if it cannot be reached, saying how to pass a local file instead, or no row is good.
    """
    return _good(name, _hub_rows(name, configs, split, flag), read)


def _hub_rows(
    name: str, configs: tuple[str | None, ...], split: str, flag: str
) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    from datasets import load_dataset

    for config in configs:
        try:
            rows = load_dataset(name, config, split=split)
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"cannot load {name} from the Hub ({reason:.120}); pass a local file: {flag}:PATH"
            ) from error
        for number, row in enumerate(rows):
            yield number + 1, f"{name}/{config}/{split}/{number}", row
