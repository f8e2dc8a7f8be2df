"""The commands of the tour run, one after the other, and print what the page shows, whatever the figures.

With a few problems only where the figures of all are not looked at: then the first line of each output is as shown, and
every line of those that do not depend on the number of problems.

``python tests/test_tour.py`` writes what they print into the page.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from presrm.cli import main

FEW = {
    r" \| head.*": "",
    r"=100\b": "=6",
    r"=200\b": "=8 --set evaluation.num_judge_problems=2 --set watch.num_problems=2 --set threads=1",
    r"--num 100\b": "--num 4",
}
"""What makes a command of the tour short -> what takes its place."""
TOUR = Path(__file__).parent.parent / "docs" / "tour.md"
_FENCE = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FIGURE = re.compile(r"[-+]?\d[\d,.]*(?:e[-+]?\d+)?")


def shape(line: str) -> str:
    """A line without its figures, its spaces and its rules: processors and policies differ in these."""
    return re.sub(r"[\s─━-]+", " ", _FIGURE.sub("#", line)).strip()


def run(command: str, folder: Path) -> str:
    """What a command of the page prints."""
    arguments = command.replace("presrm", f"{sys.executable} -m presrm", 1)
    done = subprocess.run(arguments, shell=True, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def walk(page: str, folder: Path, run: Callable[[str, Path], str] = run) -> Iterator[tuple[str, str, str]]:
    """Do in `folder` what the page says; gives each command, what the page shows below it, and what it prints."""
    for kind, title, text in _FENCE.findall(page):
        if title:
            (folder / title).write_text(text, "utf-8")
        if kind == "console":
            for block in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, shown = block.partition("\n")
                yield command, shown, run(command, folder)


def test_the_commands_of_the_tour_run_on_a_few_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_here(command: str, folder: Path) -> str:
        for many, few in FEW.items():
            command = re.sub(many, few, command)
        with pytest.raises(SystemExit) as ended:
            main(shlex.split(command)[1:])
        printed = capsys.readouterr()
        assert ended.value.code == 0, f"{command}\n{printed.err}"
        return printed.out

    monkeypatch.chdir(tmp_path)
    page, ran = TOUR.read_text("utf-8"), []
    for command, shown, printed in walk(page, tmp_path, run_here):
        verb = command.split()[1]
        lines = [[line for line in text.splitlines() if line.strip()] for text in (shown, printed)]
        num = 1 if verb in ("train", "explain", "compare", "eval") else None
        check_output(command, *(found[:num] for found in lines))
        ran.append(verb)
    assert {"solve", "judge-steps", "train", "explain", "compare", "eval", "verify", "report"} == set(ran)


@pytest.mark.slow
def test_the_commands_of_the_tour_print_what_it_shows(tmp_path: Path) -> None:
    ran = 0
    for command, shown, printed in walk(TOUR.read_text("utf-8"), tmp_path):
        check_output(command, shown.splitlines(), printed.splitlines())
        ran += 1
    assert ran >= 6


def check_output(command: str, shown: list[str], printed: list[str]) -> None:
    """Compare the lines that are shown with those that are printed, up to a line that says ``...``."""
    printed = [line for line in printed if line.strip()]
    shown = [line for line in shown if line.strip()]
    for expected, line in zip_longest(shown, printed, fillvalue=""):
        if expected.strip() == "...":
            return
        assert shape(expected) == shape(line), f"{command}\nshown   {expected}\nprinted {line}"


if __name__ == "__main__":
    page = TOUR.read_text("utf-8")
    with TemporaryDirectory() as folder:
        for command, shown, printed in walk(page, Path(folder)):
            printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
            page = page.replace(f"$ {command}\n{shown}", f"$ {command}\n{printed}")
    TOUR.write_text(page, "utf-8")
