"""``presrm fit-prm``: a process reward model from labelled steps."""

import json
from pathlib import Path
from typing import Annotated

import typer

from presrm.cli.fit import new_folder
from presrm.cli.progress import RichProgress
from presrm.cli.settings import EMBEDDED, SettingsOption
from presrm.config import load_config
from presrm.errors import counted


def fit_prm(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Trees of a run (trees.jsonl), its labelled.jsonl, or rows of steps with labels."
        ),
    ],
    model: Annotated[
        str, typer.Option("--model", metavar="M", help="What the model is made from: Hub id, folder, or 'embedded'.")
    ] = EMBEDDED,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Output folder for the model, new or empty.")
    ] = None,
    soft: Annotated[
        bool, typer.Option("--soft", help="Learn the probabilities themselves, not whether they reach one half.")
    ] = False,
    separator: Annotated[
        str,
        typer.Option(
            "--separator", metavar="TEXT", help="Text behind each step. [default: a line break]", show_default=False
        ),
    ] = "\n",
    settings: SettingsOption = None,
) -> None:
    """Train a process reward model that scores steps, with a head of two classes.

    Rows may be in any format of step labels (docs/formats.md). Of trees, the judge's scores are learned. The keys
    training.learning_rate, training.epochs, training.batch_pairs (solutions in an optimiser step) and
    training.max_tokens are read. A training that was interrupted resumes with the same command. The judge prm reads
    the model:

    \b
      $ presrm fit-prm labelled.jsonl --model DIR --out prm --set training.learning_rate=1e-4
      $ presrm judge-steps solutions.jsonl --judge prm --set judge.options.model=prm
    """
    out = new_folder(out)
    config = load_config(EMBEDDED if model == EMBEDDED else None, [f"model.id={json.dumps(model)}", *(settings or [])])
    from presrm.assembly.runs import fit_prm_file

    num = fit_prm_file(file, config, out, RichProgress(), labels="soft" if soft else "hard", separator=separator)
    print(f"The process reward model, trained on {counted(num, 'solution')}, is in {out}")
