import json
from itertools import pairwise
from pathlib import Path

import pytest

from presrm.errors import DataError
from presrm.graders.integral import IntegralGrader, are_equal
from presrm.types import Grade

DATA = Path(__file__).parents[3] / "shared" / "data" / "integration" / "mit_bee.jsonl"


@pytest.fixture(scope="module")
def grader() -> IntegralGrader:
    return IntegralGrader()


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        (r"\sin^2 x + C", r"-\cos^2 x"),  # equal up to a constant
        ("x**2/2 + 3", r"\frac{x^2}{2}"),
        ("-2*atan(1 - x)", r"2 \arctan(x - 1)"),
        (r"\int x e^x \, dx = (x - 1) e^x + C", r"x e^x - e^x"),
        (r"\ln|x| + C", r"\log x"),
        (r"\frac{x^2}{2}", r"\int x \, dx"),
        ("1/6", r"\frac{1}{6}"),
        (r"\frac{\pi}{4}", r"\int_0^1 \frac{1}{1 + x^2} \, dx"),
        ("exp(2) - E", "e^{2}-e"),
        (r"\ln(x - 20) + K", r"\ln|x - 20|"),
        ("x + 3", "x + 1"),
        (r"\frac{a x^2}{2} + c", r"\frac{a x^2}{2}"),
        ("0.69314718056", r"\ln 2"),
        (r"\frac{a x^2}{2} + a", r"\frac{a x^2}{2}"),  # a does not depend on x
        (r"\frac{a t^2}{2} + a", r"\int a t \, dt"),
        ("K", "K"),  # alone it is no constant of integration
        (r"\frac{2}{3} x^{3/2}", r"\frac{2}{3} x \sqrt{x}"),  # real for positive x alone
        (r"\frac{2}{3} |x|^{3/2}", r"\frac{2}{3} x^{3/2}"),
        (r"\frac{2}{3} x^{3/2}", r"\frac{2}{3} |x|^{3/2}"),
        ("2C + x", "2C + x"),
    ],
)
def test_the_same_integral_is_correct(grader: IntegralGrader, answer: str, reference: str) -> None:
    assert grader.grade(f"\\boxed{{{answer}}}", reference) is Grade.CORRECT


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        (r"\frac{x^2}{2} + 0.001 x", r"\frac{x^2}{2}"),
        (r"-\cos x", r"\cos x"),
        ("x", r"\int x \, dx"),
        ("1/6 + C + x", r"\frac{1}{6}"),
        ("0.166", r"\frac{1}{6}"),
        ("9**9**9**9", "5"),
        ("F(x)", r"\frac{x^2}{2}"),
        (r"\frac{x|x|}{2}", r"\frac{x^2}{2}"),  # equal for positive x alone
        (r"\sqrt{x^2}", "x"),
        ("x + Cx", "x"),
        ("t^2", "x^2"),
        ("ax^2", "bx^2"),
        ("0.69", r"\ln 2"),
        ("2K", "K"),
        (r"\frac{a x^2}{2} + x", r"\frac{a x^2}{2}"),
        ("x^2", "5"),
        ("5 + C", "4"),
        ("1000000.2", "1000000"),
    ],
)
def test_another_function_or_value_is_not(grader: IntegralGrader, answer: str, reference: str) -> None:
    assert grader.grade(f"\\boxed{{{answer}}}", reference) is not Grade.CORRECT


@pytest.mark.parametrize(
    "answer",
    [
        r"\int x \, dx",
        r"\int x \, dx = \int x \, dx",
        r"0 + \int_0^x t \, dt",
        "∫ x dx",
        "Integral(x, x)",
        "integrate(x, x)",
        r"\frac{x^2}{2} + \int 0 \, dx",
        r"\sum_{n=0}^{\infty} \frac{x^n}{n!}",
        r"\frac{d}{dx} \frac{x^3}{6}",
    ],
)
def test_the_integral_handed_back_is_incorrect(grader: IntegralGrader, answer: str) -> None:
    for reference in (r"\frac{x^2}{2}", r"\int x \, dx"):
        assert grader.grade(f"\\boxed{{{answer}}}", reference) is Grade.INCORRECT


def test_a_blank_reference_is_refused() -> None:
    with pytest.raises(DataError, match="blank"):
        IntegralGrader().grade(r"\boxed{5}", " ")


def test_functions_that_share_no_real_points_cannot_be_compared(grader: IntegralGrader) -> None:
    assert grader.grade(r"\boxed{\sqrt{-1 - x^2}}", r"\sqrt{-1 - x^2}") is Grade.NO_ANSWER


@pytest.mark.parametrize("answer", [r"\frac{", "x > 1", r"\{1, 2\}"])
def test_what_is_no_expression_is_no_answer(grader: IntegralGrader, answer: str) -> None:
    assert grader.grade(f"\\boxed{{{answer}}}", "x^2") is Grade.NO_ANSWER
    assert are_equal("x^2", answer) is None


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the MIT integration bee is not at hand")
def test_every_official_answer_is_correct_and_its_neighbour_is_not() -> None:
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    for row, other in pairwise(rows):
        constant = " + 3" if row["kind"] == "indefinite" else ""
        assert are_equal(row["answer"], row["answer"] + constant) is True, row["id"]
        assert are_equal(row["answer"], other["answer"]) is not True, row["id"]
