"""The paper's judge: every two candidates are compared (section 3.3, equation 2; prompt after its figure 5)."""

from collections.abc import Sequence
from itertools import permutations
from statistics import fmean
from typing import Literal

from presrm.errors import ConfigError
from presrm.files.ledger import short_hash
from presrm.judging.critiques import TrainedMeta
from presrm.judging.verdicts import EXPLANATION, ask_direct, ask_explained
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Sampling
from presrm.types import Candidates, Judgement, Status, Step, Verdict

_WORDS = ("A", "B")


class PairwiseJudge:
    """Compares every unordered pair of distinct candidates, in both orders.

    A comparison gives 1 to the winner and 0 to the loser; if the two orders disagree, 1/2 to both. Direct verdicts give
    p = P(A) / (P(A) + P(B)), averaged over both orders. One unreadable order makes the comparison unreadable: read in
    one order alone it would carry the bias for a position that the swap takes out. A candidate's score is the mean over
    its readable comparisons. With the paper's sum over j (its score) the ranking is the same where all are readable.

    Candidates are distinct by text; equal ones are judged once and share the judgement, so neither duplicates nor the
    order of candidates change a score.

    Args:
        engine: Runs the policy that judges.
        prompts: The set whose ``pairwise`` template is asked.
        verdict: ``explained``: an explanation, then ``[[A]]`` or ``[[B]]``; ``direct``: from token probabilities.
        sampling: Of explained verdicts.
        votes: How many replies are drawn to each question.
        meta: Hub id or folder of a trained meta-judge: the half of the votes that it rates higher counts.

    Raises:
        ConfigError: if a meta-judge has a single vote to choose from.
    """

    scale: Literal["absolute", "relative"] = "relative"

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
        """Judge every candidate of every item with one call of the engine.

        A rationale holds the replies to the questions that showed the candidate as A, each with the beginning of the
        other; those that showed it as B stand with the other candidate.
        """
        # Sorted, so that the engine is asked the same whatever the order of the candidates.
        distinct = [sorted({step.text for step in item.steps}) for item in batch]
        asked = [(number, a, b) for number, texts in enumerate(distinct) for a, b in permutations(texts, 2)]
        verdicts = dict(zip(asked, self._ask(batch, asked), strict=True))
        judged = [
            {
                text: _judgement(text, texts, {(a, b): verdicts[number, a, b] for a, b in permutations(texts, 2)})
                for text in texts
            }
            for number, texts in enumerate(distinct)
        ]
        return [tuple(found[step.text] for step in item.steps) for item, found in zip(batch, judged, strict=True)]

    def _ask(self, batch: Sequence[Candidates], asked: Sequence[tuple[int, str, str]]) -> list[Verdict]:
        direct = self._verdict == "direct"
        prompts = [self._prompts.pairwise(batch[n].prefix, Step(a), Step(b), direct=direct) for n, a, b in asked]
        if direct:
            return ask_direct(self._engine, prompts, _WORDS)
        return ask_explained(self._engine, prompts, _WORDS, self._sampling, self._votes, self._meta)


def _judgement(text: str, texts: Sequence[str], verdicts: dict[tuple[str, str], Verdict]) -> Judgement:
    """Score one candidate from the verdicts on (first, second) of all its siblings."""
    others = [other for other in texts if other != text]
    if not others:
        return Judgement(None, Status.UNREADABLE, "only one distinct candidate: nothing to compare it with")
    rationale = "\n\n".join(f"A, against B = {other!r:.80}:\n{verdicts[text, other].rationale}" for other in others)
    wins, contradicted = [], []
    for other in others:
        first, second = verdicts[text, other].probability, verdicts[other, text].probability
        if first is not None and second is not None:
            wins.append((first + 1 - second) / 2)
            if (first - 0.5) * (second - 0.5) > 0:
                contradicted.append(short_hash(other))
    if wins:
        return Judgement(fmean(wins), rationale=rationale, contradicted=tuple(contradicted))
    causes = {verdicts[pair].status for other in others for pair in ((text, other), (other, text))} - {Status.OK}
    return Judgement(None, causes.pop() if len(causes) == 1 else Status.UNREADABLE, rationale)
