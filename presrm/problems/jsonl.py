"""Problems of one's own: any JSON Lines or Parquet file with a question a row."""

from collections.abc import Mapping
from typing import Any

from presrm.errors import ConfigError
from presrm.formats.problems import problems_from_file, question_of, text_of
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
    """Make a problem of ``question``, ``problem`` or ``prompt``, and maybe ``answer``, ``solution``, ``id``, ``kind``.

    Raises:
        ValueError: if there is no question, or a field is no text.
    """
    question = question_of(row, "question", "problem", "prompt")
    kind = text_of(row, "kind") or "text"
    return Problem(text_of(row, "id") or fallback_id, question, text_of(row, "answer"), text_of(row, "solution"), kind)
