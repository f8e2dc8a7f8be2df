"""``presrm train``: the loop."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from presrm.cli.progress import RichProgress
from presrm.cli.settings import EMBEDDED, SettingsOption
from presrm.cli.show import print_table
from presrm.config import load_config

_OTHER_MODEL = (
    f"no CONFIG given: all settings but the model are those of '{EMBEDDED}', chosen for its 1M parameters; "
    "'presrm config list' shows the others, as gsm8k-small"
)


def train(
    config: Annotated[
        str | None, typer.Argument(metavar="CONFIG", help="A YAML file or a shipped config. [embedded]")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Hub id, folder, .gguf file, or 'embedded'.")
    ] = None,
    problems: Annotated[
        str | None, typer.Option("--problems", metavar="P", help="What to learn from, as gsm8k, or jsonl:PATH.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option("--iterations", metavar="N", min=0, help="DPO iterations: 3 makes M1 -> M4.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", metavar="NAME", help="How each policy is made from one before. [presrm]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="RUN", help="The run folder. [runs/<config name>]")
    ] = None,
    settings: SettingsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
) -> None:
    """Search, judge, pair, train, assess, and again: M1 -> M(N+1).

    The same command goes on with a run that was stopped, prints the summary of one that is finished, and a larger N
    extends it.

    \b
      $ presrm train --iterations 1
      $ presrm train --set search.num_candidates=4 --out runs/four
    """
    flags = {"model.id": model, "problems.train": problems, "iterations": iterations, "method.kind": method}
    overrides = [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]
    resolved = load_config(EMBEDDED if config is None else config, [*overrides, *(settings or [])])
    progress = RichProgress()
    if config is None and resolved.model.id != EMBEDDED:
        progress.note(_OTHER_MODEL)
    from presrm.assembly import runs
    from presrm.assembly.plan import plan
    from presrm.report import to_table

    if dry_run:
        print_table(Console(), ("stage", "what", "amount"), plan(resolved))
        return
    run = out or Path("runs") / resolved.name
    summaries = runs.train(resolved, run, progress)
    console = Console()
    (console if console.is_terminal else Console(width=100)).print(to_table(summaries))
    print(f"The report is {run / 'report.md'}")
