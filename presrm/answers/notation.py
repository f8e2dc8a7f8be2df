r"""One way to write an expression: what looks different and means the same is made the same.

It takes in what math-verify misses: Unicode minus and digits, thousands separators, currency, units, per cent,
``\text{}``, mixed fractions, and plain text such as ``sqrt(3)``. Everything here is a rule about notation; nothing is
computed.

>>> normalize(r"\$ 1,250.50 \text{ a day}"), normalize("-3 1/2"), normalize("√2/π ± ½")
('1250.50', '-(3+\\frac{1}{2})', '\\sqrt{2}/\\pi \\pm \\frac{1}{2}')
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from presrm.answers.clauses import has_prose, state, unwrap
from presrm.answers.numbers import fold

_ROOT = re.compile(r"√\s*(?:\(([^()]*)\)|(\w+))")
_UNIT = (
    r"(?:cm|mm|km|dm|ft|feet|foot|inch(?:es)?|yards?|miles?|met(?:er|re)s?|lit(?:er|re)s?|kg|mg|grams?|pounds?|lbs?|"
    r"ounces?|oz|mph|km/h|m/s|sec(?:ond)?s?|min(?:ute)?s?|hours?|hrs?|days?|weeks?|months?|years?|degrees?|dollars?|"
    r"cents?|units?|points?|square|cubic|sq|cu|[cm][lL])"
)
_CHANGES = (
    r"[^{}]*\b(?:if|when|or|most|least|more|less|fewer|of|than|not|R|squared|cubed|factorial|times(?!\s*\})|halves|thirds|"
    r"[a-z]{2,8}ths)\b"
)
_SI = r"(?:[cdkmnµ]?[mgLlsNJWVAK]|[kM]?Pa|Hz|mol|rad|ft|in|[kM]?Wh?|h|C|F)(?:\^?\{?-?[0-9]\}?)?"
_RELATION = r"(?:[<>]|\\[lgn](?:e|eq|eqslant)(?![a-z])|\\not\s*=)"
_CONDITION = re.compile(r"\b(?:if|when|where|unless)\b")
_RULES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\\\\(?=[A-Za-z])", r"\\"),  # a backslash escaped twice
        (r"\\(?:displaystyle|textstyle|limits|nolimits)(?![a-z])", " "),
        (r"\\(?:text)?color\s*\{[^{}]*\}|\\underline(?![a-z])", ""),
        (r"^\s*(?:\\text\{\s*)?all\s+real(?:\s+numbers|s)\s*\}?\s*$", r"\\mathbb{R}"),
        (r"\\([lr])brace(?![a-z])\s?", lambda found: "\\{" if found[1] == "l" else "\\}"),
        (r"\\degrees?(?![a-z])", r"^\\circ "),
        (r"\\(?:text|mbox|textrm)\s*\{\s*([,;:])\s*\}", r"\1 "),
        (r",\s*\\!\s*|\\!\s*|\s*\{\s*,\s*\}\s*", ""),  # 10,\!000 and 10{,}000
        (r"(?<=[0-9])\\[, ;:](?=[0-9]{3}(?![0-9]))", ""),
        (r"\\\$|\$|\\\(|\\\)|(?<!\\)\\[\[\]]", ""),
        (r"\\q?quad|(?<!\\)\\[,;:> ]|~|\\(?:m?(?:left|right)|middle)(?![a-z])|\\[bB]igg?[lr]?(?![a-z])", " "),
        (r"\\(?:mbox|textbf|textit|textrm|textnormal|textsf|text)(?![a-z])\s*", r"\\text"),
        (r"\\text\{([^{}]*)\}\s*/\s*\\text\{([^{}]*)\}", r"\\text{\1/\2}"),
        (rf"(?<=[0-9}}])\s*\\(?:mathrm|rm)\s*\{{\s*{_SI}(?:\s*(?:/|\\cdot|\s)\s*{_SI})*\s*\}}(?=\s*(?:$|,))", ""),
        (r"\s*[€£¥₹]\s*$|(?<=^[0-9])\s*['\"]{1,2}\s*$", ""),
        (r"(?<=[0-9])\s*\(\s*\\frac", r"\\cdot(\\frac"),
        (
            rf"^\s*\\?\{{\s*([a-z])\s*(?:\\in\s*\\mathbb\s*\{{?\s*R\s*\}}?\s*)?(?:\||\\mid(?![a-z])|:)\s*"
            rf"(\1\s*{_RELATION}.*?|[^:|]*{_RELATION}\s*\1\b.*?)\\?\}}\s*$",
            r"\2",
        ),
        (r"\\(?:mathrm|mathbf|mathit|mathcal|mathsf|mathtt|boldsymbol|bm|rm|bf|it)(?![a-z])\s*", r"\\font"),
        (r"\\font\{([^{}]*)\}|\\font\s*", lambda found: found[1] or ""),
        (r"\\(?:[dtc]|nice|s)frac(?![a-z])", r"\\frac"),
        (r"\{\s*:\s*\}", ":"),  # a time of day
        (r"(?<=[0-9])\s*\^?\s*\{?\s*(?:\\text\s*\{\s*)?(?:st|nd|rd|th)(?![a-z])\s*\}*", ""),  # an ordinal
        (r"([0-9]*)\.([0-9]*)\\(?:overline|bar|dot)\s*(?:\{\s*([0-9]+)\s*\}|([0-9]))", lambda found: _repeating(found)),
        (r"\\frac\s*([0-9])\s*(?=[0-9{])", r"\\frac{\1}"),
        (r"(\\frac\s*\{[^{}]*\})\s*([0-9])", r"\1{\2}"),
        (r"\\frac\s*(\\[a-z]+)\s*([0-9])", r"\\frac{\1}{\2}"),
        (r"\\sqrt\s*([0-9A-Za-z])", r"\\sqrt{\1}"),
        (r"\\(?:leqq|leq|leqslant|le|lt=|ngtr)(?![a-z])", r"\\le "),
        (r"\\(?:geqq|geq|geqslant|ge|nless)(?![a-z])", r"\\ge "),
        (r"\\(?:neq|ne|not\s*=)(?![a-z])|(?:^|(?<=\s))!=", r"\\ne "),
        (r"\\(?:lt|ngeq|ngeqslant)(?![a-z])", "<"),
        (r"\\(?:gt|nleq|nleqslant)(?![a-z])", ">"),
        (r"\\varnothing", r"\\emptyset "),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"\\text\{\s*(?:\S[^{}]*?\s)?(and|or)\s*\}", r" \1 "),
        (r"^\s*\\text\{([^{}]*)\}\s*\.?\s*$", r"\1"),
        (r"(?i)(?:\\text\{\s*)?(?<![a-z\\])(?:per\s?cent(?:age)?|pct)\b\.?(?:\s*\})?", r"\\%"),
        (r"\s*\\?%", r"\\%"),
        (
            r"(?i)(?<=[0-9])\s*(?:\\text\{\s*)?([ap])\.?\s?m(?![a-z])\.?(?:\s*\})?(?=\s*$)",
            lambda found: f" {found[1].lower()}m",
        ),
        (r"^\s*\\text\{[^{}]*(?:\bis|=|:)\s*\}", ""),
        # 15\mbox{ cm}^2, but not what stands between two numbers, which is another quantity
        (
            rf"(?<=[0-9}})!])\s*\\text\{{(?!{_CHANGES})[^{{}}]*\}}(?:\s*\^\s*\{{?[23]\}}?)?"
            r"(?=\s*(?:$|[,;)\]}+*/=-]|\\[a-z]|and\b|or\b))",
            "",
        ),
        (rf"(?i)(?<=[0-9}})])\s*{_UNIT}(?:\s{_UNIT})*\.?(?:\s*\^\s*\{{?[23]\}}?)?(?![A-Za-z])(?=\s*(?:$|,))", ""),
        (rf"(?i)\s*\\text\{{\s*{_UNIT}(?:\s{_UNIT})*\s*\}}(?:\s*\^\s*\{{?[23]\}}?)?(?=\s*(?:$|,))", ""),
        (
            r"(\\(?:sin|cos|tan|cot|sec|csc))\s*\(?\s*([0-9.]+)\s*\^\s*\{?\s*\\circ\s*\}?\s*\)?",
            r"\1(\\frac{\2\\pi}{180})",
        ),
        (r"\s*\^\s*\{?\s*\\circ\s*\}?(?=\s*(?:$|[,.)]))", ""),
        (r"(?<=[0-9])[eE]([-+]?[0-9]{1,3})(?![\w.])", r" \\times 10^{\1}"),
        (r"(?<=[0-9])\s*[xX]\s*(?=10\s*\^)", r" \\times "),
        (r"\*\*", "^"),
        (r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<!name\{)(?<![\\A-Za-z])a(?:rc)?((?:sin|cos|tan)h)(?![A-Za-z])", r"\\operatorname{arc\1} "),
        (r"(?<!name\{)(?<![\\A-Za-z])a(?:rc)?(sin|cos|tan)(?![A-Za-z])", r"\\arc\1 "),
        (
            r"(?<!name\{)(?<![\\A-Za-z])((?:sin|cos|tan)h?|cot|sec|csc|log|ln|exp|pi|theta|infty|sqrt)(?![A-Za-z])",
            r"\\\1 ",
        ),
        (r"(?<![\\A-Za-z])(?:infinity|oo)(?![A-Za-z])", r"\\infty "),
        # A whole number and a proper fraction.
        (r"(?<![\w.^}/])([0-9]+)\s*\\frac\s*\{\s*([0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}", lambda found: _mixed(found)),
        (
            r"(?<![\w.^}/])([0-9]+)(?:\s+|\s*-\s*and\s*-\s*)([0-9]+)\s*/\s*([0-9]+)(?![\w.])",
            lambda found: _mixed(found),
        ),
        (r"([A-Za-z])('+)", lambda found: f"{found[1]}_{{{'p' * len(found[2])}rime}}"),
        (r"(?<![0-9.,])[1-9][0-9]{0,2}(?: [0-9]{3})+(?![0-9.,]*\s*[0-9/])", lambda found: found[0].replace(" ", "")),
    )
]
_SPACES = re.compile(r"\s+")
_NEEDLESS_SPACE = re.compile(r" ?([^\w\s\\.]) ?")
_THOUSANDS = re.compile(r"(?<![0-9.,])[1-9][0-9]{0,2}(?:,[0-9]{3})+(?!,?[0-9])")
_SEPARATOR = re.compile(r"(?<![A-Za-z\\])(?:and|or)(?![a-z])")
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


_SCRIPT = re.compile(
    r"_(?:\{[^{}]*\}|\w)|\^\{?-1\}?|(?<=[A-Z}|)])\^\{?[0-9]\}?|\^\{?\*\}?"
)  # a_{n+1}, f^{-1}, AB^2, x^*
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc|log|ln|exp)(?![a-z])(?:\s*\^\s*\{?[0-9]\}?)?\s*[0-9]*")
_WHOLE = re.compile(r"\\(?:int|sum|prod|lim|max|min|sup|inf)(?![a-z])")  # of all that follows
_VARIABLE = re.compile(r"(?<![A-Za-z\\])(?!(?:e|i)(?![A-Za-z]))[A-Za-z]")
_BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|(?<!\^)\{[^{}]*\}")
_SUM_IN_FRACTION = re.compile(r"\\frac\s*\{[^{}]*[-+]|\\frac\s*\{[^{}]*\}\s*\{[^{}]*[-+]")
_COMBINED = re.compile(r"[-+*]|\\(?:times|div|pm|sqrt)(?![a-z])|\^|[0-9]\s*(?:[A-Za-z\0]|\\[a-z])")


@dataclass(frozen=True, slots=True)
class Listing:
    """Several values in one answer.

    Attributes:
        kind: ``tuple`` where order counts (points, intervals), ``set`` in braces, ``list`` if only commas divide.
        brackets: What encloses a tuple, as in ``"[)"``; else empty.
        elements: Their texts.
    """

    kind: Literal["tuple", "set", "list"]
    brackets: str
    elements: tuple[str, ...]


def normalize(expression: str, *, keeps_thousands: bool = False) -> str:
    """Write `expression` the one way, as LaTeX without dollar signs.

    Args:
        expression: LaTeX, plain text, or a mixture.
        keeps_thousands: Read ``100,200`` as two numbers, not one. ``100, 200``, with a space, always is two.

    Returns:
        LaTeX in which a comma never is a separator of thousands.
    """
    text = _ROOT.sub(lambda found: rf"\sqrt{{{found[1] or found[2]}}}", _stated(fold(expression)))
    for pattern, new in _RULES:
        text = pattern.sub(new, text)
    if not keeps_thousands and not text.lstrip().startswith(("(", "[", "\\{")):
        text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    return _NEEDLESS_SPACE.sub(r"\1", _SPACES.sub(" ", text)).strip(" ,;:*").removesuffix(".")


def read_listing(expression: str) -> Listing | None:
    r"""Take apart a normalised answer of several values; none for a single one.

    ``a \pm b`` is a list of two. Brackets around a single value are no tuple.
    """
    text = expression.strip()
    while text[:1] == "{" and _closing(text) == len(text) - 1:
        text = text[1:-1]
    if text.startswith("\\{") and text.endswith("\\}") and _closing(text) == len(text) - 1:
        inside = text[2:-2]
        if "|" in inside or "\\mid" in inside or ":" in inside:
            return None  # described, not listed
        return Listing("set", "", _expand(_split(inside)))
    if text[:1] in ("(", "[") and text[-1:] in (")", "]") and _closing(text) == len(text) - 1:
        elements = _split(text[1:-1])
        return Listing("tuple", text[0] + text[-1], elements) if len(elements) > 1 else None
    elements = _expand(_split(text))
    return Listing("list", "", elements) if len(elements) > 1 else None


def _stated(text: str) -> str:
    """Give the value that `text` states, if words stand around it; else the text."""
    if "\\begin" in text or _CONDITION.search(text) or not has_prose(bare := unwrap(text)):
        return text
    stated = state(bare)
    return stated if stated and not has_prose(stated) else text


def _repeating(found: re.Match[str]) -> str:
    """Write a repeating decimal as a fraction."""
    whole, once, again = found[1], found[2], found[3] or found[4]
    above = int(whole + once + again or 0) - int(whole + once or 0)
    return rf"\frac{{{above}}}{{{10 ** len(once) * (10 ** len(again) - 1)}}}"


def combines_variables(text: str) -> bool:
    r"""Tell whether a side of an equation is more than a name or numbers: ``x+y`` and ``2x``, not ``f(x+1)``.

    >>> [combines_variables(text) for text in ("x+y", "2x", "-x", "x^2", "2(x+1)")]
    [True, True, True, True, True]
    >>> [combines_variables(text) for text in ("x", "f^{-1}(3)", "a_{n+1}", r"\cos 2x", r"\frac{a}{b}", "2+3")]
    [False, False, False, False, False, False]
    """
    if _WHOLE.match(text) or not _VARIABLE.search(re.sub(r"\\[A-Za-z]+", " ", text)):
        return False
    outside = _FUNCTION.sub("", _SCRIPT.sub("", text))
    while (shorter := _BRACKETED.sub("\0", outside)) != outside:  # from the innermost
        outside = shorter
    return bool(_SUM_IN_FRACTION.search(text) or _COMBINED.search(outside))


def split_at(text: str, word: str) -> list[str]:
    """Split at a word outside of brackets."""
    return cut(re.sub(rf"(?<![A-Za-z\\]){word}(?![a-z])", "\0", text), "\0")


def _mixed(found: re.Match[str]) -> str:
    whole, above, below = found.groups()
    if len(above) > len(below) or (len(above) == len(below) and above >= below):
        return found[0]
    return rf"({whole}+\frac{{{above}}}{{{below}}})"


def _closing(text: str) -> int:
    """Find where the first bracket closes; an interval may close with another kind."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth == 0 and character in _CLOSING:
            return position
    return -1


def _split(text: str) -> tuple[str, ...]:
    """Split at the separators outside of brackets.

    "And", "or" and semicolons divide before commas do where they divide groups of equal size.
    """
    coarse = [cut(piece, ",") for piece in cut(_SEPARATOR.sub(";", text), ";")]
    sizes = {len(pieces) for pieces in coarse}
    if len(coarse) > 1 and len(sizes) == 1 and sizes != {1}:
        return tuple(",".join(pieces) for pieces in coarse)
    return tuple(piece for pieces in coarse for piece in pieces)


def cut(text: str, separator: str) -> list[str]:
    """Split at a character outside of brackets."""
    pieces, depth, start = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if character == separator and depth == 0:
            pieces.append(text[start:position])
            start = position + 1
    return [piece.strip() for piece in (*pieces, text[start:]) if piece.strip()]


def _expand(elements: tuple[str, ...]) -> tuple[str, ...]:
    both = [
        [element.replace("\\pm", "+"), element.replace("\\pm", "-")] if element.count("\\pm") == 1 else [element]
        for element in elements
    ]
    return tuple(element.lstrip("+ ") for pair in both for element in pair)
