"""The engine on an OpenAI-compatible server, which is asked in one of two ways.

*By ids*, where the tokenizer of the model is known and the server takes ids for a prompt (vLLM, SGLang, llama.cpp):
exactly the ids that the hf engine would read are completed. Where the server also gives back the ids that it drew
(vLLM, SGLang), steps can be cut, and what it writes can be trained on. *By chat* everywhere else: the same messages,
rendered by the server; text without ids, for judging only.
"""

import logging
import math
from collections.abc import Collection, Sequence
from typing import Any, Protocol, TypeVar

from presrm.engines.drafting import step_end
from presrm.engines.server_chat import GREETING, NUM_LISTED, ByChat, next_logprobs
from presrm.engines.server_client import ServerClient
from presrm.engines.server_connection import NotTakenError, PromptRefusedError
from presrm.engines.server_replies import Choice
from presrm.errors import EngineError, RequestError
from presrm.prompts import Prompt
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Completion, Request, Sampling, stop_hints
from presrm.seeding import derive_seed
from presrm.types import Checkpoint, Stop

logger = logging.getLogger(__name__)

_LOOK_AHEAD = 16
"""Tokens drawn to see whether a step is over where a hint of its splitter stands."""
_PLAIN = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "skip_special_tokens": False, "return_token_ids": True}
"""What vLLM and SGLang would else take from the model's generation_config.json, and what they would leave out."""
AskedT = TypeVar("AskedT")


class _Way(Protocol[AskedT]):
    """A way of asking: by what it makes of a prompt before anything is sent, or none if that leaves no room."""

    cuts_steps: bool

    def read(self, prompt: Prompt, options: Sequence[str] = ()) -> AskedT | None: ...

    async def complete(self, asked: AskedT, request: Request, number: int) -> Completion: ...

    async def weigh(self, asked: AskedT, options: Sequence[str]) -> tuple[float, ...]: ...


class ServerEngine:
    """Asks a server. The key is read from PRESRM_API_KEY or OPENAI_API_KEY, and told to nobody else.

    Args:
        checkpoint: Its `model` is ``http://host/v1#name``; or ``http://a/v1,http://b/v1#name``, where several servers
            have it.
        encoder: Of the tokenizer of that model, to ask by ids; none: by chat.
        concurrency: Requests under way at once, at each server.
        timeout: Seconds without a byte after which an attempt is given up.
        deadline: Seconds after which a request is given up, all attempts together.
        retries: Attempts after the first, with back-off, on 408, 409, 429, 5xx, time-outs and lost connections.

    Attributes:
        client: What sends the requests; its `name` is the model that is asked.

    Raises:
        RequestError: if the address names no model, or holds what may be a key.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        encoder: PromptEncoder | None = None,
        concurrency: int = 16,
        timeout: float = 600.0,
        deadline: float = 1800.0,
        retries: int = 5,
    ) -> None:
        self.checkpoint = checkpoint
        self._encoder = encoder
        self._way: _Way[Any] | None = None
        self._told: set[Stop] = set()
        self.client = ServerClient(
            checkpoint.model, concurrency=concurrency, timeout=timeout, deadline=deadline, retries=retries
        )

    def __enter__(self) -> "ServerEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.close()

    @property
    def tokens_read(self) -> int | None:
        """Prompt tokens read so far, as the server counts them, see `ServerClient`; none if it does not count all."""
        return self.client.tokens_read

    @property
    def tokens_generated(self) -> int | None:
        """Tokens drawn so far, likewise."""
        return self.client.tokens_generated

    @property
    def tokens_recalled(self) -> int | None:
        """Prompt tokens that servers found in their own caches; none where none says so."""
        return self.client.tokens_recalled

    def describe(self) -> dict[str, Any]:
        """Say what runs where."""
        return {"model": self.client.name, "server": ", ".join(self.client.urls)}

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request: one list of ``request.num`` completions each, in order.

        Each is drawn by a request of its own, with a seed that derives from that of `requests` and its number. `tokens`
        are none where the server does not tell them. Besides the usual reasons a completion may end with
        `Stop.FILTERED`, or with none where the server says nothing that is known.

        Raises:
            RequestError: if a request has a splitter, and the server does not tell the ids that it drew.
            EngineError: if the server cannot be reached, or refuses, after all retries.
            SplitterError: if a splitter raises or breaks its law.
        """
        way = self._find_way()
        if not way.cuts_steps and any(request.splitter is not None for request in requests):
            raise RequestError(
                "this server does not tell the ids of the tokens that it draws (vLLM does, and SGLang since July 2026, "
                "asked by ids: set model.tokenizer), so its model can judge but not search step by step"
            )

        async def complete(row: tuple[Any, Request, int]) -> Completion:
            asked, request, number = row
            if asked is None:
                return Completion("", (), Stop.NO_ROOM)
            try:
                return await way.complete(asked, request, number)
            except PromptRefusedError as error:
                return Completion("", (), self._note(error))

        read = [(way.read(request.prompt), request) for request in requests]
        rows = [(asked, request, number) for asked, request in read for number in range(request.num)]
        found = iter(self.client.each(rows, complete, lambda row: _shared(row[1].prompt)))
        return [[next(found) for _ in range(request.num)] for request in requests]

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give, for each prompt, the log-probability (nats) that its reply goes on with each option.

        Read from the most probable next tokens. An option that is not one of them has an unknown probability, given
        as the lower bound -inf: where both words of a verdict are missing, it is unreadable. None for a prompt that
        leaves no room, or that the server refuses to read.

        Raises:
            ValueError: if an option is empty.
            EngineError: as `generate`, or if the server gives no log-probabilities.
        """
        if not all(options):
            raise ValueError("an option is empty")
        way = self._find_way()

        async def weigh(row: tuple[Any, Prompt]) -> tuple[float, ...] | None:
            asked, _ = row
            if asked is None:
                return None
            try:
                return await way.weigh(asked, options)
            except PromptRefusedError as error:
                self._note(error)
                return None

        rows = [(way.read(prompt, options), prompt) for prompt in prompts]
        return self.client.each(rows, weigh, lambda row: _shared(row[1]))

    def _note(self, refused: PromptRefusedError) -> Stop:
        """Tell the first refusal of its kind in the server's words; all are counted by their stops."""
        level = logging.DEBUG if refused.stop in self._told else logging.WARNING
        logger.log(level, "a prompt is refused, which is counted and ends nothing: %s", refused)
        self._told.add(refused.stop)
        return refused.stop

    def _find_way(self) -> _Way[Any]:
        """Try once whether the server takes ids."""
        if self._way is None:
            if self._encoder is not None:
                self._way = self.client.run(_probe(self.client, self._encoder))
            self._way = self._way or ByChat(self.client)
        return self._way


def _shared(prompt: Prompt) -> str:
    """The question, which prompts about one problem share and those about others do not."""
    return next((part.text for part in prompt.trunk if part.is_content), "")


async def _probe(client: ServerClient, encoder: PromptEncoder) -> "_ByIds | None":
    """Have a few tokens written behind ids.

    Raises:
        EngineError: if what the server writes is not what the tokenizer makes of its ids.
    """
    ids = encoder.encode(GREETING)
    try:
        reply = await client.post("/completions", {"prompt": ids, "max_tokens": 8, "temperature": 0.0, **_PLAIN})
    except NotTakenError as error:
        logger.warning("%s takes no ids for a prompt, so it is asked by chat completions (%s)", client.url, error)
        return None
    if reply.usage.prompt_tokens not in (None, len(ids)):
        logger.warning(
            "%s reads %d tokens where %d were sent, so it is asked by chat completions",
            client.url,
            reply.usage.prompt_tokens,
            len(ids),
        )
        return None
    drawn = reply.choices[0].token_ids if reply.choices else None
    if drawn is not None:
        theirs = (reply.choices[0].text or "").strip(" \ufffd")
        ours = [encoder.decode(tokens).strip(" \ufffd") for tokens in (drawn, drawn[:-1])]  # an end token is not told
        if theirs not in ours:
            raise EngineError(
                f"{client.url} writes {theirs!r:.60} where the tokenizer reads {ours[0]!r:.60}: "
                "model.tokenizer is not that of the model"
            )
    return _ByIds(client, encoder, await client.longest(), cuts_steps=drawn is not None)


class _ByIds:
    """Completions of token ids."""

    def __init__(self, client: ServerClient, encoder: PromptEncoder, longest: int | None, *, cuts_steps: bool) -> None:
        self.cuts_steps = cuts_steps
        self._client = client
        self._encoder = encoder
        self._longest = longest
        self._end_ids = sorted({encoder.eos_id, int(encoder.tokenizer.eos_token_id)})

    def read(self, prompt: Prompt, options: Sequence[str] = ()) -> list[int] | None:
        """Give the ids of a prompt that leaves room for a token behind all of an option but its last."""
        ids = self._encoder.encode(prompt)
        extra = max((len(self._encoder.scaffold(option)) - 1 for option in options), default=0)
        return ids if self._longest is None or len(ids) + extra < self._longest else None

    async def complete(self, ids: list[int], request: Request, number: int) -> Completion:
        """Write one completion behind `ids`.

        With a splitter: up to a hint, then a few tokens more to see whether the step is over, and on if it is not.
        """
        left = request.sampling.max_tokens
        if self._longest is not None:
            left = min(left, self._longest - len(ids))
        hints = stop_hints(request.splitter) if request.splitter is not None else ()
        drawn: list[int] = []
        looks_ahead, turn = not hints, 0
        while True:
            size = min(left, _LOOK_AHEAD) if request.splitter is not None and looks_ahead else left
            seed = derive_seed("server", request.seed, number, turn)
            choice = await self._draw(ids + drawn, size, request.sampling, seed, () if looks_ahead else hints)
            if choice is None:
                return Completion("", None, None)
            if choice.token_ids is None:
                return Completion(choice.text or "", None, choice.stop)
            new, ended = self._without_end(choice, hints)
            drawn += new
            left -= len(new)
            stop = Stop.EOS if ended else Stop.MAX_TOKENS if left <= 0 or not new else None
            if choice.stop is Stop.FILTERED or (choice.stop is Stop.MAX_TOKENS and len(new) < size):
                stop = choice.stop  # withheld, or cut off by a limit of the server's own
            if request.splitter is not None:
                end = step_end(drawn, request.splitter, self._encoder.decode, hints if stop is None else ())
                if end is not None:
                    return self._completion(drawn[:end], None)
            if stop is not None or request.splitter is None:
                return self._completion(drawn, stop)
            looks_ahead, turn = not hints or not looks_ahead, turn + 1

    async def weigh(self, ids: list[int], options: Sequence[str]) -> tuple[float, ...]:
        """Add up the log-probabilities of each option's tokens; what options begin with alike is asked once."""
        targets = [tuple(self._encoder.scaffold(option)) for option in options]
        nexts: dict[tuple[int, ...], dict[int, float]] = {}
        for target in targets:
            for depth in range(len(target)):
                if (begun := target[:depth]) not in nexts:
                    wanted = {other[depth] for other in targets if other[:depth] == begun and len(other) > depth}
                    nexts[begun] = await self._next(ids + list(begun), wanted)
        return tuple(sum(nexts[target[:depth]][token] for depth, token in enumerate(target)) for target in targets)

    async def _draw(
        self, ids: list[int], size: int, sampling: Sampling, seed: int, hints: Sequence[str]
    ) -> Choice | None:
        how = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed % 2**31}
        stops = {"stop_token_ids": self._end_ids, **({"stop": list(hints)} if hints else {})}
        reply = await self._client.post("/completions", {"prompt": ids, "max_tokens": size, **how, **stops, **_PLAIN})
        return reply.choices[0] if reply.choices else None

    def _without_end(self, choice: Choice, hints: Sequence[str]) -> tuple[list[int], bool]:
        """The ids drawn without the end token, and whether the reply is over, rather than paused at a hint."""
        new = list(choice.token_ids or ())
        if choice.finish_reason != "stop" or isinstance(choice.stop_reason, str):
            return new, False
        if new and (new[-1] in self._end_ids or new[-1] == choice.stop_reason):
            return new[:-1], True
        text = self._encoder.decode(new)
        return new, not any(hint in text for hint in hints)

    async def _next(self, ids: list[int], wanted: Collection[int]) -> dict[int, float]:
        """Log-probabilities of the tokens `wanted` behind `ids`.

        vLLM gives exactly those, wherever they stand; other servers list the most probable ones.
        """
        asked = {"max_tokens": 1, "temperature": 0.0, "logprobs": NUM_LISTED, "logprob_token_ids": sorted(wanted)}
        body = {"prompt": ids, **asked, "return_tokens_as_token_ids": True, **_PLAIN}
        top = await next_logprobs(self._client, self._client.post("/completions", body))
        return {i: top.get(f"token_id:{i}", top.get(self._encoder.decode([i]), -math.inf)) for i in wanted}

    def _completion(self, tokens: list[int], stop: Stop | None) -> Completion:
        return Completion(self._encoder.decode(tokens), tuple(tokens), stop)
