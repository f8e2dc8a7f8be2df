"""Worked examples for a policy that is shown how to answer: drawn once a benchmark, never from its own problems."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from presrm.errors import DataError
from presrm.evaluation.decontamination import decontaminate
from presrm.judging.labels import without_annotations
from presrm.prompts import Example
from presrm.protocols import Grader
from presrm.types import Grade, Problem


@dataclass(frozen=True, slots=True)
class Examples:
    """What is shown before every question of a benchmark, the same in the same order.

    Attributes:
        shown: The examples.
        ids: Of the problems that they are.
        num_without: Problems of their source that have no worked solution.
        num_evaluated: Those that also stand in the benchmark.
        num_unread: Those passed over because the benchmark's grader does not find the right answer in their solution.
    """

    shown: tuple[Example, ...] = ()
    ids: tuple[str, ...] = ()
    num_without: int = 0
    num_evaluated: int = 0
    num_unread: int = 0

    @property
    def hash(self) -> str:
        """SHA-256 over questions and solutions in order, in hexadecimal."""
        texts = [[example.question, example.solution] for example in self.shown]
        return sha256(json.dumps(texts).encode()).hexdigest()

    @property
    def about(self) -> dict[str, Any]:
        """What results say of them."""
        counts = ("num_without", "num_evaluated", "num_unread")
        return {"hash": self.hash, "ids": list(self.ids)} | {name: getattr(self, name) for name in counts}


def draw_examples(
    source: str, problems: Sequence[Problem], num: int, evaluated: Sequence[Problem], grader: Grader, seed: int
) -> Examples:
    """Draw worked problems; a larger `num` gives the same ones and more.

    Args:
        source: Names where they come from.
        problems: Its problems.
        num: How many.
        evaluated: Problems that they must have nothing in common with, see `presrm.evaluation.decontamination`.
        grader: Of the evaluation: what it cannot read is no example of an answer.
        seed: Decides the draw.

    Raises:
        DataError: if there are not so many; with counts by cause.
    """
    solved = [problem for problem in problems if problem.solution]
    kept, _ = decontaminate(solved, evaluated)
    drawn: dict[str, Example] = {}
    num_unread = 0
    for problem in random.Random(seed).sample(kept, len(kept)):
        if len(drawn) == num:
            break
        solution = without_annotations(problem.solution or "").strip()
        if problem.answer is not None and grader.grade(solution, problem.answer) is Grade.CORRECT:
            drawn[problem.id] = Example(problem.question, solution)
        else:
            num_unread += 1
    num_without, num_evaluated = len(problems) - len(solved), len(solved) - len(kept)
    if len(drawn) < num:
        raise DataError(
            f"{source}: only {len(drawn)} of {len(problems)} problems can be shown as examples: {num_without} have no "
            f"worked solution, {num_evaluated} also stand in the benchmark, in {num_unread} the grader finds no right "
            "answer"
        )
    return Examples(tuple(drawn.values()), tuple(drawn), num_without, num_evaluated, num_unread)
