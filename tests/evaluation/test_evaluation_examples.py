"""Worked examples: none from the benchmark, none that would teach an answer the grader does not read."""

import pytest

from presrm.errors import DataError
from presrm.evaluation.examples import draw_examples
from presrm.graders import GRADERS
from presrm.prompts import Example
from presrm.types import Problem

GRADER = GRADERS.create("gsm8k")
EVALUATED = [Problem("test/1", "How many legs have 4 cats?", "16")]


def worked(number: int, question: str = "") -> Problem:
    solution = f"He adds {number}+1 = <<{number}+1={number + 1}>>{number + 1}.\n#### {number + 1}"
    return Problem(f"train/{number}", question or f"What comes after {number}?", str(number + 1), solution)


def test_examples_are_worked_problems_without_calculator_marks() -> None:
    drawn = draw_examples("train", [worked(3)], 1, EVALUATED, GRADER, seed=0)
    assert drawn.shown == (Example("What comes after 3?", "He adds 3+1 = 4.\n#### 4"),)
    assert drawn.ids == ("train/3",)


def test_the_seed_decides_and_a_larger_number_gives_the_same_ones_and_more() -> None:
    source = [worked(number) for number in range(20)]
    few, more = (draw_examples("train", source, num, EVALUATED, GRADER, seed=0) for num in (3, 8))
    assert more.shown[:3] == few.shown
    assert few.hash != more.hash
    assert few.ids != draw_examples("train", source, 3, EVALUATED, GRADER, seed=1).ids


def test_what_is_evaluated_is_no_example_in_whatever_spelling() -> None:
    source = [worked(3), worked(15, "How many legs, have 4 CATS?")]
    drawn = draw_examples("train", source, 1, EVALUATED, GRADER, seed=0)
    assert (drawn.ids, drawn.num_evaluated) == (("train/3",), 1)


def test_a_solution_whose_answer_the_grader_does_not_find_is_no_example() -> None:
    source = [Problem(f"odd/{n}", f"Odd {n}?", "7", "It is 8, or so.") for n in range(20)]
    drawn = draw_examples("train", [*source, worked(3)], 1, EVALUATED, GRADER, seed=0)
    assert drawn.ids == ("train/3",)
    assert drawn.num_unread > 0


def test_too_few_are_told_by_cause() -> None:
    source = [
        worked(3),
        Problem("train/open", "Why?", "2"),
        worked(15, EVALUATED[0].question),
        Problem("train/odd", "Odd?", "7", "8"),
    ]
    with pytest.raises(DataError, match=r"train: only 1 of 4 .* 1 have no .* 1 also stand .* in 1 the grader"):
        draw_examples("train", source, 2, EVALUATED, GRADER, seed=0)
