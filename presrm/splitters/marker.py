r"""A step begins with a marker: a line that starts with ``Step 1:``.

>>> MarkerSplitter().split("Step 1: 2 + 3 = 5\nStep 2: 5 * 4 = 20\n")
['Step 1: 2 + 3 = 5\n', 'Step 2: 5 * 4 = 20\n']
"""

import re
from collections.abc import Sequence
from itertools import pairwise

_MARKER = re.compile(
    r"""^[^\S\n]*+ (?:\#{1,6}[^\S\n]*+)? (?:\*\*)?      # indentation, then Markdown heading or bold
        step [^\S\n]++ [0-9]++ [^\S\n]*+
        (?: [:.)] | \*\* | \r?\n )""",
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)


class MarkerSplitter:
    r"""Cuts before every line that starts with ``Step n`` and ``:``, ``.``, ``)`` or a line end.

    Upper or lower case, as a Markdown heading or in bold. Text before the first marker is a step of its own unless it
    is blank. It often is the rest of a step whose marker was generated in part with the step before (a token may hold
    ``\nStep``); joined to what follows it, two steps would be judged as one.
    """

    stop: Sequence[str] = ("\nStep",)

    def split(self, text: str) -> list[str]:
        """Cut `text` at its markers."""
        start = len(text) - len(text.lstrip())
        cuts = (found.start() for found in _MARKER.finditer(text) if found.start() > start)
        return [text[a:b] for a, b in pairwise([0, *cuts, len(text)]) if a < b]
