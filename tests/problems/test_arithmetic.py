"""Made-up problems, and the checker that knows every step."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.errors import ConfigError
from presrm.evaluation.decontamination import decontaminate
from presrm.problems.arithmetic import LARGEST, Plan, StepChecker, is_arithmetic, load_arithmetic, make_problem
from presrm.types import Problem

PROBLEM = Problem("arithmetic:19+33-8*2", "Gina has 19 plums ...", "88")
RIGHT = [" 19 + 33 = 52\n", " 52 - 8 = 44\n", " 44 * 2 = 88\n", "#### 88"]


@given(st.integers())
def test_the_reference_solution_is_right_at_every_step(seed: int) -> None:
    problem = make_problem(random.Random(seed))
    assert problem.solution
    steps = problem.solution.splitlines(keepends=True)
    assert StepChecker(problem).check(steps) == [True] * len(steps)
    assert steps[-1] == f"#### {problem.answer}"


@given(st.integers())
def test_numbers_stay_small_and_stand_in_the_question_in_their_order(seed: int) -> None:
    problem = make_problem(random.Random(seed))
    plan = Plan.of(problem)
    numbers = [plan.start, *(n for _, n in plan.operations)]
    assert [int(word) for word in "".join(c if c.isdigit() else " " for c in problem.question).split()] == numbers
    assert all(0 <= int(word) <= LARGEST for word in (problem.solution or "").split() if word.isdigit())
    assert plan.id == problem.id


@pytest.mark.parametrize(
    ("steps", "flags"),
    [
        (RIGHT, [True, True, True, True]),
        ([" 19 + 33 = 42\n", " 42 - 8 = 34\n", " 34 * 2 = 68\n", "#### 68"], [False, True, True, True]),
        ([" 19 + 33 = 52\n", " 52 * 2 = 104\n", "#### 104"], [True, False, True]),
        ([" 19 - 33 = 14\n"], [False]),
        ([" 19 + 34 = 53\n"], [False]),
        ([*RIGHT[:3], "#### 44"], [True, True, True, False]),
        ([RIGHT[0], "#### 52"], [True, False]),
        (["Let us see.\n", RIGHT[0]], [False, True]),
        ([*RIGHT, " 88 + 1 = 89\n"], [True, True, True, True, False]),
    ],
    ids=["right", "carry", "skip", "operator", "operand", "answer", "too early", "chatter", "too far"],
)
def test_a_step_is_judged_by_what_stands_before_it(steps: list[str], flags: list[bool]) -> None:
    assert StepChecker(PROBLEM).check(steps) == flags


def test_equal_seeds_give_equal_problems_and_more_begin_with_the_fewer() -> None:
    assert load_arithmetic(num=20, seed=3)[:7] == load_arithmetic(num=7, seed=3)
    assert load_arithmetic(num=7, seed=3) != load_arithmetic(num=7, seed=4)
    assert load_arithmetic(split="test", num=7, seed=3) != load_arithmetic(split="train", num=7, seed=3)


def test_splits_are_drawn_apart_and_a_chance_twin_is_found() -> None:
    train, test = load_arithmetic(split="train", num=3000), load_arithmetic(split="test", num=500)
    twins = {problem.id for problem in train} & {problem.id for problem in test}
    assert len(twins) < 30
    kept, counts = decontaminate(train, test)
    assert counts.same_id == len(twins) == len(train) - len(kept)


def test_all_problems_differ_in_canonical_form() -> None:
    problems = load_arithmetic(num=1000)
    assert len({problem.id for problem in problems}) == 1000
    assert all(map(is_arithmetic, problems))


def test_they_are_made_not_read() -> None:
    with pytest.raises(ConfigError, match="made, not read"):
        load_arithmetic("file.jsonl")


def test_only_its_own_problems_can_be_checked() -> None:
    with pytest.raises(ValueError, match="not an arithmetic problem"):
        StepChecker(Problem("gsm8k/1", "Why?")).check([" 1 + 1 = 2\n"])
