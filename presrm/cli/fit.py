"""``presrm fit``: step-wise DPO on preference pairs of presrm or of other tools."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from presrm.cli.files import STANDARD, input_file, rejected_path, report_rejected, telling_rejected
from presrm.cli.progress import RichProgress
from presrm.cli.settings import EMBEDDED, SettingsOption
from presrm.cli.show import one_line, print_table
from presrm.config import Config, load_config
from presrm.errors import RequestError
from presrm.formats.pairs import PairFile, Terminal, read_pairs

if TYPE_CHECKING:
    from presrm.assembly.runs import Fitted
    from presrm.training.pair_files import TokenRatio

_VERBATIM = "plain"


def fit(
    file: Annotated[
        str,
        typer.Argument(
            metavar="PAIRS", help="A .jsonl, .json, .csv or .parquet file; - reads JSON Lines from standard input."
        ),
    ],
    model: Annotated[
        str | None, typer.Option("--model", metavar="M", help="Hub id, folder, .gguf file, or 'embedded'.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Output folder for the trained policy, new or empty.")
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", metavar="CONFIG", help="A YAML file or a shipped config.")
    ] = None,
    prompts: Annotated[
        str | None,
        typer.Option(
            "--prompts",
            metavar="SET",
            help="Prompt set that shows the questions. [plain: unchanged; for pairs of a run: that of the config]",
        ),
    ] = None,
    terminal: Annotated[
        Terminal,
        typer.Option("--terminal", help="Where an answer ends; auto: whole answers, and steps with a final answer."),
    ] = Terminal.AUTO,
    held_out: Annotated[
        float,
        typer.Option(
            "--held-out", metavar="SHARE", min=0, max=0.5, help="Share of the problems to measure on, not to train on."
        ),
    ] = 0.1,
    settings: SettingsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the tokens that packing saves on this file and do nothing.")
    ] = False,
) -> None:
    """Train a policy on preference pairs by step-wise DPO.

    A row is a pair of a run (pairs.jsonl), or one of TRL, Step-DPO, LLaMA-Factory, ms-swift, OpenAI or HH-RLHF: the
    turns before, perhaps the reasoning so far, and two replies (docs/formats.md has a row of each). One that says more,
    such as tools or images, is set aside by name. The end token is trained only where an answer ends (--terminal).

    A tenth of the problems is not trained on (--held-out): loss, margin and accuracy on their pairs are printed, before
    and after. The output folder is a model, or an adapter, with tokenizer, chat template and a card (README.md).

    \b
      $ presrm fit pairs.jsonl --model DIR --dry-run
      $ presrm fit pairs.jsonl --model DIR --out policy --set objective.options.beta=0.2
      $ presrm fit runs/mine/iterations/2/pairs.jsonl --config runs/mine/config.yaml --out policy
    """
    if not dry_run:
        out = new_folder(out)
    rejected_to = None if dry_run else rejected_path(file, out)
    with input_file(file) as source, telling_rejected(rejected_to):
        pairs = read_pairs(source, terminal)
    resolved = _settings(config, model, prompts, pairs, settings or [])
    name = "standard input" if file == STANDARD else file
    report_rejected(pairs.rejected, rejected_to, name)
    for note in pairs.notes:
        print(f"presrm: {one_line(f'{name}: {note}')}", file=sys.stderr)
    from presrm.assembly import runs

    if dry_run:
        _print_ratio(runs.token_ratio(pairs.pairs, resolved, RichProgress(is_brief=True), share_held_out=held_out))
        return
    assert out is not None
    facts = {"lessons": name if file == STANDARD else Path(file).name}
    fitted = runs.fit_pairs(pairs.pairs, resolved, out, RichProgress(), share_held_out=held_out, facts=facts)
    _print_held_out(fitted)
    base = f", an adapter on {fitted.policy.model}" if fitted.policy.adapter else ""
    print(f"The policy is in {out}{base}")


def _print_held_out(fitted: "Fitted") -> None:
    from presrm.report.figures import value_text

    if not fitted.held_out:
        return
    rows = [
        (name, *(value_text(value, "share" if name == "accuracy" else "number") for value in values))
        for name, values in fitted.held_out.items()
    ]
    print_table(Console(), (f"{fitted.num_held_out} pairs held out", "before", "after"), rows)
    print("margin: how much likelier the chosen reply is than the rejected one, in nats; accuracy: how often it is")


def new_folder(out: Path | None) -> Path:
    """Refuse an output folder that is missing, or that holds something.

    Raises:
        RequestError: saying which.
    """
    if out is None:
        raise RequestError("--out DIR is missing: name a folder for the policy, or use --dry-run")
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise RequestError(f"--out {out} is there already; choose a new folder, because its content would be lost")
    return out


def _settings(
    config: str | None, model: str | None, prompts: str | None, pairs: PairFile, settings: Sequence[str]
) -> Config:
    """Choose the settings; without a config: the shipped config for the embedded model, else the defaults."""
    num_foreign = len(pairs.pairs) - pairs.num_own
    if prompts is None and num_foreign:
        if pairs.num_own:
            raise RequestError(
                f"{pairs.num_own} rows are pairs of a run and {num_foreign} are not: choose with --prompts how all "
                "questions are shown, or put the two kinds in separate files"
            )
        prompts = _VERBATIM
    if config is None and model in (None, EMBEDDED):
        config = EMBEDDED
    flags = {"model.id": model, "prompts": prompts}
    overrides = [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]
    return load_config(config, [*overrides, *settings])


def _print_ratio(found: "TokenRatio") -> None:
    rows = [
        ("pairs", f"{found.num_pairs:,}"),
        (f"pairs left out, longer than {found.limit}", f"{found.num_too_long:,}"),
        ("problems", f"{found.num_problems:,}"),
        ("tokens, every pair as two whole sequences", f"{found.whole:,}"),
        ("tokens, packed as trees, each optimiser step alone", f"{found.packed:,}"),
        ("tokens, the whole file as trees", f"{found.tree:,}"),
    ]
    print_table(Console(), ("one epoch", "amount"), rows)
    print(found.explain())
