"""Text of the page: formulas are set, whatever else a model wrote stays text."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from presrm.report.html.text import MAX_TEXT, markup, plain, runs, set_formula, shorten


def test_formulas_are_set_in_every_notation() -> None:
    for text in (r"$\frac{1}{2}$", r"\(\frac{1}{2}\)", r"\[\frac{1}{2}\]", r"$$\frac{1}{2}$$"):
        (formula,) = runs(text)
        assert formula[0] == "math"
        assert "<mfrac><mn>1</mn><mn>2</mn></mfrac>" in markup([formula])
    assert runs(r"\boxed{\frac{3}{4}}")[0][0] == "math"


@pytest.mark.parametrize("text", ["$5 and $6", "no maths", "a $ b", "$x$y", r"\$3$"])
def test_amounts_of_money_stay_text(text: str) -> None:
    assert runs(text) == [text]


@pytest.mark.parametrize(
    "broken",
    [
        r"$\frac{1}$",
        r"$\left( x$",
        r"$x^$",
        r"\(\unknown{x}\)",
        r"\(\begin{matrix} a\)",
        "$" + "{" * 900 + "$",
        r"$\sqrt[3$",
    ],
)
def test_broken_mathematics_stays_as_it_was_written(broken: str) -> None:
    assert runs(broken) == [broken]


def test_a_formula_keeps_no_attribute_that_could_act() -> None:
    for source in (r"\href{javascript:alert(1)}{x}", r"\style{position:fixed}{x}", r"\class{a}{x}", r"\color{red}{x}"):
        shown = markup(runs(f"${source}$"))
        assert not re.search(r"href=|style=|class=|mathcolor=", shown)
    assert markup(runs(r"$\text{<script>alert(1)</script>}$")).count("<script") == 0


def test_what_acts_on_a_reader_is_spelt_out() -> None:
    assert plain("a\x1b[2Kb\u202ec\r\nd\ud800") == "a\\x1b[2Kb\\u202ec\nd\\ud800"


def test_of_a_long_text_the_middle_is_left_out_and_told() -> None:
    shown = shorten("x" * 1_000_000)
    assert len(shown) < MAX_TEXT + 100
    assert "994,000 characters left out" in shown


PIECES = [*"\\${}()[]^_&<>\"'abx12 \n\u202e", "\\frac", "\\text", "\\left", "\\boxed", "\\(", "\\)"]


@given(st.lists(st.sampled_from(PIECES)).map("".join))
@example("$\\text$")  # the parser runs out of tokens
def test_no_text_becomes_markup_or_is_lost(text: str) -> None:
    shown = markup(runs(text))
    assert set(re.findall(r"<(/?\w+)", shown)) <= {
        name
        for element in (
            "math mrow mi mn mo mtext mspace msqrt mtable mtr mtd mstyle mphantom mpadded menclose mfrac msub msup "
            "munder mover mroot msubsup munderover"
        ).split()
        for name in (element, f"/{element}")
    }
    if not any(isinstance(run, list) for run in runs(text)):
        assert "".join(map(str, runs(text))) == plain(text)


def test_the_same_formula_is_set_once() -> None:
    set_formula.cache_clear()
    for _ in range(3):
        runs("$a^2+b^2$")
    assert set_formula.cache_info().misses == 1
