"""HTTP to OpenAI-compatible servers: many requests at once, in order, each with a deadline.

One thread of its own runs an event loop, so that a request can be given up when its time is over, whatever the server
does, and so that the counters change in one place only.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from presrm.engines.server_address import split_address
from presrm.engines.server_connection import ServerConnection, ServerFailedError
from presrm.engines.server_replies import Reply
from presrm.errors import EngineError
from presrm.seeding import derive_seed

_BREATH = 0.5
"""Seconds between two looks at servers of which none is there."""
_SHARED: ContextVar[str] = ContextVar("shared", default="")
"""What the prompt that is being asked begins with, as others do; each task of `ServerClient.each` has its own."""
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class ServerClient:
    """Sends requests to one model, which one server has, or several have.

    Requests that share a prefix go to one server, which then finds it in its cache: that which rendezvous hashing gives
    to the prefix (Thaler and Ravishankar 1998), among those that have room for another request. So no server is idle
    while requests wait, and one that comes or goes moves no prefix but its own. One that fails is left alone for a
    while, then asked for its models before it gets requests again; what it failed on goes to another. Where all fail
    more than `retries` times in a row, the requests do.

    The key is read from PRESRM_API_KEY, else OPENAI_API_KEY, and sent to these servers alone.

    Args:
        address: ``http://host/v1#name``, or ``http://a/v1,http://b/v1#name``, without a password in it.
        concurrency: Requests under way at once, at each server.
        timeout: Seconds without a byte after which an attempt is given up.
        deadline: Seconds after which a request is given up, all attempts together.
        retries: Attempts after the first, with back-off, on 408, 409, 429, 5xx, time-outs and lost connections; of
            several servers, as many rounds over all of them.

    Attributes:
        urls: The addresses without the name.
        url: The first of them.
        name: The model that is asked: that of the address, or an adapter that was loaded beside it.
        tokens_read: Prompt tokens read so far, as the server counts them, without those that it says it found in its
            cache; none once a reply came without a count.
        tokens_generated: Tokens drawn so far, likewise.
        tokens_recalled: Prompt tokens that a server found in its own cache; none where none ever said so.

    Raises:
        RequestError: if the address is malformed, names no model or holds what may be a key, or if a key is malformed.
    """

    def __init__(self, address: str, *, concurrency: int, timeout: float, deadline: float, retries: int) -> None:
        self.urls, self._listed = split_address(address)
        self.name = self._listed
        self.url = self.urls[0]
        self.tokens_read: int | None = 0
        self.tokens_generated: int | None = 0
        self.tokens_recalled: int | None = None
        self._concurrency = concurrency
        self._deadline = deadline
        self._retries = retries
        own = retries if len(self.urls) == 1 else 0
        self._servers = [ServerConnection(url, timeout=timeout, deadline=deadline, retries=own) for url in self.urls]
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

    def each(
        self,
        items: Sequence[ItemT],
        ask: Callable[[ItemT], Awaitable[ResultT]],
        shared: Callable[[ItemT], str] = lambda item: "",
    ) -> list[ResultT]:
        """Ask for every item, at most `concurrency` at once at each server; results in the order of the items.

        Args:
            items: What is asked for.
            ask: Asks, by `post`.
            shared: Gives what the prompt of an item begins with, as others do.

        Raises:
            EngineError: the first of `ask`; what else is under way is given up.
        """
        return self.run(self._each(items, ask, shared))

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        """Ask for a completion, without what the server refuses.

        Raises:
            PromptRefusedError: if the server does not read the prompt.
            NotTakenError: if the server does not take such a request.
            EngineError: if it cannot be reached, refuses, is too slow, or its answer makes no sense.
        """
        asked = {"model": self.name, **body}
        reply = await (self._servers[0].post(path, asked) if len(self._servers) == 1 else self._post(path, asked))
        usage = reply.usage
        self.tokens_read = _sum(self.tokens_read, usage.prompt_tokens)
        self.tokens_generated = _sum(self.tokens_generated, usage.completion_tokens)
        if usage.cached_tokens is not None:  # vLLM leaves a 0 out
            found = min(usage.cached_tokens, usage.prompt_tokens or 0)
            self.tokens_read = _sum(self.tokens_read, -found)
            self.tokens_recalled = (self.tokens_recalled or 0) + found
        return reply

    async def _post(self, path: str, body: dict[str, Any]) -> Reply:
        """Ask one of several servers, and another one where it fails."""
        failed: EngineError = ServerFailedError(f"{self.url}: no answer within {self._deadline:g} s")
        num_failed = 0
        try:
            async with asyncio.timeout(self._deadline):
                while num_failed < len(self._servers) * (1 + self._retries):
                    server = await self._choose()
                    if server is None:
                        if all(each.num_failed > self._retries for each in self._servers):
                            failed = self._servers[0].failure or failed
                            break
                        await asyncio.sleep(_BREATH)
                        continue
                    try:
                        return await server.post(path, body)
                    except ServerFailedError as error:
                        failed, num_failed = error, num_failed + 1
                        if server.is_up:  # else it failed on another request, too
                            server.rest(error)
        except TimeoutError:
            pass
        raise failed from None

    async def _choose(self) -> ServerConnection | None:
        """Of the servers that are up and have room that of the prefix; without room the least busy one; or none.

        One that failed is looked at again once it has rested, by the first request that comes then.
        """
        for server in self._servers:
            if not server.is_up and not server.is_resting:
                await server.recover(self._listed)
        up = [server for server in self._servers if server.is_up]
        with_room = [server for server in up if server.num_under_way < self._concurrency]
        if with_room:
            return max(with_room, key=lambda server: derive_seed("server", server.url, _SHARED.get()))
        return min(up, key=lambda server: server.num_under_way, default=None)

    async def tell(self, path: str, body: dict[str, Any]) -> None:
        """Have every server do something that is answered by its status alone.

        Raises:
            EngineError: as `post`.
        """
        for server in self._servers:
            await server.tell(path, body)

    async def longest(self) -> int | None:
        """How many tokens the model reads and writes at most, of several servers the least; none if none tells."""
        told = [await server.longest(self._listed) for server in self._servers]
        return min((longest for longest in told if longest is not None), default=None)

    async def _each(
        self,
        items: Sequence[ItemT],
        ask: Callable[[ItemT], Awaitable[ResultT]],
        shared: Callable[[ItemT], str],
    ) -> list[ResultT]:
        found: dict[int, ResultT] = {}
        left = iter(enumerate(items))

        async def work() -> None:
            for number, item in left:
                _SHARED.set(shared(item))
                found[number] = await ask(item)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency * len(self._servers), len(items))):
                    group.create_task(work())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [found[number] for number in range(len(items))]

    async def _give_up(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        for server in self._servers:
            await server.close()


def _sum(so_far: int | None, more: int | None) -> int | None:
    """Add counts; what is added to an unknown one stays unknown."""
    return None if so_far is None or more is None else so_far + more
