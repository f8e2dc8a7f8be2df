"""Problem sets. How to add one: write a function and name it.

The function is ``(path, *, split, num, seed, **options) -> list[Problem]``. ``path`` is what stands behind the colon of
a source (``gsm8k:train.jsonl``), or none; ``split`` is ``train`` or ``test``; ``num`` limits the problems, and a larger
``num`` gives the same ones and more; ``seed`` decides which. Register it with ``@PROBLEMS.register("mine")``, or under
the entry-point group ``presrm.problems``.
"""

from pathlib import Path
from typing import Any, Literal

from presrm.errors import DataError, UnknownNameError, boundary
from presrm.registry import Registry, nearest, split_code
from presrm.types import Problem

PROBLEMS: Registry[list[Problem]] = Registry(
    "problem set",
    {
        "aime24": "presrm.problems.competition:load_aime24",
        "amc23": "presrm.problems.competition:load_amc23",
        "arithmetic": "presrm.problems.arithmetic:load_arithmetic",
        "countdown": "presrm.problems.countdown:load_countdown",
        "gaokao2023en": "presrm.problems.competition:load_gaokao2023en",
        "gsm8k": "presrm.problems.gsm8k:load_gsm8k",
        "integrals": "presrm.problems.integrals:load_integrals",
        "judge": "presrm.judging.problems:load_judge",
        "jsonl": "presrm.problems.jsonl:load_jsonl",
        "math": "presrm.problems.math:load_math",
        "math500": "presrm.problems.competition:load_math500",
        "mit_bee": "presrm.problems.mit_bee:load_mit_bee",
        "numina": "presrm.problems.numina:load_numina",
        "olympiadbench": "presrm.problems.competition:load_olympiadbench",
        "ranked": "presrm.problems.ranked:load_ranked",
        "reasoning-gym": "presrm.problems.reasoning_gym:load_reasoning_gym",
    },
    group="presrm.problems",
)

RECOGNISERS: Registry[Problem | str] = Registry(
    "recogniser",
    {"countdown": "presrm.problems.countdown:recognise", "integral": "presrm.problems.integrals:recognise"},
    group="presrm.recognisers",
)
"""By kind of problem: a function that reads a question of that kind, see `presrm.writing.writer.Recognise`."""


def load_problems(
    source: str, *, split: Literal["train", "test"], num: int | None = None, seed: int = 0, **options: Any
) -> list[Problem]:
    """Load problems from ``name``, ``name:PATH``, or the path of a file of rows.

    Raises:
        UnknownNameError: if `source` is neither; naming the nearest problem set.
        DataError: if there is nothing to load, saying why.
    """
    name, path = split_source(source)
    with boundary(DataError, f"problem set {name!r}"):
        problems = PROBLEMS.create(name, path=path, split=split, num=num, seed=seed, **options)
    if not problems:
        raise DataError(f"{source}: no problems")
    return problems


def split_source(source: str) -> tuple[str, str | None]:
    """Cut a source into the name of a problem set, or of code that makes one, and the path behind it.

    Raises:
        UnknownNameError: if there is no such problem set, and `source` is no file either.
    """
    name, _, path = source.partition(":")
    if name in PROBLEMS:
        return name, path or None
    if _exists(source):
        return "jsonl", source
    code = split_code(source)
    if code is None:
        is_path = "/" in source or Path(source).suffix
        known = "" if is_path else f"; {nearest(name, PROBLEMS.names())}"
        raise UnknownNameError(f"{source[:80]!r} is neither a file nor a problem set{known}")
    return code


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # longer than a name may be, as of a question passed for a file
        return False
