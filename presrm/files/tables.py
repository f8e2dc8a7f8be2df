"""Rows of a table, whatever it is written in: JSON Lines, a JSON list, CSV, Parquet or plain text, told by the suffix.

All are read as a stream, and what is held is bounded, whatever the size of the file: by a row of at most
`MAX_LINE_BYTES`, of Parquet by a row group. A row knows its place: its line in JSON Lines, else its number, from 1.
"""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Self, TextIO

from presrm.errors import DataError
from presrm.files import jsonl
from presrm.files.jsonl import MAX_LINE_BYTES, BadRow, Row, open_input, parse_row, read_rows

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".txt", ".md", ".markdown")
_TEXTS = (".txt", ".md", ".markdown")
_LISTS = ("steps", "completions", "labels", "label", "value")
_CHUNK = 1 << 18
_PARQUET_BATCH = 256
_SHOWN = 200
_SPACE = re.compile(r"\s*")
# Finds where a value ends; whether it is good JSON is asked of `parse_row`.
_DECODER = json.JSONDecoder(strict=False)


def read_table(path: Path, *, start: int = 1) -> Iterator[Row | BadRow]:
    """Read a file row by row, from place `start` on; any suffix but the others' is that of JSON Lines.

    A ``.json`` file that does not begin with ``[`` is read as JSON Lines. A text or Markdown file is one row, its
    ``solution``, unless it begins with ``{``: then it is read as JSON Lines, too. In CSV the first line names the
    columns, an empty cell is null, ``steps`` holds a JSON list, ``label`` may hold a whole number, a cell that begins
    with ``[`` is a JSON list under ``completions``, ``labels``, ``label`` and ``value``, and anywhere if it is one of
    objects (messages); all else is text. From Parquet dates, times and decimals become text and NaN null.

    Raises:
        DataError: if there is no such file, it holds no row, or what stands there cannot be told apart into rows.
    """
    if not _is_table(path):
        yield from read_rows(path, start=start)
        return
    is_empty = True
    for number, row in enumerate(_table_rows(path), 1):
        is_empty = False
        if number >= start:
            yield row
    if is_empty:
        raise DataError(f"{path} holds no row")


def count_rows(path: Path) -> int:
    """Count the rows that `read_table` gives.

    Raises:
        DataError: as `read_table` does.
    """
    return sum(1 for _ in read_table(path)) if _is_table(path) else jsonl.count_rows(path)


def _is_table(path: Path) -> bool:
    if path.suffix.lower() == ".json":
        with open_input(path, "a JSON file") as file:
            begin = file.read(_CHUNK).lstrip(b"\xef\xbb\xbf \t\r\n")
        if begin.startswith(b"{") and begin.splitlines()[0].rstrip() in (b"{", b'{"data": ['):
            raise DataError(f"{path}: expected a list of objects, or an object on each line; found one over several")
        return begin.startswith(b"[")
    return path.suffix.lower() in (".csv", ".parquet") or is_text(path)


def is_text(path: Path) -> bool:
    """Whether a file is one solution, written down as it is."""
    if path.suffix.lower() not in _TEXTS:
        return False
    with open_input(path, "a text file") as file:
        return not file.read(_CHUNK).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _table_rows(path: Path) -> Iterator[Row | BadRow]:
    if path.suffix.lower() == ".parquet":
        yield from _parquet_rows(path)
        return
    if is_text(path):
        yield from _text_row(path)
        return
    with open_input(path, "a file") as raw:
        # What is no UTF-8 becomes half a surrogate pair, and shows in its row alone.
        file = TextIOWrapper(raw, encoding="utf-8-sig", errors="surrogateescape", newline="")
        yield from _csv_rows(file, path) if path.suffix.lower() == ".csv" else _json_rows(file, path)


def _text_row(path: Path) -> Iterator[Row | BadRow]:
    with open_input(path, "a text file") as file:
        content = file.read(MAX_LINE_BYTES + 1).removeprefix(b"\xef\xbb\xbf")
    start = content[:_SHOWN].decode("utf-8", "replace")
    if len(content) > MAX_LINE_BYTES:
        yield BadRow(1, f"longer than {MAX_LINE_BYTES} bytes", start)
    elif content.strip():
        try:
            yield Row(1, {"solution": content.decode("utf-8")})
        except UnicodeDecodeError as error:
            yield BadRow(1, f"invalid UTF-8 at byte {error.start + 1}", start)


def _json_rows(file: TextIO, path: Path) -> Iterator[Row | BadRow]:
    """Read the elements of a JSON list.

    What follows an element that is malformed cannot be told apart, so that is an error.
    """
    text, at, number = file.read(_CHUNK), 0, 0
    at = text.index("[") + 1
    while True:
        number += 1
        try:
            end, mark = _element_end(text, at, may_be_last=number == 1)
        except (ValueError, RecursionError) as error:
            if len(text) - at <= MAX_LINE_BYTES and (more := file.read(max(_CHUNK, len(text) - at))):
                text, at, number = text[at:] + more, 0, number - 1
                continue
            reason = f"{error.msg} at its character {error.pos - at}" if isinstance(error, json.JSONDecodeError) else ""
            raise DataError(
                f"{path}: row {number} is malformed JSON, or longer than {MAX_LINE_BYTES} bytes {reason}".rstrip()
            ) from error
        element = text[at:end].encode("utf-8", "surrogateescape").strip()
        if element:
            yield parse_row(number, element)
        if mark == "]":
            _check_rest(text[end + 1 :], file, path)
            return
        at = end + 1


def _check_rest(rest: str, file: TextIO, path: Path) -> None:
    """Refuse a file that goes on behind its list, given the `rest` of it that is read already."""
    while not rest.strip():
        rest = file.read(_CHUNK)
        if not rest:
            return
    raise DataError(f"{path}: expected a single JSON list, found {rest.strip():.40} behind its end")


def _element_end(text: str, at: int, *, may_be_last: bool) -> tuple[int, str]:
    """Find where the element at `at` ends, and whether ``,`` or ``]`` stands there.

    Raises:
        ValueError: if it is malformed, or not all of it is in `text`.
    """
    begin = _past_space(text, at)
    if may_be_last and text[begin : begin + 1] == "]":
        return begin, "]"
    end = _past_space(text, _DECODER.raw_decode(text, begin)[1])
    mark = text[end : end + 1]
    if mark not in (",", "]"):
        raise json.JSONDecodeError("Expecting ',' or ']'", text, end)
    return end, mark


def _past_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _csv_rows(file: TextIO, path: Path) -> Iterator[Row | BadRow]:
    """Read the lines behind the one that names the columns.

    A row that is malformed on one line is set aside; one that goes on over several, as where a quote is not closed, may
    have others within it, so that is an error.
    """
    csv.field_size_limit(MAX_LINE_BYTES)
    lines = _ShortLines(file)
    reader = csv.reader(lines, strict=True)
    header: list[str] | None = None
    number = 0
    while True:
        first = lines.number + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            number += 1
            is_long = isinstance(error, _LongLineError)
            reason = str(error) if is_long else f"malformed CSV: {error} (is a quote not closed?)"
            if header is None or lines.number > first:
                raise DataError(f"{path}: the row in lines {first} to {lines.number}: {reason}") from error
            yield BadRow(number, reason, "")
            continue
        if header is None:
            header = cells or []
            _check_names(header, path)
        elif cells:  # no blank line
            number += 1
            yield _csv_row(number, header, cells)
        if cells is None:
            return


def _check_names(names: Sequence[str], path: Path) -> None:
    if len(set(names)) != len(names) or not all(names):
        raise DataError(f"{path}: each column has to have a name of its own, found {', '.join(names):.200}")


class _LongLineError(csv.Error):
    """A line is too long to be held."""


class _ShortLines:
    """The lines of a file; one longer than `MAX_LINE_BYTES` characters is read past, never held, and raises.

    Attributes:
        number: Lines so far.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.number = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        rest = line = self._file.readline(MAX_LINE_BYTES + 1)
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(("\n", "\r")):
            rest = self._file.readline(MAX_LINE_BYTES + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if rest is not line:
            raise _LongLineError(f"longer than {MAX_LINE_BYTES} characters")
        return line


def _csv_row(number: int, header: Sequence[str], cells: Sequence[str]) -> Row | BadRow:
    start = ",".join(cells)[:_SHOWN]
    if len(cells) > len(header):
        return BadRow(number, f"{len(cells)} cells for {len(header)} columns", start)
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return BadRow(number, "invalid UTF-8", start)
    row: dict[str, Any] = dict.fromkeys(header)
    row |= {name: cell or None for name, cell in zip(header, cells, strict=False)}
    if re.fullmatch(r"-?\d{1,9}(\.0)?", row.get("label") or ""):
        row["label"] = int(float(row["label"]))
    for name, cell in row.items():
        if isinstance(cell, str) and (cell.lstrip().startswith("[") or name == "steps"):
            value = _json_list(number, cell)
            if value is None and name in _LISTS:
                return BadRow(number, f"expected a JSON list under {name!r}", start)
            if value is not None and (name in _LISTS or _are_objects(value)):
                row[name] = value
    return Row(number, row)


def _json_list(number: int, cell: str) -> list[Any] | None:
    parsed = parse_row(number, b'{"cell": %b}' % cell.encode())
    value = parsed.value["cell"] if isinstance(parsed, Row) and parsed.value.keys() == {"cell"} else None
    return value if isinstance(value, list) else None


def _are_objects(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, dict) for value in values)


def _parquet_rows(path: Path) -> Iterator[Row | BadRow]:
    from pyarrow import ArrowException, parquet

    with open_input(path, "a Parquet file") as raw:
        try:
            file = parquet.ParquetFile(raw, buffer_size=_CHUNK, pre_buffer=False)
            _check_names(file.schema_arrow.names, path)
            values = (row for batch in file.iter_batches(_PARQUET_BATCH, use_threads=False) for row in _unpack(batch))
            for number, value in enumerate(values, 1):
                yield _parquet_row(number, value)
        except (ArrowException, OSError) as error:
            raise DataError(f"{path} is no Parquet file, or is damaged: {str(error).splitlines()[0]}") from error


def _unpack(batch: Any) -> list[dict[str, Any] | None]:
    """Give the rows of a batch; one that holds invalid UTF-8 is none."""
    try:
        rows: list[dict[str, Any] | None] = batch.to_pylist()
    except UnicodeDecodeError:
        if batch.num_rows == 1:
            return [None]
        return [row for i in range(batch.num_rows) for row in _unpack(batch.slice(i, 1))]
    return rows


def _parquet_row(number: int, value: Mapping[str, Any] | None) -> Row | BadRow:
    if value is None:
        return BadRow(number, "invalid UTF-8", "")
    row: dict[str, Any] = {}
    for name, cell in value.items():
        try:
            row[name] = _plain(cell)
        except ValueError as error:
            return BadRow(number, f"column {name!r} {error}", "")
    if isinstance(row.get("label"), float) and row["label"].is_integer():  # a column of numbers that has gaps
        row["label"] = int(row["label"])
    return Row(number, row)


def _plain(value: Any) -> Any:
    """Give a value as JSON has it.

    Raises:
        ValueError: if JSON cannot hold it.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("holds an infinite number, which JSON cannot")
        return None if math.isnan(value) else value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        raise ValueError("holds bytes, which JSON cannot")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
