"""HTTP to an OpenAI-compatible server: many requests at once, in order, each with a deadline.

Every failure is told in one plain line that holds no key.
One thread of its own runs an event loop, so that a request can be given up when its time is over, whatever the server
does, and so that the counters change in one place only.
"""

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from http.client import responses
from typing import Any, TypeVar

from openai import APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError
from pydantic import TypeAdapter, ValidationError

from presrm.engines.server_address import split_address
from presrm.engines.server_replies import MODELS, REPLY, Models, Reply, Trouble, find_reason, find_trouble, parse_body
from presrm.engines.server_terms import Terms
from presrm.errors import EngineError, RequestError
from presrm.types import Stop

_NO_KEY = "none"
_KEYS = ("PRESRM_API_KEY", "OPENAI_API_KEY")
_NOT_TAKEN = {400, 404, 405, 415, 422, 501}
_LONGEST_TOLD = 300
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class NotTakenError(EngineError):
    """The server does not take such a request: no such address, or a field that it does not know."""


class PromptRefusedError(EngineError):
    """The server does not read a prompt: it is too long for it, or the server objects to what it says.

    Attributes:
        stop: `Stop.NO_ROOM` or `Stop.FILTERED`.
    """

    def __init__(self, message: str, stop: Stop) -> None:
        super().__init__(message)
        self.stop = stop


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
        name: The model that is asked.
        tokens_read: Prompt tokens read so far, as the server counts them; none once a reply came without a count.
        tokens_generated: Tokens drawn so far, likewise.

    Raises:
        RequestError: if the address is malformed, names no model or holds what may be a key, or if a key is malformed.
    """

    def __init__(self, address: str, *, concurrency: int, timeout: float, deadline: float, retries: int) -> None:
        self.url, self.name = split_address(address)
        self.tokens_read: int | None = 0
        self.tokens_generated: int | None = 0
        self._key = _read_key()
        self._terms = Terms(self.url)
        self._concurrency = concurrency
        self._deadline = deadline
        self._client = AsyncOpenAI(
            base_url=self.url,
            api_key=self._key,
            timeout=timeout,
            max_retries=retries,
            http_client=DefaultAsyncHttpxClient(event_hooks={"response": [_tell_trouble]}),
        )
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

        Raises:
            EngineError: the first of `ask`; what else is under way is given up.
        """
        return self.run(self._each(items, ask))

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        """Ask for a completion, without what the server refuses.

        Raises:
            PromptRefusedError: if the server does not read the prompt.
            NotTakenError: if the server does not take such a request.
            EngineError: if it cannot be reached, refuses, is too slow, or its answer makes no sense.
        """
        asked: dict[str, Any] | None = self._terms.apply({"model": self.name, **body})
        while asked is not None:
            raw, asked = await self._within(self._client.post(path, cast_to=object, body=asked), asked)
        reply: Reply = self._read(REPLY, raw)
        self.tokens_read = _sum(self.tokens_read, reply.usage.prompt_tokens)
        self.tokens_generated = _sum(self.tokens_generated, reply.usage.completion_tokens)
        return reply

    async def tell(self, path: str, body: dict[str, Any]) -> None:
        """Have the server do something that is answered by its status alone.

        Raises:
            EngineError: as `post`.
        """
        await self._within(self._client.post(path, cast_to=object, body=body))

    async def longest(self) -> int | None:
        """How many tokens the model reads and writes at most; none if the server does not tell."""
        try:
            raw, _ = await self._within(self._client.get("/models", cast_to=object))
            models: Models = self._read(MODELS, raw)
        except EngineError:
            return None
        named = {model.id: model for model in models.data}
        model = named.get(self.name)
        if model is not None and model.max_model_len is None and model.parent in named:
            model = named[model.parent]
        return model.max_model_len if model is not None else None

    async def _each(self, items: Sequence[ItemT], ask: Callable[[ItemT], Awaitable[ResultT]]) -> list[ResultT]:
        found: dict[int, ResultT] = {}
        left = iter(enumerate(items))

        async def work() -> None:
            for number, item in left:
                found[number] = await ask(item)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(items))):
                    group.create_task(work())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [found[number] for number in range(len(items))]

    async def _within(
        self, request: Awaitable[object], asked: dict[str, Any] | None = None
    ) -> tuple[object, dict[str, Any] | None]:
        """Wait for an answer: its JSON, or what to ask in place of `asked`."""
        try:
            async with asyncio.timeout(self._deadline):
                return parse_body(str(await request)), None
        except TimeoutError:
            raise EngineError(f"{self.url}: no answer within {self._deadline:g} s") from None
        except APIStatusError as error:
            other = self._other(error, asked)
        except OpenAIError as error:
            raise EngineError(f"{self.url}: {self._plain(error)}") from None
        return None, other

    def _other(self, error: APIStatusError, asked: dict[str, Any] | None) -> dict[str, Any]:
        """Give what to ask in place of what was refused, or raise what the refusal means."""
        trouble: Trouble = error.response.extensions[_TROUBLE]
        if asked is not None and (other := self._terms.learn(asked, trouble)) is not None:
            return other
        reason = trouble.reason or responses.get(trouble.sent, "no reason given")
        told = f"{self.url}: {trouble.sent}: {self._plain(reason)}"
        if trouble.stop is not None:
            raise PromptRefusedError(told, trouble.stop) from None
        raise (NotTakenError if trouble.status in _NOT_TAKEN else EngineError)(told) from None

    def _read(self, adapter: TypeAdapter[ResultT], raw: object) -> ResultT:
        if isinstance(raw, str):
            told = repr(self._plain(find_reason(raw))[:100]) if raw.strip() else "nothing"
            raise EngineError(f"{self.url}: it answers {told}, which is no JSON; is it an OpenAI-compatible server?")
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
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line[:_LONGEST_TOLD])

    async def _give_up(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._client.close()


_TROUBLE = "presrm.trouble"


async def _tell_trouble(response: Any) -> None:
    """Give a response that tells of a failure under status 200 the status that it means, so that it is tried again."""
    if response.has_redirect_location:
        return
    await response.aread()
    response.headers["content-type"] = "text/plain"  # whatever it calls itself, it is given to us as it is
    trouble = find_trouble(parse_body(response.text), 200 if response.is_success else response.status_code)
    if trouble is not None:
        response.extensions[_TROUBLE] = trouble
        response.status_code = trouble.status
        if trouble.is_final:
            response.headers["x-should-retry"] = "false"


def _sum(so_far: int | None, more: int | None) -> int | None:
    """Add counts; what is added to an unknown one stays unknown."""
    return None if so_far is None or more is None else so_far + more


def _read_key() -> str:
    """Read the key, without the white space around it.

    Raises:
        RequestError: if it holds what no header can; it is not told.
    """
    for name in _KEYS:
        if key := os.environ.get(name, "").strip():
            if not all("!" <= character <= "~" for character in key):
                raise RequestError(f"the environment variable {name} holds white space or other characters of no key")
            return key
    return _NO_KEY
