"""Fuzzing of extraction, the Countdown parser and mathematical comparison: no crash, no hang, no wrong `CORRECT`.

A few examples run with the other tests. In full: ``python tests/fuzz/test_fuzz_graders.py --minutes 10``.
"""

import argparse
import json
import operator
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cache
from random import Random

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from presrm.graders import GRADERS
from presrm.graders.countdown import CountdownGrader, evaluate
from presrm.graders.math import MathGrader
from presrm.types import Grade

TIME_LIMIT = 3.0  # seconds of a comparison
START = 120.0  # seconds that a new worker may take on a busy machine
quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)

LATEX = r"""\boxed{ \boxed \fbox{ { } \{ \} $ $$ \( \) \[ \] #### <answer> </answer> </think> answer: **answer is**
    final\ answer\ is \frac \frac12 \dfrac{1}{ \sqrt \text{ \text{and} and or , ; . : = < \le \pm \cup \infty ( ) [ ]
    1,234 1{,}000 10,\!000 0.5 .5 50\% percent ^ _ ^{ 9**9**9 9^{9^{9}} ! 1/0 x y e i \pi sin sqrt( \begin{pmatrix} \\
    & \end{pmatrix} \int_0^1 dx \sum \log ' " \ 3\ 1/2 -- + * / % ~ \! \, cm^2 """
UNUSUAL = ["\n", " ", "\x00", *"\u2212\u00bd\uff15\u0665\u221a\u00d7\ud800\u202e\u00b2", "1 000"]
FRAGMENTS = st.sampled_from([*LATEX.split(), *UNUSUAL])
TEXTS = st.one_of(
    st.lists(FRAGMENTS, max_size=40).map("".join),
    st.lists(FRAGMENTS, max_size=40).map(" ".join),
    st.text(max_size=200),
    st.builds(operator.mul, st.lists(FRAGMENTS, min_size=1, max_size=3).map("".join), st.integers(1, 20_000)),
)
ANSWERS = st.lists(FRAGMENTS, max_size=12).map("".join)
NUMBERS = st.integers(-2000, 2000)


@contextmanager
def within(seconds: float):
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@cache
def grader() -> MathGrader:
    return MathGrader(TIME_LIMIT)


@cache
def named(name: str):
    return GRADERS.create(name)


@given(TEXTS)
@quick
def test_any_text_is_read_in_little_time(text: str) -> None:
    for name in GRADERS.names():
        with within(10):
            found = GRADERS.create(name).extract(text)
        assert found is None or isinstance(found, str)


@given(TEXTS)
@quick
def test_any_text_is_graded_as_a_number(text: str) -> None:
    with within(10):
        grade = GRADERS.create("gsm8k").grade(text, "271828")
    assert grade is not Grade.CORRECT


@given(ANSWERS, ANSWERS)
@quick
def test_any_two_answers_are_compared_within_the_limit(reference: str, answer: str) -> None:
    with within(TIME_LIMIT + START):
        grade = grader().grade(f"\\boxed{{{answer}}}", f"{reference} 271828")
    assert isinstance(grade, Grade)


@st.composite
def expressions(draw: st.DrawFn) -> tuple[str, Fraction, Counter[int]]:
    """Draw an expression with its value and its numbers, computed beside the parser."""
    parts = [(str(n), Fraction(n), Counter([n])) for n in draw(st.lists(st.integers(0, 99), min_size=1, max_size=6))]
    signs = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
    while len(parts) > 1:
        left = parts.pop(draw(st.integers(0, len(parts) - 1)))
        right = parts.pop(draw(st.integers(0, len(parts) - 1)))
        sign = draw(st.sampled_from("+-*" if right[1] == 0 else "+-*/"))
        parts.append((f"({left[0]} {sign} {right[0]})", signs[sign](left[1], right[1]), left[2] + right[2]))
    return parts[0]


@given(expressions())
@quick
def test_the_parser_computes_as_fractions_do(expression: tuple[str, Fraction, Counter[int]]) -> None:
    text, result, numbers = expression
    found = evaluate(text)
    assert (found.result, found.numbers) == (result, numbers)


@given(expressions(), expressions())
@quick
def test_only_the_numbers_and_the_target_make_a_game_correct(
    given_: tuple[str, Fraction, Counter[int]], wanted: tuple[str, Fraction, Counter[int]]
) -> None:
    text, result, numbers = given_
    reference = json.dumps({"numbers": sorted(wanted[2].elements()), "target": int(wanted[1])})
    grade = CountdownGrader().grade(f"<answer>{text}</answer>", reference)
    assert (grade is Grade.CORRECT) == (numbers == wanted[2] and result == int(wanted[1]))


@given(st.text("0123456789+-*/(). xX=\u00d7\u00f7\u2212\\{}!^e", max_size=60))
@quick
def test_any_text_is_an_expression_or_is_not(text: str) -> None:
    with within(2):
        with suppress(ValueError):
            evaluate(text)
        grade = CountdownGrader().grade(f"<answer>{text}</answer>", '{"numbers": [3, 7, 11, 13], "target": 9973}')
    assert grade is not Grade.CORRECT


@st.composite
def near_misses(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a reference and an answer that is close to it and wrong."""
    n, m = draw(st.lists(NUMBERS, min_size=2, max_size=2, unique=True))
    k = draw(st.integers(2, 40))
    point = f"({n}, {m})"
    misses = [
        (str(n), str(m)),
        (str(k), f"-{k}"),
        (str(k), f"{k}0"),
        (str(k), f"0.{k}"),
        (str(k), f"{k}.01"),
        (str(k), rf"\pm {k}"),
        (str(k), f"{k}^2"),
        (str(k), rf"\sqrt{{{k}}}"),
        (str(k), f"{k}, {m}"),
        (str(k), f"{k}i"),
        (rf"\frac{{{n}}}{{{k}}}", rf"\frac{{{m}}}{{{k}}}"),
        (rf"\frac{{1}}{{{k}}}", str(k)),
        (f"{k}\\frac{{1}}{{2}}", f"\\frac{{{k}}}{{2}}"),
        (point, f"({m}, {n})"),
        (point, rf"\{{{n}, {m}\}}"),
        (point, f"({n}, {m}, {m})"),
        (point, f"({n}, {m + 1})"),
        (f"{n}, {m}", point),
        (f"{n}, {m}", str(n)),
        (f"{n}, {m}", f"{n}, {m}, {m + n + 5000}"),
        (f"[{min(n, m)}, {max(n, m)}]", f"({min(n, m)}, {max(n, m)})"),
        (rf"\{{{n}, {m}\}}", rf"\{{{n}, {m + 5000}\}}"),
        (f"x + {k}", f"x - {k}"),
        (f"{k}x + 1", f"{k}x - 1"),
        (f"x^{k}", f"x^{k + 1}"),
        (rf"\sqrt{{{k}}}", rf"\sqrt{{{k + 1}}}"),
        (f"x = {n}", f"x = {m}"),
        (f"x > {n}", f"x < {n}"),
        (f"x > {n}", rf"x \ge {n}"),
        (rf"{k}\pi", str(k)),
        (rf"{k}\%", f"{k}000"),
        ("A", "B"),
        ("(C)", r"\text{(D) } 5"),
        (
            rf"\begin{{pmatrix}} {n} & 0 \\ 0 & {m} \end{{pmatrix}}",
            rf"\begin{{pmatrix}} {m} & 0 \\ 0 & {n} \end{{pmatrix}}",
        ),
        ("f'", "f"),
        (f"{n}", ""),
        (f"{k}, {k}", str(k)),
        (f"f(x) = {k}x", f"f(n) = {k}x"),
        (f"10{k}_{{5}}", f"10{k}_6"),
        (f"{n}00,{m}00", f"{n}00.{m}00"),
        ("IV", "VI"),
        ("8:34 p.m.", r"8:34 \text{ a.m.}"),
        (r"\text{even}", r"\text{odd}"),
        (r"\text{even}", r"\text{neve}"),
    ]
    return draw(st.sampled_from(misses))


@given(near_misses(), st.sampled_from([r"\boxed{%s}", "The answer is $%s$.", "#### %s", "Final answer: %s"]))
@quick
def test_a_near_miss_is_never_correct(pair: tuple[str, str], form: str) -> None:
    reference, answer = pair
    with within(TIME_LIMIT + START):
        assert grader().grade(form.replace("%s", answer), reference) is not Grade.CORRECT


@st.composite
def rewritten(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a reference and the same value in another notation."""
    n, m, k = draw(NUMBERS), draw(NUMBERS), draw(st.integers(2, 40))
    thousands = f"{n * 1000 + 1:,}"
    same = [
        (str(n), f"{n}.0"),
        (str(n), rf"\${n}"),
        (str(n), f"{n}".replace("-", "\u2212")),
        (str(n), rf"{n} \text{{ apples}}"),
        (str(n), rf"x = {n}"),
        (str(n * 1000 + 1), thousands),
        (str(n * 1000 + 1), thousands.replace(",", "{,}")),
        (str(n * 1000 + 1), thousands.replace(",", r",\!")),
        (rf"{k}\frac{{1}}{{2}}", rf"\frac{{{2 * k + 1}}}{{2}}"),
        (f"{k}.5", f"{k} 1/2"),
        (rf"{k}\%", f"{k} percent"),
        (f"({n}, {m})", rf"\left( {n},\, {m} \right)"),
        (rf"\{{{n}, {m}\}}", rf"\{{{m}, {n}\}}"),
        (f"{n}, {m}", rf"{m} \text{{ and }} {n}"),
        (rf"\frac{{{n}}}{{{k}}}", rf"\dfrac{{{n}}}{{{k}}}"),
        (rf"\sqrt{{{k}}}", f"sqrt({k})"),
        (f"x + {k}", f"{k} + x"),
        (rf"{k}^\circ", f"{k}\u00b0"),
        ("C", r"\text{(C)}"),
    ]
    return draw(st.sampled_from(same))


@given(rewritten())
@quick
def test_the_same_value_in_another_notation_is_correct(pair: tuple[str, str]) -> None:
    reference, answer = pair
    assert grader().grade(f"\\boxed{{{answer}}}", reference) is Grade.CORRECT


UNITS = ["apples", "cm", "hours", "dollars", "people", "ways", "m", "km/h", "square feet"]
ANNOUNCED = ["The answer is %s.", "**Answer:** %s", "So the final answer is %s, as shown.", "#### Final Answer\n%s"]


@st.composite
def statements(draw: st.DrawFn) -> tuple[str, str, bool]:
    """Draw what a clause says about a number, the number, and whether the clause states just that."""
    n, m, unit = draw(st.integers(2, 99)), draw(st.integers(100, 999)), draw(st.sampled_from(UNITS))
    said = [
        (f"{n} {unit}", True),
        (f"{n} {unit}, which is {m} less than {n + m}", True),
        (f"{n} because {m} - {m - n} = {n}", True),
        (f"not {m} but {n}", True),
        (f"{n}, not {m}", True),
        (f"{n} rather than {m}", True),
        (f"{n} {unit} (that is, {m} fewer)", True),
        (f"about {n} {unit}", True),
        (f"{n} or {m}", False),
        (f"{m} or {n}", False),
        (f"{n} to {m} {unit}", False),
        (f"between {n} and {m}", False),
        (f"not {n}", False),
        (f"more than {n} {unit}", False),
        (f"at least {n}", False),
        (f"{n} or more", False),
        (f"half of {n}", False),
        (f"{n} million {unit}", False),
        (f"{n} feet {m} inches", False),
        (f"{n}x {unit}", False),
        (f"{n} + x {unit}", False),
        (f"$\\sqrt{{{n}}}$ {unit}", False),
        (f"${n}\\pi$ {unit}", False),
        (f"$x^{{{n}}}$ {unit}", False),
        (f"{m}, which is {n} less than {n + m}", False),
        (f"{m} since {n} are left", False),
    ]
    statement, is_stated = draw(st.sampled_from(said))
    return statement, str(n), is_stated


@given(statements(), st.sampled_from(ANNOUNCED), st.sampled_from(["auto", "gsm8k"]))
@quick
def test_a_clause_counts_for_what_it_states(said: tuple[str, str, bool], announced: str, name: str) -> None:
    statement, reference, is_stated = said
    grade = named(name).grade(announced.replace("%s", statement), reference)
    assert (grade is Grade.CORRECT) is is_stated


@given(st.text(st.sampled_from("1 25.,/$%\\{}()and orisnthew\n*#-=<>:xq"), max_size=80), st.sampled_from(ANNOUNCED))
@quick
def test_any_clause_is_read(text: str, announced: str) -> None:
    with within(TIME_LIMIT + START):
        assert named("auto").grade(announced.replace("%s", text), "5") in Grade


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    properties: list[Callable[[], None]] = [
        test_any_text_is_read_in_little_time,
        test_any_text_is_graded_as_a_number,
        test_any_two_answers_are_compared_within_the_limit,
        test_the_parser_computes_as_fractions_do,
        test_only_the_numbers_and_the_target_make_a_game_correct,
        test_any_text_is_an_expression_or_is_not,
        test_a_near_miss_is_never_correct,
        test_the_same_value_in_another_notation_is_correct,
        test_a_clause_counts_for_what_it_states,
        test_any_clause_is_read,
    ]
    draw, began, counts = Random(options.seed), time.monotonic(), Counter[str]()
    while time.monotonic() - began < 60 * options.minutes:
        for test in properties:
            seed(draw.getrandbits(32))(test)()
            counts[test.__name__] += quick.max_examples
    minutes = (time.monotonic() - began) / 60
    sys.stdout.write(
        json.dumps({"minutes": round(minutes, 1), "examples": dict(sorted(counts.items()))}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
