"""``presrm grade``: compare final answers with references."""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Annotated, Any

import typer

from presrm.cli.files import (
    STANDARD,
    FileArgument,
    SolutionOption,
    default_out,
    input_file,
    rejected_path,
    report_rejected,
    telling_rejected,
    write_bytes,
)
from presrm.cli.show import one_line
from presrm.errors import DataError, RequestError, counted
from presrm.files.jsonl import BadRow, NoGoodRowError, Row, dump_row, explain_rejected, read_rejected
from presrm.files.tables import count_rows, read_table
from presrm.registry import allow_code, is_ours

if TYPE_CHECKING:
    from presrm.protocols import Grader

_GROUP_SIZE = 512  # rows: the unit of durability
_WITH_TOLERANCE = ("auto", "gsm8k", "gsm8k-strict", "math")
_Done = tuple[list[dict[str, Any]], list[BadRow]]


def grade(
    file: FileArgument = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Output file; - is standard output. [<stem>.graded.jsonl]"),
    ] = None,
    solution: SolutionOption = None,
    answer: Annotated[
        str | None, typer.Option("--answer", metavar="TEXT", help="The reference answer of --solution.")
    ] = None,
    grader: Annotated[
        str,
        typer.Option("--grader", metavar="G", help="Registered grader, or one of yours, for example my.py:MyGrader."),
    ] = "auto",
) -> None:
    """Compare final answers with references.

    A row has a solution, as for judge-steps, and a reference under 'answer': text, a number, a list of these, or an
    object (for countdown, numbers and target). It gains 'grade' (correct, incorrect or no_answer) and 'extracted', the
    answer that was found; a blank solution is no_answer. A number under 'tolerance' is the largest difference that
    counts as correct. Bad rows are set aside. All cores are used. If interrupted, run the same command again: it
    resumes after the last finished group of rows.

    \b
      $ presrm grade solved.jsonl --grader gsm8k --out graded.jsonl
      $ presrm grade --solution "3 + 4 = 7, so it is 7." --answer 7
    """
    from presrm.graders import GRADERS

    allow_code([grader])
    GRADERS.factory(grader)
    if (solution is None) is not (answer is None):
        raise RequestError("--solution and --answer need each other")
    row = None if solution is None else {"solution": solution, "answer": answer}
    with input_file(file, row) as source:
        if out == STANDARD or (out is None and file in (None, STANDARD)):
            _grade_to_stdout(source, grader, rejected_path(file, STANDARD))
        else:
            _grade_to_file(source, default_out(str(file), "graded") if out is None else Path(out), grader)


def _grade_to_stdout(source: Path, name: str, rejected_to: Path | None) -> None:
    counts: dict[str, float] = {}
    set_aside: list[BadRow] = []
    with _graded(read_table(source), name) as groups:
        for _, (rows, rejected) in groups:
            write_bytes(b"".join(map(dump_row, rows)))
            counts = {key: counts.get(key, 0) + number for key, number in _count(rows, rejected).items()}
            set_aside += rejected
    with telling_rejected(rejected_to):
        summary = _conclude(source, counts, set_aside)
    report_rejected(set_aside, rejected_to)
    print(summary, file=sys.stderr)


def _grade_to_file(source: Path, out: Path, name: str) -> None:
    from presrm.cli.progress import RichProgress
    from presrm.files.content import hash_path
    from presrm.files.journal import Journal

    if out.is_dir():
        raise RequestError(f"--out {out} is a folder; expected the name of a file")
    if out.resolve() == source.resolve():
        raise RequestError(f"--out {out} would overwrite the input")
    num_rows = count_rows(source)
    journal = Journal(out, {"input_sha256": hash_path(source), "grader": name})
    if not journal.is_done:
        rest = read_table(source, start=journal.notes.get("next_line", 1))
        with RichProgress().stage("grade", num_rows) as advance, _graded(rest, name) as groups, journal:
            advance(journal.num_rows + int(journal.totals.get("rejected", 0)))
            for last_line, (rows, rejected) in groups:
                journal.append(rows, rejected, {"next_line": last_line + 1}, **_count(rows, rejected))
                advance(len(rows) + len(rejected))
            if journal.num_rows:
                journal.finish()
    if not journal.num_rows:
        journal.discard()
    set_aside = read_rejected(journal.rejected)
    summary = _conclude(source, journal.totals, set_aside, f", see {journal.rejected}")
    if set_aside:
        num = int(journal.totals["rejected"])
        told = f"{counted(num, 'row')} set aside, see {journal.rejected}; {explain_rejected(set_aside)}"
        print(f"presrm: {one_line(told)}", file=sys.stderr)
    print(summary)


@contextmanager
def _graded(rows: Iterator[Row | BadRow], name: str) -> Iterator[Iterator[tuple[int, _Done]]]:
    """Give the groups of rows, graded: the last line of each, its rows in order, and those set aside.

    Every core has a grader of its own, since a grader need not be fit for several threads; those that compute have a
    worker process each.
    """
    from presrm.graders import GRADERS
    from presrm.graders.checked import make_grader

    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    idle: SimpleQueue[Grader] = SimpleQueue()
    for _ in range(num_cores):
        idle.put(make_grader(name))
    takes_tolerance = name in _WITH_TOLERANCE or not is_ours(GRADERS.factory(name))

    def work(row: Row | BadRow) -> dict[str, Any] | BadRow:
        if isinstance(row, BadRow):
            return row
        grader = idle.get()
        try:
            return _grade_row(row.value, grader, takes_tolerance)
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


def _grade_row(row: Mapping[str, Any], grader: "Grader", takes_tolerance: bool) -> dict[str, Any]:
    from presrm.formats.solutions import reference_of
    from presrm.types import Grade

    solution, answer = _solution_of(row), reference_of(row)
    tolerance = _tolerance_of(row)
    if tolerance is not None:
        if not takes_tolerance:
            raise DataError(f"tolerance: this grader takes none; those that do are {', '.join(_WITH_TOLERANCE)}")
        answer = f"{answer} (tolerance {tolerance})"
    grade, extracted = grader.grade(solution, answer), grader.extract(solution)
    if not solution.strip():
        grade, extracted = Grade.NO_ANSWER, None
    return {**row, "grade": grade.value, "extracted": extracted}


def _solution_of(row: Mapping[str, Any]) -> str:
    """Find the solution of a row; it may be blank, and needs no question.

    Raises:
        DataError: if there is none, or none beside an ``answer`` that is a whole solution, as in GSM8K.
    """
    from presrm.formats.fields import QUESTION_KEYS, SOLUTION_KEYS, worked_answer
    from presrm.formats.solutions import solution_text, with_question
    from presrm.formats.step_labels import read_step_labels

    given = [row[key] for key in (*SOLUTION_KEYS, "steps") if row.get(key) is not None]
    if given and _is_blank(given[0]):
        return ""
    passed_over = {"answer", *(key for key in QUESTION_KEYS if row.get(key) is None or _is_blank(row[key]))}
    reply = with_question({key: value for key, value in row.items() if key not in passed_over}, "?")
    if not given and worked_answer(row) and read_step_labels(reply) is None:
        raise DataError("answer: it is the reference solution itself; expected a solution beside it")
    return solution_text(reply)


def _is_blank(value: Any) -> bool:
    """Whether a reply says nothing: blank text, no steps, or one message without text."""
    if isinstance(value, Mapping):
        texts = [text for key, text in value.items() if key not in ("role", "from", "type") and text is not None]
        return bool(texts) and all(map(_is_blank, texts))
    if isinstance(value, list):
        return all(map(_is_blank, value))
    return isinstance(value, str) and not value.strip()


def _tolerance_of(row: Mapping[str, Any]) -> float | None:
    """Read the tolerance of a row, a number or its text; none where there is none, or an empty cell.

    Raises:
        DataError: if it is something else.
    """
    value = row.get("tolerance")
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number < math.inf:
        raise DataError(f"tolerance: expected a number that is not negative, found {value!r:.40}")
    return number


def _count(rows: Sequence[Mapping[str, Any]], rejected: Sequence[BadRow]) -> dict[str, float]:
    grades = [row["grade"] for row in rows]
    counts = {name: grades.count(name) for name in ("correct", "incorrect", "no_answer")}
    return {**counts, "unextracted": sum(row["extracted"] is None for row in rows), "rejected": len(rejected)}


def _conclude(source: Path, counts: Mapping[str, float], rejected: Sequence[BadRow], where: str = "") -> str:
    """Say what the grades come to.

    Raises:
        NoGoodRowError: if no row was graded; `where` is said behind it.
    """
    correct, incorrect, none, unextracted = (
        int(counts.get(name, 0)) for name in ("correct", "incorrect", "no_answer", "unextracted")
    )
    num = correct + incorrect + none
    if not num:
        error = NoGoodRowError(source, rejected)
        error.args = (f"{error}{where}",)
        raise error
    return (
        f"{num} graded: {correct} correct ({correct / num:.1%}), {incorrect} incorrect, {none} no answer "
        f"({unextracted} not extracted)"
    )
