r"""Equality of final answers, by math-verify, in one notation and with the order of tuples.

Without limits: what is here runs in a worker (`presrm.answers.worker`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import product
from typing import Any

from presrm.answers.clauses import unwrap
from presrm.answers.notation import Listing, combines_variables, cut, normalize, read_listing, split_at
from presrm.answers.numbers import equal_numbers, read_number
from presrm.answers.units import units_differ

_LONGEST_SHORT = 500  # characters of an answer that is touched outside of the time limit
_EQUATION = re.compile(r"(?<![<>!\\=])=(?!=)")
_NAME = re.compile(r"(?:\\(?!(?:sqrt|times)(?![a-z]))[a-zA-Z]+|[A-Za-z_{}|:(), /']|(?<=[_{])[0-9]+)+")
_FUNCTION = re.compile(r"([A-Za-z])\(([A-Za-z])\)=(.+)")
_NAMED_VALUE = re.compile(r"([a-z])=(.+)")
_NAMED_POINT = re.compile(r"\(([a-z](?:,[a-z])+)\)=(\(.+\))")
_CHOICE = re.compile(r"\(?([A-K])\)?")
_CHOSEN = re.compile(r"(?:[Oo]ption ?|[Cc]hoice ?)?(?:\(([A-K])\)|([A-K])(?:[.:)]|$))")
_OTHER_CHOICE = re.compile(r"\([A-K]\)|(?<![\w\\])[A-K](?:[.:)]|\s*$)|^\s*(?:[-+*/=,]|and\b|or\b)")
_LETTERS = re.compile(r"[A-Z]{2,}")
_HALF_OF_DAY = re.compile(r" ([ap])m$")
_CLOCK = re.compile(r"0?([0-9]{1,2}:[0-9]{2})")
# 2 5, 5'7", 2021-03-14, 5 \to 6: what is no sum, product or limit of its numbers
_APART = re.compile(
    r"^-?[0-9.,]+(?: -?[0-9.,]+)+$|[0-9]['\"]+\s*[0-9]|^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
    r"|\\(?:to|(?:right|Right)arrow)(?![a-z])"
)
_RATIO = re.compile(r"[0-9.]+(?::[0-9.]+)+")
_BASED = re.compile(r"(?:\\text\{|\()?([0-9A-Z]+)[)}]?_\{?([0-9]+)\}?")
_AMBIGUOUS = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
_DECIMAL_COMMA = re.compile(r"-?(?:0,[0-9]+|[0-9]+,[0-9]{2})")
_IN_TEXT = re.compile(r"\\text\s*\{[^{}]*[A-Za-z]{2}[^{}]*\}|\\(?:begin|operatorname)")
_COMMAND = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![a-z])|\\[A-Za-z]+|_\{[^{}]*\}|(?<![A-Za-z])d[a-z](?![a-z])")
_WORD = re.compile(
    r"[A-Za-z]{3,}|(?<![A-Za-z])(?:[A-Z][a-z]|no|on|so|it|is|do|go|of|to|up|us|we|he|me)(?![A-Za-z])"
    r"|[^\W\d_\x00-\x7f\u0370-\u03ff]+"  # of other scripts
)
_MATHEMATICS = re.compile(r"[-+*/^=<>_\\{}()\[\]|]")
_ORDER = re.compile(r"[<>]|\\(?:le|ge|ne|in)(?![a-z])")
_OPERATION = re.compile(r"\\(?:cup|cap|setminus)(?![a-z])")
_BOUND = re.compile(r"[<>]|\\(?:le|ge|ne|ll|gg|not)(?![a-z])")
_AND_OR = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![a-z])")
_TEXT = re.compile(r"\s*\$?\\text\s*\{[^{}]*[A-Za-z]{2}[^{}]*\}\$?\s*")
_SAME = 1e-6  # relative


def are_surely_equal(reference: str, answer: str) -> bool | None:
    """Compare what needs no mathematics; none for all else. It takes little time, and no worker."""
    if reference == answer:
        return True
    if max(len(reference), len(answer)) > _LONGEST_SHORT:
        return None
    if units_differ(reference, answer):
        return False
    if all(_AMBIGUOUS.fullmatch(text.strip("$ ")) for text in (reference, answer)):
        return None
    is_equal = equal_numbers(reference, answer)
    return (
        True
        if is_equal is None and len(normalize(reference)) > 0 and normalize(reference) == normalize(answer)
        else is_equal
    )


def are_equal(reference: str, answer: str, tolerance: Fraction | None = None) -> bool:
    """Compare two final answers.

    Args:
        reference: What is right.
        answer: What is graded.
        tolerance: By how much numbers may differ, those in lists and points, too.
    """
    readings = list(product(_readings(reference), _readings(answer)))
    expected, given = readings[0]
    if not expected or not given or units_differ(reference, answer):
        return False
    if tolerance is not None:
        return any(_is_near(expected, given, tolerance) for expected, given in readings)
    if (_TEXT.fullmatch(reference) or _TEXT.fullmatch(answer)) and expected.isalpha() and given.isalpha():
        return expected.casefold() == given.casefold()
    if any(_is_equal(expected, given) for expected, given in readings):
        return True
    return _differ_by_comma(reference, answer) or _differ_by_comma(answer, reference)


def _readings(text: str) -> list[str]:
    """Normalise an answer: ``3,100`` is a number, and besides a list."""
    one, several = normalize(text), normalize(text, keeps_thousands=True)
    listing = read_listing(several) if several != one else None
    return [one, several] if listing and listing.kind == "list" else [one]


def _differ_by_comma(text: str, other: str) -> bool:
    """Tell whether `text` is `other` with a decimal comma; ``1,2`` is a list, ``1,25`` and ``0,2`` are not."""
    bare = text.strip("$ ")
    return bool(_DECIMAL_COMMA.fullmatch(bare)) and bare.replace(",", ".") == other.strip("$ ")


def _is_equal(reference: str, answer: str) -> bool:
    if (is_equal := _compare_plain(reference, answer)) is not None:
        return is_equal
    if _HALF_OF_DAY.search(reference) or _HALF_OF_DAY.search(answer):
        return _is_equal(_HALF_OF_DAY.sub("", reference), _HALF_OF_DAY.sub("", answer))
    if (is_equal := _compare_regions(reference, answer)) is not None:
        return is_equal
    reference, answer = _drop_name(reference, answer), _drop_name(answer, reference)
    if (left := _FUNCTION.fullmatch(reference)) and (right := _FUNCTION.fullmatch(answer)) and left[1] == right[1]:
        if left[2] != right[2] and left[2] in right[3]:
            return False
        return _is_equal(left[3], re.sub(rf"(?<![A-Za-z\\]){right[2]}(?![A-Za-z])", left[2], right[3]))
    if bool(_BOUND.match(reference)) != bool(_BOUND.match(answer)):
        return False
    if (is_equal := _compare_listings(reference, answer)) is not None:
        return is_equal
    if _equates_more(reference, answer) or _equates_more(answer, reference):
        return False
    return _verify(reference, answer) or (_are_regions(reference, answer) and bool(_same_region(reference, answer)))


def _compare_listings(reference: str, answer: str) -> bool | None:
    """Compare several values with several, or with one; none for what is no number."""
    expected, given = read_listing(reference), read_listing(answer)
    if expected and given:
        return _are_alike(expected, given)
    if (
        given
        and given.kind == "list"
        and len(set(given.elements)) == len(given.elements)
        and not _EQUATION.search(answer)
    ):
        return all(_is_equal(reference, element) for element in given.elements)  # one value, said twice
    listing, single = (expected, answer) if expected else (given, reference)
    return False if listing and listing.kind != "set" and read_number(single) is not None else None


def _compare_plain(reference: str, answer: str) -> bool | None:
    """Compare numbers, choices, words, letters and what has a colon or a base; none for all else."""
    if reference == answer:
        return True
    if "," not in reference + answer and (is_equal := equal_numbers(reference, answer)) is not None:
        return is_equal
    if choice := _CHOICE.fullmatch(unwrap(reference)):
        bare = unwrap(answer)
        if chosen := _CHOSEN.match(bare):
            return choice[1] in chosen.groups() and not _OTHER_CHOICE.search(bare[chosen.end() :])
    if _APART.search(reference) or _APART.search(answer):
        return False
    if _LETTERS.fullmatch(reference) and _LETTERS.fullmatch(answer):
        return False  # IV is not VI: no product of I and V
    if (is_equal := _compare_words(reference, answer)) is not None:
        return is_equal
    return _compare_times(reference, answer)


def _compare_times(reference: str, answer: str) -> bool | None:
    """Compare times of day, ratios and numerals with a base; none for all else."""
    half, other_half = _HALF_OF_DAY.search(reference), _HALF_OF_DAY.search(answer)
    if half and other_half and half[1] != other_half[1]:
        return False
    time, other_time = _CLOCK.fullmatch(reference), _CLOCK.fullmatch(answer)
    if time and other_time:
        return time[1] == other_time[1]
    if _RATIO.fullmatch(reference) and _RATIO.fullmatch(answer):
        return _are_proportional(reference.split(":"), answer.split(":"))
    numeral, other = _BASED.fullmatch(reference), _BASED.fullmatch(answer)
    return numeral.groups() == other.groups() if numeral and other else None


def _are_proportional(reference: Sequence[str], answer: Sequence[str]) -> bool:
    left, right = (list(map(read_number, terms)) for terms in (reference, answer))
    if None in left + right or len(left) != len(right):
        return False
    return all(a * right[0] == b * left[0] for a, b in zip(left, right, strict=True))  # type: ignore[operator]


def _compare_words(reference: str, answer: str) -> bool | None:
    """Compare words as text, where a product of letters would have no order; none where neither side has any."""
    have_words = [_has_words(text) for text in (reference, answer)]
    if not any(have_words):
        return None
    left, right = (re.sub(r"[\s.,'{}-]+|\\text", "", unwrap(text)).casefold() for text in (reference, answer))
    if left == right:
        return True
    listings = [read_listing(text) for text in (reference, answer)]
    if all(listing and listing.kind == "list" for listing in listings) and _has_or(reference) == _has_or(answer):
        return _are_alike(*listings)  # type: ignore[arg-type]
    are_formulas = all(_MATHEMATICS.search(unwrap(text)) for text in (reference, answer))
    return None if all(have_words) and are_formulas else False


def _has_or(text: str) -> bool:
    return len(split_at(text, "or")) > 1


def _has_words(text: str) -> bool:
    r"""Tell whether words stand in `text`; ``xyz`` and ``abc`` are products, and ``\begin{cases}`` is mathematics."""
    if found := _IN_TEXT.search(text):
        return found[0].startswith("\\text")
    words = _WORD.findall(_COMMAND.sub(" ", text))
    return any(
        len(word) > 4 or not word.islower() or len(word) < 3 or list(word) != sorted(set(word)) for word in words
    )


def _compare_regions(reference: str, answer: str) -> bool | None:
    r"""Compare what "and" and "or" join as sets: ``x<1 or x>2`` is a union; none for what they do not join."""
    if not any(_AND_OR.search(text) and (_ORDER.search(text) or text[:1] in "([") for text in (reference, answer)):
        return None
    for text in (reference, answer):
        if (
            not _AND_OR.search(text)
            and not _ORDER.search(text)
            and (listing := read_listing(text))
            and listing.kind == "list"
        ):
            return None  # points
    return _same_region(reference, answer)


def _are_regions(reference: str, answer: str) -> bool:
    return all(map(_ORDER.search, (reference, answer))) or bool(_OPERATION.search(reference + answer))


def _same_region(reference: str, answer: str) -> bool | None:
    left, right = _region(reference), _region(answer)
    if left is None or right is None:
        return None
    (expected, name), (given, other_name) = left, right
    return (name is None or other_name is None or name == other_name) and bool(
        expected.symmetric_difference(given).simplify().is_empty
    )


def _region(text: str) -> tuple[Any, str | None] | None:
    """Read the set of real numbers that a condition describes, and its variable; none for what describes none."""
    from sympy import Eq, Intersection, Set, Union

    for word in ("or", "and"):
        pieces = split_at(text, word)
        if len(pieces) > 1:
            regions = [region for region in map(_region, pieces) if region]
            names = {name for _, name in regions if name}
            if len(regions) < len(pieces) or len(names) > 1:
                return None
            # Intervals with "and" between them are listed; conditions hold together.
            join = Intersection if word == "and" and names else Union
            return join(*(region for region, _ in regions)), next(iter(names), None)
    parsed = _parse(text)
    found = parsed[0] if parsed else None
    if isinstance(found, Set):
        return found, None
    if isinstance(found, Eq) and isinstance(found.rhs, Set):
        return found.rhs, str(found.lhs)
    names = {str(symbol) for symbol in _symbols(parsed)}
    if len(names) != 1 or not (_ORDER.search(text) or isinstance(found, Eq)):
        return None
    return found.as_set(), min(names)  # type: ignore[union-attr]


def _distance(reference: str, answer: str) -> Fraction | None:
    """Give how far apart two numbers are; none for what is no number."""
    values = []
    for text in (_drop_name(reference, answer), _drop_name(answer, reference)):
        value = read_number(text)
        if value is None:
            parsed = _parse(text)
            if not (parsed and getattr(parsed[0], "is_real", False) and parsed[0].is_number):
                return None
            value = Fraction(float(parsed[0].evalf()))
        values.append(value)
    return abs(values[0] - values[1])


def _drop_name(text: str, other: str) -> str:
    r"""Take ``x=`` off ``x=5`` where the other side names nothing, and put ``(y,x)=(1,2)`` in order."""
    if point := _NAMED_POINT.fullmatch(text):
        names, listing = point[1].split(","), read_listing(point[2])
        if listing and len(listing.elements) == len(names):
            return "(" + ",".join(value for _, value in sorted(zip(names, listing.elements, strict=True))) + ")"
    sides = _EQUATION.split(text)
    if len(sides) == 2 and read_number(sides[0]) is not None:
        sides.reverse()
    is_named = len(sides) == 2 and not _EQUATION.search(other) and _NAME.fullmatch(sides[0])
    return sides[1].strip() if is_named else text


def _equates_more(text: str, other: str) -> bool:
    """Whether `text` alone is an equation, of more than the name or a computation of its value: ``x+y=3`` for 3."""
    first, *others = cut(text, "=") or [text]
    return bool(others) and not _EQUATION.search(other) and "\\begin" not in text and combines_variables(first)


def _is_near(reference: str, answer: str, tolerance: Fraction) -> bool:
    """Compare numbers, and those in lists and points, by how far they are apart; all else as it is."""
    expected, given = read_listing(reference), read_listing(answer)
    if expected and given:
        if expected.kind == given.kind == "list":
            expected, given = _sorted(expected), _sorted(given)
        return _are_alike(expected, given, lambda one, other: _is_near(one, other, tolerance))
    name, sign, value = answer.partition("=")
    if sign and reference.startswith(name + sign):  # x=5.05 for x=5
        return _is_near(reference.removeprefix(name + sign), value, tolerance)
    distance = _distance(reference, answer.removesuffix("\\%"))
    return _is_equal(reference, answer) if distance is None else distance <= tolerance


def _sorted(listing: Listing) -> Listing:
    """Put a list of numbers in order, so that the first that is near enough is the right one to take."""
    values = [read_number(element) for element in listing.elements]
    if None in values:
        return listing
    by_value = sorted(zip(values, listing.elements, strict=True))
    return replace(listing, elements=tuple(element for _, element in by_value))


def _are_alike(expected: Listing, given: Listing, is_same: Callable[[str, str], bool] | None = None) -> bool:
    """Compare element by element, in order for tuples; by `_is_equal` unless said."""
    is_same = is_same or _is_equal
    if "tuple" in (expected.kind, given.kind):
        expected, given = _as_point(expected), _as_point(given)
    if expected.kind == "tuple":
        if given.kind == "set" or (given.brackets and expected.brackets and given.brackets != expected.brackets):
            return False
        return len(given.elements) == len(expected.elements) and all(map(is_same, expected.elements, given.elements))
    if given.kind == "tuple":
        return False
    if "set" in (expected.kind, given.kind):  # without repetitions
        return all(any(is_same(element, other) for other in given.elements) for element in expected.elements) and all(
            any(is_same(element, other) for element in expected.elements) for other in given.elements
        )
    left = list(given.elements)
    for element in expected.elements:
        found = next((i for i, other in enumerate(left) if other == element), None)
        if found is None:
            found = next((i for i, other in enumerate(left) if is_same(element, other)), None)
        if found is None:
            return False
        del left[found]
    return not left


def _as_point(listing: Listing) -> Listing:
    """Read ``y=2, x=1`` as the point (1, 2): values in the order of their names."""
    named = [_NAMED_VALUE.fullmatch(element) for element in listing.elements]
    names = [found[1] for found in named if found]
    if listing.kind != "list" or len(set(names)) != len(listing.elements):
        return listing
    values = tuple(value for _, value in sorted(found.groups() for found in named if found))
    return Listing("tuple", "()", values)


def _verify(reference: str, answer: str) -> bool:
    from math_verify import verify
    from sympy import I

    left, right = _parse(reference), _parse(answer)
    symbols = {symbol for side in (left, right) for symbol in _symbols(side)}
    if {symbol.name for symbol in symbols} == {"i"}:  # the imaginary unit, where no other symbol makes it a variable
        left, right = (
            [side[0].subs(dict.fromkeys(symbols, I)), *side[1:]] if _symbols(side) else side for side in (left, right)
        )
    if _are_far_apart(left, right):
        return False
    # The reference comes first: the comparison has a direction.
    return bool(verify(left, right, timeout_seconds=None, allow_set_relation_comp=True))


def _symbols(parsed: list[Any]) -> set[Any]:
    return set(getattr(parsed[0], "free_symbols", ())) if parsed else set()


@lru_cache(maxsize=256)
def _parse(text: str) -> list[Any]:
    from math_verify import parse

    return list(parse(f"\\boxed{{{text}}}", parsing_timeout=None))  # the box makes it read all of it


def _are_far_apart(left: list[Any], right: list[Any]) -> bool:
    """Tell numbers apart by value, before simplifying their difference takes long; none is too small or too large."""
    from sympy import Expr

    if not (left and right and isinstance(left[0], Expr) and isinstance(right[0], Expr)):
        return False
    if not (left[0].is_number and right[0].is_number):
        return False
    expected, given = left[0].evalf(), right[0].evalf()
    try:
        return bool(abs(expected - given) > _SAME * max(abs(expected), abs(given)))
    except TypeError:  # no number comes of it
        return False
