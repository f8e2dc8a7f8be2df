"""A table from names to factories, resolved when a name is first used.

A family's ``__init__`` fills one `Registry` from a literal table, so that importing the family loads none of its
members. Users add to it by decorator, from another package by an entry point, or name their own code where a name is
expected: ``my.py:MyJudge`` or ``my_package.judges:MyJudge``. Such a name counts only if the user typed it
(`allow_code`): a folder that came from somewhere else must not choose what runs here.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic, TypeVar

from presrm.errors import PresrmError, RequestError, UnknownNameError, boundary

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


_CODE = re.compile(r"((?:[^:\n]+\.py|[A-Za-z_][\w.]*):[A-Za-z_][\w.]*)(?::(.*))?", re.DOTALL)
_typed: set[str] = set()


def split_code(name: str) -> tuple[str, str | None] | None:
    """Cut a name of code from what follows it behind another colon; none for a name of another kind.

    >>> split_code("my.py:load"), split_code("my.py:load:data.csv"), split_code("gsm8k:train.jsonl")
    (('my.py:load', None), ('my.py:load', 'data.csv'), None)
    """
    found = _CODE.fullmatch(name)
    if found is None:
        return None
    where = found[1].rpartition(":")[0]
    return (found[1], found[2]) if where.endswith(".py") or _is_importable(where) else None


def _is_importable(module: str) -> bool:
    """Whether there is such a package, here or installed; nothing of it is run."""
    top = module.partition(".")[0]
    return Path(top).is_dir() or Path(f"{top}.py").is_file() or find_spec(top) is not None


def allow_code(names: Iterable[str]) -> None:
    """Let names of code count: for those that the user typed, or that stand in a file which the user named."""
    _typed.update(code[0] for name in names if (code := split_code(name)))


def allowed_code() -> frozenset[str]:
    """What `allow_code` let count so far, for another process that does this one's work."""
    return frozenset(_typed)


def load_code(name: str) -> Any:
    """Import what ``file.py:attribute`` or ``package.module:attribute`` names; the working directory is importable.

    Raises:
        RequestError: if there is no such file, module or attribute, or importing it raises.
    """
    where, _, attribute = name.rpartition(":")
    path = Path(where)
    if path.suffix == ".py" and not path.is_file():
        raise RequestError(f"{name!r}: no file {where}")
    for folder in (path.resolve().parent, Path.cwd()) if path.suffix == ".py" else (Path.cwd(),):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    with boundary(RequestError, f"importing {where!r}"):
        module = _import_file(path.resolve()) if path.suffix == ".py" else import_module(where)
    try:
        return attrgetter(attribute)(module)
    except AttributeError as error:
        public = [each for each in vars(module) if not each.startswith("_")]
        raise RequestError(f"{where!r} has no {attribute!r}; {nearest(attribute, public)}") from error


def _import_file(path: Path) -> Any:
    """Import a file once, under a name that no other module has."""
    name = f"presrm_code_{re.sub(r'[^A-Za-z0-9]', '_', str(path))}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def is_ours(part: Any) -> bool:
    """Whether a part, or what makes it, is of this package."""
    return str(getattr(part, "__module__", None)).startswith("presrm.")


def blame(part: Any, error: type[PresrmError], culprit: str) -> AbstractContextManager[None]:
    """A `boundary` around code of users; ours says itself what is wrong, or who is to blame for it."""
    return nullcontext() if is_ours(part) else boundary(error, culprit)


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

    def __contains__(self, name: object) -> bool:
        """Whether `create` knows a name: that of a member, or of code that the user may name."""
        return isinstance(name, str) and (name in self._table or name in self._entry_points() or name in _typed)

    def create(self, name: str, **options: Any) -> T:
        """Make the member called `name`.

        Raises:
            UnknownNameError: naming the nearest member.
        """
        return self.factory(name)(**options)

    def factory(self, name: str) -> Callable[..., T]:
        """Find the factory called `name` without calling it.

        Raises:
            UnknownNameError: naming the nearest member; or for code that the user did not name.
            RequestError: if the code cannot be imported.
        """
        entry = self._table.get(name)
        if entry is None:
            point = self._entry_points().get(name)
            if point is None:
                return self._load_code(name)
            entry = point.load()
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            entry = getattr(import_module(module), attribute)
        self._table[name] = entry
        return entry

    def _load_code(self, name: str) -> Callable[..., T]:
        """Load a part that is named by where its code is; an object that is no factory is the part itself."""
        code = split_code(name)
        if code is None or code[1] is not None:
            raise UnknownNameError(f"unknown {self.kind} {name!r}; {nearest(name, self.names())}")
        if name not in _typed:
            raise UnknownNameError(
                f"{self.kind} {name!r} names code, and nobody typed that name here: code counts only where it is named "
                "on the command line or in a CONFIG given there, never in the folder of a run or beside a policy"
            )
        part = load_code(name)
        return part if callable(part) else lambda: part

    def register(self, name: str) -> Callable[[F], F]:
        """Add a factory under `name`; an existing member of that name is replaced."""

        def add(factory: F) -> F:
            self._table[name] = factory
            return factory

        return add

    def _entry_points(self) -> dict[str, Any]:
        return {point.name: point for point in entry_points(group=self._group)} if self._group else {}
