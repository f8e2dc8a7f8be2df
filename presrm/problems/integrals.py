r"""Integrals made from a seed, in levels: antiderivatives are drawn and differentiated, so that each can be solved."""

import random
import re
from functools import cache
from typing import Annotated, Any

from pydantic import Field

from presrm.answers.worker import Worker
from presrm.errors import ConfigError
from presrm.graders.integral import parse_expression
from presrm.seeding import derive_seed
from presrm.types import Problem

_QUESTION = "Compute the integral ${integral}$. Give the result in \\boxed{{}}."
_ASKED = re.compile(r"Compute the integral \$\\int (.{1,400}) \\, dx\$\. Give the result in \\boxed\{\}\.")
_LEVELS = 4


def load_integrals(
    path: str | None = None,
    *,
    split: str = "train",
    num: int | None = None,
    seed: int = 0,
    levels: Annotated[tuple[Annotated[int, Field(ge=1, le=_LEVELS)], ...], Field(min_length=1)] = (1, 2, 3, 4),
) -> list[Problem]:
    r"""Make `num` indefinite integrals (200 unless told), all different; more problems begin with the fewer.

    Args:
        path: None: these problems come from no file (`mit_bee` reads one).
        split: Decides which.
        num: How many.
        seed: Decides which.
        levels: In turn. 1: powers of x; 2: sines, cosines and exponentials of multiples of x, too; 3: products of a
            power with one of them, which take integration by parts; 4: one of them at a power of x, times what the
            substitution needs.

    Raises:
        ConfigError: if a path is given.

    >>> load_integrals(num=1)[0].question
    'Compute the integral $\\int - 30 x^{5} + 21 x^{2} \\, dx$. Give the result in \\boxed{}.'
    """
    if path is not None:
        raise ConfigError(f"integrals are made, not read: leave out {path!r}, or name mit_bee:{path}")
    from sympy import Symbol, latex

    x, rng = Symbol("x", real=True), random.Random(derive_seed("integrals", split, seed))
    made: dict[str, Problem] = {}
    while len(made) < (200 if num is None else num):
        antiderivative = _draw(rng, x, levels[len(made) % len(levels)])
        integrand = antiderivative.diff(x)
        if integrand.has(x):
            problem = _problem(latex(integrand), _form(integrand), latex(antiderivative))
            made.setdefault(problem.id, problem)
    return list(made.values())


def recognise(question: str) -> Problem | str:
    """Read a question in the words of this problem set; else ``ill_formed``.

    Its answer is the integral itself: that is what the grader ``integral`` differentiates an answer against.
    """
    asked = _ASKED.fullmatch(question.strip())
    if asked is None or "\\int" in asked[1]:
        return "ill_formed"
    form = _worker().run(_canonical, asked[1])
    return _problem(asked[1], form, f"\\int {asked[1]} \\, dx") if isinstance(form, str) else "ill_formed"


def _problem(integrand: str, form: str, answer: str) -> Problem:
    question = _QUESTION.format(integral=f"\\int {integrand} \\, dx")
    return Problem(f"integral:{form}", question, answer, kind="integral")


def _draw(rng: random.Random, x: Any, level: int) -> Any:
    """Draw an antiderivative."""
    from sympy import cos, exp, sin

    function = rng.choice((sin, cos, exp))
    power, factor = rng.randint(1, 5), rng.choice((-1, 1)) * rng.randint(1, 9)
    if level == 1:
        return factor * x ** (power + 1) + rng.randint(0, 9) * x ** rng.randint(1, power)
    if level == 2:
        return factor * function(rng.randint(1, 5) * x) + rng.randint(0, 5) * x**power
    if level == 3:
        return factor * x ** rng.randint(1, 2) * function(rng.randint(1, 3) * x)
    return factor * function(x ** rng.randint(2, 3) * rng.randint(1, 3))


@cache
def _worker() -> Worker:
    """A process with hard limits: what a policy wrote may be anything."""
    return Worker(5.0, "math_verify")


def _canonical(integrand: str) -> str | None:
    """Write an integrand of x, and of nothing else, in one form; none where it is none."""
    found = parse_expression(integrand)
    if found is None or {symbol.name for symbol in found.free_symbols} != {"x"}:
        return None
    return _form(found)


def _form(integrand: Any) -> str:
    from sympy import expand

    return str(expand(integrand))
