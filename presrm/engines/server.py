"""The engine on an OpenAI-compatible server: chat completions over HTTP, for judging.

It has no token ids, so it does not cut steps and nothing it writes can be trained on: a request with a splitter is
refused. A reply that is begun (`forced`, or steps written so far) is sent as an open assistant turn with
``continue_final_message``, which vLLM and SGLang read.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from openai import OpenAI, OpenAIError
from openai.types.chat import ChatCompletion

from presrm.errors import EngineError, RequestError
from presrm.prompts import Prompt
from presrm.protocols import Completion, Request
from presrm.seeding import derive_seed
from presrm.types import Checkpoint, Stop

_TOP = 20
_STOPS = {"stop": Stop.EOS, "length": Stop.MAX_TOKENS}
ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


class ServerEngine:
    """Asks a server. The key is read from PRESRM_API_KEY or OPENAI_API_KEY, and told to nobody else.

    Args:
        checkpoint: Its `model` is ``http://host/v1#name``.
        concurrency: Requests under way at once.
        timeout: Seconds that one attempt may take.
        retries: Attempts after the first, with back-off, on 408, 409, 429, 5xx and lost connections.

    Attributes:
        tokens_read: Prompt tokens read so far, as the server counts them.
        tokens_generated: Tokens drawn so far, likewise.

    Raises:
        RequestError: if the address names no model.
    """

    def __init__(
        self, checkpoint: Checkpoint, *, concurrency: int = 16, timeout: float = 600.0, retries: int = 5
    ) -> None:
        self._url, _, self._name = checkpoint.model.partition("#")
        if not self._name:
            raise RequestError(f"{checkpoint.model!r} names no model; expected http://host/v1#name")
        self._key = os.environ.get("PRESRM_API_KEY") or os.environ.get("OPENAI_API_KEY") or "none"
        self._client = OpenAI(base_url=self._url, api_key=self._key, timeout=timeout, max_retries=retries)
        self._concurrency = concurrency
        self.checkpoint = checkpoint
        self.tokens_read = 0
        self.tokens_generated = 0

    def __enter__(self) -> "ServerEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.close()

    def describe(self) -> dict[str, Any]:
        """Say what runs where."""
        return {"model": self._name, "server": self._url}

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request: one list of ``request.num`` completions each, in order; `tokens` are empty.

        Raises:
            RequestError: if a request has a splitter.
            EngineError: if the server cannot be reached, or refuses, after all retries.
        """
        if any(request.splitter is not None for request in requests):
            raise RequestError("a model behind a server can judge but not search step by step; choose a local model")
        rows = [(request, number) for request in requests for number in range(request.num)]
        found = iter(self._all(rows, self._complete))
        return [[next(found) for _ in range(request.num)] for request in requests]

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...]]:
        """Give, for each prompt, the log-probability (nats) that its reply goes on with each option.

        Read from the most probable next tokens. An option that is not one of them has an unknown probability, given
        as the lower bound -inf: where both words of a verdict are missing, it is unreadable.

        Raises:
            EngineError: as `generate`, or if the server gives no log-probabilities.
        """
        return self._all(prompts, lambda prompt: self._weigh(prompt, options))

    def _all(self, items: Sequence[ItemT], run: Callable[[ItemT], ResultT]) -> list[ResultT]:
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(run, items))

    def _complete(self, row: tuple[Request, int]) -> Completion:
        request, number = row
        how = request.sampling
        reply = self._ask(
            request.prompt,
            max_tokens=how.max_tokens,
            temperature=how.temperature,
            top_p=how.top_p,
            seed=derive_seed("server", request.seed, number) % 2**31,
        )
        if not reply.choices:
            return Completion("", (), None)
        choice = reply.choices[0]
        return Completion(choice.message.content or "", (), _STOPS.get(choice.finish_reason))

    def _weigh(self, prompt: Prompt, options: Sequence[str]) -> tuple[float, ...]:
        reply = self._ask(prompt, max_tokens=1, temperature=0, logprobs=True, top_logprobs=_TOP)
        listed = reply.choices[0].logprobs if reply.choices else None
        if listed is None or not listed.content:
            raise EngineError(f"{self._url} gives no log-probabilities; set judge.verdict to explained")
        top = {entry.token: entry.logprob for entry in listed.content[0].top_logprobs}
        return tuple(top.get(option, -math.inf) for option in options)

    def _ask(self, prompt: Prompt, **options: Any) -> ChatCompletion:
        messages: list[Any] = [{"role": "system", "content": prompt.system}] if prompt.system else []
        messages.append({"role": "user", "content": prompt.text})
        if begun := prompt.forced + "".join(step.text for step in prompt.reply):
            messages.append({"role": "assistant", "content": begun})
            options["extra_body"] = {"continue_final_message": True, "add_generation_prompt": False}
        try:
            reply: ChatCompletion = self._client.chat.completions.create(model=self._name, messages=messages, **options)
        except (OpenAIError, ValueError) as error:  # cut-off JSON is a ValueError
            told = f"{type(error).__name__}: {error}".replace(self._key, "***") if self._key != "none" else str(error)
            raise EngineError(f"{self._url}: {told:.300}") from None
        if reply.usage is not None:
            self.tokens_read += reply.usage.prompt_tokens
            self.tokens_generated += reply.usage.completion_tokens
        if any(getattr(choice, "message", None) is None for choice in reply.choices or ()):
            raise EngineError(f"{self._url}: a choice without a message; is it an OpenAI-compatible server?")
        return reply
