"""Problems of one's own: any file with a question a row."""

from collections.abc import Mapping
from typing import Any

from presrm.errors import ConfigError
from presrm.formats.fields import question_of, worked_answer
from presrm.formats.problems import problems_from_file, text_of
from presrm.types import Problem


def load_jsonl(
    path: str | None = None, *, split: str = "train", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Load the problems of `path`.

    Raises:
        ConfigError: if there is no path.
    """
    del split  # a file is what its owner says it is
    if path is None:
        raise ConfigError("problem set 'jsonl' needs a file: jsonl:PATH")
    return problems_from_file(path, read_row, num=num, seed=seed)


def read_row(row: Mapping[str, Any], fallback_id: str) -> Problem:
    """Make a problem of ``problem``, ``question`` or ``prompt``, and maybe ``answer``, ``solution``, ``id``, ``kind``.

    An ``answer`` that is a whole solution, as in GSM8K, is the solution, and what stands behind ``####`` the answer.

    Raises:
        ValueError: if there is no question, or a field is no text.
    """
    question = question_of(row)
    solution, answer = text_of(row, "solution"), text_of(row, "answer")
    if worked := worked_answer(row):
        solution, answer = solution or worked[0], worked[1].replace(",", "")
    return Problem(text_of(row, "id") or fallback_id, question, answer, solution, text_of(row, "kind") or "text")
