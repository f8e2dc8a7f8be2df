"""An engine without a model: plain functions write the replies. For tests, ours and users'."""

import math
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from presrm.errors import EngineError
from presrm.prompts import Prompt
from presrm.protocols import Completion, Request, split_steps
from presrm.seeding import derive_seed
from presrm.types import Stop


class ScriptedEngine:
    """A policy made of functions.

    A token is a character and its id the code point, so ``"".join(map(chr, tokens)) == text``. As with a real policy,
    the end token is one of ``max_tokens``, and a step ends once text behind it has been written.

    Args:
        reply: Given a prompt and a random generator (seeded by the request and the number of the completion), writes
            all that the policy would still write, up to its end token. ``prompt.text`` is the user turn,
            ``prompt.reply`` holds the steps written so far.
        options: Given a prompt and the options, gives the probability of each; without it, log-probabilities are
            refused.
        context: How many characters of prompt and reply the policy reads, or none for any number.

    >>> from presrm.prompts import Part
    >>> prompt = Prompt((Part("1 + 1?"),))
    >>> with ScriptedEngine(lambda prompt, rng: "2") as engine:
    ...     engine.generate([Request(prompt)])
    [[Completion(text='2', tokens=(50,), stop=<Stop.EOS: 'eos'>)]]
    """

    def __init__(
        self,
        reply: Callable[[Prompt, random.Random], str],
        options: Callable[[Prompt, Sequence[str]], Sequence[float]] | None = None,
        *,
        context: int | None = None,
    ) -> None:
        self._reply = reply
        self._options = options
        self._context = math.inf if context is None else context

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request: one list of ``request.num`` completions each, in order."""
        return [[self._complete(request, number) for number in range(request.num)] for request in requests]

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give, for each prompt, the log-probability (nats) of each option, -inf for probability 0; none without room.

        Raises:
            EngineError: if the engine was made without `options`.
        """
        if self._options is None:
            raise EngineError("this ScriptedEngine was made without options, so it has no log-probabilities")
        longest = max(map(len, options), default=1)
        return [
            tuple(math.log(p) if p > 0 else -math.inf for p in self._options(prompt, options))
            if longest <= self._room(prompt)
            else None
            for prompt in prompts
        ]

    def _room(self, prompt: Prompt) -> float:
        """How many characters may be written behind a prompt."""
        written = sum(len(step.text) for step in prompt.reply)
        return self._context - len(prompt.system or "") - len(prompt.text) - len(prompt.forced) - written

    def _complete(self, request: Request, number: int) -> Completion:
        room = self._room(request.prompt)
        if room <= 0:
            return Completion("", (), Stop.NO_ROOM)
        text = self._reply(request.prompt, random.Random(derive_seed(request.seed, number)))
        stop: Stop | None = Stop.EOS
        if len(text) >= (most := min(room, request.sampling.max_tokens)):
            text, stop = text[: int(most)], Stop.MAX_TOKENS
        pieces = split_steps(request.splitter, text) if request.splitter is not None else []
        if len(pieces) > 1:
            text, stop = pieces[0], None
        return Completion(text, tuple(map(ord, text)), stop)
