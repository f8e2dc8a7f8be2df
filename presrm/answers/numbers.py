r"""Numbers as people write them: signs, currency, separators, fractions, powers of ten, scale words.

>>> [number.text for number in find_numbers("From -$1,250.50 to 2 1/2 cups, ½ of it, or 3 million.")]
['-1250.50', '5/2', '1/2', '3000000']
"""

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

_SYMBOLS = {
    **dict.fromkeys("\u2212\u2012\u2013\u2014\ufe63\uff0d\u2010\u2011", "-"),
    **dict.fromkeys("\u00a0\u2009\u202f\u2007\u3000\u2002\u2003", " "),
    **dict.fromkeys("\u00d7\u2715\u2a09", r"\times "),
    **dict.fromkeys("\u00b7\u22c5\u2219", r"\cdot "),
    **dict.fromkeys("\u2044\u2215\u00f7", "/"),
    "\u00b0": r"^\circ ", "\u03c0": r"\pi ", "\u03b8": r"\theta ", "\u03b1": r"\alpha ", "\u03b2": r"\beta ",
    "\u221e": r"\infty ", "\u2264": r"\le ", "\u2265": r"\ge ", "\u2260": r"\ne ", "\u00b1": r"\pm ",
    "\u222a": r"\cup ", "\u2229": r"\cap ", "\u2208": r"\in ", "\u2248": r"\approx ", "\u222b": r"\int ",
    "\u211d": r"\mathbb{R}", "\u2124": r"\mathbb{Z}", "\u2205": r"\emptyset ", "\u2032": "'",
    "\uff08": "(", "\uff09": ")", "\uff0c": ",", "\uff1a": ": ", "\uff1d": "=", "\uff05": "%", "\u066a": "%",
    "\u066b": ".", "\u00a2": " cents", "\u200b": "", "\u2061": "", "\ufeff": "",
}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_OVERLINED = re.compile("((?:[0-9]\u0305)+)")
SCALES = {
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "lakh": 10**5,
    "crore": 10**7,
    "dozen": 12,
}
_PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
_COUNTS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "seven": 7}
_FRACTION = (
    r"\\[dtc]?frac\s*(?:\{{\s*(?P<above{0}>[0-9]+)\s*\}}|(?P<above_{0}>[0-9]))"
    r"\s*(?:\{{\s*(?P<below{0}>[0-9]+)\s*\}}|(?P<below_{0}>[0-9]))"
)
_LETTER = r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]"  # or a digit; Chinese, Japanese and Korean have no spaces
_NUMBER = re.compile(
    rf"""
    (?P<sign> (?<!{_LETTER}) (?<![)\]}}%]) [-+] )?         # but not that of a difference or a range
    (?: (?: \\?\$ | [€£¥₹] ) \s? (?P<late_sign>[-+])? )?
    (?:
        (?<!{_LETTER}) (?<![.^_]) (?<![_^]\{{)              # no power, no index, no version
        (?P<amount>
            (?: [1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+(?![0-9]) | [0-9]+ ) (?:\.[0-9]+)? | \.[0-9]+
        )
        (?:
            / (?P<below>[0-9]+) (?![0-9/]|\.[0-9])
          | \s+ (?:and\s+)? (?P<part_above>[0-9]+) / (?P<part_below>[0-9]+) (?![0-9/]|\.[0-9])
          | \s* {_FRACTION.format(1)}
          | \s+ and \s+ (?P<count>{"|".join(_COUNTS)}) [\s-] (?P<part>{"|".join(_PARTS)}) s? \b
        )?
      | {_FRACTION.format(2)}
    )
    (?:
        [eE] (?P<exponent>[-+]?[0-9]{{1,3}}) (?![\w.])
      | \s* (?: \\times | \\cdot | [x*] ) \s* 10 \s* (?: \^ | \*\* ) \s*
        (?: \{{ (?P<power>[-+]?[0-9]{{1,3}}) \}} | (?P<power_>[-+]?[0-9]{{1,3}}) )
    )?
    (?P<scales> (?: [ ~-]? \s* (?i:{"|".join(SCALES)}) s? (?![A-Za-z]) )* )
    (?P<percent> \s? \\?% | \s (?:per\s?cent|pct)\b )?
    """,
    re.VERBOSE,
)
_CURRENCY = re.compile(  # at an amount
    r"(?<![A-Za-z0-9\\])(?:(?:(?:US|CA|AU|NZ|HK|NT|MX)\s?|[ACSR])(?=\\?\$\s?-?[0-9])"
    r"|(?P<rupees>Rs\.?|\\text\{\s*Rs\.?\s*\})\s?(?=-?\.?[0-9])"
    r"|(?:USD|AUD|CAD|EUR|GBP|INR)(?=[0-9]))|(?<=[0-9])\s?(?P<behind>Rs\b\.?)"
)
_TOLERANCE = re.compile(r"(.*\S)\s*\(tolerance ([0-9.]+(?:[eE][-+]?[0-9]+)?)\)\s*", re.DOTALL)
_SPACING = re.compile(r"\{,\}|,?\\!|(?<=[0-9])\\,(?=[0-9]{3})")
_LONGEST = 4000  # digits: Python reads no more


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a text.

    Attributes:
        start: Where it begins in the folded text (see `fold`).
        end: Where it ends.
        text: Its value in digits, as written where digits were written; ``%`` behind it is kept.
        value: Its value; per cent are not worked out. None if it cannot be computed.
    """

    start: int
    end: int
    text: str
    value: Fraction | None


def plain_currency(text: str) -> str:
    """Write ``US$7`` as ``$7``, and ``Rs. 7`` by the sign of the rupee.

    >>> plain_currency("US$7, or Rs. 590")
    '$7, or ₹590'
    """
    return _CURRENCY.sub(lambda found: "₹" if found["rupees"] or found["behind"] else "", text)


def split_tolerance(reference: str) -> tuple[str, Fraction | None]:
    """Take the tolerance off a reference that states one.

    >>> split_tolerance("4.2 (tolerance 0.1)"), split_tolerance("4.2")
    (('4.2', Fraction(1, 10)), ('4.2', None))
    """
    found = _TOLERANCE.fullmatch(reference)
    return (found[1], Fraction(found[2])) if found else (reference, None)


def fold(text: str) -> str:
    r"""Write characters of other scripts as ASCII or LaTeX: digits, signs, spaces, vulgar fractions, powers.

    >>> fold("２½ m² · ٣")
    '2 \\frac{1}{2} m^{2} \\cdot  3'
    """
    text = plain_currency(text)
    if text.isascii():
        return text
    text = _OVERLINED.sub(lambda found: rf"\overline{{{found[0].replace(chr(0x305), '')}}}", text)
    text = _RAISED.sub(lambda found: f"^{{{found[0].translate(_SUPERSCRIPTS)}}}", text)
    return "".join(map(_ascii, text))


def find_numbers(text: str) -> list[Number]:
    """List the numbers that stand in `text`."""
    return [_number(found) for found in _NUMBER.finditer(bare_separators(text))]


def bare_separators(text: str) -> str:
    r"""Fold `text`, with thousands separators as plain commas: positions of numbers are those in what this returns."""
    return _SPACING.sub(lambda found: "," if found[0] == "{,}" else "", fold(text))


def read_number(text: str) -> Fraction | None:
    r"""Read a text that is one number, as in ``-1,234.50``, ``\$18``, ``2 1/2``, ``1.2e5`` or ``5%``.

    A sign of per cent is dropped, as in reference answers.
    """
    if len(text) > _LONGEST:
        return None
    bare = bare_separators(text).strip().strip("*").removesuffix(".").strip()
    bare = bare[1:-1].strip() if bare[:1] == bare[-1:] == "$" and len(bare) > 1 else bare.removesuffix("$").strip()
    found = _NUMBER.fullmatch(bare.removesuffix("\\"))
    return _number(found).value if found else None


def equal_numbers(reference: str, answer: str) -> bool | None:
    """Compare two numbers by value, exactly; none unless both are.

    Where one side alone has a sign of per cent it may be dropped or worked out: 50% is 50 and is 0.5.
    """
    left, right = read_number(reference), read_number(answer)
    if left is None or right is None:
        return None
    if left == right or ("%" in reference) == ("%" in answer):
        return left == right
    return left / 100 == right if "%" in reference else left == right / 100


def _number(found: re.Match[str]) -> Number:
    groups = found.groupdict()
    is_negative = "-" in (groups["sign"], groups["late_sign"])
    percent = "%" if groups["percent"] else ""
    value = _value(groups)
    if value is not None and is_negative:
        value = -value
    is_plain = groups["amount"] and found["amount"] and not _is_composed(groups)
    digits = ("-" if is_negative else "") + (groups["amount"] or "").replace(",", "")
    text = digits if is_plain else str(value)
    if groups["below"] and value is None:
        text = f"{digits}/{groups['below']}"
    return Number(found.start(), found.end(), text + percent, value)


def _is_composed(groups: dict[str, str | None]) -> bool:
    plain = {"sign", "late_sign", "amount", "percent"}
    return any(value for name, value in groups.items() if name not in plain)


def _value(groups: dict[str, str | None]) -> Fraction | None:
    try:
        value = Fraction((groups["amount"] or "0").replace(",", ""))
        above, below = (
            next((groups[name] for name in names if groups[name]), None)
            for names in (("part_above", "above1", "above_1"), ("part_below", "below1", "below_1"))
        )
        if groups["below"]:
            value /= int(groups["below"])
        elif above and below:
            part = Fraction(int(above), int(below))
            if part >= 1 or value.denominator != 1:  # no mixed number
                return None
            value += part
        elif groups["part"]:
            value += Fraction(_COUNTS[groups["count"] or "a"], _PARTS[groups["part"]])
        elif not groups["amount"]:
            value = Fraction(
                int(groups["above2"] or groups["above_2"] or 0), int(groups["below2"] or groups["below_2"] or 0)
            )
        exponent = groups["exponent"] or groups["power"] or groups["power_"]
        if exponent:
            value *= Fraction(10) ** int(exponent)
        for scale in re.findall("|".join(SCALES), (groups["scales"] or "").lower()):
            value *= SCALES[scale]
    except (ValueError, ZeroDivisionError):  # thousands of digits, or x/0
        return None
    return value


def _ascii(character: str) -> str:
    if character < "\x80" or ("\u0370" <= character <= "\u03ff" and character not in _SYMBOLS):
        return character
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    if (digit := unicodedata.decimal(character, None)) is not None:
        return str(digit)
    decomposed = unicodedata.normalize("NFKD", character)
    if "\u2044" in decomposed:  # a vulgar fraction
        above, below = decomposed.split("\u2044")
        return rf" \frac{{{above}}}{{{below}}}"
    return character
