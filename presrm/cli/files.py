"""Reading rows and writing JSON Lines: ``-`` is standard input or output; bad rows are set aside and counted."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from presrm.cli.show import one_line
from presrm.errors import DataError, RequestError
from presrm.files.jsonl import BadRow, dump_row, explain_rejected
from presrm.files.tables import read_table

STANDARD = "-"


@contextmanager
def input_file(name: str) -> Iterator[Path]:
    """Give the path of an input: the named file, or a copy of standard input that lives as long as the block."""
    if name != STANDARD:
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="presrm-") as folder:
        path = Path(folder) / "stdin.jsonl"
        with path.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        yield path


def transform_rows(source: Path, out: str | None, work: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Write ``work(row)`` for every row of `source`; a row that `work` calls a `DataError` is set aside.

    Args:
        source: A table, as `presrm.files.tables.read_table` knows it by its suffix.
        out: A path, replaced when all is done, ``-``, or none: rows are not written. Rows set aside go to
            ``<out>.rejected.jsonl``.
        work: Makes the new row.

    Raises:
        DataError: if no row could be used.
    """
    if out not in (None, STANDARD) and Path(str(out)).resolve() == source.resolve():
        raise RequestError(f"--out {out} would overwrite the input")
    rejected: list[BadRow] = []
    num_done = 0
    with _output(out) as write:
        for row in read_table(source):
            if isinstance(row, BadRow):
                rejected.append(row)
                continue
            try:
                write(work(row.value))
            except DataError as error:
                rejected.append(BadRow(row.line, str(error), ""))
            else:
                num_done += 1
        if not num_done:
            raise DataError(f"{source}: no row can be used; {explain_rejected(rejected)}")
    report_rejected(rejected, out)


def warn_of_uncut(cutter: str, num_uncut: int, num: int) -> None:
    """Say on standard error where `cutter` found no boundary in most of `num` solutions."""
    if 2 * num_uncut > num:
        print(
            f"presrm: {cutter} finds no boundary in {num_uncut} of {num} solutions, so each of them is a single step; "
            "choose another with --splitter (presrm split FILE --splitter S shows the steps)",
            file=sys.stderr,
        )


def report_rejected(rejected: Sequence[BadRow], out: Path | str | None, name: str = "") -> None:
    """Write rows set aside next to `out` (none, or ``-``: nowhere) and sum them up on standard error.

    `name` is what they were read from, where that is to be said.
    """
    if not rejected:
        return
    where = ""
    if out not in (None, STANDARD):
        path = Path(f"{out}.rejected.jsonl")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(dump_row({"line": row.line, "reason": row.reason}) for row in rejected))
        where = f", see {path}"
    source = f"{one_line(name)}: " if name else ""
    print(
        f"presrm: {source}{len(rejected)} rows set aside{where}; {one_line(explain_rejected(rejected))}",
        file=sys.stderr,
    )


@contextmanager
def _output(out: str | None) -> Iterator[Callable[[dict[str, Any]], object]]:
    if out is None:
        yield lambda row: None
    elif out == STANDARD:
        yield lambda row: sys.stdout.write(dump_row(row).decode())
    else:
        path = Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            with temporary.open("wb") as file:
                yield lambda row: file.write(dump_row(row))
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
