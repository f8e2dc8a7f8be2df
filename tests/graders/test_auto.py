import pytest

from presrm.graders.auto import AutoGrader
from presrm.types import Grade


@pytest.mark.parametrize(
    ("solution", "answer", "grade"),
    [
        ("#### 1,250.00", "1250", Grade.CORRECT),
        ("The answer is 18 dollars, for 3 days.", "18", Grade.CORRECT),
        (r"\boxed{17}", "18", Grade.INCORRECT),
        (r"\boxed{\frac{3}{4}}", "0.75", Grade.CORRECT),
        (r"\boxed{x+1}", "1+x", Grade.CORRECT),
        (r"\boxed{50\%}", "0.5", Grade.CORRECT),
        (r"\boxed{0.5}", r"50\%", Grade.CORRECT),
        (r"\boxed{5 + 0}", "5", Grade.CORRECT),
        ("I do not know.", "18", Grade.NO_ANSWER),
        ("I do not know.", "x", Grade.NO_ANSWER),
    ],
)
def test_numbers_are_compared_by_value_and_the_rest_as_mathematics(solution: str, answer: str, grade: Grade) -> None:
    assert AutoGrader().grade(solution, answer) is grade


def test_plain_numbers_need_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presrm.answers.worker._start", None)
    assert AutoGrader().grade("#### 5.0", "5") is Grade.CORRECT
    assert AutoGrader().grade("#### 6", "5") is Grade.INCORRECT
