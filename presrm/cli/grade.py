"""``presrm grade``: compare final answers with references."""

from typing import Annotated, Any

import typer

from presrm.cli.files import input_file, transform_rows
from presrm.errors import DataError


def grade(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines with 'solution' and 'answer'.")],
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Where graded rows go; - is standard output.")],
    grader: Annotated[str, typer.Option("--grader", metavar="G", help="A registered grader.")] = "auto",
) -> None:
    """Compare final answers with references.

    Rows gain 'grade' (correct, incorrect or no_answer) and 'extracted', the answer that was found.

    \b
      $ presrm grade solved.jsonl --grader gsm8k --out graded.jsonl
    """
    from presrm.graders import GRADERS

    compare = GRADERS.create(grader)

    def work(row: dict[str, Any]) -> dict[str, Any]:
        solution, answer = row.get("solution"), row.get("answer")
        if not isinstance(solution, str):
            raise DataError("expected text under 'solution'")
        if isinstance(answer, (int, float)) and not isinstance(answer, bool):
            answer = str(answer)
        if not isinstance(answer, str):
            raise DataError("expected text or a number under 'answer'")
        return {**row, "grade": compare.grade(solution, answer).value, "extracted": compare.extract(solution)}

    with input_file(file) as source:
        transform_rows(source, out, work)
