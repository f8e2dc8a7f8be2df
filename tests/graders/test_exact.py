import pytest

from presrm.graders.exact import ExactGrader
from presrm.types import Grade


@pytest.mark.parametrize(
    ("solution", "extracted"),
    [
        ("first \\boxed{a}, then \\boxed{New\n  York}.\n#### b", "New York"),
        ("so\n####  New York \n", "New York"),
        ("#### Check\nIt holds.\n\nNew York", "New York"),
        ("A line.\n New   York\n\n", "New York"),
    ],
)
def test_the_answer_is_in_a_box_or_marked_or_the_last_line(solution: str, extracted: str) -> None:
    assert ExactGrader().extract(solution) == extracted
    assert ExactGrader().grade(solution, " New York\n") is Grade.CORRECT


def test_other_text_is_incorrect() -> None:
    assert ExactGrader().grade("#### 5.0", "5") is Grade.INCORRECT
    assert ExactGrader().grade("#### new york", "New York") is Grade.INCORRECT
