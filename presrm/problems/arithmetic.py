"""Multi-step word problems about whole numbers below 100, made from a seed, with an exact checker of every step.

The id of a problem is its canonical form, ``arithmetic:34+17*2-5`` (worked from left to right), whatever its English:
two problems with equal ids are the same problem, and `StepChecker` needs nothing else to tell whether a step is right.

>>> problem = make_problem(random.Random(3))
>>> StepChecker(problem).check(problem.solution.splitlines(keepends=True))
[True, True, True, True, True]
"""

import random
import re
from collections.abc import Sequence
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
_STEP = re.compile(r"\s*(\d{1,6}) ([-+*]) (\d{1,6}) = (\d{1,9})\s*")
_ANSWER = re.compile(r"\s*#### (\d{1,9})\s*")


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
        if not is_arithmetic(problem):
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


def is_arithmetic(problem: Problem) -> bool:
    """Whether `problem` is of this set, so that its steps can be checked."""
    return re.fullmatch(r"arithmetic:\d+([-+*]\d+)+", problem.id) is not None


@dataclass
class StepChecker:
    """Says of each step of a solution whether it does the right thing next, and rightly.

    A step is judged by what stands before it: after a slip, the next step is right if it goes on from the number that
    was written. After a skipped operation, it is right if it goes on with the one behind it.
    """

    problem: Problem

    def check(self, steps: Sequence[str]) -> list[bool]:
        """Check every step of a solution; one flag a step. A line that is neither step nor answer is wrong."""
        plan = Plan.of(self.problem)
        value, done = plan.start, 0
        flags = []
        for text in steps:
            if answer := _ANSWER.fullmatch(text):
                flags.append(done == len(plan.operations) and int(answer[1]) == value)
                continue
            step = _STEP.fullmatch(text)
            if not step:
                flags.append(False)
                continue
            left, operator, right, result = int(step[1]), step[2], int(step[3]), int(step[4])
            due = plan.operations[done] if done < len(plan.operations) else None
            flags.append(left == value and (operator, right) == due and result == apply(operator, left, right))
            ahead = plan.operations[done + 1 :]
            done += (
                1 if (operator, right) == due or (operator, right) not in ahead else 2 + ahead.index((operator, right))
            )
            value = result
        return flags


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
    return Problem(plan.id, tell(plan, rng), answer=steps[-1].removeprefix("#### "), solution="".join(steps))


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
