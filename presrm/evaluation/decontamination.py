"""Training problems that also stand in the evaluation set are removed, and counted by how they were found."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from presrm.types import Problem

RUN = 13
"""Words in a row that two problems must not share (the length that GPT-3's report used, arXiv 2005.14165)."""


@dataclass(frozen=True, slots=True)
class Contamination:
    """How many training problems were removed, by cause; each counts once, in this order.

    Attributes:
        same_id: The same canonical problem (made-up problems are named by their canonical form).
        same_question: Equal but for case, punctuation and space.
        shared_run: With a run of `RUN` words in common.
    """

    same_id: int = 0
    same_question: int = 0
    shared_run: int = 0


def decontaminate(train: Iterable[Problem], held_out: Iterable[Problem]) -> tuple[list[Problem], Contamination]:
    """Keep the problems of `train` that have no twin in `held_out`."""
    ids: set[str] = set()
    questions: set[tuple[str, ...]] = set()
    runs: set[tuple[str, ...]] = set()
    for problem in held_out:
        words = _words(problem.question)
        ids.add(problem.id)
        questions.add(words)
        runs.update(_runs(words))
    kept: list[Problem] = []
    counts = {"same_id": 0, "same_question": 0, "shared_run": 0}
    for problem in train:
        words = _words(problem.question)
        if problem.id in ids and _is_canonical(problem):
            counts["same_id"] += 1
        elif words in questions:
            counts["same_question"] += 1
        elif not _is_canonical(problem) and any(run in runs for run in _runs(words)):
            counts["shared_run"] += 1
        else:
            kept.append(problem)
    return kept, Contamination(**counts)


def _is_canonical(problem: Problem) -> bool:
    """Whether the id is the problem's canonical form: then it decides, and stock phrases in common prove nothing."""
    return problem.kind == "arithmetic"


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.casefold()))


def _runs(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (words[i : i + RUN] for i in range(len(words) - RUN + 1))
