"""``presrm check-pairs``: what a trainer would make of preference pairs."""

import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from presrm.cli.files import input_file, rejected_path, report_rejected, telling_rejected
from presrm.cli.progress import RichProgress
from presrm.cli.settings import EMBEDDED
from presrm.cli.show import one_line, print_table
from presrm.config import load_config
from presrm.formats.pairs import PairFile, Terminal, read_pairs

if TYPE_CHECKING:
    from presrm.training.pair_checks import PairChecks


class Trainer(StrEnum):
    """Whose training is meant; ``trl-text`` is TRL on texts, ``trl`` and ``openrlhf`` are on conversations."""

    PRESRM = "presrm"
    TRL = "trl"
    TRL_TEXT = "trl-text"
    OPENRLHF = "openrlhf"


def check_pairs(
    file: Annotated[
        str,
        typer.Argument(
            metavar="PAIRS", help="A .jsonl, .json, .csv or .parquet file; - reads JSON Lines from standard input."
        ),
    ],
    tokenizer: Annotated[
        str,
        typer.Option(
            "--tokenizer", metavar="T", help="Hub id or folder of the policy, for its tokenizer, or 'embedded'."
        ),
    ] = EMBEDDED,
    trainer: Annotated[Trainer, typer.Option("--for", help="The trainer.")] = Trainer.PRESRM,
    max_length: Annotated[
        int | None,
        typer.Option(
            "--max-length",
            metavar="N",
            min=1,
            help="Tokens that the trainer takes of a sequence at most. [the trainer's own default]",
        ),
    ] = None,
    terminal: Annotated[
        Terminal,
        typer.Option("--terminal", help="Where an answer ends; auto: whole answers, and steps with a final answer."),
    ] = Terminal.AUTO,
) -> None:
    """Count the pairs that a trainer would corrupt.

    A pair is corrupted where the trainer puts an end token behind a step that the solution goes on from, cuts a step
    off, reads the steps as other tokens than those that the policy writes, or reads text as a control token; and where
    a step holds the verdict of a judge. Every cause comes with the number of pairs and the first few of them. No
    weights are loaded, and nothing is written.

    The file may have any format that fit reads (docs/formats.md). --for trl stands for TRL's DPOTrainer on
    conversations, as 'presrm export --to trl' writes them; trl-text for texts, where the prompt ends with the steps
    before; openrlhf for OpenRLHF's DPO with its apply_chat_template. What LLaMA-Factory trains on
    depends on a template of its own, so nothing is said about it.

    \b
      $ presrm check-pairs pairs.jsonl --tokenizer DIR
      $ presrm check-pairs pairs.jsonl --tokenizer DIR --for trl-text --max-length 2048
    """
    rejected_to = rejected_path(file, None)
    with input_file(file) as source, telling_rejected(rejected_to):
        pairs = read_pairs(source, terminal)
    report_rejected(pairs.rejected, rejected_to)
    for note in pairs.notes:
        print(f"presrm: {one_line(note)}", file=sys.stderr)
    with RichProgress(is_brief=True).stage("check pairs", None):
        checks = _check(pairs, tokenizer, trainer, max_length)
    _print(checks, trainer)


def _check(pairs: PairFile, tokenizer: str, trainer: Trainer, max_length: int | None) -> "PairChecks":
    from presrm.engines.hf_loading import load_tokenizer
    from presrm.prompts import PromptSet
    from presrm.prompts.encoding import PromptEncoder
    from presrm.training import pair_checks

    loaded, is_own = load_tokenizer(tokenizer), pairs.num_own > 0
    prompts = load_config(EMBEDDED if tokenizer == EMBEDDED else None).prompts if is_own else "plain"
    setup = pair_checks.Setup(
        loaded, PromptEncoder(loaded), PromptSet(prompts), max_length or pair_checks.LIMITS[trainer], is_own
    )
    return pair_checks.check_pairs(pairs.pairs, trainer, setup)


def _print(checks: "PairChecks", trainer: Trainer) -> None:
    from presrm.training.pair_checks import CAUSES

    console = Console()
    left_out = f"; {checks.num_left_out} are too long and are left out" if checks.num_left_out else ""
    line = f"{trainer} corrupts {checks.num_corrupted} of {checks.num} pairs{left_out}"
    console.print(line, markup=False, highlight=False, soft_wrap=True)
    rows = [
        (text if place == 0 else "", str(checks.counts[cause]) if place == 0 else "", example.pair, example.shown)
        for cause, text in CAUSES.items()
        for place, example in enumerate(checks.examples.get(cause, ()))
    ]
    if rows:
        print_table(console, ("what is wrong", "pairs", "for example", ""), rows)
