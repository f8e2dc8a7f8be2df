import json
from pathlib import Path

import pytest

from presrm.errors import DataError
from presrm.graders.countdown import CountdownGrader, evaluate
from presrm.types import Grade

DATA = Path(__file__).parents[3] / "shared" / "data" / "countdown"
GAME = '{"numbers": [1, 5, 5, 5], "target": 24}'


@pytest.mark.parametrize(
    "solution",
    [
        "5 * (5 - 1 / 5) = 24",
        "First try 5 + 5 * 5 - 1 = 29.\nThen 5 * (5 - 1 / 5) = 24.",
        r"\boxed{5 \times \left(5 - \frac{1}{5}\right)}",
        "<think>5 * 5 - 1 uses 3</think> <answer>5 \u00d7 (5 \u2212 1 \u00f7 5)</answer>",
        "**Answer: 5 * (5 - 1/5)**",
        "The answer = 5 * (5 - 1/5)\nI also tried 5 * 5 - 1.",
        "24 = (5 - 1/5) * 5",
        "#### 5*(5-1/5)",
        "So $5(5 - 1/5)$, that is $5 * (5 - 1/5) = 24$.",
    ],
)
def test_every_number_once_and_the_target_is_correct(solution: str) -> None:
    assert CountdownGrader().grade(solution, GAME) is Grade.CORRECT


@pytest.mark.parametrize(
    "solution",
    [
        "5 * 5 - 1 = 24",  # a number is left over
        "5 * 5 - 1 + 5 - 5 = 24",  # one too many
        "5 * (5 - 1 / 5) + 0",
        "55 - 5 * 1",  # glued together
        "5 * 5 - 1 ** 5",
        "5 * 5 - 1 // 5",
        "(5 * (5 - 1 / 5)",
        "5 * (5 - 1 / 5))",
        "1 / (5 - 5) + 5",
        "24",
        "4! * 1",
        "5 * (5 - 1e0 / 5)",
    ],
)
def test_anything_else_is_not(solution: str) -> None:
    for marked in (f"\\boxed{{{solution}}}", f"<answer>{solution}</answer>"):
        assert CountdownGrader().grade(marked, GAME) is Grade.INCORRECT


def test_a_solution_without_an_expression_has_no_answer() -> None:
    assert CountdownGrader().grade("It cannot be done.", GAME) is Grade.NO_ANSWER


def test_brackets_and_numbers_may_be_as_deep_and_long_as_the_game_needs() -> None:
    assert evaluate("(" * 40 + "1" + ")" * 40).result == 1
    assert evaluate("12345678901234567890 - -1").result == 12345678901234567891
    with pytest.raises(ValueError, match="number"):
        evaluate("123456789012345678901")


def test_fractions_are_exact() -> None:
    assert CountdownGrader().grade("8 / (3 - 8 / 3)", '{"numbers": [3, 3, 8, 8], "target": 24}') is Grade.CORRECT


def test_a_right_expression_is_a_reference_too() -> None:
    assert CountdownGrader().grade("4 * 4 + 10 - 2 = 24", "(10 - 4) * (4 / 1) * 1") is Grade.INCORRECT
    assert CountdownGrader().grade("4 * (10 - 4)", "(10 - 4) * 4 = 24") is Grade.CORRECT


@pytest.mark.parametrize("answer", ["24", "", "{}", '{"numbers": [1.5], "target": 2}', "[" * 10_000, "x + y"])
def test_a_reference_without_numbers_and_target_is_refused(answer: str) -> None:
    with pytest.raises(DataError, match="names no numbers and target"):
        CountdownGrader().grade("1 + 1", answer)


@pytest.mark.parametrize("text", ["(" * 60 + "1" + ")" * 60, "-" * 60 + "1", "1+" * 600 + "1", "9" * 30, "", "1 2"])
def test_what_the_game_never_needs_is_no_expression(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any of its reasons
        evaluate(text)


@pytest.mark.skipif(not DATA.exists(), reason="the puzzles are not at hand")
def test_every_known_solution_is_correct() -> None:
    grader = CountdownGrader()
    for path in DATA.glob("*.jsonl"):
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            game = json.dumps({"numbers": row["numbers"], "target": row["target"]})
            assert grader.grade(f"{row['solution']} = {row['target']}", game) is Grade.CORRECT, row
