"""``presrm report``: draw a run as one page."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or in progress.")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="The page. [RUN/report.html]")] = None,
) -> None:
    """Draw a run as one HTML page.

    The page says in plain sentences what was run, what came out and whether to trust the judge, and shows accuracy,
    judge health, lessons, training, time and tokens as plots with intervals. Single lessons can be browsed with the
    verdicts behind them, and search trees with their rejected branches. It is one file that opens without a network or
    a server. Every plot is also written to plots/ beside it, as SVG and PNG.

    \b
      $ presrm report runs/embedded
      $ presrm report runs/embedded --out embedded.html
    """
    from presrm.report.html.run import write_run_page

    print(f"The report is {write_run_page(run, out)}")
