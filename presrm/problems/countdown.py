"""Countdown: use every number once, with + - * / and brackets, to reach a target. Game of 24 is one of its kind."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from typing import Annotated, Any

from pydantic import Field

from presrm.formats.problems import problems_from_file, text_of
from presrm.seeding import derive_seed
from presrm.types import Problem

_QUESTION = (
    "Using each of the numbers {numbers} exactly once, with + - * / and brackets, write an expression that equals "
    "{target}. Give the expression in \\boxed{{}}."
)


_ASKED = re.compile(
    re.escape(_QUESTION.format(numbers="@", target="#"))
    .replace("@", r"(\d{1,4}(?:, \d{1,4})*)")
    .replace("\\#", r"(\d{1,6})")
)
_MOST_NUMBERS = 5


def load_countdown(
    path: str | None = None,
    *,
    split: str = "test",
    num: int | None = None,
    seed: int = 0,
    num_numbers: Annotated[tuple[int, ...], Field(min_length=1)] = (3, 4),
    largest: Annotated[int, Field(ge=4, le=999)] = 25,
) -> list[Problem]:
    """Load puzzles from `path`: JSON Lines or Parquet with ``numbers`` and ``target`` (or ``nums`` and ``target``).

    Without a path, make puzzles from the seed, all different and solvable: 500 unless told. The more numbers, the
    harder.

    Args:
        path: The file, or none.
        split: Of puzzles that are made; a file is what its owner says it is.
        num: How many.
        seed: Of what is drawn.
        num_numbers: How many numbers puzzles have that are made, in turn; 2 to 5.
        largest: The largest of their numbers; targets go to four times that.

    >>> load_countdown(num=2)[1].id
    'countdown:3,12,14,16=29'
    """
    if path is not None:
        return problems_from_file(path, read_row, num=num, seed=seed)
    if not all(2 <= count <= _MOST_NUMBERS for count in num_numbers):
        raise ValueError(f"num_numbers {num_numbers}: puzzles have 2 to {_MOST_NUMBERS} numbers")
    rng = random.Random(derive_seed("countdown", split, seed))
    made: dict[str, Problem] = {}
    while len(made) < (500 if num is None else num):
        problem = _make(rng, num_numbers[len(made) % len(num_numbers)], largest)
        made.setdefault(problem.id, problem)
    return list(made.values())


def recognise(question: str) -> Problem | str:
    """Read a question in the words of this problem set; else ``ill_formed``, or ``unsolvable``."""
    asked = _ASKED.fullmatch(question.strip())
    if asked is None or not 2 <= len(numbers := [int(number) for number in asked[1].split(", ")]) <= _MOST_NUMBERS:
        return "ill_formed"
    target = int(asked[2])
    return _problem(numbers, target) if Fraction(target) in _reachable(tuple(sorted(numbers))) else "unsolvable"


def _make(rng: random.Random, count: int, largest: int) -> Problem:
    """Draw numbers, and a target that whole numbers above 0 lead to."""
    while True:
        numbers = [rng.randint(1, largest) for _ in range(count)]
        values = [(number, str(number)) for number in numbers]
        while len(values) > 1:
            (left, left_text), (right, right_text) = (values.pop(rng.randrange(len(values))) for _ in range(2))
            operator = rng.choice("+-*" + "/" * (right > 0 and left % right == 0))
            value = {"+": left + right, "-": left - right, "*": left * right, "/": left // max(right, 1)}[operator]
            values.append((value, f"({left_text} {operator} {right_text})"))
            if value < 1:
                break
        else:
            if values[0][0] <= 4 * largest:
                return _problem(numbers, values[0][0], f"\\boxed{{{values[0][1][1:-1]}}}")


def _problem(numbers: Sequence[int], target: int, solution: str | None = None) -> Problem:
    question = _QUESTION.format(numbers=", ".join(map(str, numbers)), target=target)
    name = f"countdown:{','.join(map(str, sorted(numbers)))}={target}"
    return Problem(name, question, json.dumps({"numbers": list(numbers), "target": target}), solution, "countdown")


@lru_cache(maxsize=4096)
def _reachable(numbers: tuple[int, ...]) -> frozenset[Fraction]:
    """All values of expressions that use every one of some numbers (sorted) once."""
    if len(numbers) == 1:
        return frozenset({Fraction(numbers[0])})
    found: set[Fraction] = set()
    places = range(1, len(numbers))
    for size in range(len(numbers)):
        for others in combinations(places, size):
            if size == len(numbers) - 1:
                continue
            mine = tuple(numbers[i] for i in (0, *others))
            rest = tuple(numbers[i] for i in places if i not in others)
            for a in _reachable(mine):
                for b in _reachable(rest):
                    found |= {a + b, a - b, b - a, a * b}
                    if b:
                        found.add(a / b)
                    if a:
                        found.add(b / a)
    return frozenset(found)


def read_row(row: Mapping[str, Any], fallback_id: str) -> Problem:
    """Make a problem of a puzzle; its answer says numbers and target, as the grader ``countdown`` reads them.

    Raises:
        ValueError: if numbers or target are missing, or no whole numbers.
    """
    numbers, target = row.get("numbers", row.get("nums")), row.get("target")
    if not isinstance(numbers, list) or not numbers or not all(type(number) is int for number in [*numbers, target]):
        raise ValueError("expected whole numbers under 'numbers' and 'target'")
    shown = ", ".join(map(str, numbers))
    answer = json.dumps({"numbers": numbers, "target": target})
    return Problem(
        text_of(row, "id") or fallback_id,
        _QUESTION.format(numbers=shown, target=target),
        answer,
        text_of(row, "solution"),
        "countdown",
    )
