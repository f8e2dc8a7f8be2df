"""Engine -> the same engine, with every call of a judge recorded in the verdict ledger.

A judge asks as ever, and tells what it read with `presrm.verdicts.tell`. What comes back, how long it took and what it
cost is seen here.
"""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Self

from presrm.ledger import Call, CallStage, Ledger, short_hash
from presrm.prompts import Prompt
from presrm.protocols import Completion, Engine, Request
from presrm.verdicts import Reading


class RecordingEngine:
    """Asks an engine, and records every question with what came back. A context manager.

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
        ledger: Ledger,
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
        self._untold: list[Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._write()

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request."""
        self._write()
        meter = _Meter(self._engine)
        drawn = self._engine.generate(requests)
        calls = [
            self._call(
                request.prompt,
                sampling=json.dumps(asdict(request.sampling)),
                seed=request.seed,
                number=number,
                reply=completion.text,
                tokens_generated=len(completion.tokens) if completion.tokens or not completion.text else None,
            )
            for request, completions in zip(requests, drawn, strict=True)
            for number, completion in enumerate(completions)
        ]
        self._untold = meter.share(calls)
        return drawn

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...]]:
        """Give the log-probability of each option."""
        self._write()
        meter = _Meter(self._engine)
        found = self._engine.logprobs(prompts, options)
        sampling = json.dumps({"options": list(options)})
        calls = [
            self._call(prompt, sampling=sampling, seed=0, reply=_direct_reply(options, logps))
            for prompt, logps in zip(prompts, found, strict=True)
        ]
        self._untold = meter.share(calls)
        return found

    def tell(self, readings: Sequence[Reading]) -> None:
        """Hear what the judge read in the replies of the last call, one after the other, and write it."""
        self._untold = [
            replace(call, verdict=reading.verdict, value=reading.value, status=reading.status)
            for call, reading in zip(self._untold, readings, strict=True)
        ]
        self._write()

    def _write(self) -> None:
        if self._untold:
            self._ledger.record(self._untold)
            self._untold = []

    def _call(
        self,
        prompt: Prompt,
        *,
        sampling: str,
        seed: int,
        reply: str,
        number: int = 0,
        tokens_generated: int | None = 0,
    ) -> Call:
        subject = prompt.subject
        return Call(
            template=prompt.template,
            template_hash=self._template_hash,
            policy=self._policy,
            iteration=self._iteration,
            stage=self._stage,
            problem=subject.prefix.problem.id if subject else "",
            prefix=short_hash(subject.prefix.text) if subject else "",
            shown=tuple(short_hash(step.text) for step in subject.shown) if subject else (),
            sampling=sampling,
            seed=seed,
            reply=reply,
            verdict="",
            value=None,
            status=None,
            tokens_read=None,
            tokens_generated=tokens_generated,
            seconds=0.0,
            prompt=_prompt_hash(prompt),
            number=number,
        )


class _Meter:
    """What one call of an engine took, from when this is made."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._read = self._count()
        self._began = time.monotonic()

    def _count(self) -> int | None:
        return getattr(self._engine, "tokens_read", None)

    def share(self, calls: Sequence[Call]) -> list[Call]:
        """Give every call an equal share of the time, and of the tokens if the engine counts them."""
        num, seconds, count = len(calls), time.monotonic() - self._began, self._count()
        read = None if count is None or self._read is None else count - self._read
        return [
            replace(
                call,
                seconds=seconds / num,
                tokens_read=None if read is None else read * (i + 1) // num - read * i // num,
            )
            for i, call in enumerate(calls)
        ]


def _direct_reply(options: Sequence[str], logps: Sequence[float]) -> str:
    """Write the log-probability of each option; null for one that is unknown (-inf) or no number."""
    finite = [logp if math.isfinite(logp) else None for logp in logps]
    return json.dumps(dict(zip(options, finite, strict=True)))


def _prompt_hash(prompt: Prompt) -> str:
    """Hash what becomes the ids that an engine reads: `repr` keeps the seams between the parts."""
    parts = [(part.text, part.is_content) for part in (*prompt.trunk, *prompt.tail)]
    return short_hash(repr((prompt.system, parts, [step.text for step in prompt.reply], prompt.forced)))
