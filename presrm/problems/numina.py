r"""NuminaMath-CoT: competition and school problems; the answer stands in the last ``\boxed{}`` of the solution."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from presrm.answers.find import last_boxed
from presrm.errors import ConfigError
from presrm.formats.problems import problems_from_file, problems_from_hub, question_of, sample, text_of
from presrm.types import Problem


def load_numina(
    path: str | None = None,
    *,
    split: str = "train",
    num: int | None = None,
    seed: int = 0,
    sources: Collection[str] | None = None,
) -> list[Problem]:
    """Load NuminaMath-CoT from `path` (JSON Lines or Parquet) or from the Hub.

    Args:
        path: A file of its rows, or none for the Hub.
        split: Of the Hub's data set.
        num: How many problems; a larger number gives the same ones and more.
        seed: Decides which.
        sources: The ``source`` values to keep, as ``[cn_k12, olympiads]``; none: all.

    Raises:
        ConfigError: if `sources` is no list of names.
    """
    if sources is not None and (isinstance(sources, str) or not all(isinstance(name, str) for name in sources)):
        raise ConfigError(f"problem set 'numina': sources: expected a list of names, found {sources!r:.80}")
    read = partial(read_row, sources=sources)
    if path is not None:
        return problems_from_file(path, read, num=num, seed=seed)
    return sample(problems_from_hub("AI-MO/NuminaMath-CoT", ("default",), split, read, "numina"), num, seed)


def read_row(row: Mapping[str, Any], fallback_id: str, sources: Collection[str] | None = None) -> Problem | None:
    r"""Make a problem of a row with ``problem``, ``solution`` and ``source``; none if the source is not to be kept.

    Where ``presrm split --segmenter model`` has added ``segmented``, that is the solution.

    Raises:
        ValueError: if a field is missing, the solution has no ``\boxed{}`` (proofs).
    """
    source = text_of(row, "source")
    if sources is not None and source not in sources:
        return None
    question = question_of(row, "problem")
    solution = text_of(row, "segmented", "solution")
    answer = last_boxed(solution) if solution else None
    if not answer:
        raise ValueError("no \\boxed{} in 'solution'")
    return Problem(text_of(row, "id") or fallback_id, question, answer, solution)
