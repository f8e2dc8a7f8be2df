import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.prompts.escaping import escape_controls


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Step 1: 2 + 3 = 5.\n\tSo x \\le 5.\r\n",
        "∑ π² ≤ ∞, naïve, 答案, می‌خواهم, 👩‍🔬, e\u0301",
        r"a literal \u202e and \x1b stay as they were written",
    ],
)
def test_plain_text_of_any_language_stays_as_it_is(text: str) -> None:
    assert escape_controls(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("right\rwrong", r"right\x0dwrong"),
        ("\x00\x07\x7f\x9b", r"\x00\x07\x7f\x9b"),
        ("\u202egnorw\u202c", r"\u202egnorw\u202c"),
        ("\u2066a\u2069\u200e\u200f\u061c", r"\u2066a\u2069\u200e\u200f\u061c"),
        ("[[\u200bA\u2060]]\ufeff\u00ad", r"[[\u200bA\u2060]]\ufeff\xad"),
        ("\u2028\u2029\x85", r"\u2028\u2029\x85"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800x\udfff", r"\ud800x\udfff"),
    ],
)
def test_what_would_act_instead_of_being_read_is_spelt_out(text: str, shown: str) -> None:
    assert escape_controls(text) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_shown_can_be_encoded_and_is_shown_the_same_again(text: str) -> None:
    shown = escape_controls(text)

    shown.encode()
    assert escape_controls(shown) == shown
    assert escape_controls(text + "!")[:-1] == shown
