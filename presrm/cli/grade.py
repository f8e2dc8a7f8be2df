"""``presrm grade``: compare final answers with references."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any

import typer

from presrm.cli.files import STANDARD, input_file
from presrm.errors import DataError, RequestError
from presrm.files.jsonl import BadRow, Row, dump_row
from presrm.files.tables import count_rows, read_table

if TYPE_CHECKING:
    from presrm.protocols import Grader

_GROUP_SIZE = 512  # rows: the unit of durability
_NUM_SHOWN = 3
_Done = tuple[list[dict[str, Any]], list[BadRow]]


def grade(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="Rows with 'solution' and 'answer'; - is standard input.")
    ],
    out: Annotated[
        str, typer.Option("--out", metavar="FILE", help="Output file for the graded rows; - is standard output.")
    ],
    grader: Annotated[str, typer.Option("--grader", metavar="G", help="Registered grader.")] = "auto",
) -> None:
    """Compare final answers with references.

    Rows (JSON Lines, a JSON list, CSV or Parquet) gain 'grade' (correct, incorrect or no_answer) and 'extracted', the
    answer that was found. 'answer' is text, a number, a list of these, or an object (for countdown, numbers and
    target). A number under 'tolerance' is the largest difference that counts as correct. Bad rows are set aside. All
    cores are used. If interrupted, run the same command again: it resumes after the last finished group of rows.

    \b
      $ presrm grade solved.jsonl --grader gsm8k --out graded.jsonl
    """
    from presrm.graders import GRADERS

    GRADERS.factory(grader)
    with input_file(file) as source:
        if out == STANDARD:
            _grade_to_stdout(source, grader)
        else:
            _grade_to_file(source, Path(out), grader)


def _grade_to_stdout(source: Path, name: str) -> None:
    counts: dict[str, float] = {}
    reasons: list[str] = []
    with _graded(read_table(source), name) as groups:
        for _, (rows, rejected) in groups:
            sys.stdout.write(b"".join(map(dump_row, rows)).decode())
            counts = {key: counts.get(key, 0) + number for key, number in _count(rows, rejected).items()}
            reasons += [f"line {row.line}: {row.reason}" for row in rejected[: _NUM_SHOWN - len(reasons)]]
    _conclude(source, counts, reasons, "", sys.stderr.write)


def _grade_to_file(source: Path, out: Path, name: str) -> None:
    from presrm.cli.progress import RichProgress
    from presrm.files.journal import Journal
    from presrm.files.run import hash_path

    if out.resolve() == source.resolve():
        raise RequestError(f"--out {out} would overwrite the input")
    num_rows = count_rows(source)
    journal = Journal(out, {"input_sha256": hash_path(source), "grader": name})
    reasons: list[str] = []
    if not journal.is_done:
        rest = read_table(source, start=journal.notes.get("next_line", 1))
        with RichProgress().stage("grade", num_rows) as advance, _graded(rest, name) as groups, journal:
            advance(journal.num_rows + int(journal.totals.get("rejected", 0)))
            for last_line, (rows, rejected) in groups:
                reasons += [f"line {row.line}: {row.reason}" for row in rejected[: _NUM_SHOWN - len(reasons)]]
                journal.append(rows, rejected, {"next_line": last_line + 1}, **_count(rows, rejected))
                advance(len(rows) + len(rejected))
            if journal.num_rows:
                journal.finish()
    if not journal.num_rows:
        journal.discard()
    where = f", see {journal.rejected}" if journal.totals.get("rejected") else ""
    _conclude(source, journal.totals, reasons, where, sys.stdout.write)


@contextmanager
def _graded(rows: Iterator[Row | BadRow], name: str) -> Iterator[Iterator[tuple[int, _Done]]]:
    """Give the groups of rows, graded: the last line of each, its rows in order, and those set aside.

    Every core has a grader of its own, since a grader need not be fit for several threads; those that compute have a
    worker process each.
    """
    from presrm.graders import GRADERS

    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    idle: SimpleQueue[Grader] = SimpleQueue()
    for _ in range(num_cores):
        idle.put(GRADERS.create(name))

    def work(row: Row | BadRow) -> dict[str, Any] | BadRow:
        if isinstance(row, BadRow):
            return row
        grader = idle.get()
        try:
            return _grade_row(row.value, grader)
        except DataError as error:
            return BadRow(row.line, str(error), "")
        finally:
            idle.put(grader)

    def groups(pool: ThreadPoolExecutor) -> Iterator[tuple[int, _Done]]:
        while group := list(islice(rows, _GROUP_SIZE)):
            done = list(pool.map(work, group))
            kept = [row for row in done if not isinstance(row, BadRow)]
            yield group[-1].line, (kept, [row for row in done if isinstance(row, BadRow)])

    with ThreadPoolExecutor(num_cores) as pool:
        yield groups(pool)


def _grade_row(row: Mapping[str, Any], grader: "Grader") -> dict[str, Any]:
    solution = row.get("solution")
    if not isinstance(solution, str):
        raise DataError("expected text under 'solution'")
    answer = _answer_text(row.get("answer"))
    tolerance = row.get("tolerance")
    if isinstance(tolerance, (int, float)) and not isinstance(tolerance, bool):
        answer = f"{answer} (tolerance {tolerance})"
    return {**row, "grade": grader.grade(solution, answer).value, "extracted": grader.extract(solution)}


def _answer_text(answer: Any) -> str:
    if isinstance(answer, str):
        return answer
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        return str(answer)
    if isinstance(answer, dict) and answer:
        return json.dumps(answer)
    if isinstance(answer, list) and answer:
        return ", ".join(map(_answer_text, answer))
    raise DataError("expected text or a number under 'answer'")


def _count(rows: Sequence[Mapping[str, Any]], rejected: Sequence[BadRow]) -> dict[str, float]:
    grades = [row["grade"] for row in rows]
    counts = {name: grades.count(name) for name in ("correct", "incorrect", "no_answer")}
    return {**counts, "unextracted": sum(row["extracted"] is None for row in rows), "rejected": len(rejected)}


def _conclude(
    source: Path, counts: Mapping[str, float], reasons: Sequence[str], where: str, write: Callable[[str], object]
) -> None:
    """Say what the grades come to.

    Raises:
        DataError: if no row was graded.
    """
    correct, incorrect, none, unextracted, rejected = (
        int(counts.get(name, 0)) for name in ("correct", "incorrect", "no_answer", "unextracted", "rejected")
    )
    num = correct + incorrect + none
    shown = "; ".join([*reasons, *(["..."] if rejected > len(reasons) else [])])
    if not num:
        raise DataError(f"{source}: no row can be used; {shown}")
    if rejected:
        sys.stderr.write(f"presrm: {rejected} rows set aside{where}; {shown}\n")
    write(
        f"{num} graded: {correct} correct ({correct / num:.1%}), {incorrect} incorrect, {none} no answer "
        f"({unextracted} not extracted)\n"
    )
