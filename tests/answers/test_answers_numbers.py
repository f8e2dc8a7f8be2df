# ruff: noqa: RUF001 - signs of print are meant
from fractions import Fraction

import pytest

from presrm.answers.numbers import bare_separators, equal_numbers, find_numbers, read_number


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("9 * 2 = $18 every day.", ["9", "2", "18"]),
        ("-5, \u22126, -$1,234.50 and $-3", ["-5", "-6", "-1234.50", "-3"]),
        ("10-3 and 10 - 3 and (4)-5", ["10", "3", "10", "3", "4", "5"]),
        ("1{,}000 and 10,\\!000 and 2\\,500", ["1000", "10000", "2500"]),
        ("1,2 and 1,2345", ["1", "2", "1", "2345"]),
        ("3/4 of .5", ["3/4", ".5"]),
        ("8 m^2, m^{3}, x_1 and 1.2.3", ["8", "1.2"]),
        ("2 1/2, 2½, ½ and 3 and a half", ["5/2", "5/2", "1/2", "7/2"]),
        (r"\frac{3}{4}, \frac34, 2\frac58 and -1\tfrac{3}{4}", ["3/4", "3/4", "21/8", "-7/4"]),
        ("1.2e3, 1.2 x 10^5, 3×10⁻² and 2e", ["1200", "120000", "3/100", "2"]),
        ("2.5 million, 3 dozen, two hundred and 5 thousand million", ["2500000", "36", "5000000000"]),
        ("25% and 12.5 percent", ["25%", "12.5%"]),
        ("none", []),
    ],
)
def test_numbers_are_found_whole(text: str, numbers: list[str]) -> None:
    assert [number.text for number in find_numbers(text)] == numbers


def test_a_number_knows_where_it_stands() -> None:
    text = bare_separators("so −1{,}200 cups")
    (number,) = find_numbers(text)
    assert text[number.start : number.end].strip() == "-1,200"


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
        ("-2 1/2", Fraction(-5, 2)),
        ("1e5", Fraction(100_000)),
        ("1e-7", Fraction(1, 10_000_000)),
        ("\\frac{1}{2}", Fraction(1, 2)),
        ("\u0665", Fraction(5)),
        ("3 million", Fraction(3_000_000)),
    ],
)
def test_a_number_is_read(text: str, value: Fraction) -> None:
    assert read_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "x", "18 dollars", "5, 6", "2^3", "1/0", "\\frac10", "9" * 5000, "1 2", "2 5/3", "2 5/5", "(5)"]
)
def test_any_other_text_is_no_number(text: str) -> None:
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("reference", "answer", "is_equal"),
    [
        ("0.5", "1/2", True),
        ("1/3", "0.333333", False),
        ("50%", "50", True),
        ("50%", "0.5", True),
        ("0.5", "50%", True),
        ("50%", "0.5%", False),
        ("5000", "50%", False),
        ("x", "1", None),
        ("1", "x", None),
    ],
)
def test_numbers_are_compared_exactly(reference: str, answer: str, is_equal: bool | None) -> None:
    assert equal_numbers(reference, answer) is is_equal
