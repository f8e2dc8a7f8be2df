r"""A step is a statement of a Python program: a simple statement, or the header of a compound one.

>>> CodeSplitter().split("def f(x):\n    # twice\n    return 2 * x\n\nprint(f(\n    3))\n")
['def f(x):\n', '    # twice\n    return 2 * x\n\n', 'print(f(\n    3))\n']

Neither `ast` nor `tokenize` is used: both refuse most of what is split here. A step is cut out of the middle of an
unfinished program, so that it begins indented and dedents to a column never seen; a reply may hold text that is no
Python at all; and `ast` can be sent into deep recursion. Strings, comments, brackets and line ends suffice.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

_LEXEME = re.compile(
    r"""
    (?P<string>
        \"""(?: [^"\\] | \\. | "(?!"") )*+ (?:\""")?    # left open, it runs to the end of the text
      | '''(?: [^'\\] | \\. | '(?!'') )*+ (?:''')?
      | "(?: [^"\\\n] | \\. )*+ "?                      # left open, it runs to the end of the line
      | '(?: [^'\\\n] | \\. )*+ '?
    )
  | \#[^\n]*+
  | \\\r?\n                                             # the statement goes on in the next line
  | (?P<opens>[(\[{])
  | (?P<closes>[)\]}])
  | (?P<ends>\n(?:[^\S\n]*+\n)*+)                       # the line end and the blank lines after it
    """,
    re.VERBOSE | re.DOTALL,
)
_BLANK_LINE = re.compile(r"\n[^\S\n]*+\n")
_LEADS_ON = re.compile(r"[^\S\n]*+[#@]")


class CodeSplitter:
    """Cuts after every statement and its blank lines; comment lines and decorators belong to the statement after them.

    Text that is no Python is cut into lines. A bracket not closed yet holds its statement together until a blank line
    follows: then it is taken for a slip, and lines are cut.
    """

    stop: Sequence[str] = ("\n",)

    def split(self, text: str) -> list[str]:
        """Cut `text` into statements."""
        return [text[a:b] for a, b in pairwise([0, *_cuts(text), len(text)]) if a < b]


def _cuts(text: str) -> Iterator[int]:
    start, end = len(text) - len(text.lstrip()), len(text.rstrip())
    lexemes = list(_LEXEME.finditer(text, start, end))
    ignored = _open_before_blank_line(lexemes, text)
    depth, line = 0, 0
    for lexeme in lexemes:
        if lexeme["opens"]:
            depth += lexeme.start() not in ignored
        elif lexeme["closes"]:
            depth = max(0, depth - 1)
        elif lexeme["ends"] and not depth:
            if not _LEADS_ON.match(text, line):
                yield lexeme.end()
            line = lexeme.end()


def _open_before_blank_line(lexemes: Sequence[re.Match[str]], text: str) -> set[int]:
    """Find the brackets that are never closed although a blank line follows."""
    still_open: list[int] = []
    last_blank_line = -1
    for lexeme in lexemes:
        if lexeme["opens"]:
            still_open.append(lexeme.start())
        elif lexeme["closes"] and still_open:
            still_open.pop()
        elif lexeme["ends"] and _BLANK_LINE.match(lexeme["ends"]):
            last_blank_line = lexeme.start()
    return {position for position in still_open if position < last_blank_line}
