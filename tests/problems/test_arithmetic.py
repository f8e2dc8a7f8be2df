"""Made-up problems."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.errors import ConfigError
from presrm.evaluation.decontamination import decontaminate
from presrm.problems.arithmetic import LARGEST, Plan, load_arithmetic, make_problem


@given(st.integers())
def test_numbers_stay_small_and_stand_in_the_question_in_their_order(seed: int) -> None:
    problem = make_problem(random.Random(seed))
    plan = Plan.of(problem)
    numbers = [plan.start, *(n for _, n in plan.operations)]
    assert [int(word) for word in "".join(c if c.isdigit() else " " for c in problem.question).split()] == numbers
    assert all(0 <= int(word) <= LARGEST for word in (problem.solution or "").split() if word.isdigit())
    assert plan.id == problem.id


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
    assert {problem.kind for problem in problems} == {"arithmetic"}


def test_they_are_made_not_read() -> None:
    with pytest.raises(ConfigError, match="made, not read"):
        load_arithmetic("file.jsonl")
