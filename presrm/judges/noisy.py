"""Another judge with some of its verdicts turned round: how much noise does a loop bear?"""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, combinations
from statistics import fmean
from typing import Annotated, Literal

from pydantic import Field

from presrm.protocols import Composition, Judge, ask_judge, composition_of
from presrm.seeding import derive_seed
from presrm.types import Candidates, Judgement, Status, Step


class NoisyJudge:
    """Turns verdicts of a judge round, each with the same probability: a score s becomes 1 - s.

    Of a judge of absolute scale that is the score of a step. Of a relative one it is every comparison of two distinct
    candidates, each of which is judged by itself; a candidate's score is the mean over its readable comparisons, as
    that of the pairwise judge. Whether a verdict is turned depends on what is judged alone, so the same question always
    gets the same answer.

    Args:
        judge: The other one. In a config a kind, or settings, as ``judge.options: {judge: pairwise, rate: 0.2}``; it
            has the settings of ``judge``, but options and votes of its own.
        rate: Share of verdicts that are turned round.
        seed: Of the draws.
    """

    scale: Literal["absolute", "relative"]
    composition: Composition

    def __init__(self, judge: Judge, *, rate: Annotated[float, Field(ge=0, le=1)], seed: int = 0) -> None:
        self._judge = judge
        self._rate = rate
        self._seed = seed
        self.scale = judge.scale
        self.composition = composition_of(judge)

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item with one call of the other judge.

        Raises:
            JudgeError: if the other judge raises, or does not give one judgement for each candidate.
        """
        if self.scale == "absolute":
            judged = ask_judge(self._judge, batch)
            return [
                tuple(self._turn(judgement, item, [step]) for step, judgement in zip(item.steps, of, strict=True))
                for item, of in zip(batch, judged, strict=True)
            ]
        distinct = [sorted({step.text for step in item.steps}) for item in batch]
        asked = [
            Candidates(item.prefix, (Step(one), Step(other)))
            for item, texts in zip(batch, distinct, strict=True)
            for one, other in combinations(texts, 2)
        ]
        verdicts = iter(ask_judge(self._judge, asked) if asked else [])
        return [
            self._scores(item, {pair: next(verdicts) for pair in combinations(texts, 2)})
            for item, texts in zip(batch, distinct, strict=True)
        ]

    def _scores(
        self, item: Candidates, compared: dict[tuple[str, str], tuple[Judgement, ...]]
    ) -> tuple[Judgement, ...]:
        """Put the comparisons of an item together."""
        verdicts: dict[str, list[Judgement]] = {step.text: [] for step in item.steps}
        for pair, judgements in compared.items():
            for text, judgement in zip(pair, judgements, strict=True):
                verdicts[text].append(self._turn(judgement, item, list(map(Step, pair))))
        return tuple(_mean(verdicts[step.text]) for step in item.steps)

    def _turn(self, judgement: Judgement, item: Candidates, steps: Sequence[Step]) -> Judgement:
        """Turn a verdict on steps round, if it is one of those; both scores of a comparison, or neither."""
        texts = (item.prefix.problem.id, item.prefix.text, *(step.text for step in steps))
        is_turned = random.Random(derive_seed(self._seed, "noise", *texts)).random() < self._rate
        if judgement.score is None or not is_turned:
            return judgement
        return replace(judgement, score=1 - judgement.score)


def _mean(verdicts: Sequence[Judgement]) -> Judgement:
    scores = [one.score for one in verdicts if one.score is not None]
    rationale = "\n\n".join(one.rationale for one in verdicts)
    if scores:
        told = [one.contradicted for one in verdicts if one.contradicted is not None]
        return Judgement(fmean(scores), rationale=rationale, contradicted=tuple(chain(*told)) if told else None)
    causes = {one.status for one in verdicts}
    return Judgement(None, causes.pop() if len(causes) == 1 else Status.UNREADABLE, rationale)
