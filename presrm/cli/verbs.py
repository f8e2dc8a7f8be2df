"""Which verbs there are, and where: the module of a verb is imported when that verb is used, and of no other.

So ``presrm --help`` costs no more than the command line's own library, and each verb what it needs.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from presrm.errors import UnknownNameError

VERBS = {
    "train": ("presrm.cli.train:train", "Train a policy on its own judgements, for N iterations."),
    "search": ("presrm.cli.search:search", "Search for solutions step by step, and judge every candidate step."),
    "pairs": ("presrm.cli.pairs:pairs", "Make preference pairs from search trees."),
    "fit": ("presrm.cli.fit:fit", "Train a policy on preference pairs by step-wise DPO."),
    "fit-prm": (
        "presrm.cli.fit_prm:fit_prm",
        "Train a process reward model that scores steps, with a head of two classes.",
    ),
    "export": (
        "presrm.cli.export:export",
        "Write a policy, preference pairs or judged steps for other tools, or a run for the Hub.",
    ),
    "check-pairs": ("presrm.cli.check_pairs:check_pairs", "Count the pairs that a trainer would corrupt."),
    "split": ("presrm.cli.split:split", "Cut solutions into steps."),
    "judge-steps": ("presrm.cli.judge_steps:judge_steps", "Judge every step of the solutions in a file."),
    "judge-evolve": (
        "presrm.cli.judge_evolve:judge_evolve",
        "Rewrite a judge's instructions, and keep those that agree better with labels.",
    ),
    "grade": ("presrm.cli.grade:grade", "Compare final answers with references."),
    "explain": ("presrm.cli.explain:explain", "Explain where a preference pair comes from."),
    "eval": ("presrm.cli.evaluate:evaluate", "Score policies on benchmarks."),
    "compare": ("presrm.cli.compare:compare", "Compare two policies problem by problem."),
    "verify": ("presrm.cli.verify:verify", "Check a run against the hashes in its manifest."),
    "rerun": ("presrm.cli.rerun:rerun", "Make a part of a run anew; what was there is set aside."),
    "report": ("presrm.cli.report:report", "Draw a run as one HTML page, or compare several."),
    "status": ("presrm.cli.status:status", "Show what a run has done, what it is doing and what is left."),
    "solve": ("presrm.cli.solve:solve", "Solve one problem, step by step."),
    "config": ("presrm.cli.config:app", "List, print, describe and write configs."),
}
"""Name -> where its function is, or the `typer.Typer` of a group, and the first line of its help."""


class Suggesting(TyperGroup):
    """A group of verbs; for an unknown verb it suggests the nearest one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb that `args` begins with.

        Raises:
            UnknownNameError: naming the nearest verb.
        """
        known = self.list_commands(ctx)
        if not args[0].startswith("-") and args[0] not in known:
            raise UnknownNameError(f"unknown verb {args[0]!r}; {_nearest(args[0], known)}")
        return super().resolve_command(ctx, args)


class Verbs(Suggesting):
    """The verbs of `VERBS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name all verbs, in their order."""
        return [*VERBS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import a verb; none where there is no such verb."""
        return load_verb(cmd_name) if cmd_name in VERBS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the verbs for the help, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary.removesuffix(".")) for name, (_, summary) in VERBS.items()])


def load_verb(name: str) -> Any:
    """Import the function of a verb, or its group, and give its command."""
    module, _, attribute = VERBS[name][0].partition(":")
    member = getattr(import_module(module), attribute)
    if not isinstance(member, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(name)(member)
        member = app
    command = get_command(member)
    command.name = name
    return command


def _nearest(name: str, known: Iterable[str]) -> str:
    from presrm.registry import nearest

    return nearest(name, known)
