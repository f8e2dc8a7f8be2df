"""A table from names to factories, resolved when a name is first used.

A family's ``__init__`` fills one `Registry` from a literal table, so that importing the family loads none of its
members. Users add to it by decorator or, from another package, by an entry point.
"""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from presrm.errors import UnknownNameError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of `known` was probably meant, as a clause that ends a message."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names)}"


class Registry(Generic[T]):
    """Named factories of one family.

    Args:
        kind: What a member is called in messages, as in ``"splitter"``.
        table: Built-in members, name to ``"module:attribute"``.
        group: The entry-point group that other packages may fill.
    """

    def __init__(self, kind: str, table: Mapping[str, str], group: str | None = None) -> None:
        self.kind = kind
        self._table: dict[str, str | Callable[..., T]] = dict(table)
        self._group = group

    def names(self) -> list[str]:
        """List every member that `create` knows, sorted."""
        return sorted({*self._table, *self._entry_points()})

    def create(self, name: str, **options: Any) -> T:
        """Make the member called `name`.

        Raises:
            UnknownNameError: naming the nearest member.
        """
        return self.factory(name)(**options)

    def factory(self, name: str) -> Callable[..., T]:
        """Find the factory called `name` without calling it.

        Raises:
            UnknownNameError: naming the nearest member.
        """
        entry = self._table.get(name)
        if entry is None:
            point = self._entry_points().get(name)
            if point is None:
                raise UnknownNameError(f"unknown {self.kind} {name!r}; {nearest(name, self.names())}")
            entry = point.load()
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = getattr(import_module(module), attribute)
        self._table[name] = entry
        return entry

    def register(self, name: str) -> Callable[[F], F]:
        """Add a factory under `name`; an existing member of that name is replaced."""

        def add(factory: F) -> F:
            self._table[name] = factory
            return factory

        return add

    def _entry_points(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self._group)} if self._group else {}
