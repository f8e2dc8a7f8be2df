"""Reading rows and writing JSON Lines, alike for all verbs: ``-`` is a standard stream, bad rows are set aside."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from presrm.cli.show import one_line
from presrm.errors import DataError, RequestError, counted
from presrm.files.content import hash_path
from presrm.files.journal import read_request
from presrm.files.jsonl import BadRow, NoGoodRowError, dump_row, explain_rejected
from presrm.files.lock import lock_beside, refuse_link
from presrm.files.tables import SUFFIXES, read_table

STANDARD = "-"

FileArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE",
        help="A .jsonl, .json, .csv or .parquet file of solutions, or one solution as a .txt or .md file; - reads JSON "
        "Lines from standard input.",
    ),
]
SolutionOption = Annotated[
    str | None, typer.Option("--solution", metavar="TEXT", help="A single solution, in place of FILE.")
]
QuestionOption = Annotated[
    str | None,
    typer.Option("--question", metavar="TEXT", help="The question of --solution, or of rows without a question."),
]


@contextmanager
def input_file(name: str | None, row: dict[str, Any] | None = None) -> Iterator[Path]:
    """Give the path of an input: the named file, or a file that lives as long as the block.

    Args:
        name: A path, ``-``, or none.
        row: The only row, in place of a file.

    Raises:
        RequestError: if there is neither a file nor a row, or there are both.
    """
    if (name is None) is (row is None):
        is_missing = name is None
        raise RequestError(
            "FILE is missing: name a file, or give a single --solution (see --help)"
            if is_missing
            else "FILE and --solution exclude each other"
        )
    if name not in (None, STANDARD):
        yield Path(str(name))
        return
    with tempfile.TemporaryDirectory(prefix="presrm-") as folder:
        path = Path(folder) / "stdin.jsonl"
        if row is None and sys.stdin is None:
            raise RequestError("standard input is closed; name a file")
        with path.open("wb") as file:
            if row is None:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                file.write(dump_row(row))
        try:
            yield path
        except DataError as error:  # nobody knows the copy by its name
            shown = "standard input" if row is None else "--solution"
            error.args = (str(error).replace(str(path), shown),)
            raise


def default_out(file: str, what: str) -> Path:
    """Name the output for an input: ``<stem>.<what>.jsonl`` beside it.

    Where that was made from another input there with the same stem, it is ``<name>.<what>.jsonl``.
    """
    path = Path(file)
    out = path.with_name(f"{path.stem}.{what}.jsonl")
    source = read_request(out).get("input_sha256")
    others = (path.with_suffix(suffix) for suffix in SUFFIXES if suffix != path.suffix)
    if source is None or not path.is_file() or hash_path(path) == source:
        return out
    is_taken = any(other.is_file() and hash_path(other) == source for other in others)
    return path.with_name(f"{path.name}.{what}.jsonl") if is_taken else out


def rejected_path(file: str | None, out: Path | str | None) -> Path | None:
    """Name the file of rows set aside: that of the output, or of the input where the output is a stream.

    None for a single ``--solution`` that goes to a stream: what is wrong with it is on the screen.
    """
    if out not in (None, STANDARD):
        return Path(f"{out}.rejected.jsonl")
    if file is None:
        return None
    return Path(f"{'stdin' if file == STANDARD else file}.rejected.jsonl")


def transform_rows(
    source: Path, out: str | None, work: Callable[[dict[str, Any]], dict[str, Any]], rejected_to: Path | None
) -> None:
    """Write ``work(row)`` for every row of `source`; a row that `work` calls a `DataError` is set aside.

    Args:
        source: A table, as `presrm.files.tables.read_table` knows it by its suffix.
        out: A path, replaced when all is done, ``-``, or none: rows are not written.
        work: Makes the new row.
        rejected_to: Gets the rows set aside, or none.

    Raises:
        NoGoodRowError: if no row could be used.
    """
    if out not in (None, STANDARD) and Path(str(out)).resolve() == source.resolve():
        raise RequestError(f"--out {out} would overwrite the input")
    rejected: list[BadRow] = []
    num_done = 0
    with telling_rejected(rejected_to), output_rows(out) as write:
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
            raise NoGoodRowError(source, rejected)
    report_rejected(rejected, rejected_to)


def warn_of_uncut(cutter: str, num_uncut: int, num: int) -> None:
    """Say on standard error where `cutter` found no boundary in most of `num` solutions."""
    if 2 * num_uncut > num:
        print(
            f"presrm: {cutter} finds no boundary in {num_uncut} of {num} solutions, so each of them is a single step; "
            "choose another with --splitter (presrm split FILE --splitter S shows the steps)",
            file=sys.stderr,
        )


def report_rejected(rejected: Sequence[BadRow], path: Path | None, name: str = "") -> None:
    """Write rows set aside to `path`, unless it is none, and sum them up on standard error.

    `name` is what they were read from, where that is to be said.
    """
    where = _write_rejected(rejected, path)
    if rejected:
        source = f"{name}: " if name else ""
        told = f"{source}{counted(len(rejected), 'row')} set aside{where}; {explain_rejected(rejected)}"
        print(f"presrm: {one_line(told)}", file=sys.stderr)


@contextmanager
def telling_rejected(path: Path | None) -> Iterator[None]:
    """Write the rows that a `NoGoodRowError` brings to `path`, unless it is none, and say so in its message."""
    try:
        yield
    except NoGoodRowError as error:
        error.args = (f"{error}{_write_rejected(error.rejected, path)}",)
        raise


def _write_rejected(rejected: Sequence[BadRow], path: Path | None) -> str:
    """Write rows set aside; give what is said of where they are."""
    if path is None:
        return ""
    if not rejected:
        path.unlink(missing_ok=True)  # those of an earlier start
        return ""
    refuse_link(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(dump_row({"line": row.line, "reason": row.reason}) for row in rejected))
    except PermissionError as error:
        return f" (not written to {path}: {error.strerror})"
    return f", see {path}"


def write_bytes(data: bytes) -> None:
    """Write to standard output what is UTF-8 whatever the terminal speaks."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


@contextmanager
def output_rows(out: str | None) -> Iterator[Callable[[dict[str, Any]], object]]:
    """Give what writes a row: to a file that is replaced when the block is left without an error, or to ``-``.

    Nothing is written where `out` is none.
    """
    if out is None:
        yield lambda row: None
    elif out == STANDARD:
        yield lambda row: write_bytes(dump_row(row))
    else:
        path = Path(out)
        refuse_link(path)
        temporary = path.with_name(f".{path.name}.tmp")
        with lock_beside(path):
            temporary.unlink(missing_ok=True)  # of a killed start, or a link that leads elsewhere
            try:
                with temporary.open("xb") as file:
                    yield lambda row: file.write(dump_row(row))
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
