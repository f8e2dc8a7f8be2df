"""``presrm search``: problems -> search trees, the first stage of an iteration by itself."""

import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from presrm.cli.files import STANDARD, write_bytes
from presrm.cli.progress import RichProgress
from presrm.cli.settings import (
    EMBEDDED,
    EngineOption,
    JudgeOption,
    SearcherOption,
    SettingsOption,
    SplitterOption,
    as_overrides,
)
from presrm.config import load_config


def search(
    out: Annotated[
        str,
        typer.Option("--out", metavar="TREES", help="Output file, new or to be resumed; - writes to standard output."),
    ],
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A YAML file, or the name of a shipped config.")
    ] = EMBEDDED,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", metavar="M", help="Hub id, folder, .gguf file, http://host/v1#name or 'embedded'. [as in CONFIG]"
        ),
    ] = None,
    problems: Annotated[
        str | None,
        typer.Option("--problems", metavar="P", help="Problems, for example gsm8k or jsonl:PATH. [as in CONFIG]"),
    ] = None,
    judge: JudgeOption = None,
    splitter: SplitterOption = None,
    searcher: SearcherOption = None,
    engine: EngineOption = None,
    iteration: Annotated[
        int,
        typer.Option(
            "--iteration", metavar="T", min=2, help="Take the problems and the draws that make M(T) in a run."
        ),
    ] = 2,
    settings: SettingsOption = None,
) -> None:
    """Search for solutions step by step, and judge every candidate step.

    The policy samples candidates for every step of every problem and judges them itself, as in an iteration of a run
    with these settings. A line of the output is the tree of one problem: every candidate, its judgement, and which one
    was kept. Beside it, TREES.ledger.sqlite holds every question to the judge and its reply. If interrupted, run the
    same command again: it resumes after the last finished group of problems.

    The next stage is 'presrm pairs'.

    \b
      $ presrm search --out trees.jsonl --set problems.num_train=20
      $ presrm search gsm8k-small --model DIR --problems gsm8k:train.jsonl --out trees.jsonl
      $ presrm search runs/mine/config.yaml --model runs/mine/iterations/2/policy --iteration 3 --out trees.jsonl
    """
    flags = {"model.id": model, "problems.train": problems, "judge.kind": judge}
    flags |= {"splitter": splitter, "search.kind": searcher, "model.engine": engine}
    resolved = load_config(config, as_overrides(flags, settings))
    from presrm.assembly.searching import search_problems

    with tempfile.TemporaryDirectory(prefix="presrm-") as folder:
        path = Path(folder) / "trees.jsonl" if out == STANDARD else Path(out)
        done = search_problems(resolved, path, RichProgress(), iteration)
        if out == STANDARD:
            write_bytes(path.read_bytes())
    unknown = f", {done.num_unknown} without a score" if done.num_unknown else ""
    print(
        f"{done.num_problems} trees are in {'standard output' if out == STANDARD else out}: {done.num_solved} with a "
        f"solution, {done.num_expansions} expansions, {done.num_candidates} candidates{unknown}",
        file=sys.stderr if out == STANDARD else sys.stdout,
    )
