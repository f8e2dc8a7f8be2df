r"""Text from outside, made inert for the page, with its mathematics set.

A text becomes runs: plain text with control and bidirectional characters spelt out, and formulas as trees of MathML
that hold known elements and attributes only. A page shows the former as text and builds the latter element by element,
so nothing that a model wrote is ever read as markup.
"""

import html
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Any
from xml.etree.ElementTree import Element

from markupsafe import Markup, escape

from presrm.prompts.escaping import escape_controls

Formula = list[Any]
"""``[element, {attribute: value}, child, ...]``, where a child is a formula or a text."""
Run = str | Formula

MAX_TEXT = 6000
"""Characters of one text that the page shows; of a longer one the middle is left out, and its length is told."""
_FORMULA = re.compile(
    r"\$\$(?P<display>[^$]{1,1000}?)\$\$|\\\[(?P<block>.{1,1000}?)\\\]|\\\((?P<inline>.{1,1000}?)\\\)"
    r"|(?<![\\$\w])\$(?P<dollar>[^\s$](?:[^$\n]{0,1000}?[^\s$\\])?)\$(?![\w$])",
    re.DOTALL,
)
_BOXED = re.compile(r"\\boxed\{[^{}]{1,200}(?:\{[^{}]{0,200}\}[^{}]{0,200}){0,8}\}")
_MAX_BRACES = 60
_ARITY = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "mroot": 2, "msubsup": 3, "munderover": 3}
_ELEMENTS = {
    *("math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "msqrt", "mtable", "mtr", "mtd", "mstyle", "mphantom"),
    *("mpadded", "menclose", *_ARITY),
}
_ATTRIBUTES = {
    *("display", "mathvariant", "stretchy", "fence", "form", "separator", "accent", "accentunder", "linethickness"),
    *("lspace", "rspace", "width", "height", "depth", "minsize", "maxsize", "columnalign", "rowspacing", "largeop"),
    *("columnspacing", "movablelimits", "displaystyle", "scriptlevel", "symmetric", "notation", "voffset"),
}
_VALUE = re.compile(r"[\w .%+-]{1,40}", re.ASCII)


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """Leave out the middle of a text longer than `limit` characters, and say how much that is.

    >>> shorten("abcdefgh", 4)
    'ab … 4 characters left out … gh'
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters left out … {text[-half:]}"


def plain(text: str) -> str:
    """Spell out what would act on a reader instead of being read."""
    return escape_controls(text).replace("\r\n", "\n")


def runs(text: str) -> list[Run]:
    r"""Cut a text into plain text and formulas; what cannot be set stays as text.

    >>> runs("so $x^2$ costs $5")
    ['so ', ['math', {'display': 'inline'}, ['msup', {}, ['mi', {}, 'x'], ['mn', {}, '2']]], ' costs $5']
    """
    found: list[Run] = []
    text = shorten(text)
    at = 0
    for start, end, source, is_block in _formulas(text):
        formula = set_formula(source, is_block)
        if formula is not None and start >= at:
            found += [plain(text[at:start])] * (start > at) + [formula]
            at = end
    return found + [plain(text[at:])] * (at < len(text))


def markup(shown: Sequence[Run]) -> Markup:
    """Give runs as HTML that holds nothing but text and known elements of MathML."""
    return Markup("").join(escape(run) if isinstance(run, str) else _element(run) for run in shown)


def _formulas(text: str) -> Iterator[tuple[int, int, str, bool]]:
    for found in sorted([*_FORMULA.finditer(text), *_BOXED.finditer(text)], key=lambda found: found.start()):
        groups = found.groupdict()
        source = next((value for value in groups.values() if value is not None), found[0])
        yield found.start(), found.end(), source, bool(groups.get("display") or groups.get("block"))


@lru_cache(50_000)
def set_formula(source: str, is_block: bool = False) -> Formula | None:
    """Set LaTeX as MathML; none where it cannot be read, or not be read whole."""
    from latex2mathml.converter import convert_to_element

    if plain(source) != source or source.count("{") > _MAX_BRACES:
        return None
    try:
        return _known(convert_to_element(source, display="block" if is_block else "inline"))
    except _parser_errors():
        return None  # the text stands as it was written


@cache
def _parser_errors() -> tuple[type[Exception], ...]:
    """What the parser raises on broken LaTeX: its own errors, which have no base, and whatever it stumbles over."""
    from latex2mathml import exceptions

    own = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return (*own, ArithmeticError, AttributeError, LookupError, RuntimeError, StopIteration, TypeError, ValueError)


def _known(element: Element) -> Formula:
    """Take a tree of MathML whose elements are known and complete, without attributes that are not.

    Raises:
        ValueError: for any other one.
    """
    name = element.tag
    children = list(element)
    if name not in _ELEMENTS or len(children) != _ARITY.get(name, len(children)):
        raise ValueError(name)
    kept = {key: value for key, value in element.attrib.items() if key in _ATTRIBUTES and _VALUE.fullmatch(value)}
    text = html.unescape(element.text or "")
    if re.match(r"\\[A-Za-z]|&$", text):
        raise ValueError(f"{text} was not understood")
    inner = [_known(child) for child in children]
    if name == "mrow" and len(inner) == 1:
        return inner[0]
    return [name, kept, *([plain(text)] if text.strip() or name == "mtext" else []), *inner]


def _element(formula: Formula) -> Markup:
    name, attributes, *children = formula
    shown = Markup("").join(Markup(' {}="{}"').format(key, value) for key, value in attributes.items())
    inner = Markup("").join(escape(child) if isinstance(child, str) else _element(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(Markup(name), shown, inner)
