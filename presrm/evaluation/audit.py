r"""Two independent extractors on every solution: where the grader's own and a second one lead to different grades.

Answer checking is where an evaluation fools itself. So what a grader makes of a solution is compared with what code
makes of it that it shares nothing with: for numbers the ``flexible-extract`` of lm-evaluation-harness (the last number
anywhere), for mathematics math-verify's own reading of the whole solution.

>>> LastNumber().read("It is \\boxed{5} of the 12 cars.", "5")
Reading(extracted='12', grade=<Grade.INCORRECT: 'incorrect'>)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Protocol

from presrm.answers.worker import Worker
from presrm.files.content import replace_file
from presrm.files.jsonl import dump_row
from presrm.types import Grade

_LAST_NUMBER = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")
_NUM_LISTED = 100  # disagreements in the table


@dataclass(frozen=True, slots=True)
class Reading:
    """What an extractor leads to.

    Attributes:
        extracted: The final answer found, or none.
        grade: Against the reference.
    """

    extracted: str | None
    grade: Grade


class SecondExtractor(Protocol):
    """Reads solutions without the code of the grader.

    Attributes:
        name: As in tables.
    """

    name: str

    def read(self, solution: str, answer: str) -> Reading | None:
        """Find the final answer and grade it; none if that took too long or failed: unknown, not a disagreement."""
        ...


class LastNumber:
    """The last number of the solution, by value: ``flexible-extract`` of lm-evaluation-harness."""

    name = "the last number"

    def read(self, solution: str, answer: str) -> Reading | None:
        """Find the last number; none if the reference holds none."""
        expected, found = _last_number(answer), _last_number(solution)
        if expected is None:
            return None
        if found is None:
            return Reading(None, Grade.NO_ANSWER)
        return Reading(str(found), Grade.CORRECT if found == expected else Grade.INCORRECT)


class MathVerify:
    """math-verify on the whole solution, as it is: no normalisation of ours, and no search for boxes or phrases.

    Args:
        time_limit: Seconds for one solution; reading runs in a worker process that is killed then.
    """

    name = "math-verify on the whole solution"

    def __init__(self, time_limit: float = 5.0) -> None:
        self._worker = Worker(time_limit, "math_verify")

    def read(self, solution: str, answer: str) -> Reading | None:
        """Parse the solution and compare; none if that passed a limit."""
        found = self._worker.run(verify_whole, solution, answer)
        return None if found is None else Reading(found[0], Grade(found[1]))


def verify_whole(solution: str, answer: str) -> tuple[str | None, str]:
    """Give what math-verify finds in `solution`, and its grade. Without limits: it runs in a worker.

    Raises:
        ValueError: if math-verify cannot read the reference.
    """
    from math_verify import parse, verify

    is_marked = "$" in answer or "\\boxed" in answer
    expected = parse(answer if is_marked else f"${answer}$", parsing_timeout=None)
    if not expected:
        raise ValueError("the reference cannot be read")
    found = parse(solution, parsing_timeout=None)
    if not found:
        return None, Grade.NO_ANSWER.value
    is_equal = verify(expected, found, timeout_seconds=None)
    return str(found[-1]), (Grade.CORRECT if is_equal else Grade.INCORRECT).value


SECOND_OF: Mapping[str, type[LastNumber] | type[MathVerify]] = {
    "gsm8k": LastNumber,
    "gsm8k-strict": LastNumber,
    "auto": MathVerify,
    "math": MathVerify,
}
"""The second extractor for a grader; for the others there is none."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What two extractors make of the solutions of a benchmark.

    Attributes:
        second: Name of the second extractor.
        num: Solutions that both have read.
        num_unread: Solutions that the second one did not read within its limits, or that no one asked it about.
        disagreements: Rows of those that are graded differently, in order.
        num_unextracted: Solutions in which the grader finds no answer.
        num_unextracted_by_second: The same of the second extractor.
    """

    second: str
    num: int
    num_unread: int
    disagreements: tuple[Mapping[str, Any], ...]
    num_unextracted: int
    num_unextracted_by_second: int

    @property
    def num_decisive(self) -> int:
        """Disagreements on whether the answer is right."""
        return sum(Grade.CORRECT in (row["grade"], row["second_grade"]) for row in self.disagreements)


def second_readings(
    second: SecondExtractor, solutions: Sequence[str], answer: str
) -> list[dict[str, str | None] | None]:
    """Read the solutions of one problem, equal ones once, as plain JSON values."""
    read = {solution: second.read(solution, answer) for solution in dict.fromkeys(solutions)}
    return [
        None if (found := read[solution]) is None else {"extracted": found.extracted, "grade": found.grade.value}
        for solution in solutions
    ]


def compare_extractors(rows: Sequence[Mapping[str, Any]], second: str) -> Audit:
    """Sum up the rows of ``samples_*.jsonl`` that have `second_readings` under ``audit``."""
    num = num_unread = num_unextracted = num_unextracted_by_second = 0
    disagreements = []
    for row in rows:
        readings = row.get("audit") or [None] * len(row["grades"])
        for sample, (extracted, grade, reading) in enumerate(
            zip(row["filtered_resps"], row["grades"], readings, strict=True)
        ):
            if reading is None:
                num_unread += 1
                continue
            num += 1
            num_unextracted += extracted is None
            num_unextracted_by_second += reading["extracted"] is None
            if grade != reading["grade"]:
                told = {"id": row["doc"]["id"], "sample": sample, "answer": row["target"]}
                told |= {"extracted": extracted, "second_extracted": reading["extracted"]}
                disagreements.append(told | {"grade": grade, "second_grade": reading["grade"]})
    return Audit(second, num, num_unread, tuple(disagreements), num_unextracted, num_unextracted_by_second)


def write_disagreements(path: Path, audit: Audit) -> None:
    """Write the first disagreements, a row each; an empty file says that there are none."""
    replace_file(path, b"".join(map(dump_row, audit.disagreements[:_NUM_LISTED])).decode())


def _last_number(text: str) -> Decimal | None:
    for found in reversed(_LAST_NUMBER.findall(text)):
        try:
            return Decimal(found.replace("$", "").replace(",", "").removesuffix("."))
        except InvalidOperation:  # a run of dots, or of digits and dots
            continue
    return None
