"""One more step for many partial trajectories at once: what every step-wise search has in common."""

from collections.abc import Sequence
from dataclasses import dataclass

from presrm.config import SearchConfig
from presrm.prompts import PromptSet
from presrm.protocols import Completion, Generator, Judge, Request, Sampling, StepSplitter, ask_judge
from presrm.seeding import derive_seed
from presrm.types import Candidate, Candidates, Expansion, Judgement, Status, Step, Stop, Trajectory

_UNANIMOUS = Judgement(None, Status.UNREADABLE, "only one distinct candidate: not judged")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a search goes on.

    Attributes:
        prefix: The partial trajectory.
        parent: The (expansion, candidate) that it ends with; none at the first step.
        index: Of the problem in the whole list.
        number: Of the expansion that is made now, in the problem's tree.
    """

    prefix: Trajectory
    parent: tuple[int, int] | None
    index: int
    number: int


class Expander:
    """Samples candidates for the next step and has them judged.

    Candidates are distinct by text: equal ones are judged once and share the judgement. A candidate that was cut off is
    never judged. An empty candidate at the end token is a candidate like any other: it ends the solution there.

    Args:
        prompts: The set whose ``solve`` template is asked.
        splitter: Cuts the steps.
        settings: Of the search.
        seed: Every draw derives from it.
        judges_single: Judge a candidate that is the only distinct one, too.
    """

    def __init__(
        self,
        prompts: PromptSet,
        splitter: StepSplitter,
        settings: SearchConfig,
        *,
        seed: int,
        judges_single: bool = False,
    ) -> None:
        self._prompts = prompts
        self._splitter = splitter
        self._settings = settings
        self._seed = seed
        self._judges_single = judges_single

    def expand(self, places: Sequence[Place], generator: Generator, judge: Judge) -> list[Expansion]:
        """Expand every place, with one call of the generator and one of the judge; nothing is kept yet.

        Raises:
            JudgeError: if the judge raises, or does not give one judgement for each candidate.
        """
        completions = generator.generate([self._request(place) for place in places])
        proposed = [
            tuple(self._step(completion, len(place.prefix.steps)) for completion in of)
            for place, of in zip(places, completions, strict=True)
        ]
        distinct = [_distinct(steps) for steps in proposed]
        least = 1 if self._judges_single else 2
        asked = [
            Candidates(place.prefix, steps)
            for place, steps in zip(places, distinct, strict=True)
            if len(steps) >= least
        ]
        judged = iter(ask_judge(judge, asked))
        expansions = []
        for place, steps, of in zip(places, proposed, distinct, strict=True):
            judgements = next(judged) if len(of) >= least else [_UNANIMOUS] * len(of)
            by_text = {step.text: judgement for step, judgement in zip(of, judgements, strict=True)}
            candidates = (Candidate(step, by_text[step.text] if step.is_whole else unjudged(step)) for step in steps)
            expansions.append(Expansion(place.parent, tuple(candidates)))
        return expansions

    def _request(self, place: Place) -> Request:
        settings, is_whole = self._settings, self._settings.unit == "solution"
        longest = settings.max_step_tokens * (settings.max_steps if is_whole else 1)
        return Request(
            self._prompts.solve(place.prefix),
            num=settings.num_candidates,
            sampling=Sampling(settings.temperature, settings.top_p, longest),
            splitter=None if is_whole else self._splitter,
            seed=derive_seed(self._seed, "search", place.index, place.number),
        )

    def _step(self, completion: Completion, depth: int) -> Step:
        """Make a candidate of a completion, and say why the solution ends with it, if it does."""
        stop = completion.stop
        if stop is None and any(mark in completion.text for mark in self._settings.answer_marks):
            stop = Stop.ANSWER
        if stop is None and depth + 1 == self._settings.max_steps:
            stop = Stop.MAX_STEPS
        return Step(completion.text, completion.tokens, stop)


def _distinct(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The first step of each text, in the order sampled, without those that are not whole."""
    found: dict[str, Step] = {}
    for step in steps:
        if step.is_whole:
            found.setdefault(step.text, step)
    return tuple(found.values())


def unjudged(step: Step) -> Judgement:
    """What stands for the judgement of a candidate that is not whole: it is never judged."""
    if step.stop is Stop.NO_ROOM:
        return Judgement(None, Status.REFUSED, "the prompt leaves no room for a reply: not judged")
    if step.stop is Stop.FILTERED:
        return Judgement(None, Status.REFUSED, "withheld by the server: not judged")
    return Judgement(None, Status.TRUNCATED, "cut off at its token limit: not judged")


def why_none_is_whole(expansion: Expansion) -> str:
    """Say in a few words why no candidate of an expansion is whole."""
    stops = {candidate.step.stop for candidate in expansion.candidates}
    if stops == {Stop.NO_ROOM}:
        return "no room for a reply"
    return "all candidates were withheld" if stops == {Stop.FILTERED} else "all candidates were cut off"
