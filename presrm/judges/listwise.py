"""A judge of all candidates at once, by principles of its own: SPCT (arXiv 2504.02495)."""

import random
import re
from collections.abc import Sequence
from itertools import islice
from typing import Literal

from presrm.prompts import PromptSet
from presrm.protocols import Completion, Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import Candidates, Judgement, Status, Step, Stop
from presrm.verdicts import EXPLANATION, Reading, Verdict, ask_fitting, tell

_HIGHEST = 10


class ListwiseJudge:
    """Shows all distinct candidates, and has principles, a critique and a score from 1 to 10 for each written.

    Every vote shows the candidates in an order of its own. The points of the readable votes are summed; the score is
    their share of the points that could be had. Candidates are distinct by text; equal ones are shown once and share
    the judgement, so neither duplicates nor the order of candidates change a score.

    Args:
        engine: Runs the policy that judges.
        prompts: The set whose ``listwise`` template is asked.
        sampling: Of the replies.
        votes: How many replies are drawn for a list of candidates.
    """

    scale: Literal["absolute", "relative"] = "relative"

    def __init__(self, engine: Engine, prompts: PromptSet, *, sampling: Sampling = EXPLANATION, votes: int = 1) -> None:
        self._engine = engine
        self._prompts = prompts
        self._sampling = sampling
        self._votes = votes

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item with one call of the engine; the rationale holds the replies."""
        orders = [self._orders(item) for item in batch]
        prompts = [
            self._prompts.listwise(item.prefix, tuple(map(Step, order)))
            for item, of_item in zip(batch, orders, strict=True)
            for order in of_item
        ]
        votes = [vote for of_item in orders for vote in range(len(of_item))]
        requests = [
            Request(prompt, sampling=self._sampling, seed=derive_seed("verdict", prompt.text, vote))
            for prompt, vote in zip(prompts, votes, strict=True)
        ]
        drawn = ask_fitting(self._engine.generate, requests)
        replies = [reply if isinstance(reply, Verdict) else reply[0] for reply in drawn]
        shown = [order for of_item in orders for order in of_item]
        asked = list(zip(shown, replies, strict=True))
        tell(self._engine, [_reading(vote, len(order)) for order, vote in asked if isinstance(vote, Completion)])
        rest = iter(asked)
        votes_on = [list(islice(rest, len(of_item))) for of_item in orders]
        return [
            tuple(_judgement(step.text, of_item) for step in item.steps)
            for item, of_item in zip(batch, votes_on, strict=True)
        ]

    def _orders(self, item: Candidates) -> list[tuple[str, ...]]:
        """Give the order in which each vote shows the candidates; none where there is nothing to compare."""
        texts = sorted({step.text for step in item.steps})
        if len(texts) < 2:
            return []
        rng = random.Random(derive_seed("listwise", item.prefix.problem.id, item.prefix.text, *texts))
        return [tuple(rng.sample(texts, len(texts))) for _ in range(self._votes)]


def _read(reply: str, num: int) -> list[int] | None:
    """Read the last list in double brackets, if it holds `num` whole numbers from 1 to 10."""
    lists = re.findall(r"\[\[([^\[\]]*)\]\]", reply)
    if not lists:
        return None
    scale = {str(points): points for points in range(1, _HIGHEST + 1)}
    points = [scale.get(written.strip()) for written in lists[-1].split(",")]
    known = [number for number in points if number is not None]
    return known if len(known) == len(points) == num else None


def _reading(reply: Completion, num: int) -> Reading:
    points = _read(reply.text, num)
    if points is None:
        return Reading("", status=Status.TRUNCATED if reply.stop is Stop.MAX_TOKENS else Status.UNREADABLE)
    return Reading(", ".join(map(str, points)))


def _judgement(text: str, votes: Sequence[tuple[tuple[str, ...], Completion | Verdict]]) -> Judgement:
    """Score one candidate from the votes on it and its siblings: (order shown, reply) of each."""
    if not votes:
        return Judgement(None, Status.UNREADABLE, "only one distinct candidate: nothing to compare it with")
    drawn = [(order, reply) for order, reply in votes if isinstance(reply, Completion)]
    if not drawn:
        reasons = dict.fromkeys(reply.rationale for _, reply in votes if isinstance(reply, Verdict))
        return Judgement(None, Status.REFUSED, "\n\n".join(reasons))
    read = [(order, _read(reply.text, len(order))) for order, reply in drawn]
    points = [scores[order.index(text)] for order, scores in read if scores is not None]
    said = [f"shown as number {order.index(text) + 1}:\n{reply.text}" for order, reply in drawn]
    rationale = "\n\n".join([f"{len(points)} of {len(drawn)} votes readable, {sum(points)} points", *said])
    if points:
        return Judgement(sum(points) / (_HIGHEST * len(points)), rationale=rationale)
    is_cut_off = all(reply.stop is Stop.MAX_TOKENS for _, reply in drawn)
    return Judgement(None, Status.TRUNCATED if is_cut_off else Status.UNREADABLE, rationale)
