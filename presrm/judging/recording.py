"""Engine -> the same engine, with every call of a judge recorded in the verdict ledger.

A judge asks as ever, and tells what it read with `presrm.judging.verdicts.tell`. What comes back, how long it
took and what it cost is seen here.
"""

import json
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from functools import cache
from typing import NamedTuple, Protocol, Self

from presrm.files.ledger import Call, CallStage, short_hash
from presrm.judging.verdicts import Reading
from presrm.prompts import Prompt
from presrm.protocols import Completion, Engine, Request, Sampling, keeping
from presrm.types import Stop


class CallLog(Protocol):
    """Takes calls, as the ledger does."""

    def record(self, calls: list[Call]) -> None:
        """Write calls."""
        ...


class RecordingEngine:
    """Asks an engine, and records every question that it could read with what came back. A context manager.

    A call is written when the judge has told what it read. Of a judge that does not tell it is written, without a
    status, before the next call, or when this is left.

    Args:
        engine: Asked; it stays open.
        ledger: Written; it stays open.
        policy: What `engine` runs: ``M1`` ... in a run, else the model.
        stage: What the judge is asked for.
        template_hash: `presrm.prompts.PromptSet.hash` of the judge's templates.
        iteration: Of the run, none outside of one.
    """

    def __init__(
        self,
        engine: Engine,
        ledger: CallLog,
        *,
        policy: str,
        stage: CallStage,
        template_hash: str,
        iteration: int | None = None,
    ) -> None:
        self._engine = engine
        self._ledger = ledger
        self._policy = policy
        self._stage = stage
        self._template_hash = template_hash
        self._iteration = iteration
        self._untold: list[_Asked] = []
        self._took: tuple[float, int | None] = (0.0, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._write()

    def keeping(self) -> AbstractContextManager[None]:
        """Have the engine keep what it reads, if it can."""
        return keeping(self._engine)

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request."""
        self._write()
        meter = _Meter(self._engine)
        drawn = self._engine.generate(requests)
        self._untold = [
            _Asked(
                request.prompt,
                _sampling(request.sampling),
                request.seed,
                number,
                completion.text,
                None if completion.tokens is None else len(completion.tokens),
            )
            for request, completions in zip(requests, drawn, strict=True)
            for number, completion in enumerate(completions)
            if completion.stop is not Stop.NO_ROOM
        ]
        self._took = meter.read()
        return drawn

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give the log-probability of each option."""
        self._write()
        meter = _Meter(self._engine)
        found = self._engine.logprobs(prompts, options)
        sampling = json.dumps({"options": list(options)})
        self._untold = [
            _Asked(prompt, sampling, 0, 0, _direct_reply(options, logps), 0)
            for prompt, logps in zip(prompts, found, strict=True)
            if logps is not None
        ]
        self._took = meter.read()
        return found

    def tell(self, readings: Sequence[Reading]) -> None:
        """Hear what the judge read in the replies of the last call, one after the other, and write it."""
        self._write(readings)

    def _write(self, readings: Sequence[Reading] | None = None) -> None:
        if self._untold:
            heard = [None] * len(self._untold) if readings is None else readings
            self._ledger.record([self._call(i, *each) for i, each in enumerate(zip(self._untold, heard, strict=True))])
            self._untold = []

    def _call(self, place: int, asked: "_Asked", reading: Reading | None) -> Call:
        subject, num, (seconds, tokens) = asked.prompt.subject, len(self._untold), self._took
        return Call(
            template=asked.prompt.template,
            template_hash=self._template_hash,
            policy=self._policy,
            iteration=self._iteration,
            stage=self._stage,
            problem=subject.prefix.problem.id if subject else "",
            prefix=short_hash(subject.prefix.text) if subject else "",
            shown=tuple(short_hash(step.text) for step in subject.shown) if subject else (),
            sampling=asked.sampling,
            seed=asked.seed,
            reply=asked.reply,
            verdict=reading.verdict if reading else "",
            value=reading.value if reading else None,
            status=reading.status if reading else None,
            tokens_read=None if tokens is None else tokens * (place + 1) // num - tokens * place // num,
            tokens_generated=asked.tokens_generated,
            seconds=seconds / num,
            prompt=_prompt_hash(asked.prompt),
            number=asked.number,
        )


class _Asked(NamedTuple):
    """A question and its reply, of which nobody has told yet what was read in it."""

    prompt: Prompt
    sampling: str
    seed: int
    number: int
    reply: str
    tokens_generated: int | None


class _Meter:
    """What one call of an engine takes, from when this is made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tokens = self._count()
        self._began = time.monotonic()

    def _count(self) -> int | None:
        return getattr(self._engine, "tokens_read", None)

    def read(self) -> tuple[float, int | None]:
        """Give the seconds, and the tokens read if the engine counts them."""
        now = self._count()
        return time.monotonic() - self._began, None if now is None or self._tokens is None else now - self._tokens


@cache
def _sampling(how: Sampling) -> str:
    return json.dumps(asdict(how))


def _direct_reply(options: Sequence[str], logps: Sequence[float]) -> str:
    """Write the log-probability of each option; null for one that is unknown (-inf) or no number."""
    finite = [logp if math.isfinite(logp) else None for logp in logps]
    return json.dumps(dict(zip(options, finite, strict=True)))


def _prompt_hash(prompt: Prompt) -> str:
    """Hash what becomes the ids that an engine reads: `repr` keeps the seams between the parts."""
    parts = [(part.text, part.is_content) for part in (*prompt.trunk, *prompt.tail)]
    return short_hash(repr((prompt.system, parts, [step.text for step in prompt.reply], prompt.forced)))
