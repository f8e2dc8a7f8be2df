"""``presrm judge-evolve``: rewrite a judge's instructions, and keep those that agree better with labels."""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from presrm.cli.files import telling_rejected
from presrm.cli.policies import PolicyOnDemand
from presrm.cli.progress import RichProgress
from presrm.cli.settings import (
    EMBEDDED,
    JudgeOption,
    ModelOption,
    SettingsOption,
    SplitterOption,
    settings_to_judge,
)
from presrm.cli.show import one_line, print_table
from presrm.config import Config
from presrm.errors import RequestError

if TYPE_CHECKING:
    from presrm.judging.calls import Labelled, Split
    from presrm.judging.evolve import Evolved, MakeJudge
    from presrm.prompts import PromptSet
    from presrm.protocols import Engine, Generator, Judge

_LETTERS_A_TOKEN = 4


def judge_evolve(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="Solutions with labels: a .jsonl, .json, .csv or .parquet file."),
    ],
    model: ModelOption = EMBEDDED,
    judge: JudgeOption = None,
    prompts: Annotated[
        str | None,
        typer.Option("--prompts", metavar="SET", help="Prompt set to start from: a shipped one or a folder."),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option("--budget", metavar="N", min=1, help="Rows judged at most. [ten times the validation part]"),
    ] = None,
    reflect: Annotated[
        str | None,
        typer.Option("--reflect", metavar="M", help="Model or address that rewrites the instructions. [--model]"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Output folder for the prompt set, new or empty.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", metavar="N", help="Of the split and of all draws. [0]")] = None,
    splitter: SplitterOption = None,
    settings: SettingsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the parts, the calls and the tokens, and do nothing.")
    ] = False,
) -> None:
    """Rewrite a judge's instructions, and keep those that agree better with labels.

    Rows are those of judge-steps, with labels. Their problems are split into three parts. GEPA (extra: gepa) has the
    instructions of the prompt set rewritten after cases of the first part, and keeps those that find more first errors
    in the second. On the third, which evolution never sees, the first prompt and the winner are compared row by row.
    Only instructions change: what shows questions and steps stays as it is.

    The output folder is a prompt set, with the history of the candidates in evolution.jsonl. If interrupted, run the
    same command again: it resumes behind the last call.

    \b
      $ presrm judge-evolve processbench.jsonl --model DIR --judge first-error --out evolved
      $ presrm judge-evolve processbench.jsonl --model DIR --reflect http://localhost:8000/v1#large --out evolved
      $ presrm judge-steps solutions.jsonl --model DIR --judge first-error --set prompts=evolved
    """
    flags = {"model.id": model, "judge.kind": judge or "pointwise", "prompts": prompts, "seed": seed}
    config = settings_to_judge(flags | {"splitter": splitter}, settings)
    if out is None and not dry_run:
        raise RequestError("--out DIR is missing: name a folder for the prompt set, or use --dry-run")
    from presrm.assembly import judges
    from presrm.assembly.problem_parts import make_splitter
    from presrm.judging.calls import read_labelled, split_rows
    from presrm.judging.evolve import least_budget
    from presrm.prompts import PromptSet

    if not judges.asks_policy(config.judge):
        raise RequestError(f"judge {config.judge.kind!r} asks no policy, so it has no instructions")
    shown = PromptSet(config.prompts)
    judges.check_judge(config.judge, None, shown)
    with telling_rejected(None):
        rows, rejected = read_labelled(file, make_splitter(config.splitter, config.splitter_options))
    if rejected:
        told = f"{len(rejected)} of {len(rows) + len(rejected)} rows left out; line {rejected[0].line}: "
        print(f"presrm: {one_line(told + rejected[0].reason)}", file=sys.stderr)
    split = split_rows(rows, config.seed)
    budget = max(10 * len(split.validation), least_budget(split)) if budget is None else budget
    if out is None or dry_run:
        _print_plan(rows, split, config, shown, budget)
        return
    evolved = _evolve(file, rows, config, shown, reflect, out, budget)
    _print(evolved, out)


def _evolve(
    file: Path,
    rows: "list[Labelled]",
    config: Config,
    prompts: "PromptSet",
    reflect: str | None,
    out: Path,
    budget: int,
) -> "Evolved":
    """Open the engines when they are first needed, and evolve; a runner's workers judge, and reflect if they can."""
    from presrm.assembly.inputs import hash_judging
    from presrm.assembly.workers import judging_elsewhere
    from presrm.engines.hf_files import policy_at, policy_hash
    from presrm.files.content import hash_path
    from presrm.judging.evolve import REFLECTION, evolve

    progress = RichProgress()
    other = config.model if reflect is None else config.model.model_copy(update={"id": reflect})
    with ExitStack() as stack:
        elsewhere = stack.enter_context(judging_elsewhere(config, None))
        judging = PolicyOnDemand(config.model, config.threads, stack, progress)
        writing = judging if other == config.model else PolicyOnDemand(other, config.threads, stack, progress)

        def reflector() -> "Generator":
            return elsewhere if elsewhere is not None and writing is judging else writing.engine()

        depends_on = {
            **hash_judging(config),
            "input_sha256": hash_path(file),
            "reflect": other.id,
            "reflect_sha256": policy_hash(policy_at(other.id)),
        }
        return evolve(
            rows,
            prompts,
            _judge_maker(config),
            judging.engine,
            reflector,
            out,
            depends_on,
            progress.stage,
            budget=budget,
            reflection=replace(REFLECTION, max_tokens=2 * config.judge.max_tokens),
            seed=config.seed,
            threshold=config.judge.threshold,
            group_size=config.search.group_size,
            elsewhere=elsewhere,
        )


def _judge_maker(config: Config) -> "MakeJudge":
    from presrm.assembly import judges

    def make_judge(engine: "Engine", prompts: "PromptSet") -> "Judge":
        return judges.make_judge(config.judge, engine, prompts)

    return make_judge


def _print_plan(rows: "list[Labelled]", split: "Split", config: Config, prompts: "PromptSet", budget: int) -> None:
    """Print what would be asked, at most; tokens of prompts are told by their letters, with the prompt there is."""
    from presrm.judging.evolution import LONGEST_CASES, NUM_CASES
    from presrm.judging.evolve import ask_nobody, instructions_of

    asked = ask_nobody(rows, prompts, _judge_maker(config))
    num_judged = budget + 2 * len(split.test)
    share = num_judged / len(rows)
    num_read = sum(len(prompt.text) for prompt in asked.prompts) / _LETTERS_A_TOKEN
    parts = {"training": split.train, "validation": split.validation, "test": split.test}
    table = [
        *((f"rows of the {name} part", f"{len(places):,}") for name, places in parts.items()),
        ("rows judged, at most", f"{num_judged:,}"),
        ("questions to the judge", f"about {len(asked.prompts) * share:,.0f}"),
        ("tokens that the judge reads", f"about {num_read * share:,.0f}"),
        ("tokens that it writes, at most", f"about {asked.num_written * share:,.0f}"),
        (
            "instructions rewritten, at most",
            f"{(budget - len(split.validation)) // NUM_CASES:,}, of {LONGEST_CASES // _LETTERS_A_TOKEN:,} tokens read "
            f"and {2 * config.judge.max_tokens:,} written",
        ),
    ]
    console = Console()
    print_table(console, ("what", "amount"), table)
    for name, text in instructions_of(prompts, asked).items():
        console.print(f"{name}: {one_line(text)}", markup=False, highlight=False, soft_wrap=True)


def _print(evolved: "Evolved", out: Path) -> None:
    from presrm.report.figures import figure_text
    from presrm.report.verdicts import evolution_verdict

    before, after = evolved.before, evolved.after
    rows = [
        ("F1", figure_text(before.f1, "share"), figure_text(after.f1, "share")),
        ("first error found", *(figure_text(card.erroneous, "share", with_num=True) for card in (before, after))),
        ("clean found clean", *(figure_text(card.clean, "share", with_num=True) for card in (before, after))),
        ("no verdict", *(figure_text(card.unknown, "share", with_num=True) for card in (before, after))),
    ]
    console = Console()
    print_table(console, ("test part", "before", "after"), rows)
    refused = sum(evolved.refused.values())
    lines = [
        f"{evolved.num_reflections} instructions written, {refused} refused, {evolved.num_candidates - 1} kept; "
        f"{evolved.num_judged} rows judged, {evolved.num_unreadable} without a verdict",
        *(f"refused {num} times: {reason}" for reason, num in evolved.refused.items()),
        f"Verdict: {evolution_verdict(evolved)}",
        f"The prompt set is in {out}: use it with --set prompts={out}",
    ]
    for line in lines:
        console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
