"""HTTP to an OpenAI-compatible server: many requests at once, in order, each with a deadline.

Every failure is told in one plain line that holds no key.
One thread of its own runs an event loop, so that a request can be given up when its time is over, whatever the server
does, and so that the counters change in one place only.
"""

import asyncio
import json
import os
import re
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from openai import APIStatusError, AsyncOpenAI, OpenAIError
from pydantic import TypeAdapter, ValidationError

from presrm.errors import EngineError, PromptTooLongError, RequestError

_NO_KEY = "none"
_NOT_TAKEN = {400, 404, 405, 415, 422, 501}
_TOO_LONG = re.compile(r"context.?(length|size|window)|(prompt|input) is too long|maximum (prompt|input) length", re.I)
"""In the 400 of vLLM, SGLang, llama.cpp ("exceed_context_size_error"), OpenAI ("context_length_exceeded"), ..."""
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Listed:
    """A token that was written, or might have been: its text and its log-probability (nats)."""

    token: str
    logprob: float
    top_logprobs: "tuple[Listed, ...]" = ()


@dataclass(frozen=True, slots=True)
class Logprobs:
    """Log-probabilities of what was written: ``top_logprobs`` of completions, ``content`` of chat completions."""

    top_logprobs: tuple[dict[str, float] | None, ...] | None = None
    content: tuple[Listed, ...] | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """What a chat completion says."""

    content: str | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion: ``text`` of completions, ``message`` of chat completions; vLLM adds the last two."""

    text: str | None = None
    message: Message | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    token_ids: tuple[int, ...] | None = None
    stop_reason: int | str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply, as the server counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answers to a request for a completion."""

    choices: tuple[Choice, ...]
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a server names; vLLM adds how many tokens it reads and writes, or of an adapter, on what it is."""

    id: str
    max_model_len: int | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Models:
    """The models that a server names."""

    data: tuple[Model, ...]


_REPLY = TypeAdapter(Reply)
_MODELS = TypeAdapter(Models)


class NotTakenError(EngineError):
    """The server does not take such a request: no such address, or a field that it does not know."""


class ServerClient:
    """Sends requests to one model of a server.

    The key is read from PRESRM_API_KEY, else OPENAI_API_KEY, and sent to this server alone.

    Args:
        address: ``http://host/v1#name``, without a password in it.
        concurrency: Requests under way at once.
        timeout: Seconds without a byte after which an attempt is given up.
        deadline: Seconds after which a request is given up, all attempts together.
        retries: Attempts after the first, with back-off, on 408, 409, 429, 5xx, time-outs and lost connections.

    Attributes:
        url: The address without the name.
        name: The model.
        tokens_read: Prompt tokens read so far, as the server counts them.
        tokens_generated: Tokens drawn so far, likewise.

    Raises:
        RequestError: if the address names no model, or holds what may be a key.
    """

    def __init__(self, address: str, *, concurrency: int, timeout: float, deadline: float, retries: int) -> None:
        self.url, self.name = _take_apart(address)
        self.tokens_read = 0
        self.tokens_generated = 0
        self._key = os.environ.get("PRESRM_API_KEY") or os.environ.get("OPENAI_API_KEY") or _NO_KEY
        self._concurrency = concurrency
        self._deadline = deadline
        self._replies: defaultdict[str, list[Reply]] = defaultdict(list)
        self._kept: dict[str, list[Reply]] = {}
        self._client = AsyncOpenAI(base_url=self.url, api_key=self._key, timeout=timeout, max_retries=retries)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="presrm-server", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Give up what is under way, and end the thread."""
        if self._thread.is_alive():
            self.run(self._give_up())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        """Run `work` to its end; interrupted, it is given up.

        Raises:
            EngineError: if the client is closed.
        """
        if self._loop.is_closed():
            work.close()
            raise EngineError("the engine is closed")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def each(self, items: Sequence[ItemT], ask: Callable[[ItemT], Awaitable[ResultT]]) -> list[ResultT]:
        """Ask for every item, at most `concurrency` at once; results in the order of the items.

        Where some are too long, the replies to the others are kept, so that asking again without those costs nothing.

        Raises:
            PromptTooLongError: if the server says that of some, when all others are done.
            EngineError: the first of `ask`; what else is under way is given up.
        """
        return self.run(self._each(items, ask))

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        """Ask for a completion.

        Raises:
            PromptTooLongError: if it is too long for the server.
            NotTakenError: if the server does not take such a request.
            EngineError: if it cannot be reached, refuses, is too slow, or its answer makes no sense.
        """
        key = json.dumps([path, body])
        reply = self._kept[key].pop() if self._kept.get(key) else await self._post(path, body)
        self._replies[key].append(reply)
        return reply

    async def _post(self, path: str, body: dict[str, Any]) -> Reply:
        raw = await self._within(self._client.post(path, cast_to=object, body={"model": self.name, **body}))
        reply: Reply = self._read(_REPLY, raw)
        if reply.usage is not None:
            self.tokens_read += reply.usage.prompt_tokens
            self.tokens_generated += reply.usage.completion_tokens
        return reply

    async def longest(self) -> int | None:
        """How many tokens the model reads and writes at most; none if the server does not tell."""
        try:
            raw = await self._within(self._client.get("/models", cast_to=object))
            models: Models = self._read(_MODELS, raw)
        except EngineError:
            return None
        named = {model.id: model for model in models.data}
        model = named.get(self.name)
        if model is not None and model.max_model_len is None and model.parent in named:
            model = named[model.parent]
        return model.max_model_len if model is not None else None

    async def _each(self, items: Sequence[ItemT], ask: Callable[[ItemT], Awaitable[ResultT]]) -> list[ResultT]:
        found: dict[int, ResultT] = {}
        too_long: dict[int, str] = {}
        left = iter(enumerate(items))
        self._replies, self._kept = defaultdict(list), self._replies

        async def work() -> None:
            for number, item in left:
                try:
                    found[number] = await ask(item)
                except PromptTooLongError as error:
                    too_long[number] = error.reasons[0]

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(items))):
                    group.create_task(work())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        if too_long:
            raise PromptTooLongError(dict(sorted(too_long.items())))
        self._replies.clear()
        return [found[number] for number in range(len(items))]

    async def _within(self, request: Awaitable[object]) -> object:
        try:
            async with asyncio.timeout(self._deadline):
                return await request
        except TimeoutError:
            raise EngineError(f"{self.url}: no answer within {self._deadline:g} s") from None
        except APIStatusError as error:
            is_not_taken = error.status_code in _NOT_TAKEN
            if error.status_code == 413 or (is_not_taken and _TOO_LONG.search(f"{error} {error.body}")):
                raise PromptTooLongError({0: f"too long for the server: {self._plain(error)}"}) from None
            kind = NotTakenError if is_not_taken else EngineError
            raise kind(f"{self.url}: {self._plain(error)}") from None
        except OpenAIError as error:
            raise EngineError(f"{self.url}: {self._plain(error)}") from None
        except ValueError:
            raise EngineError(
                f"{self.url}: the answer is no JSON, or was cut off; is it an OpenAI-compatible server?"
            ) from None

    def _read(self, adapter: TypeAdapter[ResultT], raw: object) -> ResultT:
        try:
            return adapter.validate_python(raw)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the answer"
            raise EngineError(
                f"{self.url}: {where}: {self._plain(first['msg'])}; is it an OpenAI-compatible server?"
            ) from None

    def _plain(self, error: object) -> str:
        """One line without the key, and without what could take over a terminal."""
        cause = getattr(error, "__cause__", None)
        told = f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
        told = f"{told} ({cause})" if cause is not None and str(cause) else told
        if self._key != _NO_KEY:
            told = told.replace(self._key, "***")
        line = " ".join(told.split())
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line[:300])

    async def _give_up(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._client.close()


def _take_apart(address: str) -> tuple[str, str]:
    """Split an address into URL and name of the model."""
    url, _, name = address.partition("#")
    parts = urlsplit(url)
    if "@" in parts.netloc or parts.query:
        # It would stand in configs, run folders and messages; the message holds none of it either.
        raise RequestError(
            f"the address {parts.scheme}://***@{parts.hostname}{parts.path} may hold no password, user or query; "
            "put the key into the environment variable PRESRM_API_KEY"
        )
    if not name:
        raise RequestError(f"{address!r} names no model; expected http://host/v1#name")
    return url.rstrip("/"), name
