r"""A step is the text in a pair of tags, or between two pairs.

>>> TagSplitter().split("<think>2 + 3 = 5</think>\nThe answer is 5.")
['<think>2 + 3 = 5</think>\n', 'The answer is 5.']
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise


class TagSplitter:
    """Cuts before opening tags, and after closing tags and the white space that follows them.

    A tag that has no text before it since the last cut is no boundary, so nested tags and empty ones do not make steps
    of their own: ``<think><chunk>a</chunk>`` is one step. The tags need not match.

    Args:
        tags: The names of the tags.
    """

    def __init__(self, tags: Sequence[str] = ("chunk", "think")) -> None:
        self.stop: Sequence[str] = tuple(f"</{tag}>" for tag in tags)
        self._tag = re.compile(rf"<(?P<closes>/?)(?:{'|'.join(map(re.escape, tags))})>\s*+")

    def split(self, text: str) -> list[str]:
        """Cut `text` at its tags."""
        return [text[a:b] for a, b in pairwise([0, *self._cuts(text), len(text)]) if a < b]

    def _cuts(self, text: str) -> Iterator[int]:
        has_text, read = False, 0
        for tag in self._tag.finditer(text):
            has_text = has_text or bool(text[read : tag.start()].strip())
            read = tag.end()
            if has_text:
                yield tag.end() if tag["closes"] else tag.start()
                has_text = False
