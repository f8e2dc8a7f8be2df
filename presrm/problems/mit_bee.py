r"""Integrals, as of the MIT Integration Bee: the problem in LaTeX, its antiderivative or value as the answer."""

from collections.abc import Mapping
from typing import Any

from presrm.errors import RequestError
from presrm.formats.problems import problems_from_file, question_of, text_of
from presrm.types import Problem

_QUESTION = "Compute the integral ${problem}$. Give the result in \\boxed{{}}."


def load_mit_bee(
    path: str | None = None, *, split: str = "test", num: int | None = None, seed: int = 0
) -> list[Problem]:
    r"""Load integrals from `path`: JSON Lines or Parquet with ``problem`` (``\int ... dx``) and ``answer``.

    Raises:
        RequestError: if there is no path.
    """
    del split  # a file is what its owner says it is
    if path is None:
        raise RequestError("problem set 'mit_bee' needs a file: mit_bee:PATH")
    return problems_from_file(path, read_row, num=num, seed=seed)


def read_row(row: Mapping[str, Any], fallback_id: str) -> Problem:
    """Make a problem of an integral.

    Raises:
        ValueError: if integral or answer are missing.
    """
    answer = text_of(row, "answer")
    if answer is None:
        raise ValueError("no 'answer'")
    question = _QUESTION.format(problem=question_of(row, "problem"))
    return Problem(text_of(row, "id") or fallback_id, question, answer)
