"""A judge of all candidates at once, by principles of its own: SPCT (arXiv 2504.02495)."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Literal

from presrm.errors import ConfigError
from presrm.judging.critiques import TrainedMeta, better_half
from presrm.judging.verdicts import (
    EXPLANATION,
    HIGHEST_SCORE,
    Reading,
    ask_direct,
    ask_or_refuse,
    read_scores,
    shown,
    tell,
)
from presrm.prompts import PromptSet
from presrm.protocols import Completion, Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import Candidates, Judgement, Status, Step, Verdict


@dataclass(frozen=True, slots=True)
class _Vote:
    """One reply about the candidates of an item.

    Attributes:
        number: Of the item in the batch.
        order: The candidates as shown.
        reply: What was written, or why nothing was asked.
        points: What it gives each candidate, in its order; none if that cannot be read.
        status: Then, why not.
        counts: Whether it does; not if the meta-judge prefers others.
    """

    number: int
    order: tuple[str, ...]
    reply: Completion | Verdict
    points: tuple[int, ...] | None
    status: Status
    counts: bool = True

    @classmethod
    def read(cls, number: int, order: tuple[str, ...], reply: Completion | Verdict) -> "_Vote":
        """Read the points of a reply."""
        if isinstance(reply, Verdict):
            return cls(number, order, reply, None, reply.status)
        return cls(number, order, reply, *read_scores(reply, len(order)))


class ListwiseJudge:
    """Shows all distinct candidates, and has principles, a critique and a score from 1 to 10 for each written.

    Every vote shows the candidates in an order of its own. The points of the readable votes are summed; the score is
    their share of the points that could be had. Candidates are distinct by text; equal ones are shown once and share
    the judgement, so neither duplicates nor the order of candidates change a score.

    With a meta-judge only the better half of the readable votes counts. As in the paper that is a model with a head,
    trained on judgements of which is known whether they are right (``presrm fit-prm`` on ``traces.jsonl``); or the
    policy itself is asked whether a critique is sound, and the probability of its yes is taken.

    Args:
        engine: Runs the policy that judges.
        prompts: The set whose ``listwise`` template is asked; where the policy is the meta-judge, ``critique``, too.
        sampling: Of the replies.
        votes: How many replies are drawn for a list of candidates.
        meta: The meta-judge: Hub id or folder of a model with a head of two classes; or whether the policy is.

    Raises:
        ConfigError: if a meta-judge has a single vote to choose from.
    """

    scale: Literal["absolute", "relative"] = "relative"

    def __init__(
        self,
        engine: Engine,
        prompts: PromptSet,
        *,
        sampling: Sampling = EXPLANATION,
        votes: int = 1,
        meta: bool | str = False,
    ) -> None:
        if meta and votes < 2:
            raise ConfigError("a meta-judge chooses among votes: set judge.votes above 1")
        self._engine = engine
        self._prompts = prompts
        self._sampling = sampling
        self._votes = votes
        self._meta = TrainedMeta(meta) if isinstance(meta, str) else meta

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item with one call of the engine; the rationale holds the replies."""
        asked = [
            (number, vote, order) for number, item in enumerate(batch) for vote, order in enumerate(self._orders(item))
        ]
        prompts = [self._prompts.listwise(batch[number].prefix, tuple(map(Step, order))) for number, _, order in asked]
        requests = [
            Request(prompt, sampling=self._sampling, seed=derive_seed("verdict", prompt.text, vote))
            for prompt, (_, vote, _) in zip(prompts, asked, strict=True)
        ]
        votes = [
            _Vote.read(number, order, reply if isinstance(reply, Verdict) else reply[0])
            for (number, _, order), reply in zip(asked, ask_or_refuse(self._engine, requests), strict=True)
        ]
        tell(self._engine, [_reading(vote) for vote in votes if isinstance(vote.reply, Completion)])
        if self._meta:
            votes = self._choose(batch, votes)
        votes_on = {number: list(of_item) for number, of_item in groupby(votes, lambda vote: vote.number)}
        return [
            tuple(_judgement(step.text, votes_on.get(number, [])) for step in item.steps)
            for number, item in enumerate(batch)
        ]

    def _choose(self, batch: Sequence[Candidates], votes: Sequence[_Vote]) -> list[_Vote]:
        """Have the better half of the readable votes on each item count, all if the meta-judge says nothing of any.

        Votes of which it says nothing come after those of which it does.
        """
        readable = [vote for vote in votes if vote.points is not None]
        judgements = [
            (Candidates(batch[vote.number].prefix, tuple(map(Step, vote.order))), vote.reply.text)
            for vote in readable
            if isinstance(vote.reply, Completion)
        ]
        rated = zip(readable, self._rate(judgements), strict=True)
        chosen = [vote for vote in votes if vote.points is None]
        for _, of_item in groupby(rated, lambda pair: pair[0].number):
            of_one, ratings = zip(*of_item, strict=True)
            better = better_half(ratings)
            chosen += [replace(vote, counts=place in better) for place, vote in enumerate(of_one)]
        return sorted(chosen, key=lambda vote: vote.number)

    def _rate(self, judgements: Sequence[tuple[Candidates, str]]) -> list[float | None]:
        """Have the meta-judge say how likely each judgement, what was shown and what was written of it, is right."""
        if isinstance(self._meta, TrainedMeta):
            return self._meta.rate(judgements)
        prompts = [self._prompts.critique(shown.prefix, shown.steps, reply) for shown, reply in judgements]
        return [verdict.probability for verdict in ask_direct(self._engine, prompts, ("yes", "no"))]

    def _orders(self, item: Candidates) -> list[tuple[str, ...]]:
        """Give the order in which each vote shows the candidates; none where there is nothing to compare."""
        texts = sorted({step.text for step in item.steps})
        if len(texts) < 2:
            return []
        rng = random.Random(derive_seed("listwise", item.prefix.problem.id, item.prefix.text, *texts))
        return [tuple(rng.sample(texts, len(texts))) for _ in range(self._votes)]


def _reading(vote: _Vote) -> Reading:
    return Reading(", ".join(map(str, vote.points or ())), status=vote.status)


def _judgement(text: str, votes: Sequence[_Vote]) -> Judgement:
    """Score one candidate from the votes on it and its siblings."""
    if not votes:
        return Judgement(None, Status.UNREADABLE, "only one distinct candidate: nothing to compare it with")
    drawn = [(vote, vote.reply) for vote in votes if isinstance(vote.reply, Completion)]
    if not drawn:
        reasons = dict.fromkeys(vote.reply.rationale for vote in votes if isinstance(vote.reply, Verdict))
        return Judgement(None, Status.REFUSED, "\n\n".join(reasons))
    num_readable = sum(vote.points is not None for vote, _ in drawn)
    points = [vote.points[vote.order.index(text)] for vote, _ in drawn if vote.points is not None and vote.counts]
    counted = f"{len(points)} of them counted, " if len(points) < num_readable else ""
    said = [f"shown as number {vote.order.index(text) + 1}:\n{shown(reply)}" for vote, reply in drawn]
    told = f"{num_readable} of {len(drawn)} votes readable, {counted}{sum(points)} points"
    rationale = "\n\n".join([told, *said])
    if points:
        return Judgement(sum(points) / (HIGHEST_SCORE * len(points)), rationale=rationale)
    causes = {vote.status for vote, _ in drawn}
    return Judgement(None, causes.pop() if len(causes) == 1 else Status.UNREADABLE, rationale)
