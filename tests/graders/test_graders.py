"""What holds for every registered grader."""

import subprocess
import sys

import pytest

from presrm.errors import UnknownNameError
from presrm.graders import GRADERS
from presrm.types import Grade

every_grader = pytest.mark.parametrize("name", GRADERS.names())


@every_grader
def test_the_same_number_is_correct_wherever_a_solution_puts_it(name: str) -> None:
    grader = GRADERS.create(name)
    for solution in ("2 + 3 = 5\n#### 5", "2 + 3 = 5, so \\boxed{5}."):
        assert grader.extract(solution) == "5"
        assert grader.grade(solution, "5") is Grade.CORRECT


@every_grader
@pytest.mark.parametrize("solution", ["", " \n"])
def test_no_answer_is_not_a_wrong_answer(name: str, solution: str) -> None:
    grader = GRADERS.create(name)
    assert grader.extract(solution) is None
    assert grader.grade(solution, "5") is Grade.NO_ANSWER


def test_the_family_loads_nothing_heavy() -> None:
    code = (
        "import sys; from presrm.graders import GRADERS; [GRADERS.create(name) for name in GRADERS.names()];"
        "sys.exit(bool({'torch', 'sympy', 'math_verify'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'gsm8k'"):
        GRADERS.create("gsm8")
