"""``presrm judge-steps``: judge every step of the solutions in a file."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from presrm.cli.files import STANDARD, input_file
from presrm.cli.progress import RichProgress
from presrm.cli.show import print_table
from presrm.config import Config, load_config

if TYPE_CHECKING:
    from presrm.judge_card import JudgeCard, Share
    from presrm.judging import JudgedFile
    from presrm.protocols import Judge

_EMBEDDED = "embedded"


def judge_steps(
    file: Annotated[str, typer.Argument(metavar="FILE", help="JSON Lines; - is standard input.")],
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Where rows go; - is standard output. [<stem>.judged.jsonl]"),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="M", help="Hub id, folder, .gguf file, or 'embedded'.")
    ] = _EMBEDDED,
    judge: Annotated[
        str, typer.Option("--judge", metavar="J", help="A registered judge of absolute scale.")
    ] = "pointwise",
    splitter: Annotated[
        str | None, typer.Option("--splitter", metavar="S", help="Cuts solutions that are text.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change any setting; may be repeated.")
    ] = None,
) -> None:
    """Judge every step of the solutions in a file.

    Rows gain 'judged' (a score and a rationale for each step) and 'first_error'. A row holds a question ('problem',
    'question' or 'prompt') and a solution: 'steps', a list of texts, or text under 'solution', 'completion' or
    'response'. With a 'label' (0-based index of the first wrong step, -1 for none) rows also make a judge card. The
    same command goes on where it was stopped.

    \b
      $ presrm judge-steps solutions.jsonl
      $ presrm judge-steps processbench.jsonl --model DIR --set judge.verdict=direct
    """
    config = _settings(model, judge, splitter, settings or [])
    with input_file(file) as source:
        if out == STANDARD or (out is None and file == STANDARD):
            with tempfile.TemporaryDirectory(prefix="presrm-") as folder:
                path = Path(folder) / "judged.jsonl"
                judged = _judge(source, path, config)
                with path.open("rb") as rows:
                    shutil.copyfileobj(rows, sys.stdout.buffer)
            _print_summary(judged, "standard output", Console(stderr=True))
            return
        path = source.with_name(f"{source.stem}.judged.jsonl") if out is None else Path(out)
        _print_summary(_judge(source, path, config), str(path), Console())


def _settings(model: str, judge: str, splitter: str | None, settings: list[str]) -> Config:
    """Settle the settings: of the shipped config with the embedded model, the defaults with any other."""
    flags = {"model.id": model, "judge.kind": judge, "splitter": splitter}
    overrides = [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]
    return load_config(_EMBEDDED if model == _EMBEDDED else None, [*overrides, *settings])


def _judge(source: Path, out: Path, config: Config) -> "JudgedFile":
    from presrm import assembly, judge_assembly
    from presrm.judges import JUDGES
    from presrm.judging import judge_file, require_absolute
    from presrm.prompts import PromptSet
    from presrm.types import Checkpoint

    require_absolute(config.judge.kind, JUDGES.factory(config.judge.kind))
    prompts = PromptSet(config.prompts)

    @contextmanager
    def open_judge() -> "Iterator[Judge]":
        assembly.limit_threads(config.threads)
        with assembly.open_engine(Checkpoint(config.model.id), config.model) as engine:
            yield judge_assembly.make_judge(config.judge, engine, prompts)

    depends_on: dict[str, Any] = {
        "model": config.model.model_dump(mode="json", include={"id", "chat_template", "dtype"}),
        "judge": config.judge.kind,
        "judge_settings": config.judge.model_dump(mode="json", exclude={"kind", "tie_tolerance"}),
        "splitter": config.splitter,
        "splitter_options": config.splitter_options,
        "prompts": prompts.hash,
        "seed": config.seed,
    }
    splitter = assembly.make_splitter(config.splitter, config.splitter_options)
    return judge_file(
        source,
        out,
        open_judge,
        splitter,
        depends_on,
        RichProgress().stage,
        group_size=config.search.group_size,
        threshold=config.judge.threshold,
    )


def _print_summary(judged: "JudgedFile", where: str, console: Console) -> None:
    set_aside = f", {judged.tally.num_rejected} set aside ({where}.rejected.jsonl)" if judged.tally.num_rejected else ""
    console.print(
        f"{judged.tally.num_judged} solutions judged: {where}{set_aside}", markup=False, highlight=False, soft_wrap=True
    )
    if judged.card is not None:
        _print_card(judged.card, console)


def _print_card(card: "JudgeCard", console: Console) -> None:
    def row(name: str, share: "Share") -> tuple[str, ...]:
        return (name, str(share.num), _percent(share.value), _interval(share.interval))

    rows = [
        row("first error found, of erroneous", card.erroneous),
        row("found clean, of clean", card.clean),
        ("F1", str(card.unknown.num), _percent(card.f1), _interval(card.f1_interval)),
        row("unknown (counted as wrong)", card.unknown),
    ]
    print_table(console, ("judge card", "solutions", "share", "95 % interval"), rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _interval(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f}"
