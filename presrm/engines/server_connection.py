"""One server that is asked over HTTP, with what it refuses and how it fails.

Every failure is told in one plain line that holds no key.
"""

import asyncio
import json
import logging
import os
import random
import re
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import Any, TypeVar

from httpx2 import URL, AsyncClient, HTTPError, InvalidURL, Limits, Timeout
from pydantic import TypeAdapter, ValidationError

from presrm.engines.server_replies import MODELS, REPLY, Models, Reply, Trouble, find_reason, find_trouble, parse_body
from presrm.engines.server_terms import Terms
from presrm.errors import EngineError, RequestError
from presrm.types import Stop

logger = logging.getLogger(__name__)

_NO_KEY = "none"
_KEYS = ("PRESRM_API_KEY", "OPENAI_API_KEY")
_NOT_TAKEN = {400, 404, 405, 415, 422, 501}
_MAY_PASS = {408, 409, 429}
_BACK_OFF = (0.5, 8.0)
"""Seconds until what failed is tried again: the first time, and at most."""
_LONGEST_WAIT = 60.0
"""Seconds that a server may ask us to wait before we try again."""
_CONNECT = 20.0
"""Seconds to connect."""
_LIMITS = Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=3.0)
"""How many requests are under way is the caller's to limit. Many servers close a connection that idles for 5 s."""
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
        failure: Why it is left alone; none while it is up.
        num_failed: How often in a row it failed, or was not there when it was looked at.

    Raises:
        RequestError: if a key, or the name of the host, is malformed.
    """

    def __init__(self, url: str, *, timeout: float, deadline: float, retries: int) -> None:
        self.url = url
        self.num_under_way = 0
        self._key = _read_key()
        self._terms = Terms(url)
        self._deadline = deadline
        self.failure: EngineError | None = None
        self.num_failed = 0
        self._rests_until = 0.0
        self._retries = retries
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        try:
            self._places = {"": URL(url)}
        except InvalidURL as error:
            raise RequestError(f"the address of the model is malformed: {error}") from None
        self._client = AsyncClient(
            headers=headers,
            timeout=Timeout(timeout, connect=min(timeout, _CONNECT)),
            limits=_LIMITS,
            follow_redirects=True,
        )

    @property
    def is_up(self) -> bool:
        """Whether it did what it was asked the last time."""
        return self.failure is None

    @property
    def is_resting(self) -> bool:
        """Whether it failed, and is not to be looked at again yet."""
        return time.monotonic() < self._rests_until

    def rest(self, failure: EngineError) -> None:
        """Leave it alone for a while, longer each time."""
        if self.failure is None:
            logger.warning("%s; it is asked nothing until it is back", failure)
        least, most = _REST
        self._rests_until = time.monotonic() + min(most, least * 2**self.num_failed)
        self.failure, self.num_failed = failure, self.num_failed + 1

    async def recover(self, name: str) -> None:
        """Look whether it is there again and has the model; if not, leave it alone."""
        self._rests_until = time.monotonic() + _HEALTH  # nobody else looks meanwhile
        try:
            async with asyncio.timeout(_HEALTH):
                raw, trouble = await self._try("GET", "/models")
            if trouble is not None:
                raise self._meaning(trouble)
            models: Models = self._read(MODELS, raw)
            if all(model.id != name for model in models.data):
                raise EngineError(f"{self.url}: it has no model {self._plain(name)!r}")
        except TimeoutError:
            self.rest(ServerFailedError(f"{self.url}: no answer within {_HEALTH:g} s"))
        except EngineError as error:
            self.rest(error)
        else:
            logger.warning("%s is back", self.url)
            self.failure, self.num_failed = None, 0

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
                raw, asked = await self._ask("POST", path, asked, may_learn=True)
        finally:
            self.num_under_way -= 1
        return self._read(REPLY, raw)

    async def tell(self, path: str, body: dict[str, Any]) -> None:
        """Have the server do something that is answered by its status alone.

        Raises:
            EngineError: as `post`.
        """
        await self._ask("POST", path, body)

    async def longest(self, name: str) -> int | None:
        """How many tokens a model reads and writes at most; none if the server does not tell."""
        try:
            raw, _ = await self._ask("GET", "/models")
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
        await self._client.aclose()

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, may_learn: bool = False
    ) -> tuple[object, dict[str, Any] | None]:
        """Ask until the deadline: the JSON of the answer, or what to ask in place of `body`."""
        try:
            async with asyncio.timeout(self._deadline):
                raw, trouble = await self._try(method, path, body, self._retries)
        except TimeoutError:
            raise ServerFailedError(f"{self.url}: no answer within {self._deadline:g} s") from None
        if trouble is None:
            return raw, None
        if may_learn and body is not None and (other := self._terms.learn(body, trouble)) is not None:
            return None, other
        raise self._meaning(trouble, "" if body is None else str(body.get("model", "")))

    async def _try(
        self, method: str, path: str, body: dict[str, Any] | None = None, retries: int = 0
    ) -> tuple[object, Trouble | None]:
        """Send a request, again where that may help: what comes back, and the trouble that it tells of."""
        content = None if body is None else json.dumps(body).encode()
        if path not in self._places:  # an address takes longer to read than a reply
            self._places[path] = URL(path if "://" in path else self.url + path)
        wait, longest = _BACK_OFF
        while True:
            told = None
            try:
                response = await self._client.request(method, self._places[path], content=content)
            except HTTPError as error:
                if retries <= 0:
                    why = self._plain(str(error) or type(error).__name__).rstrip(".")
                    raise ServerFailedError(f"{self.url}: Connection error: {why}") from None
            else:
                raw = parse_body(response.content.decode("utf-8", "replace"))  # whatever it calls itself
                trouble = find_trouble(raw, 200 if response.is_success else response.status_code)
                if trouble is None or retries <= 0 or not _may_pass(trouble):
                    return raw, trouble
                told = _seconds(response.headers.get("retry-after", ""))
            await asyncio.sleep(wait * random.uniform(0.75, 1) if told is None else told)
            retries, wait = retries - 1, min(2 * wait, longest)

    def _meaning(self, trouble: Trouble, model: str = "") -> EngineError:
        """Say what a refusal means, perhaps of a request to a model."""
        reason = trouble.reason or responses.get(trouble.sent, "no reason given")
        told = f"{self.url}: {trouble.sent}: {self._plain(reason)}"
        if trouble.stop is not None:
            return PromptRefusedError(told, trouble.stop)
        lacks_model = trouble.status == 404 and model and re.search(rf"(?<!\w){re.escape(model)}(?!\w)", reason)
        if trouble.status in _NOT_TAKEN and not lacks_model:
            return NotTakenError(told)
        return (ServerFailedError if _may_pass(trouble) else EngineError)(told)

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

    def _plain(self, told: str) -> str:
        """One line without the key, and without what could take over a terminal."""
        if self._key != _NO_KEY:
            told = told.replace(self._key, "***")
        line = " ".join(told.split())
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line[:_LONGEST_TOLD])


def _may_pass(trouble: Trouble) -> bool:
    return not trouble.is_final and (trouble.status in _MAY_PASS or trouble.status >= 500)


def _seconds(told: str) -> float | None:
    """Read a ``Retry-After``, seconds or a date (RFC 9110, 10.2.3), that is not too far off."""
    with suppress(ValueError):
        try:
            seconds = float(told)
        except ValueError:
            seconds = parsedate_to_datetime(told).timestamp() - time.time()
        if 0 < seconds <= _LONGEST_WAIT:
            return seconds
    return None


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
