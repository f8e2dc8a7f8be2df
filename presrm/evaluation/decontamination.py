"""Training problems that also stand in the evaluation set are removed, and counted by how they were found."""

import re
from collections import Counter
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
    twins = Twins(held_out)
    kept: list[Problem] = []
    counts: Counter[str] = Counter()
    for problem in train:
        if cause := twins.cause(problem):
            counts[cause] += 1
        else:
            kept.append(problem)
    return kept, Contamination(**counts)


class Twins:
    """Finds the problems that stand among others, too.

    Args:
        held_out: Those others.
    """

    def __init__(self, held_out: Iterable[Problem]) -> None:
        self._ids: set[str] = set()
        self._questions: set[tuple[str, ...]] = set()
        self._runs: set[tuple[str, ...]] = set()
        for problem in held_out:
            words = _words(problem.question)
            self._ids.add(problem.id)
            self._questions.add(words)
            self._runs.update(_runs(words))

    def cause(self, problem: Problem) -> str | None:
        """How the twin of a problem was found, in the words of `Contamination`; none where it has none."""
        words = _words(problem.question)
        if problem.id in self._ids and _is_canonical(problem):
            return "same_id"
        if words in self._questions:
            return "same_question"
        if not _is_canonical(problem) and any(run in self._runs for run in _runs(words)):
            return "shared_run"
        return None


def _is_canonical(problem: Problem) -> bool:
    """Whether the id is the problem's canonical form: then it decides, and stock phrases in common prove nothing."""
    return problem.id.startswith(f"{problem.kind}:")


def _words(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\w+", text.casefold()))


def _runs(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (words[i : i + RUN] for i in range(len(words) - RUN + 1))
