"""Word problems in plain English about whole numbers below 100, made from a seed.

The id of a problem is its canonical form, ``arithmetic:34+17*2-5`` (worked from left to right, brackets first),
whatever its English: two problems with equal ids are the same problem, and `presrm.checkers.arithmetic` needs nothing
else to tell whether a step is right.

>>> make_problem(random.Random(3)).solution.splitlines()[-1]
'#### 21'
"""

import random

from presrm.errors import ConfigError
from presrm.problems.arithmetic.plan import Plan
from presrm.problems.arithmetic.story import tell
from presrm.seeding import derive_seed
from presrm.types import Problem

_OPERATIONS = {1: 0.2, 2: 0.25, 3: 0.25, 4: 0.18, 5: 0.12}


def plan_of(problem: Problem) -> Plan:
    """Read the plan back from a problem's id.

    Raises:
        ValueError: if the id is not of this problem set.
    """
    kind, _, form = problem.id.partition(":")
    if kind != "arithmetic":
        raise ValueError(f"problem {problem.id!r:.80} is not an arithmetic problem")
    return Plan.parse(form)


def make_problem(rng: random.Random) -> Problem:
    """Draw one problem with its answer and its right solution: one to five operations, every value from 1 to 99."""
    (num,) = rng.choices(list(_OPERATIONS), list(_OPERATIONS.values()))
    story = tell(rng, num)
    steps = story.plan.steps()
    answer = steps[-1].removeprefix("#### ")
    return Problem(
        f"arithmetic:{story.plan.form}", story.question, answer=answer, solution="".join(steps), kind="arithmetic"
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
