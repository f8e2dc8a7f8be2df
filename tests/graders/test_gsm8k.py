import json
from pathlib import Path

import pytest

from presrm.errors import DataError
from presrm.graders.gsm8k import Gsm8kGrader
from presrm.types import Grade

DATA = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "test.jsonl"


@pytest.mark.parametrize(
    ("solution", "extracted"),
    [
        ("16 - 3 - 4 = <<16-3-4=9>>9\n#### 18\nThat took 3 steps.", "18"),
        ("#### $1,234.50.", "1234.50"),
        ("#### -5 degrees", "-5"),
        ("so \\boxed{x = \\$18 \\text{ a day}}, after 3 steps", "18"),
        ("She makes 9 * 2 = **$18** every day.", "18"),
        ("10-3 = 7.", "7"),
        ("no number at all", None),
    ],
)
def test_the_number_is_marked_or_in_a_box_or_the_last(solution: str, extracted: str | None) -> None:
    assert Gsm8kGrader().extract(solution) == extracted


@pytest.mark.parametrize(
    ("solution", "answer", "grade"),
    [
        ("#### 18", "18", Grade.CORRECT),
        ("#### 18.00", "18", Grade.CORRECT),
        ("so 70,000.", "70000", Grade.CORRECT),
        ("#### 18", "9 * 2 = 18\n#### 18", Grade.CORRECT),
        ("#### \u22125", "-5", Grade.CORRECT),
        ("#### 5", "-5", Grade.INCORRECT),
        ("#### 180", "18", Grade.INCORRECT),
        ("so \\boxed{\\frac{3}{4}}", "4", Grade.INCORRECT),
        ("#### " + "9" * 5000, "9", Grade.INCORRECT),
        ("I do not know.", "18", Grade.NO_ANSWER),
    ],
)
def test_numbers_compare_by_value(solution: str, answer: str, grade: Grade) -> None:
    assert Gsm8kGrader().grade(solution, answer) is grade


def test_a_reference_without_a_number_is_refused() -> None:
    for answer in ("x + y", "", "5 or 6"):
        with pytest.raises(DataError, match="is no number"):
            Gsm8kGrader().grade("#### 5", answer)


@pytest.mark.skipif(not DATA.exists(), reason="GSM8K is not at hand")
def test_every_reference_solution_of_gsm8k_is_correct() -> None:
    grader = Gsm8kGrader()
    answers = [json.loads(line)["answer"] for line in DATA.read_text(encoding="utf-8").splitlines()]
    assert all(grader.grade(answer, answer.rpartition("#### ")[2]) is Grade.CORRECT for answer in answers)


def test_read_strictly_only_what_follows_hashes_is_an_answer() -> None:
    grader = Gsm8kGrader(strict=True)
    assert grader.grade("so 17.\n#### 1,800", "1800") is Grade.CORRECT
    assert grader.grade("so \\boxed{1800}", "2 * 900\n#### 1800") is Grade.NO_ANSWER
