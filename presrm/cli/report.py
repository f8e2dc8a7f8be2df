"""``presrm report``: draw a run, or several side by side, as one page."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from presrm.cli.progress import RichProgress
from presrm.errors import RequestError


def report(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="A run folder, finished or in progress; or several to compare."),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The page. [RUN/report.html; of several, compare.html]")
    ] = None,
) -> None:
    """Draw a run as one HTML page, or compare several.

    The page says in plain sentences what was run, what came out and whether to trust the judge, and shows accuracy,
    judge health, lessons, training, time and tokens as plots with intervals. Single lessons can be browsed with the
    verdicts behind them, and search trees with their rejected branches. It is one file that opens without a network or
    a server. Every plot is also written to plots/ beside it, as SVG and PNG.

    Several runs give one page that compares them: the settings that differ, their curves, and their last policies
    problem by problem.

    \b
      $ presrm report runs/embedded
      $ presrm report runs/embedded --out embedded.html
      $ presrm report runs/embedded runs/four-candidates --out compare.html
    """
    if out is not None and out.is_dir():
        raise RequestError(f"--out {out} is a folder; name the HTML file")
    with RichProgress(is_brief=True).stage("draw the report", None):  # and import what draws
        from presrm.report.facts import read_facts
        from presrm.report.html.compare import write_comparison_page
        from presrm.report.html.run import write_run_page

        if len(runs) == 1:
            path = write_run_page(runs[0], out)
        else:
            path = write_comparison_page(runs, out or Path("compare.html"))
    print(f"The report is {path}")
    for run in runs:
        if note := read_facts(run).note:
            print(f"presrm: {note}", file=sys.stderr)
