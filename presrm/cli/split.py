"""``presrm split``: see the steps of solutions."""

import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from presrm.cli.files import STANDARD, input_file, transform_rows
from presrm.cli.show import print_steps


def split(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON Lines with 'solution', 'completion' or 'response'.")
    ],
    splitter: Annotated[str, typer.Option("--splitter", metavar="S", help="A registered splitter.")] = "newline",
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Where rows with 'steps' go; - is stdout.")
    ] = None,
) -> None:
    """Cut solutions into steps.

    Shown in colours on a terminal; elsewhere, or with --out, written as JSON Lines that gain 'steps'.

    \b
      $ presrm split solutions.jsonl --splitter marker
      $ presrm split solutions.jsonl --out split.jsonl
    """
    from presrm.assembly import make_splitter
    from presrm.solution_rows import solution_text

    cut = make_splitter(splitter)
    is_shown = sys.stdout.isatty() and out != STANDARD
    console = Console()

    def work(row: dict[str, Any]) -> dict[str, Any]:
        steps = cut.split(solution_text(row))
        if is_shown:
            print_steps(console, steps)
        return {**row, "steps": steps}

    with input_file(file) as source:
        transform_rows(source, None if is_shown and out is None else out or STANDARD, work)
