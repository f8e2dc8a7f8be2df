r"""A step begins with a marker: a line such as ``Step 1:``, in any of the forms that people and models write it in.

>>> MarkerSplitter().split("Step 1: 2 + 3 = 5\nStep 2: 5 * 4 = 20\n")
['Step 1: 2 + 3 = 5\n', 'Step 2: 5 * 4 = 20\n']
>>> MarkerSplitter().split("## Step One - Count\n2 + 3 = 5\n- **Step Two** So 5.")
['## Step One - Count\n2 + 3 = 5\n', '- **Step Two** So 5.']
"""

import re
from collections.abc import Sequence
from itertools import pairwise

_MARKER = re.compile(
    r"""
    ^[^\S\n]*+
    # List items, quotations and headings of Markdown, then bold type or a bracket.
    (?: (?: [-*+>\u2022] | \#{1,6} | \d{1,3}+[.)] | [\u2190-\u2bff\U0001f300-\U0001faff]\ufe0f? ) [^\S\n]++
      | \#{1,6} )*+
    (?: \*{1,3} | _{1,3} | <(?:b|strong|u|em|h[1-6])> | \$?\\(?:textbf|text|mathbf|underline|(?:sub)*section\*?)\{ )?+
    [\[(<\u3010]?+
    (?:
        # A marker by word and number; a number may have parts, as in 1.2, and a word stands for a small one.
        (?: step | stage | (?:é|e)tape | schritt | paso | passo | pas | stap | krok | adım | bước | langkah | шаг
          | etapa | steg | الخطوة | चरण | ステップ | 手順 | 步骤 | 步驟 )
        [^\S\n]*+ (?: [-_\#(\[] | no\.? | n[°º] )?+ [^\S\n]*+
        (?: \d++ (?: [./]\d++ )*+ [a-z]?+
          | (?<=\s) (?: [ivx]++ | one | two | three | four | five | six | seven | eight | nine | ten | eleven
              | twelve ) \b
          | [一二三四五六七八九十]++ )
      | 第 [^\S\n]*+ (?: \d++ | [一二三四五六七八九十]++ ) [^\S\n]*+ 步 [骤驟]?+
      | \d++ [^\S\n]*+ 단계
    )
    [^\S\n]*+ (?: \( [^()\n]*+ \) [^\S\n]*+ )?+                     # Step 2 (the sum):
    (?: [:;：)\]}>】、．，→|] | \.(?=\D) | [-–—](?=\s) | \*{1,3} | _{1,3} | </ | \r?\n )
    """,  # noqa: RUF001 (the marks of other scripts)
    re.VERBOSE | re.MULTILINE | re.IGNORECASE,
)


class MarkerSplitter:
    r"""Cuts before every line that starts with a word for *step*, its number, and a mark or line end behind them.

    The number may be in digits (``1``, ``1.2``), in words (``One``) or in Chinese; the mark is one of ``: . ) ] -``, a
    dash, their full-width forms, or the end of bold type. The line may be a list item, a heading or a quotation of
    Markdown, begin with a pictogram, and be bold, also in LaTeX or
    HTML. Text before the first marker is a step of its own unless it is blank. It often is the rest of a
    step whose marker was generated in part with the step before (a token may hold ``\nStep``); joined to what follows
    it, two steps would be judged as one.
    """

    stop: Sequence[str] = ("\nStep",)

    def split(self, text: str) -> list[str]:
        """Cut `text` at its markers."""
        start = len(text) - len(text.lstrip())
        cuts = (found.start() for found in _MARKER.finditer(text) if found.start() > start)
        return [text[a:b] for a, b in pairwise([0, *cuts, len(text)]) if a < b]
