"""Many values of ours: the first ones are held, the others stand in a file without a name, which goes with them."""

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Sequence
from operator import eq
from tempfile import TemporaryFile
from typing import IO, TypeVar, overload

from presrm.files.jsonl import dump, load

T = TypeVar("T")
MOST_HELD = 20_000
"""Values that are held: some 100 MB of pairs of 300 tokens."""


class _Values(Sequence[T]):
    """A sequence whose parts are views of it."""

    @abstractmethod
    def _value(self, place: int) -> T:
        """Give the value at a place, 0 or more."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        places = range(len(self))[index]
        return Chosen(self, places) if isinstance(places, range) else self._value(places)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(eq, self, other))


class Chosen(_Values[T]):
    """Some of many values, none of which is held here.

    Args:
        values: All of them.
        places: Which, in order.
    """

    def __init__(self, values: Sequence[T], places: Iterable[int]) -> None:
        self._values = values
        self._places = array("q", places)

    def __len__(self) -> int:
        return len(self._places)

    def _value(self, place: int) -> T:
        return self._values[self._places[place]]


class Spool(_Values[T]):
    """A sequence that grows, of which `MOST_HELD` values are held.

    Args:
        kind: The type of a value, one of our dataclasses.
        values: The first ones.
    """

    def __init__(self, kind: type[T], values: Iterable[T] = ()) -> None:
        self._kind = kind
        self._held: list[T] = []
        self._ends = array("q", [0])
        self._file: IO[bytes] | None = None
        for value in values:
            self.append(value)

    def append(self, value: T) -> None:
        """Add a value.

        Raises:
            OSError: if the folder for temporary files has no room for it.
        """
        if len(self._held) < MOST_HELD:
            self._held.append(value)
            return
        if self._file is None:
            self._file = TemporaryFile()  # noqa: SIM115 (it is closed with this)
        self._file.seek(self._ends[-1])
        self._ends.append(self._ends[-1] + self._file.write(dump(value).encode()))

    def __len__(self) -> int:
        return len(self._held) + len(self._ends) - 1

    def _value(self, place: int) -> T:
        if place < len(self._held):
            return self._held[place]
        number = place - len(self._held)
        start, end = self._ends[number], self._ends[number + 1]
        assert self._file is not None
        self._file.seek(start)
        return load(self._kind, self._file.read(end - start))
