"""JSON Lines: rows from outside, which may be anything, and values of our own, which come back equal.

Reading is streaming and bounded: a line that is too long is skipped without being held. A bad row is data with a
reason, not an error; a file that cannot be read at all is an error.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from math import isinf
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from presrm.errors import DataError

T = TypeVar("T")
MAX_LINE_BYTES = 10_000_000
_SHOWN = 200
_NUM_SHOWN = 3
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Row:
    """An object on its line (counted from 1)."""

    line: int
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A line that holds no object.

    Attributes:
        line: Its number, from 1.
        reason: What was expected and what stands there.
        text: The beginning of the line.
    """

    line: int
    reason: str
    text: str


class NoGoodRowError(DataError):
    """No row of a file can be used.

    Args:
        source: The file.
        rejected: Its rows, or the first of them, each with its reason.
    """

    def __init__(self, source: Path | str, rejected: Sequence[BadRow]) -> None:
        super().__init__(f"{source}: no row can be used; {explain_rejected(rejected)}")
        self.rejected = tuple(rejected)


def explain_rejected(rejected: Sequence[BadRow]) -> str:
    """Name the first bad rows and what is wrong with them, on one line."""
    shown = [f"line {row.line}: {row.reason}" for row in rejected[:_NUM_SHOWN]]
    return "; ".join([*shown, *(["..."] if len(rejected) > _NUM_SHOWN else [])])


def read_rejected(path: Path) -> list[BadRow]:
    """Read the first rows of a file of rows set aside, as many as `explain_rejected` needs; without a file none."""
    if not path.is_file():
        return []
    with path.open("rb") as file:
        rows = map(json.loads, islice(file, _NUM_SHOWN + 1))
        return [BadRow(row["line"], row["reason"], "") for row in rows]


def read_rows(
    path: Path | Literal["-"], max_line_bytes: int = MAX_LINE_BYTES, *, start: int = 1
) -> Iterator[Row | BadRow]:
    """Read a file (``-``: standard input) row by row, from line `start` on; blank lines do not count as rows.

    Raises:
        DataError: if there is no such file, or it holds no row at all.
    """
    with open_input(path, "a JSON Lines file") as file:
        for number, line in _numbered(file, path, max_line_bytes):
            if number >= start:
                yield parse_row(number, line, max_line_bytes)


def count_rows(path: Path) -> int:
    """Count the rows that `read_rows` gives, without looking into them.

    Raises:
        DataError: if there is no such file, or it holds no row at all.
    """
    with open_input(path, "a JSON Lines file") as file:
        return sum(1 for _ in _numbered(file, path, MAX_LINE_BYTES))


def open_input(path: Path | Literal["-"], expected: str) -> AbstractContextManager[BinaryIO]:
    """Open a file (``-``: standard input, which stays open) to be read as bytes.

    Raises:
        DataError: if it cannot be; `expected` says what it should be.
    """
    if path == "-":
        return nullcontext(sys.stdin.buffer)
    if path.is_dir():
        raise DataError(f"{path} is a folder; {expected} is expected")
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise DataError(f"no file {path}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _numbered(file: BinaryIO, path: Path | Literal["-"], limit: int) -> Iterator[tuple[int, bytes]]:
    """Give each line that is not blank, and its number."""
    is_empty = True
    for number, raw in enumerate(_lines(file, limit), 1):
        line = raw.removeprefix(_BOM) if number == 1 else raw
        if line.strip():
            is_empty = False
            yield number, line
    if is_empty:
        name = "standard input" if path == "-" else path
        raise DataError(f"{name} is empty; one JSON object a line is expected")


def _lines(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """Give each line, cut to a little over `limit` bytes; what is cut off is read past, never held."""
    while line := file.readline(limit + 1):
        rest = line
        while len(rest) > limit and not rest.endswith(b"\n"):
            rest = file.readline(limit + 1)
            if not rest:
                break
        yield line


def parse_row(number: int, line: bytes, limit: int = MAX_LINE_BYTES) -> Row | BadRow:
    """Read one line, or the bytes of one object, longer ones than `limit` bytes being bad."""
    start = line[:_SHOWN].decode("utf-8", "replace")
    if len(line.rstrip(b"\r\n")) > limit:
        return BadRow(number, f"longer than {limit} bytes", start)
    try:
        text = line.decode("utf-8").rstrip("\r\n")
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_each_once)
    except UnicodeDecodeError as error:
        return BadRow(number, f"invalid UTF-8 at byte {error.start + 1} of the line", start)
    except json.JSONDecodeError as error:
        return BadRow(number, f"malformed JSON at column {error.pos + 1}: {error.msg}", start)
    except ValueError as error:
        return BadRow(number, str(error), start)
    except RecursionError:
        return BadRow(number, "nested too deeply", start)
    if not isinstance(value, dict):
        return BadRow(number, f"expected an object, found {type(value).__name__}", start)
    return Row(number, value)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r:.80} stands there twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError(f"{text:.20} is too large a number")
    return value


def dump_row(value: Mapping[str, Any]) -> bytes:
    """Give one line of UTF-8, its newline included; lone surrogates are escaped."""
    return (_encodable(json.dumps(value, ensure_ascii=False, allow_nan=False)) + "\n").encode()


def dump(value: Any) -> str:
    """Give one of our dataclasses as a line of JSON, without its newline; equal values give equal bytes.

    Lone surrogates come back; a high one right before a low one comes back as the character that the two stand for,
    since JSON writes both the same way.
    """
    return _encodable(json.dumps(plain(value), ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Give one of our dataclasses as what `dump` writes of it: objects, lists, texts and numbers."""
    return _adapter(type(value)).dump_python(value)


def load(kind: type[T], line: bytes) -> T:
    """Read one value that `dump` wrote."""
    return cast(T, _adapter(kind).validate_python(json.loads(line)))


def load_typed(kind: type[T], path: Path) -> Iterator[T]:
    """Read what `dump` wrote, one value a line.

    Raises:
        DataError: with file, line, field and what was expected.
    """
    adapter = _adapter(kind)
    for row in read_rows(path, max_line_bytes=sys.maxsize - 1):
        if isinstance(row, BadRow):
            raise DataError(f"{path}, line {row.line}: {row.reason}")
        try:
            yield adapter.validate_python(row.value)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the row"
            raise DataError(f"{path}, line {row.line}, {field}: {first['msg']}") from error


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _ADAPTERS:  # building one takes a millisecond
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _encodable(text: str) -> str:
    """Escape what UTF-8 cannot hold (lone surrogates), as JSON itself would."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join(f"\\u{ord(c):04x}" if "\ud800" <= c <= "\udfff" else c for c in text)
    return text
