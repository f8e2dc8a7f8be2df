"""GSM8K (arXiv 2110.14168): grade-school word problems; one step a line, the answer behind ``####``."""

from collections.abc import Mapping
from typing import Any

from presrm.answers.find import after_hashes
from presrm.formats.problems import problems_from_file, problems_from_hub, question_of, sample, text_of
from presrm.types import Problem


def load_gsm8k(
    path: str | None = None, *, split: str = "train", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Load GSM8K from `path` (JSON Lines or Parquet) or from the Hub.

    A problem's solution keeps the calculator annotations (``<<48/2=24>>``): the seed stage reads and removes them.
    """
    if path is not None:
        return problems_from_file(path, read_row, num=num, seed=seed)
    return sample(problems_from_hub("openai/gsm8k", ("main",), split, read_row, "gsm8k"), num, seed)


def read_row(row: Mapping[str, Any], fallback_id: str) -> Problem:
    """Make a problem of a row with ``question`` and ``answer``.

    Raises:
        ValueError: if a field is missing, or nothing stands behind a ``####``.
    """
    question = question_of(row, "question")
    solution = question_of(row, "answer")
    answer = after_hashes(solution)
    if not answer:
        raise ValueError("answer: no '#### <number>' at its end")
    return Problem(text_of(row, "id") or fallback_id, question, answer.replace(",", ""), solution)
