r"""A step is a sentence. Formulas are never cut.

>>> SentenceSplitter().split(r"Dr. Wu pays $1.50, i.e. \(x = 2. Y\) cents. What is left? \boxed{3. 5}")
['Dr. Wu pays $1.50, i.e. \\(x = 2. Y\\) cents. ', 'What is left? ', '\\boxed{3. 5}']
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

_TOKEN = re.compile(
    r"""
    (?P<opens> \\boxed\s*+\{ | \\\( | \\\[ | \$\$?
             | \\begin\s*+\{ (?! (?: document | abstract | proof | solution | theorem | lemma | corollary | proposition
                 | claim | remark | quote | center ) \*?\} )                      # those hold sentences
               [^{}\n]*+\} )
  | \\.                                              # escaped: neither \$ nor \\[ opens a formula
  | (?P<mark> [.!?\u2026]++ | [\u3002\uff01\uff1f]++ )
  | (?P<blank> \n[^\S\n]*+\n )
    """,
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"\\(": "\\)", "\\[": "\\]", "$$": "$$", "$": "$"}
_ENVIRONMENT = re.compile(r"\\\\|\\(?P<kind>begin|end)\s*+\{(?P<name>[^{}\n]*+)\}")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DOLLAR_OR_BLANK = re.compile(r"\\.|\$|\n[^\S\n]*+\n", re.DOTALL)
_BLANK = re.compile(r"\n[^\S\n]*+\n")
_AMOUNT = re.compile(r"\$[0-9]")
_OPENING_DOLLAR = re.compile(r"[\s(]\$[\w\\]")
_SPACE = re.compile(r"\s*+")
_QUOTES_AND_SPACE = re.compile(r"[\"'\u201d\u2019\xbb\u300d\u300f)\]*]*+(\s*+)")
_ABBREVIATION = re.compile(
    r"""(?<![A-Za-z.])
    (?: (?:[a-z]\.)+[a-z]                            # e.g. i.e. a.m. U.S.
      | dr | mr | mrs | ms | prof | st | jr | sr | inc | ltd | co | vs | cf | al | etc | ca | approx | resp | incl
      | figs? | eqs? | eqns? | sec | ch | vol | pp | ex | ref | thm | lem | prop | cor | def | min | max | dept )
    \Z""",
    re.VERBOSE | re.IGNORECASE,
)
_NUMBER_FOLLOWS = re.compile(r"\b(?:no|nos|p)\Z", re.IGNORECASE)
_ENUMERATION = re.compile(
    r"^[^\S\n]*(?:[-*>#]+[^\S\n]*)?\(?(?:(?:step|case|part)[^\S\n])?[0-9]{1,3}\Z", re.MULTILINE | re.IGNORECASE
)
_LOOK_BACK = 24


class SentenceSplitter:
    r"""Cuts after ``.``, ``!`` or ``?`` and the white space that follows, and after blank lines.

    Never inside ``$...$``, ``$$...$$``, ``\(...\)``, ``\[...\]``, ``\boxed{...}`` or ``\begin{...}...\end{...}``,
    but for environments of prose such as ``proof``; nor inside a decimal, an abbreviation, the number of a list item
    or before a lower-case letter. A formula not closed yet holds its sentence together up to the next blank line. A
    dollar sign before a digit may be an amount: it opens a formula only where one closes it.
    """

    stop: Sequence[str] = (". ", "! ", "? ", "\n")

    def split(self, text: str) -> list[str]:
        """Cut `text` into sentences."""
        return [text[a:b] for a, b in pairwise([0, *_Scan(text).cuts(), len(text)]) if a < b]


class _Scan:
    """One pass over a text; no search is made twice over the same stretch, so that the time is linear."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._braces = _match_braces(text) if "\\boxed" in text else {}
        self._environments = _match_environments(text) if "\\begin" in text else {}
        self._absent: set[str] = set()

    def cuts(self) -> Iterator[int]:
        """Give the position of every sentence but the first."""
        position = _skip_space(self._text, 0)
        while token := _TOKEN.search(self._text, position):
            position, cut = token.end(), None
            if token["opens"]:
                position, mark = self._after_formula(token)
                cut = self._next_sentence(mark, position) if mark else None
            elif token["blank"]:
                cut = _skip_space(self._text, position)
            elif token["mark"] and not self._is_abbreviation(token):
                cut = self._next_sentence(token["mark"], position)
            if cut is not None and cut < len(self._text):
                yield cut
                position = cut

    def _next_sentence(self, mark: str, position: int) -> int | None:
        """Find where the sentence after `mark`, which ends at `position`, begins, if it ends one."""
        after = _QUOTES_AND_SPACE.match(self._text, position)
        needs_space = mark < "\u3000"  # Chinese and Japanese put none
        if after is None or (needs_space and not after[1]):
            return None
        return None if self._text[after.end() : after.end() + 1].islower() else after.end()

    def _is_abbreviation(self, token: re.Match[str]) -> bool:
        """Tell whether a full stop belongs to the word or number before it."""
        if token["mark"] != ".":
            return False
        text, end = self._text, token.start()
        start = max(0, end - _LOOK_BACK)
        before = text[end - 1 : end]
        if before.isdigit():
            return _ENUMERATION.search(text, start, end) is not None
        if not before.isalpha():
            return False
        if _ABBREVIATION.search(text, start, end):
            return True
        following = _skip_space(text, token.end())
        return text[following : following + 1].isdigit() and bool(_NUMBER_FOLLOWS.search(text, start, end))

    def _after_formula(self, token: re.Match[str]) -> tuple[int, str]:
        """Find where the formula that `token` opens ends, and the mark inside its end, if any.

        One that is not closed ends before the next blank line; an amount of dollars, after its dollar sign.
        """
        text, inner = self._text, token.end()
        close = self._find_close(token)
        if close is not None:
            last = text[max(inner, close[0] - 2) : close[0]].rstrip()[-1:]
            return close[1], last if last in ".!?" else ""
        if _AMOUNT.match(text, token.start()):
            return inner, ""
        blank = _BLANK.search(text, inner)
        return blank.start() if blank else len(text), ""

    def _find_close(self, token: re.Match[str]) -> tuple[int, int] | None:
        """Find where what closes the formula that `token` opens begins and ends."""
        opens, inner = token["opens"], token.end()
        if opens.startswith("\\begin"):
            return self._environments.get(token.start())
        if opens.endswith("{"):
            close = self._braces.get(inner - 1)
        elif opens == "$":
            close = self._find_dollar(token.start(), inner)
        else:
            close = self._find_text(_CLOSING[opens], inner)
        return None if close is None else (close, close + len(_CLOSING.get(opens, "}")))

    def _find_text(self, closing: str, inner: int) -> int | None:
        if closing in self._absent:
            return None
        close = self._text.find(closing, inner)
        if close >= 0:
            return close
        self._absent.add(closing)
        return None

    def _find_dollar(self, opening: int, inner: int) -> int | None:
        """Find the dollar sign that closes a formula, in the same paragraph as TeX wants it."""
        for found in _DOLLAR_OR_BLANK.finditer(self._text, inner):
            if found[0] == "$":
                is_amount = _AMOUNT.match(self._text, opening) and _OPENING_DOLLAR.match(self._text, found.start() - 1)
                return None if is_amount else found.start()
            if found[0].isspace():
                return None
        return None


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _match_braces(text: str) -> dict[int, int]:
    """Map the position of every brace that is closed to that of its close."""
    closes: dict[int, int] = {}
    still_open: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            still_open.append(brace.start())
        elif brace[0] == "}" and still_open:
            closes[still_open.pop()] = brace.start()
    return closes


def _match_environments(text: str) -> dict[int, tuple[int, int]]:
    r"""Map the position of every ``\begin{x}`` that is closed to where its ``\end{x}`` begins and ends."""
    closes: dict[int, tuple[int, int]] = {}
    still_open: defaultdict[str, list[int]] = defaultdict(list)
    for found in _ENVIRONMENT.finditer(text):
        if found["kind"] == "begin":
            still_open[found["name"]].append(found.start())
        elif found["kind"] and still_open[found["name"]]:
            closes[still_open[found["name"]].pop()] = found.span()
    return closes
