"""Problem sets. How to add one: write a function and name it.

The function is ``(path, *, split, num, seed, **options) -> list[Problem]``. ``path`` is what stands behind the colon of
a source (``gsm8k:train.jsonl``), or none; ``split`` is ``train`` or ``test``; ``num`` limits the problems, and a larger
``num`` gives the same ones and more; ``seed`` decides which. Register it with ``@PROBLEMS.register("mine")``, or under
the entry-point group ``presrm.problems``.
"""

from pathlib import Path
from typing import Any, Literal

from presrm.errors import DataError, UnknownNameError, boundary
from presrm.formats.fields import check_text
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
        DataError: if there is nothing to load, saying why; or if the problem set gives anything but a list of problems
            with text for their texts and an id of its own for each.
    """
    name, path = split_source(source)
    culprit = f"problem set {name!r}"
    with boundary(DataError, culprit):
        problems = PROBLEMS.create(name, path=path, split=split, num=num, seed=seed, **options)
    if not isinstance(problems, list | tuple):
        raise DataError(f"{culprit} gave {problems!r:.80}: expected a list of Problem")
    if not problems:
        raise DataError(f"{source}: no problems")
    seen: set[str] = set()
    for number, problem in enumerate(problems, 1):
        try:
            _check_problem(problem)
        except DataError as error:
            raise DataError(f"{culprit}, problem {number} of {len(problems)}: {error}") from error
        if problem.id in seen:
            raise DataError(f"{culprit} has several problems with the id {problem.id!r:.80}")
        seen.add(problem.id)
    return list(problems)


def _check_problem(problem: object) -> None:
    """Refuse what is no problem, or has something else than text where text belongs."""
    if not isinstance(problem, Problem):
        raise DataError(f"expected a Problem, found {problem!r:.80}")
    for field in ("id", "question", "kind", "answer", "solution", "system"):
        text = getattr(problem, field)
        if text is None and field in ("answer", "solution", "system"):
            continue
        if not isinstance(text, str):
            raise DataError(f"{field}: expected text, found {text!r:.80}")
        check_text(text, field)


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
