r"""Units: whether two answers state different ones, where both state any.

What stands right behind a number, or as a sign of currency before it, is a unit if it is known here. A unit that may be
several (``m``: metres, minutes; pounds of weight, of money) differs only from what none of these is. Words that are no
units, and answers with several units, tell nothing.

>>> units_differ(r"5\text{ hours}", r"5\text{ minutes}"), units_differ("60 mph", "60 km/h"), units_differ(r"\$5", "5 €")
(True, True, True)
>>> units_differ("5 hr", "5 hours"), units_differ("5 cm^2", "5 square centimeters"), units_differ("5 cm", "5")
(False, False, False)
"""

import re
from dataclasses import dataclass

from presrm.answers.clauses import unwrap
from presrm.answers.numbers import SCALES, fold

_LONGEST = 500  # characters; in longer answers no units are looked for
_PREFIXES = {"milli": "m", "centi": "c", "deci": "d", "kilo": "k"}
_PREFIXED = {"meters metres meter metre": "m", "grams gram": "g", "liters litres liter litre": "l"}
_WORDS = {  # what it is: how it is written
    "inch": "inches inch",
    "foot": "feet foot ft",
    "yard": "yards yard yds yd",
    "mile": "miles mile mi",
    "second": "seconds second secs sec",
    "minute": "minutes minute mins min",
    "hour": "hours hour hrs hr",
    "day": "days day",
    "week": "weeks week wks wk",
    "month": "months month",
    "year": "years year yrs yr",
    "ounce": "ounces ounce oz",
    "pound": "pounds pound lbs lb",
    "ton": "tons ton tonnes tonne",
    "gallon": "gallons gallon gal",
    "quart": "quarts quart qts qt",
    "pint": "pints pint",
    "cup": "cups cup",
    "acre": "acres acre",
    "dollar": "dollars dollar usd",
    "cent": "cents cent penny pennies",
    "euro": "euros euro eur",
    "sterling": "pounds pound gbp",
    "rupee": "rupees rupee inr rs",
    "yen": "yen jpy",
    "angle": "degrees degree",
    "kelvin": "degrees degree kelvins kelvin",
    "celsius": "degrees degree celsius",
    "fahrenheit": "degrees degree fahrenheit",
    "radian": "radians radian rad",
    "joule": "joules joule",
    "kilojoule": "kilojoules kilojoule kj",
    "newton": "newtons newton",
    "watt": "watts watt",
    "kilowatt": "kilowatts kilowatt kw",
    "kilowatt hour": "kwh",
    "volt": "volts volt",
    "ampere": "amperes ampere amps amp",
    "hertz": "hertz hz",
    "pascal": "pascals pascal pa",
    "mole": "moles mole mol",
    "millisecond": "milliseconds millisecond ms",
    "nanometre": "nanometers nanometres nanometer nanometre nm",
    "percent": "percent percentage pct",
}
_SYMBOLS = {  # of one letter, and those that could be a word; with the case they have
    "m": "m minute", "g": "g", "l": "l", "L": "l", "s": "second", "h": "hour", "in": "inch", "C": "celsius",
    "F": "fahrenheit", "K": "kelvin", "J": "joule", "N": "newton",
    "W": "watt", "V": "volt", "A": "ampere", "%": "percent", "$": "dollar", "€": "euro", "£": "sterling", "₹": "rupee",
    "¥": "yen yuan",
}  # fmt: skip


def _spellings() -> dict[str, frozenset[str]]:
    known: dict[str, set[str]] = {}
    for unit, words in _WORDS.items():
        for word in words.split():
            known.setdefault(word, set()).add(unit)
    for words, symbol in _PREFIXED.items():
        for word in words.split():
            known[word] = {symbol}
            for prefix, letter in _PREFIXES.items():
                known[prefix + word] = known[letter + symbol] = {letter + symbol}
    return {word: frozenset(units) for word, units in known.items()}


_UNITS = _spellings() | {symbol: frozenset(units.split()) for symbol, units in _SYMBOLS.items()}
_RATES = {"mph": ("mile", "hour"), "kph": ("km", "hour"), "kmh": ("km", "hour"), "kmph": ("km", "hour")}
_WORD = "|".join(sorted((word for word in [*_UNITS, *_RATES] if len(word) > 1 and word != "in"), key=len, reverse=True))
_POWERS = {"square": 2, "sq": 2, "squared": 2, "2": 2, "cubic": 3, "cu": 3, "cubed": 3, "3": 3}
_NAME = rf"(?:(?i:{_WORD})(?![A-Za-z])|(?:in|[mglLshCFKJNWVA])(?![A-Za-z]|\s+[A-Za-z]))"
_STATED = re.compile(
    rf"""
    (?: (?P<sign> [€£₹¥] | \\?\$ ) \s* -? (?= \.?[0-9] | \\[dt]?frac )
      | (?: [0-9)\]}}!] | \\pi ) \s*
        (?: (?i:{"|".join(SCALES)}) s? \s+ )?
        (?: (?P<squared> (?i:square|cubic|sq|cu)\b ) \.? \s* )?
        (?: \^ \s* \{{? \s* \\circ \s* \}}? \s* (?P<scale>[CF](?![A-Za-z]))?
          | (?P<name>{_NAME}) \.?
          | (?P<sign_behind> % | \\% | per\s?cent\b | [€£₹¥] ) )
    )
    (?: \s* \^ \s* \{{? \s* (?P<power>[23]) \s* \}}? | (?P<digit>[23]) (?![0-9.]) | \s+ (?P<word>squared|cubed)\b )?
    (?: (?: \s* / \s* | \s+ per \s+ ) (?P<below>{_NAME}) )?
    """,
    re.VERBOSE,
)
_DOLLAR = re.compile(r"(?<!\\)\$")
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class _Unit:
    """One of `units`, to a power, perhaps for each one of `below`."""

    units: frozenset[str]
    power: int = 1
    below: frozenset[str] | None = None

    def differs(self, other: "_Unit") -> bool:
        if not self.units & other.units or self.power != other.power:
            return True
        return self.below is not None and other.below is not None and not self.below & other.below


def units_differ(text: str, other: str) -> bool:
    """Tell whether both state a unit, and surely not the same."""
    left, right = _unit_of(text), _unit_of(other)
    return left is not None and right is not None and left.differs(right)


def states_unit(text: str) -> bool:
    """Tell whether an answer states a unit."""
    return _unit_of(text) is not None


def _unit_of(text: str) -> _Unit | None:
    """Find the one unit that an answer states; none where it states none, or several."""
    if len(text) > _LONGEST:
        return None
    plain = unwrap(fold(text))
    if len(_DOLLAR.findall(plain)) > 1:  # around a formula
        plain = _DOLLAR.sub("", plain)
    found = [one for one in _STATED.finditer(plain) if not _is_variable(one, plain)]
    stated = set(map(_read, found))
    return stated.pop() if len(stated) == 1 else None


def _is_variable(found: re.Match[str], text: str) -> bool:
    """Whether what could be a unit of one letter stands among other letters: ``2h + s``."""
    others = set(_LETTER.findall(f"{text[: found.start()]} {text[found.end() :]}"))
    return len(found["name"] or "") == 1 and not others <= {found["name"]}


def _read(found: re.Match[str]) -> _Unit:
    below = _named(found["below"]) if found["below"] else None
    if sign := found["sign"] or found["sign_behind"]:
        return _Unit(_UNITS.get(sign.removeprefix("\\"), _UNITS["percent"]), 1, below)
    if not found["name"]:
        return _Unit(_UNITS[found["scale"] or "degree"])
    if rate := _RATES.get(found["name"].lower()):
        return _Unit(frozenset({rate[0]}), 1, frozenset({rate[1]}))
    power = found["squared"] or found["power"] or found["digit"] or found["word"]
    return _Unit(_named(found["name"]), _POWERS[power.lower()] if power else 1, below)


def _named(name: str) -> frozenset[str]:
    return _UNITS[name if name in _UNITS else name.lower()]
