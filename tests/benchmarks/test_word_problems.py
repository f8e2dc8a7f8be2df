"""The recipe of benchmarks/word_problems: what is pure in it."""

import doctest
import math
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from presrm.checkers.operations import Finding, Operation, read_operation
from presrm.judging.verdicts import BRACKETS, read_end, word_of
from presrm.protocols import Completion
from presrm.types import Problem, Step, Stop, Trajectory

RECIPE = Path(__file__).parents[2] / "benchmarks" / "word_problems"
PROBLEM = Problem("p", "Tom has 15 red cups and 8 blue ones. How many cups?", "23", "15 + 8 = 23\n#### 23")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(RECIPE))
    return {name: import_module(name) for name in ("split", "explain", "siblings")}


def test_parts_share_no_problem_and_the_loop_knows_no_answer(recipe: dict[str, ModuleType]) -> None:
    rows = [
        {"id": f"r{n}", "question": f"Ann number {n} buys {n} pens.", "answer": "1", "solution": "0 + 1 = 1\n#### 1"}
        for n in range(40)
    ]
    twin = " ".join(f"word{n}" for n in range(13))
    rows.append({"id": "twin", "question": f"{twin}, how many?", "answer": "1", "solution": "0 + 1 = 1\n#### 1"})
    svamp = [{"id": "s", "question": f"Again {twin}?", "answer": "3", "equation": "( 1 + 2 )"}]
    halves = []
    for seed in (0, 1):
        parts, causes = recipe["split"].split(rows, svamp, seed=seed, num_held_out=8, num_seed=20)
        names = [{row["id"] for row in parts[name]} for name in ("seed", "loop", "held_out")]
        assert sum(map(len, names)) == len(set.union(*names))
        assert "twin" not in names[0] | names[1]
        assert causes["shared_run"] == ("twin" not in names[2])
        assert all(row.keys() == {"id", "question"} for row in parts["loop"])
        assert [row["id"] for row in parts["loop"]] == [row["id"] for row in parts["loop_answers"]]
        assert all(row["kind"] == "operations" for row in parts["seed"] + parts["held_out"])
        halves.append(names[0])
    assert halves[0] != halves[1]


def test_explanations_are_as_the_page_shows(recipe: dict[str, ModuleType]) -> None:
    result = doctest.testmod(recipe["explain"])
    assert result.attempted > 5
    assert result.failed == 0


@pytest.mark.parametrize("operator", "+-*/")
@pytest.mark.parametrize(("one", "other"), [(7, 5), (90, 63), (999, 1), (27, 16), (105, 40), (2.5, 0.75), (0.05, 300)])
def test_a_check_comes_to_the_right_verdict(
    recipe: dict[str, ModuleType], operator: str, one: float, other: float
) -> None:
    left, right = Fraction(str(one)), Fraction(str(other))
    if operator == "/":
        left *= right
    result = {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[operator]
    for off in (Fraction(0), Fraction(1), Fraction(-1, 10)):
        check = recipe["explain"].check_sum(Operation(left, operator, right, result + off))
        assert ("Is" in check) is (off == 0)
        assert ("Not" in check) is (off != 0)


def test_every_column_of_a_check_is_right(recipe: dict[str, ModuleType]) -> None:
    check = recipe["explain"].check_sum(read_operation("287 * 46 = 13202"))
    columns = [part for part in check.replace(",", "").split() if "=" in part]
    assert len(columns) > 6
    for column in columns:
        sums, result = column.split("=")
        products = (math.prod(map(int, term.split("*"))) for term in sums.split("+"))
        assert sum(products) == int(result)


@pytest.mark.parametrize("finding", list(Finding))
@pytest.mark.parametrize("step", ["15 + 8 = 23", "#### 23"])
def test_every_explanation_ends_with_the_verdict_that_a_judge_reads(
    recipe: dict[str, ModuleType], finding: Finding, step: str
) -> None:
    reply = recipe["explain"].explain(PROBLEM.question, ["15 + 8 = 23"], step, finding)
    verdict, _ = read_end(Completion(reply, None, Stop.EOS), BRACKETS, word_of(("yes", "no")))
    assert verdict == ("yes" if finding is Finding.RIGHT else "no")


def test_as_many_judgements_say_yes_as_no(recipe: dict[str, ModuleType]) -> None:
    problem = Problem(PROBLEM.id, PROBLEM.question, PROBLEM.answer, PROBLEM.solution, "operations")
    wrong = [(Step(f"15 + 8 = {n}\n"), Finding.SUM) for n in (24, 33)] + [(Step("15 - 8 = 7\n"), Finding.OPERATION)]
    labelled = [(Trajectory(problem), [(Step("8 + 15 = 23\n"), Finding.RIGHT), *wrong])] * 3

    made = recipe["siblings"].judgements(labelled, num_right=1, num_wrong=2, seed=0)

    assert [row.answer for row in made] == ["yes"] * 3 + ["no"] * 3
    assert len({row.id for row in made}) == 6
    assert all(row.kind == "pointwise" and row.shown.prefix.problem.answer is None for row in made)
    assert {row.shown.steps[0].text for row in made if row.answer == "no"} <= {"15 + 8 = 24\n", "15 - 8 = 7\n"}


def test_where_no_candidate_is_right_the_reference_step_is_judged(recipe: dict[str, ModuleType]) -> None:
    problem = Problem(PROBLEM.id, PROBLEM.question, PROBLEM.answer, PROBLEM.solution, "operations")
    labelled = [(Trajectory(problem), [(Step("15 - 8 = 7\n"), Finding.OPERATION)])]

    made = recipe["siblings"].judgements(labelled, num_right=1, num_wrong=2, seed=0)

    assert [(row.shown.steps[0].text, row.answer) for row in made] == [("15 + 8 = 23\n", "yes"), ("15 - 8 = 7\n", "no")]
