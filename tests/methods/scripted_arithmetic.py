"""Arithmetic problems by their question, and a policy made of a function that solves and judges them."""

import random
from functools import cache

from presrm.problems.arithmetic import load_arithmetic
from presrm.prompts import Prompt
from presrm.seeding import derive_seed
from presrm.types import Checkpoint, Problem


@cache
def _problems() -> dict[str, Problem]:
    """Those of runs with seed 0 and few problems."""
    sets = [("train", derive_seed(0, "train")), ("test", derive_seed(0, "held out"))]
    return {p.question: p for split, seed in sets for p in load_arithmetic(split=split, num=60, seed=seed)}


def known(question: str) -> Problem:
    """The problem that is asked."""
    return _problems()[question]


def solve_or_judge(prompt: Prompt, rng: random.Random, policy: Checkpoint) -> str:
    """Solve with slips, which differ from policy to policy; judge rightly, pairwise or pointwise."""
    content = [part.text for part in (*prompt.trunk, *prompt.tail) if part.is_content]
    steps = known(content[0]).solution or ""
    if prompt.template == "pairwise":
        first, second = (steps.startswith("".join([*content[1:-2], step])) for step in content[-2:])
        return f"So [[{'A' if first > second else 'B'}]]"
    if prompt.template == "pointwise":
        return f"So [[{'yes' if steps.startswith(''.join(content[1:])) else 'no'}]]"
    rest = steps.removeprefix("".join(step.text for step in prompt.reply))
    drawn = random.Random(f"{policy.model.partition('iterations')[2]} {rng.random()}")
    return rest.replace("= ", f"= {drawn.randint(1, 3)}", 1) if drawn.random() < 0.5 else rest
