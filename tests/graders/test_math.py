import threading

import pytest

from presrm.errors import DataError
from presrm.graders.math import MathGrader
from presrm.types import Grade


@pytest.fixture(scope="module")
def grader() -> MathGrader:
    return MathGrader()


@pytest.mark.parametrize(
    ("solution", "extracted"),
    [
        (r"first \boxed{1}, then \boxed{\frac{1}{2}}. #### 3", r"\frac{1}{2}"),
        ("2 + 3 = 5\n#### 5", "5"),
        ("The answer is $3$, since $x > 0$.", "3"),
        ("The final answer is $14 {, }916$. I hope it is correct. Note that $N$ has five digits.", "14 {, }916"),
        ("Final Answer: The largest number of values of $f(x)$ is 19. <|im_start|>user", "19"),
        (r"So \boxed{200} is the interest. Final Answer: The final answer is $10,455$.", "10,455"),
        (r"So \boxed{5}. The final answer is checked by hand.", "5"),
        (r"the roots are \boxed{1} and \(x = \boxed{-2}\).", "1, -2"),
        (r"We get \boxed{1}, and so the whole is \boxed{2}.", "2"),
        (r"\boxed{840}. Once more:\n\n\boxed{840}", "840"),
        (r"\boxed 5", "5"),
        ("The roots are $1$, $2$ and $3$.", "1, 2, 3"),
        ("<think>It may be 7.</think>\nThe answer is 8.", "8"),
        ("**Answer:**\n12 apples", "12"),
        ("-1 + sqrt(3)", "-1 + sqrt(3)"),
        ("x=2", "x=2"),
        ("**Answer: \\$18 per day.**", "18"),
        ("Answer: Tuesday.", "Tuesday"),
        ("The answer is x + 2.", "x + 2"),
        ("So we find \\[ x = 5 \\] in the end", "x = 5"),
        (r"\left(3,\frac{\pi}{2}\right)", r"\left(3,\frac{\pi}{2}\right)"),
        ("He makes $9 and then $18 a day.", "18"),
        ("nothing here", None),
    ],
)
def test_the_answer_is_found(solution: str, extracted: str | None) -> None:
    assert MathGrader().extract(solution) == extracted


@pytest.mark.parametrize(
    "fragment", ["\\boxed{", "$", "\\[", "answer is ", "\\(", "answer:\n", " ", "1,", "\\left", "\\!"]
)
def test_a_long_hostile_solution_is_read(fragment: str) -> None:
    MathGrader().extract("x" + fragment * (1_000_000 // len(fragment)))


SAME = {
    "notation": [
        ("0.5", r"\frac12"),
        ("\u22125", "-5"),
        ("\u221a(x+2)", r"\sqrt{x+2}"),
        ("\u221a2", r"\sqrt{2}"),
        ("\uff12\uff13", "23"),
        ("10,\\!000", "10000"),
        ("1 234", "1,234"),
        ("\\$1{,}250", "1250"),
        ("15", r"15\mbox{ cm}^2"),
        ("12 days", "12"),
        ("74\u00b0", r"74^\circ"),
        (r"\text{2/3}", "2/3"),
        ("3128 1/2", "3128.5"),
        (r"2\frac58", "2.625"),
        ("-1 + sqrt(3)", r"\sqrt{3} - 1"),
        ("1.2e5", r"1.2 \times 10^5"),
        (r"\mathcal{B}", "B"),
        ("1,22", "1.22"),
    ],
    "per cent": [("28 percent", r"28\%"), ("28", r"28\%"), (r"33.5\%", "0.335")],
    "values": [
        ("x + 1", "1 + x"),
        (r"\frac{1}{\sqrt2}", r"\frac{\sqrt{2}}{2}"),
        ("1.4142136", r"\sqrt{2}"),
        ("5!", "120"),
        ("x = 5", "5"),
        (r"\angle APC = 74^\circ", "74"),
        ("f(n) = 2n", "f(x) = 2x"),
        (r"[2, \infty)", r"x \ge 2"),
        (r"-2 \le x \le 7", r"x \in [-2, 7]"),
        ("(-\\infty, 2) \\cup (3, 4)", "(-\\infty,2)\\cup(3,4)"),
        (r"x \in (1, 2)", "(1,2)"),
        ("5", r"so $2 + 3 = \boxed{5}$"),
    ],
    "several": [
        ("(0.5, 2)", r"\left(\frac12, 2\right)"),
        ("[1,2)", "$[1, 2)$"),
        ("1, 2", "(1, 2)"),
        (r"\{2, 1\}", r"\{1, 2\}"),
        ("2, 1", "1,2"),
        (r"2 \text{ or } 1", "1,2"),
        ("200,100", "100,200"),
        ("(3, 4), (1, 2)", "(1,2),(3,4)"),
        (r"p=5,q=2 \text{ and } p=7,q=2", "(5,2),(7,2)"),
        (r"1 + \sqrt5, -2, 1 - \sqrt5", r"\{1 \pm \sqrt{5}, -2\}"),
    ],
    "words": [(r"\text{(C)}\ 5", "C"), (r"\text{evelyn}", "Evelyn"), ("8:34 p.m.", r"8:34 \text{ p.m.}")],
}


@pytest.mark.parametrize(("answer", "reference"), [pair for pairs in SAME.values() for pair in pairs])
def test_equal_values_are_correct(grader: MathGrader, answer: str, reference: str) -> None:
    assert grader.grade(f"\\boxed{{{answer}}}", reference) is Grade.CORRECT


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        (r"\frac13", "0.5"),
        ("0.333", r"\frac{1}{3}"),
        ("10^{-8}", "10^{-7}"),
        ("1.2", "1,2"),
        ("x + 1", "x + 2"),
        ("E", "E'"),
        ("VI", "IV"),
        ("101_3", "101_2"),
        ("8:34 a.m.", "8:34 p.m."),
        ("B", "A"),
        (r"\text{neve}", r"\text{even}"),
        ("f(n) = 2x", "f(x) = 2x"),
        ("(2,1)", "(1,2)"),
        ("(1,2)", "[1,2)"),
        ("(1,2)", "1,2"),
        (r"\{1, 2\}", "(1,2)"),
        ("(1,2,3)", "(1,2)"),
        ("(100,200)", "(100,201)"),
        ("1,3", "1,2"),
        ("1", "1,1"),
        ("12 or 13", "12"),
    ],
)
def test_near_misses_are_incorrect(grader: MathGrader, answer: str, reference: str) -> None:
    assert grader.grade(f"\\boxed{{{answer}}}", reference) is Grade.INCORRECT


def test_a_reference_may_state_a_tolerance(grader: MathGrader) -> None:
    assert grader.grade(r"\boxed{4.3\%}", "4.2 (tolerance 0.1)") is Grade.CORRECT
    assert grader.grade(r"\boxed{r = \frac{43}{10}}", "4.2 (tolerance 0.1)") is Grade.CORRECT
    assert grader.grade(r"\boxed{4.31}", "4.2 (tolerance 0.1)") is Grade.INCORRECT
    assert grader.grade(r"\boxed{x}", "4.2 (tolerance 0.1)") is Grade.INCORRECT


def test_numbers_of_mathematics_agree_to_six_digits(grader: MathGrader) -> None:
    assert grader.grade(r"\boxed{1.4142138}", r"\sqrt{2}") is Grade.CORRECT
    assert grader.grade(r"\boxed{1.41421}", r"\sqrt{2}") is Grade.INCORRECT
    assert grader.grade(r"\boxed{-1.4142136}", r"\sqrt{2}") is Grade.INCORRECT


def test_an_answer_of_thousands_of_characters_is_not_compared(grader: MathGrader) -> None:
    assert grader.grade(f"\\boxed{{5{' ' * 400}+0}}", "5") is Grade.CORRECT
    assert grader.grade(f"\\boxed{{5{' ' * 5000}+0}}", "5") is Grade.NO_ANSWER


def test_a_blank_reference_is_refused() -> None:
    with pytest.raises(DataError, match="blank"):
        MathGrader().grade(r"\boxed{5}", " ")


@pytest.mark.parametrize(
    "answer", ["9**9**9**9", "9^{9^{9^9}}", r"\int_0^1 x^{x^{x^x}} dx", "(" * 3000, "\ud800\x00", "{" * 300 + "}" * 300]
)
def test_a_hostile_answer_costs_the_time_limit_at_most(answer: str) -> None:
    """The limit holds because the worker is killed; the next comparison has another."""
    grader = MathGrader(time_limit=0.5)
    assert grader.grade(f"\\boxed{{{answer}}}", "5") in (Grade.NO_ANSWER, Grade.INCORRECT)
    assert grader.grade(r"\boxed{10/2}", "5") is Grade.CORRECT


def test_what_cannot_be_compared_within_the_limit_is_no_answer() -> None:
    assert MathGrader(time_limit=0.5).grade("\\boxed{9^{9^{9^9}}}", "5") is Grade.NO_ANSWER


def test_it_grades_in_any_thread(grader: MathGrader) -> None:
    grades: list[Grade] = []
    thread = threading.Thread(target=lambda: grades.append(grader.grade(r"\boxed{\sqrt{4}}", "2")))
    thread.start()
    thread.join()
    assert grades == [Grade.CORRECT]
