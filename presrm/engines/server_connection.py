"""One server that is asked over HTTP, with what it refuses and how it fails.

Every failure is told in one plain line that holds no key.
"""

import asyncio
import os
import time
from collections.abc import Awaitable
from http.client import responses
from typing import Any, TypeVar

from openai import APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient, OpenAIError
from pydantic import TypeAdapter, ValidationError

from presrm.engines.server_replies import MODELS, REPLY, Models, Reply, Trouble, find_reason, find_trouble, parse_body
from presrm.engines.server_terms import Terms
from presrm.errors import EngineError, RequestError
from presrm.types import Stop

_NO_KEY = "none"
_KEYS = ("PRESRM_API_KEY", "OPENAI_API_KEY")
_NOT_TAKEN = {400, 404, 405, 415, 422, 501}
_MAY_PASS = {408, 409, 429}
_LONGEST_TOLD = 300
_REST = (2.0, 60.0)
"""Seconds until a server that failed is looked at again: the first time, and at most."""
_HEALTH = 10.0
"""Seconds that it then has to say which models it has."""
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


class ServerFailedError(EngineError):
    """The server cannot be reached, is too slow, or fails: another one, or the same one later, may do better."""


class ServerConnection:
    """Sends requests to one server, and knows how it is.

    Args:
        url: Its address.
        timeout: Seconds without a byte after which an attempt is given up.
        deadline: Seconds after which a request is given up, all attempts together.
        retries: Attempts after the first, with back-off, on 408, 409, 429, 5xx, time-outs and lost connections.

    Attributes:
        num_under_way: Requests that it is working on.

    Raises:
        RequestError: if a key is malformed.
    """

    def __init__(self, url: str, *, timeout: float, deadline: float, retries: int) -> None:
        self.url = url
        self.num_under_way = 0
        self._key = _read_key()
        self._terms = Terms(url)
        self._deadline = deadline
        self._rest, self._rests_until = 0.0, 0.0
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=self._key,
            timeout=timeout,
            max_retries=retries,
            http_client=DefaultAsyncHttpxClient(event_hooks={"response": [_tell_trouble]}),
        )

    @property
    def is_up(self) -> bool:
        """Whether it did what it was asked the last time."""
        return not self._rest

    @property
    def is_resting(self) -> bool:
        """Whether it failed, and is not to be looked at again yet."""
        return time.monotonic() < self._rests_until

    def rest(self) -> None:
        """Leave it alone for a while, longer each time."""
        least, most = _REST
        self._rest = min(most, max(least, 2 * self._rest))
        self._rests_until = time.monotonic() + self._rest

    async def recover(self) -> bool:
        """Look whether it is there again; if not, leave it alone."""
        try:
            async with asyncio.timeout(_HEALTH):
                await self._client.with_options(max_retries=0).get("/models", cast_to=object)
        except (TimeoutError, OpenAIError):
            self.rest()
            return False
        self._rest = 0.0
        return True

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        """Ask for a completion, without what the server refuses.

        Raises:
            PromptRefusedError: if the server does not read the prompt.
            NotTakenError: if the server does not take such a request.
            ServerFailedError: if it cannot be reached, is too slow or fails.
            EngineError: if it refuses, or its answer makes no sense.
        """
        asked: dict[str, Any] | None = self._terms.apply(body)
        self.num_under_way += 1
        try:
            while asked is not None:
                raw, asked = await self._within(self._client.post(path, cast_to=object, body=asked), asked)
        finally:
            self.num_under_way -= 1
        return self._read(REPLY, raw)

    async def tell(self, path: str, body: dict[str, Any]) -> None:
        """Have the server do something that is answered by its status alone.

        Raises:
            EngineError: as `post`.
        """
        await self._within(self._client.post(path, cast_to=object, body=body))

    async def longest(self, name: str) -> int | None:
        """How many tokens a model reads and writes at most; none if the server does not tell."""
        try:
            raw, _ = await self._within(self._client.get("/models", cast_to=object))
            models: Models = self._read(MODELS, raw)
        except EngineError:
            return None
        named = {model.id: model for model in models.data}
        model = named.get(name)
        if model is not None and model.max_model_len is None and model.parent in named:
            model = named[model.parent]
        return model.max_model_len if model is not None else None

    async def close(self) -> None:
        """Give up its connections."""
        await self._client.close()

    async def _within(
        self, request: Awaitable[object], asked: dict[str, Any] | None = None
    ) -> tuple[object, dict[str, Any] | None]:
        """Wait for an answer: its JSON, or what to ask in place of `asked`."""
        try:
            async with asyncio.timeout(self._deadline):
                return parse_body(str(await request)), None
        except TimeoutError:
            raise ServerFailedError(f"{self.url}: no answer within {self._deadline:g} s") from None
        except APIStatusError as error:
            other = self._other(error, asked)
        except OpenAIError as error:
            raise ServerFailedError(f"{self.url}: {self._plain(error)}") from None
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
        if trouble.status in _NOT_TAKEN:
            raise NotTakenError(told) from None
        may_pass = not trouble.is_final and (trouble.status in _MAY_PASS or trouble.status >= 500)
        raise (ServerFailedError if may_pass else EngineError)(told) from None

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
