"""What a judge's reply says, before it becomes a score.

Two ways to read a verdict: from an explanation that ends in ``[[word]]``, or *directly*, from the probabilities of the
words. Both answer a question with two outcomes and give the probability of the first.

A judge that reads its replies itself tells with `tell` what it read, so that the verdict ledger can keep it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from presrm.prompts import Prompt
from presrm.protocols import Completion, Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import LEAST_MASS, Status, Stop, Verdict

EXPLANATION = Sampling(max_tokens=512)
"""How an explained verdict is written unless a judge is told otherwise: greedily."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a judge read in one reply.

    Attributes:
        verdict: In a few characters, as ``A`` or ``4``; nothing if it is unreadable.
        value: That verdict as one number, where it is one (see `presrm.files.ledger.Call`), else none.
        status: OK, or why there is no verdict.
    """

    verdict: str
    value: float | None = None
    status: Status = Status.OK


@runtime_checkable
class Listener(Protocol):
    """An engine that wants to know what a judge read in its replies."""

    def tell(self, readings: Sequence[Reading]) -> None:
        """Hear what was read in the replies of the last call, one after the other."""
        ...


def tell(engine: object, readings: Sequence[Reading]) -> None:
    """Tell an engine that listens what was read in the replies of its last call; others need not know.

    Args:
        engine: Was asked.
        readings: One for each reply, in the order of the requests; of a request with several replies one after another.
    """
    if readings and isinstance(engine, Listener):
        engine.tell(readings)


_NO_ROOM = Verdict(None, Status.REFUSED, "the question is too long for the policy: it leaves no room for a reply")


def ask_or_refuse(engine: Engine, requests: Sequence[Request]) -> list[list[Completion] | Verdict]:
    """Complete requests; one whose prompt leaves no room gets a verdict that says so."""
    drawn = engine.generate(requests) if requests else []
    return [_NO_ROOM if any(one.stop is Stop.NO_ROOM for one in replies) else replies for replies in drawn]


def ask_explained(
    engine: Engine, prompts: Sequence[Prompt], words: tuple[str, str], sampling: Sampling
) -> list[Verdict]:
    """Let the policy explain, and read the last ``[[word]]`` of each reply.

    Only the reply is read: a verdict inside the material has no say. The draw depends on the text of the prompt alone,
    so neither order nor company of the questions changes a verdict.
    """
    requests = [Request(p, sampling=sampling, seed=derive_seed("verdict", p.text)) for p in prompts]
    replies = ask_or_refuse(engine, requests)
    verdicts = [reply if isinstance(reply, Verdict) else _read(reply[0], words) for reply in replies]
    _tell_verdicts(engine, verdicts, words)
    return verdicts


def ask_direct(engine: Engine, prompts: Sequence[Prompt], words: tuple[str, str]) -> list[Verdict]:
    """Read each verdict from the probabilities with which the reply goes on with either word."""
    rows = engine.logprobs(prompts, words) if prompts else []
    verdicts = [_NO_ROOM if row is None else _weigh(row[0], row[1], words) for row in rows]
    _tell_verdicts(engine, verdicts, words)
    return verdicts


def _tell_verdicts(engine: Engine, verdicts: Sequence[Verdict], words: tuple[str, str]) -> None:
    tell(engine, [_reading(verdict, words) for verdict in verdicts if verdict.status is not Status.REFUSED])


def _reading(verdict: Verdict, words: tuple[str, str]) -> Reading:
    if verdict.probability is None:
        return Reading("", status=verdict.status)
    likelier = words[verdict.probability < 0.5] if verdict.probability != 0.5 else " or ".join(words)
    return Reading(likelier, verdict.probability)


def _read(reply: Completion, words: tuple[str, str]) -> Verdict:
    found = re.findall(rf"\[\[({'|'.join(map(re.escape, words))})\]\]", reply.text, re.IGNORECASE)
    if found:
        return Verdict(float(found[-1].lower() == words[0].lower()), rationale=reply.text)
    return Verdict(None, Status.TRUNCATED if reply.stop is Stop.MAX_TOKENS else Status.UNREADABLE, reply.text)


def _weigh(logp_first: float, logp_second: float, words: tuple[str, str]) -> Verdict:
    """Weigh two log-probabilities (nats); -inf is an unknown one, such as a server leaves out of its top list.

    An unknown word has between nothing and all the probability that the known one leaves, so the share of the known
    one, of probability p, lies between p and 1. Only above 1/2 does that say which is likelier; the verdict is then the
    middle, (1 + p) / 2.
    """
    logps = (logp_first, logp_second)
    rationale = ", ".join(
        f"P({word}) {'unknown' if logp == -math.inf else f'= {math.exp(logp):.4f}'}"
        for word, logp in zip(words, logps, strict=True)
    )
    first, second = map(math.exp, logps)
    known = first + second
    # Written so that a NaN, too, is unreadable.
    if not known >= LEAST_MASS:
        return Verdict(None, Status.UNREADABLE, rationale)
    if -math.inf not in logps:
        return Verdict(first / known, rationale=rationale)
    if known <= 0.5:
        return Verdict(None, Status.UNREADABLE, rationale)
    middle = (1 + min(known, 1)) / 2
    return Verdict(middle if first else 1 - middle, rationale=rationale)
