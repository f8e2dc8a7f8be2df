"""What a worker is given, and what comes back."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from presrm.files.ledger import Call
from presrm.types import Problem

Stage = Literal[
    "search", "answers", "siblings", "watch", "health", "shadow", "write", "judge", "reflect", "label", "trace", "eval"
]
"""What asks a policy: ``watch`` is the search, ``health`` the questions, by which the health of a judge is measured;
``label`` says which steps are right, ``trace`` draws judgements for problems whose solution is one, ``eval`` solves the
problems of a benchmark in the way that it is given, ``reflect`` rewrites instructions of a judge. That, problems that
are written, and the comparison with a shadow judge are the work of one worker, all others are done group by group."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is done at once.

    Attributes:
        stage: What it is.
        iteration: Of the run; none outside of one.
        problems: Of a group.
        start: Index of the first one in the whole list.
        purpose: What the draws of a search derive from.
        given: What else the stage is given, in the order of its arguments.
    """

    stage: Stage
    iteration: int | None = None
    problems: Sequence[Problem] = ()
    start: int = 0
    purpose: int | str = 0
    given: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What became of it.

    Attributes:
        rows: Of the artefact; of written problems, group by group; of the comparison with a shadow one.
        calls: Questions to the judge and what came back, for the ledger.
        counts: What the engine counted.
        seconds: How long the engine estimates that it took; none where it does not tell (`presrm.groups`).
        facts: Of the engine.
    """

    rows: list[Any]
    calls: tuple[Call, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


Open = Callable[[], AbstractContextManager[Callable[[Work], Done]]]
"""Opens a worker, somewhere else: it is sent there, so it holds plain values only, and two that are equal are one."""


class Runner(Protocol):
    """Has work done elsewhere."""

    def map(self, worker: Open, work: Iterable[Work]) -> Iterator[Done]:
        """Do work, as much of it at once as there are workers; results come in order.

        Raises:
            PresrmError: what a worker raised.
            RunnerError: if a worker cannot be opened, or dies again and again on the same work.
        """
        ...

    def close(self) -> None:
        """Free all workers."""
        ...
