"""The adapter to reasoning-gym: problems with checked answers, graded in a process of their own."""

import json

import pytest

from presrm.errors import DataError, RequestError
from presrm.graders import GRADERS
from presrm.problems import load_problems
from presrm.types import Grade

pytest.importorskip("reasoning_gym")


@pytest.mark.parametrize("name", ["leg_counting", "basic_arithmetic", "countdown"])
def test_an_entry_is_graded_by_its_generator(name: str) -> None:
    problems = load_problems(f"reasoning-gym:{name}", split="train", num=3)
    grader = GRADERS.create("reasoning-gym")

    assert [problem.kind for problem in problems] == ["reasoning-gym"] * 3
    for problem in problems:
        assert problem.answer is not None
        right = json.loads(problem.answer)["entry"]["answer"]
        assert grader.grade(f"So it is \\boxed{{{right}}}.", problem.answer) is Grade.CORRECT
        assert grader.grade("<answer>-7654321</answer>", problem.answer) is Grade.INCORRECT


def test_more_problems_begin_with_the_fewer_and_splits_differ() -> None:
    fewer, more = (load_problems("reasoning-gym:leg_counting", split="train", num=num) for num in (2, 5))

    assert more[:2] == fewer
    assert not {p.question for p in more} & {
        p.question for p in load_problems("reasoning-gym:leg_counting", split="test", num=5)
    }


@pytest.mark.parametrize("answer", ["__import__('os').system('true')", "open('/etc/passwd')", "lambda: 1", "1; 2"])
def test_an_answer_that_could_be_code_is_never_run(answer: str) -> None:
    (problem,) = load_problems("reasoning-gym:countdown", split="train", num=1)
    grader = GRADERS.create("reasoning-gym")
    assert problem.answer is not None
    assert grader.grade(f"<answer>{answer}</answer>", problem.answer) is Grade.INCORRECT
    assert grader._worker._process is None  # type: ignore[attr-defined]


def test_no_answer_is_not_a_wrong_answer() -> None:
    (problem,) = load_problems("reasoning-gym:leg_counting", split="train", num=1)
    assert problem.answer is not None
    assert GRADERS.create("reasoning-gym").grade(" \n", problem.answer) is Grade.NO_ANSWER


def test_what_the_package_does_not_have_is_refused() -> None:
    with pytest.raises(RequestError, match="no generator 'leg_count'; did you mean 'leg_counting'"):
        load_problems("reasoning-gym:leg_count", split="train")
    with pytest.raises(DataError, match="'min_legs'"):
        load_problems("reasoning-gym:leg_counting", split="train", min_legs=3)
    with pytest.raises(DataError, match="cannot be kept as JSON"):
        load_problems("reasoning-gym:graph_color", split="train", num=1)
