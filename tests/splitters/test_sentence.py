import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.splitters.sentence import SentenceSplitter


@pytest.mark.parametrize(
    "steps",
    [
        ["He buys 3. ", "How many now?  ", "Five!\n", "Done"],
        ["First line\nsecond line.\n", "Third"],
        ["A heading\n\n", "Text."],
        ['He said "Stop." ', "(See it.) ", "Then **he left.** ", "End."],
        ["Wait... ", "What?! ", "Yes."],
        ["你好。", "世界！", "好"],  # noqa: RUF001
    ],
)
def test_a_step_is_a_sentence_and_the_space_after_it(steps: list[str]) -> None:
    assert SentenceSplitter().split("".join(steps)) == steps


@pytest.mark.parametrize(
    "text",
    [
        "It is 3.14 or .5 or 1.000.000",
        "Take e.g. Bob, i.e. Dr. Bob et al. Then cf. Fig. 3 and Eqs. 4 vs. Thm. 5",
        "At 5 a.m. Tom of the U.S. Navy meets Mrs. Smith in St. Louis",
        "See No. 5 and p. 7",
        "2. Add them",
        "Step 3. Add them",
        "He waits... then goes",
        "x = 5. y = 6",
    ],
)
def test_no_cut_at_decimals_abbreviations_numbers_of_items_and_before_small_letters(text: str) -> None:
    assert SentenceSplitter().split(text) == [text]


@pytest.mark.parametrize(
    "formula",
    [
        "$a. B$",
        "$ a. B $",
        "$5. Then x$",
        "$$a. B\n\nC. D$$",
        "\\(a. B\\)",
        "\\[a. B\n\nC\\]",
        "\\boxed{a. {B. {C}. D}. E}",
        "\\boxed {a. \\{ B. $C. }",
        "$\\text{a \\$. B}$",
        "$\\boxed{a. B}. C$",
        "\\begin{align*}\nx &= 1. \\\\\nY &= 2\n\\end{align*}",
        "\\begin{cases} x = 1. \\\\ Y = 2 \\end{cases}",
        "\\begin{align}\nx &= 1. \\\\\n\nY &= 2\n\\end{align}",
        "\\begin {array}{l} 1! A \\\\ 2? B \\end {array}",
        "\\begin{a} A. \\begin{a} B. \\end{a} C. D \\end{a}",
        "\\begin{a} A. \\begin{b} B. \\end{b} C. $D \\end{a}",
        "\\begin{itemize} \\item A. \\item B. C \\end{itemize}",
        "$$\\begin{aligned} x &= 1. \\\\ Y &= 2. \\end{aligned}$$",
    ],
)
def test_a_formula_is_never_cut(formula: str) -> None:
    assert SentenceSplitter().split(f"First. So {formula} is it. Next.") == [
        "First. ",
        f"So {formula} is it. ",
        "Next.",
    ]


@given(
    inner=st.text(st.sampled_from("aB1 .!?\n"), min_size=1),
    kind=st.sampled_from(["$$", "\\(", "\\[", "\\boxed{", "\\begin{align}"]),
)
def test_whatever_a_formula_holds_it_is_never_cut(inner: str, kind: str) -> None:
    formula = kind + inner + {"$$": "$$", "\\(": "\\)", "\\[": "\\]", "\\boxed{": "}"}.get(kind, "\\end{align}")
    assert any(formula in step for step in SentenceSplitter().split(f"One. Two {formula} three. Four."))


def test_a_full_stop_at_the_end_of_a_formula_ends_the_sentence() -> None:
    assert SentenceSplitter().split(r"So \[x = 5.\] Then $y = 6.$ Done") == [
        r"So \[x = 5.\] ",
        "Then $y = 6.$ ",
        "Done",
    ]


def test_amounts_of_dollars_are_no_formulas() -> None:
    steps = ["It costs $5. ", "He pays $3.50. ", "He adds $x$ to \\$4. ", "Then $7 more."]
    assert SentenceSplitter().split("".join(steps)) == steps


def test_a_formula_left_open_holds_until_the_next_blank_line() -> None:
    steps = ["So \\(x. Y and $z. W.\n\n", "New. ", "One."]
    assert SentenceSplitter().split("".join(steps)) == steps


def test_a_line_break_of_tex_opens_no_formula() -> None:
    assert SentenceSplitter().split(r"a \\[2pt] b. Then c.") == [r"a \\[2pt] b. ", "Then c."]


def test_a_full_stop_at_the_end_of_an_environment_ends_the_sentence() -> None:
    steps = ["We have\n\\begin{align*}\nx &= 3. \\\\\ny &= 7.\n\\end{align*}\n", "So 7. ", "Done."]
    assert SentenceSplitter().split("".join(steps)) == steps


def test_environments_of_prose_hold_sentences() -> None:
    steps = ["\\begin{proof} First. ", "Then $x. Y$.\n", "\\end{proof}"]
    assert SentenceSplitter().split("".join(steps)) == steps


def test_an_environment_left_open_holds_until_the_next_blank_line() -> None:
    steps = ["So \\begin{align} x. Y \\end{cases} Z.\n\n", "New. ", "One."]
    assert SentenceSplitter().split("".join(steps)) == steps
