"""Made-up Countdown puzzles and integrals: solvable, graded right, in grades of difficulty, and read back."""

import pytest

from presrm.graders import GRADERS
from presrm.problems import load_problems
from presrm.problems.countdown import recognise as recognise_countdown
from presrm.problems.integrals import recognise as recognise_integral
from presrm.types import Grade


def test_every_puzzle_has_the_solution_that_stands_with_it_and_is_read_back() -> None:
    grader = GRADERS.create("countdown")
    for problem in load_problems("countdown", split="train", num=40, num_numbers=[2, 3, 4, 5]):
        assert problem.solution is not None
        assert problem.answer is not None
        assert grader.grade(problem.solution, problem.answer) is Grade.CORRECT
        read = recognise_countdown(problem.question)
        assert not isinstance(read, str)
        assert (read.id, read.answer, read.kind) == (problem.id, problem.answer, problem.kind)


def test_the_number_of_numbers_is_the_difficulty() -> None:
    problems = load_problems("countdown", split="train", num=6, num_numbers=[2, 5])

    assert [problem.id.count(",") + 1 for problem in problems] == [2, 5, 2, 5, 2, 5]
    assert load_problems("countdown", split="train", num=4, num_numbers=[2, 5]) == problems[:4]
    assert not {p.id for p in problems} & {
        p.id for p in load_problems("countdown", split="test", num=6, num_numbers=[2, 5])
    }


@pytest.mark.parametrize("question", ["", "What is 3 + 4?", "Using each of the numbers 1 exactly once, with"])
def test_what_is_no_puzzle_is_not_read(question: str) -> None:
    assert recognise_countdown(question) == "ill_formed"


def test_integrals_are_solved_by_their_answers_and_read_back() -> None:
    grader = GRADERS.create("integral")
    problems = load_problems("integrals", split="train", num=12)
    assert len({problem.id for problem in problems}) == 12
    for problem in problems:
        assert problem.answer is not None
        read = recognise_integral(problem.question)
        assert not isinstance(read, str)
        assert read.id == problem.id
        assert read.answer is not None
        assert grader.grade(f"\\boxed{{{problem.answer} + C}}", read.answer) is Grade.CORRECT
        assert grader.grade(f"\\boxed{{{problem.answer} + x}}", read.answer) is Grade.INCORRECT
        assert grader.grade(f"\\boxed{{{read.answer}}}", read.answer) is Grade.INCORRECT


@pytest.mark.parametrize("integrand", ["y", "2", "\\int x \\, dx", "x x x ( \\", "x + y"])
def test_what_is_no_integral_of_x_is_not_read(integrand: str) -> None:
    question = f"Compute the integral $\\int {integrand} \\, dx$. Give the result in \\boxed{{}}."
    assert recognise_integral(question) == "ill_formed"
