"""A judge of single steps: is this step right, given the problem and the steps before?"""

from collections.abc import Sequence
from typing import Literal

from presrm.errors import ConfigError
from presrm.judging.critiques import TrainedMeta
from presrm.judging.verdicts import EXPLANATION, ask_direct, ask_explained
from presrm.prompts import PromptSet
from presrm.protocols import Composition, Engine, Sampling
from presrm.types import Candidates, Judgement, Step

_WORDS = ("yes", "no")


class PointwiseJudge:
    """Asks of every distinct candidate whether it is right.

    The score is P(yes) / (P(yes) + P(no)) of a direct verdict, and 1 or 0 of an explained one. Equal candidates are
    judged once and share the judgement.

    Args:
        engine: Runs the policy that judges.
        prompts: The set whose ``pointwise`` template is asked.
        verdict: ``explained``: an explanation, then ``[[yes]]`` or ``[[no]]``; ``direct``: from token probabilities.
        sampling: Of explained verdicts.
        votes: How many replies are drawn to each question.
        meta: Hub id or folder of a trained meta-judge: the half of the votes that it rates higher counts.

    Raises:
        ConfigError: if a meta-judge has a single vote to choose from.
    """

    scale: Literal["absolute", "relative"] = "absolute"
    composition: Composition = "product"

    def __init__(
        self,
        engine: Engine,
        prompts: PromptSet,
        *,
        verdict: Literal["explained", "direct"] = "explained",
        sampling: Sampling = EXPLANATION,
        votes: int = 1,
        meta: str | None = None,
    ) -> None:
        if meta is not None and votes < 2:
            raise ConfigError("a meta-judge chooses among votes: set judge.votes above 1")
        self._engine = engine
        self._prompts = prompts
        self._verdict = verdict
        self._sampling = sampling
        self._votes = votes
        self._meta = None if meta is None else TrainedMeta(meta)

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item with one call of the engine; the rationale is the reply."""
        direct = self._verdict == "direct"
        asked = [(number, text) for number, item in enumerate(batch) for text in sorted({s.text for s in item.steps})]
        prompts = [self._prompts.pointwise(batch[n].prefix, Step(text), direct=direct) for n, text in asked]
        if direct:
            verdicts = ask_direct(self._engine, prompts, _WORDS)
        else:
            verdicts = ask_explained(self._engine, prompts, _WORDS, self._sampling, self._votes, self._meta)
        judged = {key: verdict.judgement() for key, verdict in zip(asked, verdicts, strict=True)}
        return [tuple(judged[number, step.text] for step in item.steps) for number, item in enumerate(batch)]
