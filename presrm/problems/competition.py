r"""Test sets of competition problems, with the answer in its own field; the paper reports on all of them but MATH-500.

MATH-500 (of arXiv 2305.20050), AIME 2024, AMC 2023, Gaokao 2023 in English (arXiv 2309.17452 has its kind) and
OlympiadBench (arXiv 2402.14008; open-ended, text only, English mathematics).
"""

from collections.abc import Mapping
from typing import Any

from presrm.errors import RequestError
from presrm.formats.problems import problems_from_file, problems_from_hub, question_of, sample, text_of
from presrm.types import Problem


def load_math500(
    path: str | None = None, *, split: str = "test", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Load MATH-500 from `path` or from the Hub."""
    return _load("math500", path, split, num, seed, hub="HuggingFaceH4/MATH-500")


def load_aime24(
    path: str | None = None, *, split: str = "test", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Load AIME 2024 from `path` or from the Hub, where all of it stands in the split "train"."""
    del split
    return _load("aime24", path, "train", num, seed, hub="HuggingFaceH4/aime_2024")


def load_amc23(path: str | None = None, *, split: str = "test", num: int | None = None, seed: int = 0) -> list[Problem]:
    """Load AMC 2023 from `path` or from the Hub."""
    return _load("amc23", path, split, num, seed, hub="math-ai/amc23")


def load_gaokao2023en(
    path: str | None = None, *, split: str = "test", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Load Gaokao 2023 (English) from `path`."""
    return _load("gaokao2023en", path, split, num, seed)


def load_olympiadbench(
    path: str | None = None, *, split: str = "test", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Load OlympiadBench from `path`."""
    return _load("olympiadbench", path, split, num, seed)


def read_row(row: Mapping[str, Any], fallback_id: str) -> Problem:
    """Make a problem of a row with ``problem`` or ``question``, and ``answer``: text, a number, or a list of texts.

    OlympiadBench's ``error`` is how far a number may be off.

    Raises:
        ValueError: if one is missing or something else.
    """
    question = question_of(row, "problem", "question")
    answer = row.get("answer")
    if isinstance(answer, list):
        texts = [text_of({"answer": part}, "answer") for part in answer]
        if not texts or None in texts:
            raise ValueError("answer: expected text or a list of texts")
        answer = ", ".join(text for text in texts if text is not None)
    else:
        answer = text_of(row, "answer")
    if answer is None:
        raise ValueError("no 'answer'")
    if tolerance := text_of(row, "error"):
        answer += f" (tolerance {float(tolerance):g})"  # as the grader `math` reads it
    return Problem(text_of(row, "unique_id", "id") or fallback_id, question, answer, text_of(row, "solution"))


def _load(name: str, path: str | None, split: str, num: int | None, seed: int, hub: str | None = None) -> list[Problem]:
    if path is not None:
        return problems_from_file(path, read_row, num=num, seed=seed)
    if hub is None:
        raise RequestError(f"problem set {name!r} needs a file: {name}:PATH")
    return sample(problems_from_hub(hub, (None,), split, read_row, name), num, seed)
