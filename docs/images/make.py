"""Make the pictures of this folder: real commands on the embedded policy, as a terminal shows them.

``python docs/images/make.py [FOLDER]`` trains a small run in FOLDER (a temporary one unless given), lets M1 solve
held-out problems, and draws what each command prints at 80 and at 160 columns. A FOLDER that holds these already is
used as it is.
"""

import json
import os
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

HERE = Path(__file__).parent
WIDTHS = (80, 160)
SMALL = ("problems.num_train=20", "problems.num_held_out=40")
QUESTION = "A farmer has 9 boxes with 7 eggs each. 14 eggs break. How many are left?"


def presrm(folder: Path, *arguments: str, width: int | None = None) -> str:
    """Run a command in `folder` and give what it prints, in the colours of a terminal where `width` is given."""
    terminal = {} if width is None else {"COLUMNS": str(width), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    done = subprocess.run(
        [sys.executable, "-m", "presrm", *arguments],
        cwd=folder,
        env={**os.environ, **terminal},
        stdout=subprocess.PIPE,
        stderr=None if width is None else subprocess.DEVNULL,  # the bar of progress is no part of the picture
        encoding="utf-8",
        check=True,
    )
    return done.stdout


def write_solutions(folder: Path) -> None:
    """Write solutions of the embedded policy, each labelled with its first wrong step by the exact judge."""
    presrm(folder, "eval", "--num", "40", "--out", "evals")
    samples = (folder / "evals" / "embedded" / "samples_arithmetic_greedy.jsonl").read_text("utf-8").splitlines()
    solved = [json.loads(sample) for sample in samples]
    rows = [
        {"id": row["doc"]["id"], "problem": row["doc"]["question"], "solution": row["resps"][0][0]} for row in solved
    ]
    _write(folder / "unlabelled.jsonl", rows)
    presrm(folder, "judge-steps", "unlabelled.jsonl", "--judge", "checker", "--out", "checked.jsonl")
    checked = [json.loads(line) for line in (folder / "checked.jsonl").read_text("utf-8").splitlines()]
    labels = [row["first_error"] for row in checked]
    _write(folder / "solutions.jsonl", [row | {"label": label} for row, label in zip(rows, labels, strict=True)])


def draw(folder: Path, name: str, *arguments: str) -> None:
    """Draw a command and what it prints, once a width."""
    for width in WIDTHS:
        console = Console(record=True, width=width, file=StringIO())
        console.print(Text.assemble(("$ ", "dim"), _command(arguments)))
        console.print(Text.from_ansi(presrm(folder, *arguments, width=width)))
        svg = console.export_svg(title="presrm", theme=MONOKAI, unique_id=f"{name}-{width}")
        svg = svg.replace("<svg ", '<svg xml:space="preserve" ', 1)  # some viewers drop even hard spaces
        lines = (line.rstrip() for line in svg.splitlines())
        (HERE / f"{name}-{width}.svg").write_text("\n".join(lines) + "\n", "utf-8")


def _write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def _command(arguments: tuple[str, ...]) -> str:
    return " ".join(["presrm", *(f'"{word}"' if " " in word else word for word in arguments)])


def _first_pair(folder: Path) -> str:
    pair = presrm(folder, "explain", "run", "--json").splitlines()[0]
    return str(json.loads(pair)["pair"])


def main(folder: Path) -> None:
    """Make all pictures in `folder`, and what they are pictures of."""
    if not (folder / "run").is_dir():
        settings = [word for setting in SMALL for word in ("--set", setting)]
        presrm(folder, "train", "--iterations", "1", "--out", "run", *settings)
    if not (folder / "solutions.jsonl").exists():
        write_solutions(folder)
    draw(folder, "judge-steps", "judge-steps", "solutions.jsonl", "--show", "2")
    draw(folder, "explain", "explain", "run", _first_pair(folder))
    draw(folder, "solve", "solve", QUESTION)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
