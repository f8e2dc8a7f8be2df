"""How many problems are worked together: at most so many, and at most what takes about a minute.

A group is what an interruption loses, so the first problem is worked alone, and the size of the groups follows from
what it took; as long as nothing takes any work, such as problems of which a judge is not asked, each group is twice the
one before. No clock decides, but the tokens read and written, and what an engine says that these take: the same
command gives the same groups, and so the same bytes. The size is recorded and kept when the work is resumed. An engine
that gives no such estimate, such as one behind a server, has groups of the largest size.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_SECONDS = 60.0
GroupT = TypeVar("GroupT")
DoneT = TypeVar("DoneT")


class Groups:
    """The sizes of lockstep groups.

    Args:
        largest: Items in one group, however little work they are.
        spent: Seconds of work so far as the engine estimates them; none where it does not.
        size: As recorded by an earlier start; none: not known yet.
        is_begun: Whether there are finished groups: without a recorded size, those were of the largest size.

    >>> seconds = 0.0
    >>> groups = Groups(64, lambda: seconds)
    >>> groups.next
    1
    >>> with groups.measured():
    ...     seconds += 10
    >>> groups.next, groups.size
    (6, 6)
    """

    def __init__(
        self, largest: int, spent: Callable[[], float | None], size: int | None = None, *, is_begun: bool = False
    ) -> None:
        self._largest = largest
        self._spent = spent
        self.size = largest if size is None and is_begun else size
        self._trial = 1

    @property
    def next(self) -> int:
        """Items in the next group."""
        if self.size is None and self._spent() is None:
            self.size = self._largest
        return self.size or self._trial

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Work a group inside: the first one that takes any work sets the size."""
        before = self._spent()
        yield
        after = self._spent()
        if self.size is not None or before is None or after is None:
            return
        if after > before:
            self.size = max(1, min(self._largest, int(_SECONDS * self._trial / (after - before))))
        else:
            self._trial = min(2 * self._trial, self._largest)


def work_in_order(
    sizes: Groups,
    read: Callable[[], GroupT | None],
    work: Callable[[Iterable[GroupT]], Iterator[DoneT]],
    write: Callable[[GroupT, DoneT], None],
) -> None:
    """Work groups and write them in order; the first ones, whose work says how large the others are, one by one.

    Args:
        sizes: Of the groups.
        read: Gives the next group, as large as `sizes` says; none at the end.
        work: Works groups, perhaps several of them at once; what becomes of them comes in their order.
        write: Takes a group, and what became of it.
    """
    while sizes.size is None and (first := read()) is not None:
        with sizes.measured():
            [done] = work([first])
        write(first, done)
    begun = deque[GroupT]()

    def rest() -> Iterator[GroupT]:
        while (group := read()) is not None:
            begun.append(group)
            yield group

    for done in work(rest()):
        write(begun.popleft(), done)


def seconds_spent(engine: object) -> float | None:
    """Estimate how long the work of an engine took so far; none where it does not tell (`presrm.protocols.Engine`)."""
    estimate = getattr(engine, "seconds", None)
    return None if estimate is None else float(estimate(engine.tokens_read, engine.tokens_generated))  # type: ignore[attr-defined]
