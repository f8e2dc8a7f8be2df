"""Every row of `docs/formats.md` is read as the page says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from presrm.formats.labelled import rows as labelled_rows
from presrm.formats.pairs import Terminal, pair_of
from presrm.formats.solutions import read_solution
from presrm.problems import load_problems
from presrm.splitters import SPLITTERS
from presrm.types import Stop

PAGE = (Path(__file__).parents[2] / "docs/formats.md").read_text("utf-8")
ROW = re.compile(r"^\| (?P<name>.+?) \| `(?P<row>\{.*\})` \|$", re.MULTILINE)


def tables() -> list[list[Any]]:
    """The rows of each table, in order, as parameters."""
    found = []
    for block in re.split(r"\n\|---\|---\|\n", PAGE)[1:]:
        lines = block.partition("\n\n")[0]
        read = [(cells["name"], json.loads(cells["row"].replace(r"\|", "|"))) for cells in ROW.finditer(lines)]
        assert len(read) == len(lines.splitlines()), "a row of the page is not read"
        found.append([pytest.param(row, id=name) for name, row in read])
    return found


ANSWERS, CONTEXTS, STEPS, LABELLED, TEXTS, PROBLEMS = tables()


@pytest.mark.parametrize("row", ANSWERS)
def test_whole_answers(row: dict[str, Any]) -> None:
    pair = pair_of(row, 1, Terminal.AUTO)
    assert (pair.prefix.problem.question, pair.prefix.steps) == ("2 + 3?", ())
    assert [(step.text, step.stop) for step in (pair.chosen, pair.rejected)] == [
        ("It is 5.", Stop.EOS),
        ("It is 6.", Stop.EOS),
    ]


@pytest.mark.parametrize("row", CONTEXTS)
def test_what_comes_before_the_question(row: dict[str, Any]) -> None:
    pair = pair_of(row, 1, Terminal.AUTO)
    problem = pair.prefix.problem
    assert (problem.system, problem.history, problem.question) == ("In French.", (("Hi.", "Hello."),), "2 + 3?")
    assert (pair.chosen.text, pair.rejected.text) == ("It is 5.", "It is 6.")


@pytest.mark.parametrize("row", STEPS)
def test_steps(row: dict[str, Any]) -> None:
    pair = pair_of(row, 1, Terminal.AUTO)
    assert (pair.prefix.problem.question, pair.prefix.text) == ("2 + 3?", "Add.\n")
    assert [(step.text, step.stop) for step in (pair.chosen, pair.rejected)] == [
        ("2 + 3 = 5.", None),
        ("2 + 3 = 6.", None),
    ]


@pytest.mark.parametrize("row", LABELLED)
def test_labelled_solutions(row: dict[str, Any]) -> None:
    solution = read_solution(row, SPLITTERS.create("newline"))
    assert (solution.question, solution.label) == ("1 + 1 + 1?", 1)
    assert [re.sub(r"^Step \d: ", "", step) for step in solution.steps] == ["1 + 1 = 2", "2 + 1 = 4"]


@pytest.mark.parametrize("row", [each for each in LABELLED if "ProcessBench" not in str(each.id)])
def test_labelled_steps(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    first, second = labelled_rows(path)
    assert (first.good is not None, first.bad, second.good) == (True, None, None)
    assert second.bad is not None
    assert second.bad.text.endswith("2 + 1 = 4\n")


@pytest.mark.parametrize("row", TEXTS)
def test_solutions_that_are_text(row: dict[str, Any]) -> None:
    solution = read_solution(row, SPLITTERS.create("newline"))
    assert (solution.question, solution.label) == ("1 + 1 + 1?", None)
    steps = [step.strip() for step in solution.steps if not step.startswith("####")]
    assert steps == ["1 + 1 = 2", "2 + 1 = 4"]


@pytest.mark.parametrize(
    ("name", "row"),
    [(name, *each.values) for each in PROBLEMS for name in re.findall(r"`(\w+)`", str(each.id))],
)
def test_problems(name: str, row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    [problem] = load_problems(f"{name}:{path}", split="train")
    assert (problem.question, problem.answer) == ("1 + 1 + 1?", "3")


def test_the_page_has_a_row_of_each_format_at_least() -> None:
    assert [len(table) for table in (ANSWERS, CONTEXTS, STEPS, LABELLED, TEXTS, PROBLEMS)] == [18, 3, 3, 11, 3, 8]
