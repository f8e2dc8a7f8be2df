"""The checker that knows every step of a made-up problem."""

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.checkers import CHECKERS
from presrm.problems.arithmetic import make_problem
from presrm.types import Problem, Step, Trajectory

PROBLEM = Problem("arithmetic:19+33-8*2", "Gina has 19 plums ...", "88", kind="arithmetic")
RIGHT = [" 19 + 33 = 52\n", " 52 - 8 = 44\n", " 44 * 2 = 88\n", "#### 88"]


def check(problem: Problem, steps: Sequence[str]) -> list[bool | None]:
    (labels,) = CHECKERS.create("arithmetic").check([Trajectory(problem, tuple(map(Step, steps)))])
    return labels


@given(st.integers())
def test_the_reference_solution_is_right_at_every_step(seed: int) -> None:
    problem = make_problem(random.Random(seed))
    assert problem.solution
    steps = problem.solution.splitlines(keepends=True)
    assert check(problem, steps) == [True] * len(steps)
    assert steps[-1] == f"#### {problem.answer}"


@pytest.mark.parametrize("wrong", [None, 0, 1, 2, 3])
@pytest.mark.parametrize("cuts", [(), (1,), (2,), (1, 3)])
def test_a_step_of_several_lines_is_right_if_each_of_them_is(wrong: int | None, cuts: tuple[int, ...]) -> None:
    lines = [
        line.replace("=", "= 1").replace("#### ", "#### 1") if n == wrong else line for n, line in enumerate(RIGHT)
    ]
    labels = check(PROBLEM, lines)
    spans = list(pairwise([0, *cuts, len(lines)]))
    assert check(PROBLEM, ["".join(lines[a:b]) for a, b in spans]) == [all(labels[a:b]) for a, b in spans]
    assert all(labels) == (wrong is None)


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
    assert check(PROBLEM, steps) == flags


BRANCHED = Problem("arithmetic:3*4+(5*6)-(2*7)", "Gina has 3 bags of 4 plums ...", "28", kind="arithmetic")


@pytest.mark.parametrize(
    ("steps", "flags"),
    [
        (
            [" 3 * 4 = 12\n", " 5 * 6 = 30\n", " 12 + 30 = 42\n", " 2 * 7 = 14\n", " 42 - 14 = 28\n", "#### 28"],
            [True] * 6,
        ),
        (
            [" 2 * 7 = 14\n", " 6 * 5 = 30\n", " 4 * 3 = 12\n", " 30 + 12 = 42\n", " 42 - 14 = 28\n", "#### 28"],
            [True] * 6,
        ),
        ([" 3 * 4 = 12\n", " 5 * 6 = 25\n", " 12 + 25 = 37\n"], [True, False, True]),
        (
            [" 3 * 4 = 12\n", " 12 + 5 = 17\n", " 2 * 7 = 14\n", " 17 - 14 = 3\n", "#### 3"],
            [True, False, True, True, True],
        ),
        ([" 14 - 28 = 14\n"], [False]),
        ([" 3 * 4 = 12\n", " 3 * 4 = 12\n"], [True, False]),
    ],
    ids=["in order", "in another order", "slip", "skip of a branch", "the wrong way round", "twice"],
)
def test_operations_that_do_not_need_each_other_come_in_any_order(steps: list[str], flags: list[bool]) -> None:
    assert check(BRANCHED, steps) == flags


def test_a_division_is_right_only_without_a_rest() -> None:
    problem = Problem("arithmetic:12/4+1", "Gina shares 12 plums ...", "4", kind="arithmetic")
    assert check(problem, [" 12 / 4 = 3\n", " 3 + 1 = 4\n", "#### 4"]) == [True, True, True]
    assert check(problem, [" 4 / 12 = 3\n"]) == [False]
    assert check(Problem("arithmetic:13/4", "?", kind="arithmetic"), [" 13 / 4 = 3\n"]) == [False]


def test_problems_of_other_sets_are_unknown_not_wrong() -> None:
    assert check(Problem("gsm8k/1", "Why?"), [" 1 + 1 = 2\n", "#### 2"]) == [None, None]
