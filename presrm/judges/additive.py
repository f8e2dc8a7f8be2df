"""A judge that gives points to a solution: the additive rubric of Self-Rewarding LMs (arXiv 2401.10020)."""

from collections.abc import Sequence
from typing import Literal

from presrm.judging.verdicts import EXPLANATION, NUM_POINTS, Reading, ask_or_refuse, read_points, shown, tell
from presrm.prompts import PromptSet
from presrm.protocols import Completion, Composition, Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import Candidates, Judgement, Step, Verdict


class AdditiveJudge:
    """Gives the solution that ends with a candidate zero to five points; the score is their share of five.

    The rubric is one for whole solutions. A candidate is judged by the solution as far as it goes, so that the last
    step's score is the score of the whole, and the only one that counts of a path; 0.5 does not divide right from wrong
    as sharply as in a judge of steps. Several votes are drawn by `presrm.judges.voted.VotedJudge`.

    Args:
        engine: Runs the policy that judges.
        prompts: The set whose ``additive`` template is asked.
        sampling: Of the replies.
    """

    scale: Literal["absolute", "relative"] = "absolute"
    composition: Composition = "last"

    def __init__(self, engine: Engine, prompts: PromptSet, *, sampling: Sampling = EXPLANATION) -> None:
        self._engine = engine
        self._prompts = prompts
        self._sampling = sampling

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every distinct candidate of every item with one call of the engine; the rationale is the reply."""
        asked = [(number, text) for number, item in enumerate(batch) for text in sorted({s.text for s in item.steps})]
        prompts = [self._prompts.additive(batch[number].prefix, Step(text)) for number, text in asked]
        requests = [Request(p, sampling=self._sampling, seed=derive_seed("verdict", p.text)) for p in prompts]
        replies = ask_or_refuse(self._engine, requests)
        found = [reply.judgement() if isinstance(reply, Verdict) else _read(reply[0]) for reply in replies]
        tell(
            self._engine,
            [_reading(one) for one, reply in zip(found, replies, strict=True) if not isinstance(reply, Verdict)],
        )
        judged = dict(zip(asked, found, strict=True))
        return [tuple(judged[number, step.text] for step in item.steps) for number, item in enumerate(batch)]


def _reading(found: Judgement) -> Reading:
    verdict = "" if found.score is None else f"{found.score * NUM_POINTS:.0f}"
    return Reading(verdict, found.score, found.status)


def _read(reply: Completion) -> Judgement:
    """Read the ``[[points]]`` at the end; a number off the scale is no verdict."""
    points, status = read_points(reply)
    return Judgement(None if points is None else points / NUM_POINTS, status, shown(reply))
