"""Where a completion ends: token by token, whatever draws the tokens."""

from collections.abc import Callable, Sequence

from presrm.protocols import Completion, StepSplitter, split_steps, stop_hints
from presrm.types import Stop

Decode = Callable[[Sequence[int]], str]
"""Ids -> text."""


class Draft:
    """A completion being written, a token at a time.

    Args:
        max_tokens: Drawn at most.
        splitter: Cuts the text; the draft ends with its first step. Without one it ends with the reply.
        decode: Ids -> text.
        end_ids: Tokens that end a reply.

    Attributes:
        num_drawn: Tokens drawn so far, those dropped again included.
        is_done: Whether it has ended.
    """

    def __init__(self, max_tokens: int, splitter: StepSplitter | None, decode: Decode, end_ids: frozenset[int]) -> None:
        self._max_tokens = max_tokens
        self._splitter = splitter
        self._decode = decode
        self._end_ids = end_ids
        self._tokens: list[int] = []
        self._stop: Stop | None = None
        self.num_drawn = 0
        self.is_done = False

    def add(self, token: int) -> None:
        """Take the next token that was drawn; once done, what comes is ignored."""
        if self.is_done:
            return
        self.num_drawn += 1
        if token in self._end_ids:
            self._finish(Stop.EOS)
            return
        self._tokens.append(token)
        if self.num_drawn == self._max_tokens:
            self._finish(Stop.MAX_TOKENS)
        elif self._splitter is not None:
            self._cut(self._splitter, stop_hints(self._splitter))

    def completion(self) -> Completion:
        """Give what was written."""
        return Completion(self._decode(self._tokens), tuple(self._tokens), self._stop)

    def _finish(self, stop: Stop) -> None:
        """End the completion, at a step boundary that the splitter's hints did not announce if there is one."""
        self.is_done = True
        if self._splitter is None or not self._cut(self._splitter):
            self._stop = stop

    def _cut(self, splitter: StepSplitter, hints: Sequence[str] = ()) -> bool:
        end = step_end(self._tokens, splitter, self._decode, hints)
        if end is None:
            return False
        del self._tokens[end:]
        self.is_done = True
        return True


def step_end(tokens: Sequence[int], splitter: StepSplitter, decode: Decode, hints: Sequence[str] = ()) -> int | None:
    """Find the first step: how many of `tokens` it takes, or none while it may go on.

    It is over when the splitter cuts the text in two, and ends with the first token that ends at or after the cut: a
    token may straddle it. Bytes of an unfinished character decode to U+FFFD: they are not text yet.

    Args:
        tokens: Ids drawn so far.
        splitter: Cuts their text.
        decode: Ids -> text.
        hints: If any, there is no cut unless the text holds one of them.

    Raises:
        SplitterError: if the splitter raises or breaks its law.
    """
    text = decode(tokens).rstrip("\ufffd")
    if hints and not any(hint in text for hint in hints):
        return None
    pieces = split_steps(splitter, text)
    if len(pieces) < 2:
        return None
    end = None
    for count in range(len(tokens), 0, -1):
        head = decode(tokens[:count])
        if len(head) < len(pieces[0]):
            break
        if text.startswith(head):
            end = count
    return end
