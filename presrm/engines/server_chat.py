"""Asking a server by chat: the same messages, rendered by the server; text without ids."""

import asyncio
import math
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from presrm.engines.server_client import ServerClient
from presrm.engines.server_connection import NotTakenError, PromptRefusedError
from presrm.engines.server_replies import Reply
from presrm.errors import EngineError
from presrm.prompts import Part, Prompt
from presrm.protocols import Completion, Request
from presrm.seeding import derive_seed
from presrm.types import Stop

NUM_LISTED = 20
"""Most probable next tokens that a server is asked to list."""
GREETING = Prompt((Part("Say hello."),))


class ByChat:
    """Chat completions."""

    cuts_steps = False

    def __init__(self, client: ServerClient) -> None:
        self._client = client
        self._continues: bool | None = None
        self._probing = asyncio.Lock()

    def read(self, prompt: Prompt, options: Sequence[str] = ()) -> Prompt:
        """Leave the reading, and whether it is too long, to the server."""
        return prompt

    async def complete(self, prompt: Prompt, request: Request, number: int) -> Completion:
        """Write one completion, as text."""
        how = request.sampling
        reply = await self._ask(
            prompt,
            max_tokens=how.max_tokens,
            temperature=how.temperature,
            top_p=how.top_p,
            seed=derive_seed("server", request.seed, number) % 2**31,
        )
        if not reply.choices:
            return Completion("", None, None)
        choice = reply.choices[0]
        if choice.message is None and choice.text is None:
            raise EngineError(f"{self._client.url}: a choice without a message; is it an OpenAI-compatible server?")
        text = choice.message.content if choice.message is not None else choice.text
        return Completion(text or "", None, choice.stop)

    async def weigh(self, prompt: Prompt, options: Sequence[str]) -> tuple[float, ...]:
        """Look each option up among the most probable next tokens, by its text."""
        asked = self._ask(prompt, max_tokens=1, temperature=0.0, logprobs=True, top_logprobs=NUM_LISTED)
        top = await next_logprobs(self._client, asked)
        return tuple(top.get(option, -math.inf) for option in options)

    async def _ask(self, prompt: Prompt, **options: Any) -> Reply:
        begun = prompt.forced + "".join(step.text for step in prompt.reply)
        if begun and not await self._can_continue():
            raise EngineError(
                f"{self._client.url} does not continue a reply that is begun, as far as can be told; set "
                "judge.verdict to explained, or model.tokenizer to ask by ids"
            )
        return await self._client.post(
            "/chat/completions", {"messages": _messages(prompt, begun), **options} | (_CONTINUE if begun else {})
        )

    async def _can_continue(self) -> bool:
        """Find out once: a server that knows nothing of it would begin another reply, and nobody would notice."""
        async with self._probing:
            if self._continues is None:
                try:
                    self._continues = await self._continues_reply()
                except NotTakenError:
                    self._continues = False
        return self._continues

    async def _continues_reply(self) -> bool:
        """Compare the numbers of prompt tokens that the server counts.

        Continued, a begun reply lacks the end of a turn and the head of the next: it is shorter than closed. Or, where
        a server continues without being told, its first word adds no more than its second.
        """
        none, one, two = [await self._count(" hi" * num, _CONTINUE if num else {}) for num in range(3)]
        closed = await self._count(" hi", {})
        if none is None or one is None or two is None or closed is None:
            return False
        return one < closed or one - none <= two - one

    async def _count(self, begun: str, flags: dict[str, Any]) -> int | None:
        messages = _messages(GREETING, begun)
        reply = await self._client.post("/chat/completions", {"messages": messages, "max_tokens": 1, **flags})
        return reply.usage.prompt_tokens


_CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
"""What vLLM and SGLang are told to go on with the last message."""


def _messages(prompt: Prompt, begun: str) -> list[dict[str, str]]:
    messages = [{"role": "system", "content": prompt.system}] if prompt.system else []
    messages.append({"role": "user", "content": prompt.text})
    return messages + ([{"role": "assistant", "content": begun}] if begun else [])


async def next_logprobs(client: ServerClient, asked: Awaitable[Reply]) -> Mapping[str, float]:
    """Text -> log-probability of the most probable next tokens; none where there is no choice at all.

    Raises:
        PromptRefusedError: if the server withholds the reply.
        EngineError: if it gives no log-probabilities.
    """
    advice = "set judge.verdict to explained"
    try:
        reply = await asked
    except NotTakenError as error:
        raise EngineError(f"{error}; if it refuses log-probabilities, {advice}") from None
    if not reply.choices:
        return {}
    choice = reply.choices[0]
    if choice.stop is Stop.FILTERED:
        raise PromptRefusedError(f"{client.url}: the reply is withheld ({choice.finish_reason})", Stop.FILTERED)
    listed = choice.logprobs
    if listed is None or (listed.content is None and listed.top_logprobs is None):
        raise EngineError(f"{client.url} gives no log-probabilities; {advice}")
    if listed.top_logprobs:
        return listed.top_logprobs[0] or {}
    entries = listed.content[0].top_logprobs if listed.content else ()
    # Tokens may share a text; the first is the most probable.
    return {entry.token: entry.logprob for entry in reversed(entries)}
