"""What holds for every registered grader."""

import subprocess
import sys
import time

import pytest

from presrm.errors import UnknownNameError
from presrm.graders import GRADERS
from presrm.types import Grade

NAMES = [name for name in GRADERS.names() if name != "reasoning-gym"]  # an extra, with tests of its own
every_grader = pytest.mark.parametrize("name", NAMES)
REFERENCE = {"countdown": "2 + 3"}


@pytest.mark.parametrize("name", sorted({*NAMES} - {"countdown", "judgement"}))
def test_the_same_number_is_correct_where_a_solution_marks_it(name: str) -> None:
    grader = GRADERS.create(name)
    assert grader.extract("2 + 3 = 5\n#### 5") == "5"
    assert grader.grade("2 + 3 = 5\n#### 5", "5") is Grade.CORRECT


@every_grader
@pytest.mark.parametrize("solution", ["", " \n"])
def test_no_answer_is_not_a_wrong_answer(name: str, solution: str) -> None:
    grader = GRADERS.create(name)
    assert grader.extract(solution) is None
    assert grader.grade(solution, REFERENCE.get(name, "5")) is Grade.NO_ANSWER


@every_grader
@pytest.mark.parametrize("text", ["(" * 100_000, "\\boxed{" * 15_000, "1,234" * 20_000, "$" * 100_001])
def test_much_hostile_text_is_graded_at_once(name: str, text: str) -> None:
    grader = GRADERS.create(name)
    began = time.monotonic()
    for solution in (text, f"#### {text}", f"The answer is {text}", f"\\boxed{{{text}}}"):
        assert grader.grade(solution, REFERENCE.get(name, "5")) is not Grade.CORRECT
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", sorted({*NAMES} - {"auto"}))  # which hands them on
@pytest.mark.parametrize("text", ["9**9**9**9", "\ud800\x00" * 9, "(" * 400, "\\frac{1}{" * 200])
def test_hostile_answers_are_never_correct(name: str, text: str) -> None:
    """Whatever needs more than text is done in a worker, which the limit stops."""
    grader = GRADERS.create(name, **({"time_limit": 0.5} if name in ("math", "integral") else {}))
    assert grader.grade(f"\\boxed{{{text}}}", REFERENCE.get(name, "5")) is not Grade.CORRECT


def test_the_family_loads_nothing_heavy() -> None:
    code = (
        "import sys; from presrm.graders import GRADERS; [GRADERS.create(name) for name in GRADERS.names()];"
        "sys.exit(bool({'torch', 'sympy', 'math_verify'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'gsm8k'"):
        GRADERS.create("gsm8")
