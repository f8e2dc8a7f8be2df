"""Made-up problems: their plans, their English, their splits."""

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.errors import ConfigError
from presrm.evaluation.decontamination import decontaminate
from presrm.problems.arithmetic import load_arithmetic, make_problem, plan_of
from presrm.problems.arithmetic.plan import LARGEST, Plan, apply
from presrm.problems.arithmetic.story import tell
from presrm.types import Problem


@given(st.integers())
def test_every_number_of_a_solution_lies_between_1_and_99(seed: int) -> None:
    problem = make_problem(random.Random(seed))
    assert all(1 <= int(number) <= LARGEST for number in re.findall(r"\d+", problem.solution or ""))
    assert 1 <= len(plan_of(problem).operations) <= 5


@given(st.integers(), st.integers(1, 5))
def test_a_story_takes_as_many_operations_as_asked_for_and_leaves_no_template_unfilled(seed: int, num: int) -> None:
    story = tell(random.Random(seed), num)
    assert len(story.plan.operations) == num
    assert not re.search(r"[][{}<>~|_]|  ", story.question)


@given(st.integers())
def test_what_is_told_in_digits_is_what_is_computed_with(seed: int) -> None:
    story = tell(random.Random(seed), 2)
    told = {int(number) for number in re.findall(r"\d+", story.question)}
    worded = bool(
        re.search(r"\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)\b", story.question, re.I)
    )
    implied = {2, 3, 4, 5, 6, 7, 8, 10, 12}  # twice, triples, half, legs, weeks
    used = {n for one in story.plan.operations for n in (one.left, one.right) if isinstance(n, int)}
    assert used <= told | implied or worded


@given(st.integers())
def test_a_canonical_form_is_read_back_as_the_same_plan(seed: int) -> None:
    plan = tell(random.Random(seed), random.Random(seed).randint(1, 5)).plan
    assert Plan.parse(plan.form).results()[-1] == plan.results()[-1]
    assert Plan.parse(plan.form).form == plan.form


@pytest.mark.parametrize(
    ("form", "results"),
    [
        ("34+17*2-5", [51, 102, 97]),
        ("50-(4*7)", [28, 22]),
        ("3*4+(5*6)", [12, 30, 42]),
        ("60-(2*(3+4))/2", [7, 14, 46, 23]),
    ],
)
def test_a_form_is_worked_from_left_to_right_and_brackets_first(form: str, results: list[int]) -> None:
    assert Plan.parse(form).results() == results


@pytest.mark.parametrize(
    "form", ["", "7", "3+", "+3", "3++4", "(3+4", "3+4)", "3 + 4", "3+x", "()", "3(4)", "(" * 5000]
)
def test_what_is_no_form_is_refused(form: str) -> None:
    with pytest.raises(ValueError, match="canonical"):
        Plan.parse(form)


def test_a_plan_is_read_from_an_id_of_this_set_alone() -> None:
    assert plan_of(Problem("arithmetic:3+4", "?")).results() == [7]
    with pytest.raises(ValueError, match="not an arithmetic problem"):
        plan_of(Problem("gsm8k:3+4", "?"))


def test_a_division_that_leaves_a_rest_has_no_result() -> None:
    assert apply("/", 12, 4) == 3
    assert apply("/", 13, 4) is None
    with pytest.raises(ValueError, match="leaves a rest"):
        Plan.parse("13/4").results()


def test_equal_seeds_give_equal_problems_and_more_begin_with_the_fewer() -> None:
    assert load_arithmetic(num=20, seed=3)[:7] == load_arithmetic(num=7, seed=3)
    assert load_arithmetic(num=7, seed=3) != load_arithmetic(num=7, seed=4)
    assert load_arithmetic(split="test", num=7, seed=3) != load_arithmetic(split="train", num=7, seed=3)


def test_splits_are_drawn_apart_and_a_chance_twin_is_found() -> None:
    train, test = load_arithmetic(split="train", num=3000), load_arithmetic(split="test", num=500)
    twins = {problem.id for problem in train} & {problem.id for problem in test}
    assert 0 < len(twins) < 120  # sums of two numbers, nearly all
    kept, counts = decontaminate(train, test)
    assert counts.same_id == len(twins) == len(train) - len(kept)


def test_all_problems_differ_in_canonical_form() -> None:
    problems = load_arithmetic(num=1000)
    assert len({problem.id for problem in problems}) == 1000
    assert {problem.kind for problem in problems} == {"arithmetic"}


def test_the_same_is_said_in_many_ways() -> None:
    rng = random.Random(0)
    shapes = {re.sub(r"\d+|\b[A-Z]\w+", "#", tell(rng, 2).question) for _ in range(500)}
    assert len(shapes) > 480


def test_they_are_made_not_read() -> None:
    with pytest.raises(ConfigError, match="made, not read"):
        load_arithmetic("file.jsonl")
