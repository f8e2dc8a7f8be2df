"""Multi-step word problems about whole numbers below 100, made from a seed.

The id of a problem is its canonical form, ``arithmetic:34+17*2-5`` (worked from left to right), whatever its English:
two problems with equal ids are the same problem, and `presrm.checkers.arithmetic` needs nothing else to tell whether a
step is right.

>>> make_problem(random.Random(3)).solution.splitlines()[-1]
'#### 90'
"""

import random
import re
from dataclasses import dataclass

from presrm.errors import ConfigError
from presrm.seeding import derive_seed
from presrm.types import Problem

LARGEST = 99
_NAMES = "Anna Ben Carl Dora Emma Finn Gina Hugo Iris Jack Kate Leo Mia Nora Otto Paul Rosa Sam Tina Will".split()
_NOUNS = (
    "apples balls beads books cards coins cups eggs flags keys lemons marbles nuts pears pens plums shells stamps "
    "stars toys"
).split()
_OPENINGS = (
    "{name} has {n} {noun}.",
    "{name} starts with {n} {noun}.",
    "At first {name} has {n} {noun}.",
    "There are {n} {noun} on the desk of {name}.",
    "{name} owns {n} {noun}.",
)
_SENTENCES = {
    "+": (
        "{name} buys {n} more.",
        "{name} finds {n} more {noun}.",
        "{other} gives {name} {n} {noun}.",
        "Then {n} more come in.",
        "{name} wins {n} {noun}.",
        "{other} adds {n}.",
    ),
    "-": (
        "{name} loses {n}.",
        "{name} gives {n} {noun} to {other}.",
        "{other} takes {n} away.",
        "Then {n} {noun} break.",
        "{name} sells {n} of them.",
        "{name} throws {n} away.",
    ),
    "*": (
        "Then {name} has {n} times as many.",
        "The number of {noun} grows {n} times.",
        "{other} makes it {n} times as many.",
    ),
}
_QUESTIONS = (
    "How many {noun} does {name} have now?",
    "How many {noun} are there in the end?",
    "What is the number of {noun} now?",
)


def apply(operator: str, left: int, right: int) -> int:
    """Compute ``left operator right`` for one of ``+ - *``."""
    return {"+": left + right, "-": left - right, "*": left * right}[operator]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a problem asks for: a start and the operations on it, in order."""

    start: int
    operations: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, problem: Problem) -> "Plan":
        """Read the plan back from a problem's id.

        Raises:
            ValueError: if the id is not of this problem set.
        """
        if re.fullmatch(r"arithmetic:\d+([-+*]\d+)+", problem.id) is None:
            raise ValueError(f"problem {problem.id!r} is not an arithmetic problem")
        form = problem.id.removeprefix("arithmetic:")
        start, *rest = re.split(r"([-+*])", form)
        return cls(int(start), tuple(zip(rest[::2], map(int, rest[1::2]), strict=True)))

    @property
    def id(self) -> str:
        """The canonical form."""
        return f"arithmetic:{self.start}" + "".join(f"{operator}{n}" for operator, n in self.operations)

    def steps(self) -> list[str]:
        """Write the right solution, one step a line."""
        value, lines = self.start, []
        for operator, n in self.operations:
            result = apply(operator, value, n)
            lines.append(f" {value} {operator} {n} = {result}\n")
            value = result
        return [*lines, f"#### {value}"]


def make_plan(rng: random.Random) -> Plan:
    """Draw a plan of two to four operations whose every value lies between 1 and `LARGEST`."""
    start = value = rng.randint(2, LARGEST)
    operations: list[tuple[str, int]] = []
    for _ in range(rng.randint(2, 4)):
        options = [
            operator
            for operator, fits in (("+", value < LARGEST), ("-", value > 1), ("*", value <= LARGEST // 2))
            if fits
        ]
        operator = rng.choice(options)
        low, high = {"+": (1, LARGEST - value), "-": (1, value - 1), "*": (2, min(9, LARGEST // value))}[operator]
        n = rng.randint(low, high)
        operations.append((operator, n))
        value = apply(operator, value, n)
    return Plan(start, tuple(operations))


def tell(plan: Plan, rng: random.Random) -> str:
    """Tell a plan in English; the numbers stand in their order."""
    name, other = rng.sample(_NAMES, 2)
    words = {"name": name, "other": other, "noun": rng.choice(_NOUNS)}
    sentences = [rng.choice(_OPENINGS).format(n=plan.start, **words)]
    sentences += [rng.choice(_SENTENCES[operator]).format(n=n, **words) for operator, n in plan.operations]
    return " ".join([*sentences, rng.choice(_QUESTIONS).format(**words)])


def make_problem(rng: random.Random) -> Problem:
    """Draw one problem with its answer and its right solution."""
    plan = make_plan(rng)
    steps = plan.steps()
    return Problem(
        plan.id, tell(plan, rng), answer=steps[-1].removeprefix("#### "), solution="".join(steps), kind="arithmetic"
    )


def load_arithmetic(
    path: str | None = None, *, split: str = "train", num: int | None = None, seed: int = 0
) -> list[Problem]:
    """Make `num` problems (500 unless told), all different in canonical form; more problems begin with the fewer.

    Raises:
        ConfigError: if a path is given: these problems come from no file.
    """
    if path is not None:
        raise ConfigError(f"arithmetic problems are made, not read: leave out {path!r}")
    rng = random.Random(derive_seed("arithmetic", split, seed))
    problems: dict[str, Problem] = {}
    while len(problems) < (500 if num is None else num):
        problem = make_problem(rng)
        problems.setdefault(problem.id, problem)
    return list(problems.values())
