r"""A step is a paragraph. The blank lines after it belong to it.

>>> ParagraphSplitter().split("He buys 3.\n2 + 3 = 5\n\nSo 5.")
['He buys 3.\n2 + 3 = 5\n\n', 'So 5.']
"""

import re
from collections.abc import Sequence
from itertools import pairwise

_BLANK_LINES = re.compile(r"\n(?:[^\S\n]*+\n)++")


class ParagraphSplitter:
    """Cuts after every run of blank lines; white space around the text belongs to its first and last step."""

    stop: Sequence[str] = ("\n\n",)

    def split(self, text: str) -> list[str]:
        """Cut `text` into paragraphs."""
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        cuts = (found.end() for found in _BLANK_LINES.finditer(text, start, end))
        return [text[a:b] for a, b in pairwise([0, *cuts, len(text)]) if a < b]
