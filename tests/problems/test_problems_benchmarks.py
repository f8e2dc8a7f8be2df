"""Test sets that `presrm eval` scores on: rows to problems, and a right answer is graded as right."""

from pathlib import Path

import pytest

from presrm.assembly.evaluation import GRADER_OF
from presrm.graders import GRADERS
from presrm.problems import load_problems
from presrm.problems.competition import read_row
from presrm.types import Grade

DATA = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data")


def test_several_answers_are_a_list() -> None:
    assert read_row({"problem": "?", "answer": ["$69$", "$84$"]}, "x").answer == "$69$, $84$"
    assert read_row({"problem": "?", "answer": 7, "id": 60}, "x").id == "60"


def test_a_tolerance_stands_behind_the_answer_where_the_grader_reads_it() -> None:
    problem = read_row({"problem": "?", "answer": ["4.2"], "error": "1e-1"}, "x")
    assert problem.answer == "4.2 (tolerance 0.1)"
    grader = GRADERS.create("math")
    assert grader.grade("It is \\boxed{4.25}", problem.answer) is Grade.CORRECT
    assert grader.grade("It is \\boxed{4.4}", problem.answer) is Grade.INCORRECT


@pytest.mark.parametrize("answer", [None, [], [None], [["a"]], {"a": 1}, True])
def test_an_answer_of_another_kind_is_refused(answer: object) -> None:
    with pytest.raises(ValueError, match="answer"):
        read_row({"problem": "?", "answer": answer}, "x")


@pytest.mark.parametrize("name", ["gaokao2023en", "olympiadbench", "mit_bee"])
def test_a_set_that_is_not_on_the_hub_asks_for_a_file(name: str) -> None:
    with pytest.raises(Exception, match=f"{name}:PATH"):
        load_problems(name, split="test")


SETS = [
    ("math500", "math500.jsonl", 500),
    ("aime24", "benchmarks/aime24.jsonl", 30),
    ("amc23", "benchmarks/amc23.jsonl", 40),
    ("gaokao2023en", "benchmarks/gaokao2023en.jsonl", 383),  # two of 385 rows have a blank answer
    ("olympiadbench", "benchmarks/olympiadbench.jsonl", 675),
    ("countdown", "countdown/countdown3.jsonl", 128),
    ("countdown", "countdown/game24.jsonl", 1362),
    ("mit_bee", "integration/mit_bee.jsonl", 110),
    ("gsm8k", "gsm8k/test.jsonl", 1319),
]


@needs_data
@pytest.mark.parametrize(("name", "file", "num"), SETS)
def test_every_row_of_a_set_is_a_problem_with_an_answer(name: str, file: str, num: int) -> None:
    problems = load_problems(f"{name}:{DATA / file}", split="test")
    assert len(problems) == num
    assert all(problem.answer for problem in problems)


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "file", "num"), SETS)
def test_the_reference_itself_is_graded_as_right(name: str, file: str, num: int) -> None:
    grader = GRADERS.create(GRADER_OF.get(name, "math"))
    problems = load_problems(f"{name}:{DATA / file}", split="test", num=60)
    wrong = []
    for problem in problems:
        assert problem.answer is not None
        written = problem.solution if name == "countdown" else problem.answer
        if (
            grader.grade(f"#### {written}" if name == "gsm8k" else f"\\boxed{{{written}}}", problem.answer)
            is not Grade.CORRECT
        ):
            wrong.append(problem.id)
    assert len(wrong) <= 0.02 * len(problems), wrong
