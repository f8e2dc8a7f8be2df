"""``presrm train``: run the loop."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from presrm.cli.progress import RichProgress, duration
from presrm.cli.settings import (
    EMBEDDED,
    EngineOption,
    JudgeOption,
    SearcherOption,
    SettingsOption,
    SplitterOption,
    as_overrides,
)
from presrm.cli.show import print_table
from presrm.config import Config, load_config, shipped_configs
from presrm.errors import UnknownNameError

if TYPE_CHECKING:
    from presrm.assembly.plan import Planned
    from presrm.assembly.probe import Pace
    from presrm.iteration import IterationSummary

_OTHER_MODEL = (
    f"no CONFIG given: all settings except the model are those of '{EMBEDDED}', which were chosen for a model of 1M "
    "parameters; 'presrm config list' shows the other configs, for example gsm8k-small"
)


def train(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG",
            help="A YAML file, or the name of a shipped config. [embedded, or embedded-NAME for --method NAME]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="M", help="Hub id, folder, .gguf file or 'embedded'. [as in CONFIG]"),
    ] = None,
    problems: Annotated[
        str | None,
        typer.Option(
            "--problems", metavar="P", help="Problems to train on, for example gsm8k or jsonl:PATH. [as in CONFIG]"
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations", metavar="N", min=0, help="Number of iterations; 3 make M2, M3 and M4. [as in CONFIG]"
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            "--method", metavar="NAME", help="Method that makes each policy from the one before. [as in CONFIG]"
        ),
    ] = None,
    judge: JudgeOption = None,
    splitter: SplitterOption = None,
    searcher: SearcherOption = None,
    engine: EngineOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="RUN", file_okay=False, help="Run folder, new or to be resumed. [runs/<config name>]"
        ),
    ] = None,
    settings: SettingsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan of the run and do nothing.")] = False,
) -> None:
    """Train a policy on its own judgements, for N iterations.

    In each iteration the policy searches for solutions step by step and judges the candidate steps itself. The best and
    the worst candidates form preference pairs, and training on them makes the next policy. Every policy is scored on
    held-out problems, compared with the ones before it, and its judge is tested. The first policy, M1, is the given
    model, or made from it by the seed stage of the config.

    The run folder holds the policies, every intermediate file and a report. If interrupted, run the same command again:
    it resumes after the last finished group of problems. If the run is finished, the command prints its summary; with a
    larger N it adds iterations.

    \b
      $ presrm train --dry-run
      $ presrm train --iterations 1
      $ presrm train --method self-rewarding
      $ presrm train gsm8k-small --model DIR --problems gsm8k:train.jsonl
      $ presrm train --set search.num_candidates=4 --out runs/four
    """
    flags = {"model.id": model, "problems.train": problems, "iterations": iterations, "method.kind": method}
    flags |= {"judge.kind": judge, "splitter": splitter, "search.kind": searcher, "model.engine": engine}
    shipped = f"{EMBEDDED}-{method}" if f"{EMBEDDED}-{method}" in shipped_configs() else EMBEDDED
    resolved = load_config(shipped if config is None else config, as_overrides(flags, settings))
    progress = RichProgress()
    if config is None and resolved.model.id != EMBEDDED:
        progress.note(_OTHER_MODEL)
    with _naming_the_data_of(config):
        if dry_run:
            _plan(resolved, progress)
        else:
            _run(resolved, out or Path("runs") / resolved.name, progress)


@contextmanager
def _naming_the_data_of(config: str | None) -> Iterator[None]:
    """Say of a file that a shipped config names, and that is not there, where it comes from."""
    try:
        yield
    except UnknownNameError as error:
        missing, text = re.match(r"'([^']+)'", str(error)), shipped_configs().get(config or "", "")
        if missing is None or missing[1] not in text.split():
            raise
        raise UnknownNameError(f"{error}; 'presrm config show {config}' says where it comes from") from error


def _plan(config: Config, progress: RichProgress) -> None:
    with progress.stage("plan the run", None):
        from presrm.assembly.plan import plan
        from presrm.assembly.probe import probe_pace

        planned = plan(config)
    _print_plan(planned, probe_pace(config, progress))


def _run(config: Config, out: Path, progress: RichProgress) -> None:
    from presrm.assembly import runs

    progress.run = out
    print_summaries(runs.train(config, out, progress), out)


def print_summaries(summaries: "Sequence[IterationSummary]", run: Path) -> None:
    """Print what a run came to, and where its report is."""
    from presrm.report import to_table

    console = Console()
    (console if console.is_terminal else Console(width=100)).print(to_table(summaries))
    print(f"The report is {run / 'report.html'}")


def _print_plan(planned: "Sequence[Planned]", pace: "Pace | None") -> None:
    """Print the plan: tokens at most, and about how long they take."""
    rows, total, is_bound = [], 0.0, False
    for row in planned:
        seconds = 0.0
        if pace is not None:
            seconds = pace.of(row.work) if row.work else pace.of_tokens(row.num_read, row.num_written)
        total, is_bound = total + seconds, is_bound or bool(seconds and not row.work)
        counts = [f"{num:,}" if num else "" for num in (row.num_read, row.num_written)]
        rows.append((row.stage, row.what, row.amount, *counts, duration(seconds) if seconds else ""))
    print_table(Console(), ("stage", "what", "amount", "tokens read", "written", "time"), rows)
    print("Tokens are upper bounds, at the limits of the settings.")
    if pace is None:
        print("The model is not on this machine, so no time was measured.")
        return
    solved, searched = pace.tried
    print(f"Times are estimates from a trial on this machine, the last with {solved} problems solved at once and")
    at_most = "; where a method learns to judge, at most" if is_bound else ""
    print(f"{searched} searched{at_most}. In all that is about {duration(total)}.")
