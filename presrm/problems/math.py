r"""MATH (arXiv 2103.03874): competition problems; the answer stands in the last ``\boxed{}`` of the solution."""

from collections.abc import Mapping
from typing import Any

from presrm.answers.find import last_boxed
from presrm.formats.problems import problems_from_file, problems_from_hub, question_of, sample, text_of
from presrm.types import Problem

_SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)


def load_math(path: str | None = None, *, split: str = "train", num: int | None = None, seed: int = 0) -> list[Problem]:
    """Load MATH from `path` (JSON Lines or Parquet) or from the Hub."""
    if path is not None:
        return problems_from_file(path, read_row, num=num, seed=seed)
    return sample(problems_from_hub("EleutherAI/hendrycks_math", _SUBJECTS, split, read_row, "math"), num, seed)


def read_row(row: Mapping[str, Any], fallback_id: str) -> Problem:
    r"""Make a problem of a row with ``problem``, ``solution`` and maybe ``answer``.

    Raises:
        ValueError: if a field is missing, or there is neither an answer nor a ``\boxed{}``.
    """
    solution = text_of(row, "solution")
    answer = text_of(row, "answer") or (last_boxed(solution) if solution else None)
    if not answer:
        raise ValueError("no 'answer', and no \\boxed{} in 'solution'")
    name = text_of(row, "unique_id", "id") or fallback_id
    return Problem(name, question_of(row, "problem", "question"), answer, solution)
