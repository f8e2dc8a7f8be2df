"""Answers to one question that people put in order, best first: what Self-Rewarding LMs begin with.

```
{"question": "Why is the sky blue?", "answers": ["Air scatters blue light most.", "It just is."]}
```
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from presrm.errors import DataError
from presrm.files.jsonl import BadRow
from presrm.files.tables import read_table
from presrm.formats.fields import check_text, name_kind_of, question_of
from presrm.types import Problem


@dataclass(frozen=True, slots=True)
class RankedAnswers:
    """A question and two answers or more, best first."""

    problem: Problem
    answers: tuple[str, ...]


def ranked_rows(path: Path) -> Iterator[RankedAnswers]:
    """Read a table of ranked answers; the best one is the problem's reference solution.

    Raises:
        DataError: naming file, line, field and what was expected.
    """
    if not path.is_file():
        raise DataError(f"no file {str(path)!r}")
    for row in read_table(path):
        where = f"{path}, line {row.line}"
        if isinstance(row, BadRow):
            raise DataError(f"{where}: {row.reason}")
        try:
            yield read_row(row.value, f"{path.stem}/{row.line}")
        except DataError as error:
            raise DataError(f"{where}: {error}") from error


def read_row(row: Mapping[str, Any], name: str) -> RankedAnswers:
    """Read one row; `name` is the problem's id.

    Raises:
        DataError: naming the field, and what was expected.
    """
    answers = row.get("answers")
    if not isinstance(answers, list) or not all(isinstance(answer, str) for answer in answers):
        raise DataError(f"answers: expected a list of texts, best first, found {name_kind_of(row, 'answers')}")
    for number, answer in enumerate(answers):
        check_text(answer, f"answers[{number}]")
    if len(set(answers)) < max(2, len(answers)):
        raise DataError("answers: expected two or more, all different")
    return RankedAnswers(Problem(name, question_of(row), solution=answers[0]), tuple(answers))
