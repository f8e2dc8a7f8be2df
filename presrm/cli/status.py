"""``presrm status``: what a run has done, does and has left."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from presrm.cli.progress import duration
from presrm.cli.show import one_line, print_table

if TYPE_CHECKING:
    from presrm.report.facts import RunFacts


def status(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or in progress.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Show what a run has done, what it is doing and what is left.

    Every policy with its accuracy, every stage with its time and tokens, and all alarms of the judge. This also works
    beside a command that is working on the run, and disturbs it in no way.

    \b
      $ presrm status runs/embedded
      $ watch presrm status runs/embedded
    """
    from presrm.report.facts import read_facts

    facts = read_facts(run)
    if facts.note:
        print(f"presrm: {facts.note}", file=sys.stderr)
    told = _tell(facts)
    if as_json:
        print(json.dumps(told))
        return
    console = Console()
    console.print(Text(f"{run}: {told['state']}"), soft_wrap=True)
    if told["doing"]:
        console.print(Text(one_line(told["doing"])), soft_wrap=True)
    _print_policies(facts, console)
    _print_costs(facts, console)
    if told["left"]:
        console.print(f"left: {', '.join(told['left'])}", highlight=False)
    for alarm in told["alarms"]:
        console.print(Text(f"Alarm, {alarm}", "red"), soft_wrap=True)


def _tell(facts: "RunFacts") -> dict[str, Any]:
    """Give it as plain data."""
    from presrm.files.live import read_live
    from presrm.files.lock import find_owner

    owner, live = find_owner(facts.path / ".lock"), read_live(facts.path)
    doing = facts.doing
    if owner is not None and live is not None:
        doing = f"{live.stage}: {live.text} ({duration(max(0.0, time.time() - live.time))} ago)"
    state = "finished" if facts.is_finished else "not finished; the command that began it resumes it"
    if owner is not None:
        state = f"{owner} is working on it"
    names = [summary.name for summary in facts.summaries]
    return {
        "run": str(facts.path),
        "state": state,
        "doing": "" if facts.is_finished and owner is None else doing,
        "done": names,
        "left": [f"M{number}" for number in range(len(names) + 1, facts.config.iterations + 2)],
        "costs": [asdict(cost) for cost in facts.costs],
        "alarms": [f"judge of {row.name}: {alarm}" for row in facts.summaries for alarm in row.health.alarms],
    }


def _print_policies(facts: "RunFacts", console: Console) -> None:
    from presrm.report.summary import to_line

    for summary in facts.summaries:
        console.print(Text(to_line(summary)), soft_wrap=True)


def _print_costs(facts: "RunFacts", console: Console) -> None:
    from presrm.report.facts import STAGES

    rows = [
        (
            f"M{cost.iteration}",
            STAGES[cost.stage],
            "-" if cost.seconds is None else duration(cost.seconds),
            "-" if cost.tokens_generated is None else f"{cost.tokens_generated:,}",
            "-" if cost.tokens_read is None else f"{cost.tokens_read:,}",
            "-" if cost.hit_rate is None else f"{100 * cost.hit_rate:.0f} %",
        )
        for cost in facts.costs
    ]
    if rows:
        console.print()
        print_table(console, ("for", "stage", "time", "tokens written", "tokens read", "from a cache"), rows)
