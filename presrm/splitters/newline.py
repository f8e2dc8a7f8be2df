r"""A step is a line. Blank lines belong to the line before them.

>>> NewlineSplitter().split("2 + 3 = 5\n\n5 * 4 = 20\n")
['2 + 3 = 5\n\n', '5 * 4 = 20\n']
"""

import re
from collections.abc import Sequence
from itertools import pairwise

_LINE_END = re.compile(r"\n(?:[^\S\n]*+\n)*+")


class NewlineSplitter:
    """Cuts before every line that is not blank; white space around the text belongs to its first and last step."""

    stop: Sequence[str] = ("\n",)

    def split(self, text: str) -> list[str]:
        """Cut `text` into lines."""
        start, end = len(text) - len(text.lstrip()), len(text.rstrip())
        cuts = (found.end() for found in _LINE_END.finditer(text, start, end))
        return [text[a:b] for a, b in pairwise([0, *cuts, len(text)]) if a < b]
