"""Several drawn judgements of the same candidates and their mean: the soft score of R-PRM (arXiv 2503.21295)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Literal, Self

from presrm.judging.orders import contradicted_by_most
from presrm.judging.verdicts import Reading, tell
from presrm.prompts import Prompt
from presrm.protocols import Completion, Composition, Engine, Judge, Request, ask_judge, composition_of
from presrm.seeding import derive_seed
from presrm.types import Candidates, Judgement, Status


class VotedJudge:
    """Lets a judge that samples judge several times, and takes the mean of the readable scores.

    For judges that do not count votes themselves. A vote is a whole judging. The votes differ by their seeds, so a
    judge that explains greedily would only repeat itself.

    Args:
        make: Makes the judge that asks the engine it is given.
        engine: Runs the policy that judges.
        num_votes: How many times each candidate is judged.
    """

    scale: Literal["absolute", "relative"]
    composition: Composition

    def __init__(self, make: Callable[[Engine], Judge], engine: Engine, num_votes: int) -> None:
        self._voters = [make(Reseeded(engine, vote)) for vote in range(num_votes)]
        self.scale = self._voters[0].scale
        self.composition = composition_of(self._voters[0])

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item, with the calls of one judging for each vote.

        The rationale counts the readable votes and holds those of all. Where none is readable the judgement has the
        status on which the votes agree, else `Status.UNREADABLE`.

        Raises:
            JudgeError: if the judge raises, or does not give one judgement for each candidate.
        """
        votes = [ask_judge(voter, batch) for voter in self._voters]
        return [tuple(_mean(of_step) for of_step in zip(*of_item, strict=True)) for of_item in zip(*votes, strict=True)]


def _mean(votes: Sequence[Judgement]) -> Judgement:
    scores = [vote.score for vote in votes if vote.score is not None]
    said = [
        f"vote {i}, {vote.status if vote.score is None else f'{vote.score:.4g}'}:\n{vote.rationale}"
        for i, vote in enumerate(votes, start=1)
    ]
    rationale = "\n\n".join([f"{len(scores)} of {len(votes)} votes readable", *said])
    if scores:
        return Judgement(fmean(scores), rationale=rationale, contradicted=contradicted_by_most(votes))
    causes = {vote.status for vote in votes}
    return Judgement(None, causes.pop() if len(causes) == 1 else Status.UNREADABLE, rationale)


class Reseeded:
    """The same engine with other draws. It does not own the engine, so leaving it frees nothing."""

    def __init__(self, engine: Engine, vote: int) -> None:
        self._engine = engine
        self._vote = vote

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request, by the seed of the request and the number of the vote."""
        return self._engine.generate([replace(r, seed=derive_seed(r.seed, "vote", self._vote)) for r in requests])

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give the log-probabilities of the engine: nothing of them is drawn."""
        return self._engine.logprobs(prompts, options)

    def tell(self, readings: Sequence[Reading]) -> None:
        """Pass on what was read."""
        tell(self._engine, readings)
