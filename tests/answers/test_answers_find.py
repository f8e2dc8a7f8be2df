from fractions import Fraction

import pytest

from presrm.answers.find import after_hashes, find_numbers, last_boxed, read_number


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{5}", "5"),
        (r"\boxed{1} or \boxed{ 2 }.", "2"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}"),
        (r"\boxed {\{1, 2\}}", r"\{1, 2\}"),
        (r"{ \boxed{3} left open", "3"),
        (r"\boxed{4} and \boxed{cut o", "4"),
        (r"\boxed{\boxed{6}}", "6"),
        (r"\boxed{}", ""),
        ("no box { }", None),
        (r"\boxed{never closed", None),
    ],
)
def test_the_last_closed_box_holds_the_answer(text: str, content: str | None) -> None:
    assert last_boxed(text) == content


def test_the_last_hashes_mark_the_answer() -> None:
    assert after_hashes("#### 4\nno:\n####  5 \nmore") == "5"
    assert after_hashes("### 4") is None


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("9 * 2 = $18 every day.", ["9", "2", "18"]),
        ("-5, \u22126 and -$1,234.50", ["-5", "-6", "-1234.50"]),
        ("10-3 and 10 - 3 and (4)-5", ["10", "3", "10", "3", "4", "5"]),
        ("1{,}000 and 10,\\!000 and 2\\,500", ["1000", "10000", "2500"]),
        ("1,2 and 1,2345", ["1", "2", "1", "2345"]),
        ("3/4 of .5", ["3/4", ".5"]),
        ("none", []),
    ],
)
def test_numbers_are_found_without_signs_and_separators_that_only_concern_looks(text: str, numbers: list[str]) -> None:
    assert find_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", Fraction(18)),
        (" **18.** ", Fraction(18)),
        ("\\$1,250.00", Fraction(1250)),
        ("$18$", Fraction(18)),
        ("\u22125", Fraction(-5)),
        ("5\\%", Fraction(5)),
        ("5 %", Fraction(5)),
        ("3/4", Fraction(3, 4)),
        (".5", Fraction(1, 2)),
    ],
)
def test_a_plain_number_is_read(text: str, value: Fraction) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "x", "18 dollars", "5, 6", "2^3", "1e5", "1/0", "9" * 5000, "\u0665", "\\frac{1}{2}"]
)
def test_any_other_text_is_no_plain_number(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize("fragment", ["\\boxed{", "{", "}", "\\", "####", "1,", "1/", "-", " ", "$", "9", ",\\!"])
def test_hostile_text_is_read_in_linear_time(fragment: str) -> None:
    text = fragment * (1_000_000 // len(fragment))
    for read in (last_boxed, after_hashes, find_numbers, read_number):
        read("1 " + text + "x")
