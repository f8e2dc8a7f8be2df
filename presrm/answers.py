r"""Where solutions put their final answer, and plain numbers.

>>> last_boxed(r"so \boxed{\frac{1}{2}}."), after_hashes("2 + 3 = 5\n#### 5\n")
('\\frac{1}{2}', '5')
"""

import re
from fractions import Fraction

_BOX_OR_BRACE = re.compile(r"\\boxed\s*+\{|\\.|[{}]", re.DOTALL)
_HASHES = re.compile(r"####([^\n]*+)")
_NUMBER = re.compile(
    r"""
    (?: (?<![\w)\]}%]) [-+\u2212] )?                      # a sign, but not that of a difference or a range
    (?: (?: \\?\$ | [€£] )\s? )?
    (?P<amount>
        (?: [0-9]{1,3}(?:,[0-9]{3})+(?![0-9]) | [0-9]+ )(?:\.[0-9]+)?(?:/[0-9]+)?
      | \.[0-9]+
    )""",
    re.VERBOSE,
)
_SPACING = re.compile(r"\{,\}|,?\\!|(?<=[0-9])\\,(?=[0-9]{3})")


def last_boxed(text: str) -> str | None:
    r"""Give what the last ``\boxed{...}`` that is closed holds."""
    found: tuple[int, int] | None = None
    still_open: list[tuple[int, bool]] = []
    for lexeme in _BOX_OR_BRACE.finditer(text):
        if lexeme[0].endswith("{") and lexeme[0] != "\\{":
            still_open.append((lexeme.end(), lexeme[0] != "{"))
        elif lexeme[0] == "}" and still_open:
            start, is_boxed = still_open.pop()
            if is_boxed and (found is None or start > found[0]):
                found = start, lexeme.start()
    return None if found is None else text[found[0] : found[1]].strip()


def after_hashes(text: str) -> str | None:
    """Give the rest of the line after the last ``####``, as GSM8K marks answers."""
    found = _HASHES.findall(text)
    return str(found[-1]).strip() if found else None


def find_numbers(text: str) -> list[str]:
    """List the numbers that stand in `text`, without currency signs and thousands separators."""
    return [
        ("-" if found[0][0] in "-\u2212" else "") + found["amount"].replace(",", "")
        for found in _NUMBER.finditer(_SPACING.sub(_bare_comma, text))
    ]


def read_number(text: str) -> Fraction | None:
    r"""Read a plain number, as in ``-1,234.50``, ``\$18``, ``3/4`` or ``5%``; none for any other text.

    A sign of per cent is dropped, as in reference answers.
    """
    bare = _SPACING.sub(_bare_comma, text).strip().strip("*").removesuffix(".")
    bare = bare.removesuffix("%").removesuffix("\\").strip("$ ").removesuffix("\\")
    if not _NUMBER.fullmatch(bare):
        return None
    try:
        return Fraction(find_numbers(bare)[0])
    except (ValueError, ZeroDivisionError):  # thousands of digits, or x/0
        return None


def _bare_comma(spacing: re.Match[str]) -> str:
    return "," if spacing[0] == "{,}" else ""
