"""One more step for many partial trajectories at once: what every step-wise search has in common."""

from collections.abc import Sequence
from dataclasses import dataclass

from presrm.asking import ask_judge, generate_fitting
from presrm.config import SearchConfig
from presrm.prompts import PromptSet
from presrm.protocols import Completion, Generator, Judge, Request, Sampling, StepSplitter
from presrm.seeding import derive_seed
from presrm.types import Candidates, Expansion, Judgement, Status, Step, Stop, Trajectory

_CUT_OFF = Judgement(None, Status.TRUNCATED, "longer than search.max_step_tokens: not judged")
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
        options: Settings of the search.
        seed: Every draw derives from it.
        judges_single: Judge a candidate that is the only distinct one, too.
    """

    def __init__(
        self,
        prompts: PromptSet,
        splitter: StepSplitter,
        options: SearchConfig,
        *,
        seed: int,
        judges_single: bool = False,
    ) -> None:
        self._prompts = prompts
        self._splitter = splitter
        self._options = options
        self._seed = seed
        self._judges_single = judges_single

    def expand(self, places: Sequence[Place], generator: Generator, judge: Judge) -> list[Expansion]:
        """Expand every place, with one call of the generator and one of the judge; nothing is kept yet.

        Raises:
            JudgeError: if the judge raises, or does not give one judgement for each candidate.
        """
        completions = generate_fitting(generator, [self._request(place) for place in places])
        found = [_distinct(candidates) for candidates in completions]
        least = 1 if self._judges_single else 2
        is_judged = [len(distinct) >= least for distinct in found]
        judged = iter(
            ask_judge(
                judge,
                [
                    Candidates(place.prefix, tuple(distinct.values()))
                    for place, distinct, is_asked in zip(places, found, is_judged, strict=True)
                    if is_asked
                ],
            )
        )
        expansions = []
        for place, candidates, distinct, is_asked in zip(places, completions, found, is_judged, strict=True):
            scores = dict(zip(distinct, next(judged), strict=True)) if is_asked else {}
            expansions.append(
                Expansion(
                    parent=place.parent,
                    steps=tuple(Step(candidate.text, candidate.tokens) for candidate in candidates),
                    stops=self._stops(candidates, len(place.prefix.steps)),
                    judgements=tuple(
                        _CUT_OFF if candidate.stop is Stop.MAX_TOKENS else scores.get(candidate.text, _UNANIMOUS)
                        for candidate in candidates
                    ),
                )
            )
        return expansions

    def _request(self, place: Place) -> Request:
        options = self._options
        return Request(
            self._prompts.solve(place.prefix),
            num=options.num_candidates,
            sampling=Sampling(options.temperature, options.top_p, options.max_step_tokens),
            splitter=self._splitter,
            seed=derive_seed(self._seed, "search", place.index, place.number),
        )

    def _stops(self, candidates: Sequence[Completion], depth: int) -> tuple[Stop | None, ...]:
        """Say why the solution ends with each candidate."""
        is_last = depth + 1 == self._options.max_steps

        def stop(candidate: Completion) -> Stop | None:
            if candidate.stop is not None:
                return candidate.stop
            if any(mark in candidate.text for mark in self._options.answer_marks):
                return Stop.ANSWER
            return Stop.MAX_STEPS if is_last else None

        return tuple(stop(candidate) for candidate in candidates)


def num_distinct(expansion: Expansion) -> int:
    """Count the distinct candidates of an expansion that were not cut off."""
    return len(
        {step.text for step, stop in zip(expansion.steps, expansion.stops, strict=True) if stop is not Stop.MAX_TOKENS}
    )


def _distinct(candidates: Sequence[Completion]) -> dict[str, Step]:
    """The first candidate of each text, in the order sampled, without those that were cut off."""
    found: dict[str, Step] = {}
    for candidate in candidates:
        if candidate.stop is not Stop.MAX_TOKENS:
            found.setdefault(candidate.text, Step(candidate.text, candidate.tokens))
    return found
