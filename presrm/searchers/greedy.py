"""The paper's search (section 3.3): the best of w candidates continues; a tie takes back the step before.

What the paper leaves open is decided here and in `presrm.config.SearchConfig`; ``docs/paper.md`` lists it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Annotated, Literal

from pydantic import Field

from presrm.config import SearchConfig
from presrm.prompts import PromptSet
from presrm.protocols import Generator, Judge, StepSplitter, keeping
from presrm.searchers.expanding import Expander, Place, why_none_is_whole
from presrm.types import Expansion, Problem, SearchTree, Trajectory


class GreedySearcher:
    """Follows one path a problem and keeps the best candidate of each step.

    Of several best ones the first sampled continues. A candidate that was cut off is never judged and never kept.

    Args:
        prompts: The set whose ``solve`` template is asked.
        splitter: Cuts the steps.
        settings: Of the search.
        tie_tolerance: Readable scores of distinct candidates tie if their max - min is at most this.
        seed: Every draw derives from it.
        max_rollbacks: Roll-backs a problem may cost before it is given up.
        unanimous: Where there is one distinct candidate only: go on with it, or roll back as after a tie.
    """

    def __init__(
        self,
        prompts: PromptSet,
        splitter: StepSplitter,
        settings: SearchConfig,
        *,
        tie_tolerance: float,
        seed: int,
        max_rollbacks: Annotated[int, Field(ge=0)] = 5,
        unanimous: Literal["accept", "roll_back"] = "accept",
    ) -> None:
        self._expander = Expander(prompts, splitter, settings, seed=seed)
        self._group_size = settings.group_size
        self._tie_tolerance = tie_tolerance
        self._max_rollbacks = max_rollbacks
        self._unanimous = unanimous

    def search(
        self, problems: Sequence[Problem], generator: Generator, judge: Judge, start: int = 0
    ) -> Iterator[SearchTree]:
        """Search every problem; trees come in order, when their whole lockstep group is finished.

        Args:
            problems: What to solve.
            generator: Proposes the steps.
            judge: Scores them.
            start: Index of ``problems[0]``, where a group begins, in the whole list. Seeds go by the index in the whole
                list, so a group gives the same trees whether or not the groups before it are searched now.

        Raises:
            JudgeError: if the judge raises, or does not give one judgement for each candidate.
        """
        indexed = enumerate(problems, start)
        while group := list(islice(indexed, self._group_size)):
            walks = [_Walk(index, problem) for index, problem in group]
            with keeping(generator):
                while live := [walk for walk in walks if not walk.is_finished]:
                    self._expand(live, generator, judge)
            yield from (walk.tree() for walk in walks)

    def _expand(self, walks: "Sequence[_Walk]", generator: Generator, judge: Judge) -> None:
        """Take every walk one expansion further."""
        places = [
            Place(walk.prefix, walk.path[-1] if walk.path else None, walk.index, len(walk.expansions)) for walk in walks
        ]
        for walk, expansion in zip(walks, self._expander.expand(places, generator, judge), strict=True):
            walk.expansions.append(expansion)
            self._decide(walk)

    def _decide(self, walk: "_Walk") -> None:
        """Go on with the best candidate of the last expansion, roll back, or give up."""
        last = walk.expansions[-1]
        whole = [i for i, candidate in enumerate(last.candidates) if candidate.step.is_whole]
        if not whole:
            walk.given_up = why_none_is_whole(last)
            return
        if len(last.whole) == 1:
            if self._unanimous == "roll_back":
                self._roll_back(walk, "one distinct candidate")
            else:
                walk.keep(whole[0])
            return
        scores = last.scores
        if not scores:
            walk.given_up = "no judgement was readable"
        elif (
            len({last.candidates[i].step.text for i in scores}) > 1
            and max(scores.values()) - min(scores.values()) <= self._tie_tolerance
        ):
            self._roll_back(walk, "a tie")
        else:
            walk.keep(max(scores, key=scores.__getitem__))

    def _roll_back(self, walk: "_Walk", cause: str) -> None:
        """Drop the step before, with its pair, so that it is expanded anew; or give up."""
        if not walk.path:
            walk.given_up = f"{cause} at the first step"
        elif len(walk.dropped) == self._max_rollbacks:
            walk.given_up = f"{cause} after {self._max_rollbacks} roll-backs"
        else:
            expansion, _ = walk.path.pop()
            walk.dropped.append(expansion)


@dataclass
class _Walk:
    """The search of one problem so far.

    Attributes:
        index: Of the problem in the whole list.
        problem: What is searched.
        expansions: All of them, in the order made.
        path: The (expansion, candidate) of each step of the current prefix.
        dropped: Expansions that were rolled back.
        solution: The (expansion, candidate) that ended the search, or none.
        given_up: Why the search ended without one, or none.
    """

    index: int
    problem: Problem
    expansions: list[Expansion] = field(default_factory=list)
    path: list[tuple[int, int]] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    solution: tuple[int, int] | None = None
    given_up: str | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to expand."""
        return self.solution is not None or self.given_up is not None

    @property
    def prefix(self) -> Trajectory:
        """The steps kept so far."""
        return Trajectory(
            self.problem, tuple(self.expansions[number].candidates[kept].step for number, kept in self.path)
        )

    def keep(self, candidate: int) -> None:
        """Go on with a candidate of the last expansion."""
        last = self.expansions[-1]
        self.expansions[-1] = replace(last, kept=(candidate,))
        self.path.append((len(self.expansions) - 1, candidate))
        if last.candidates[candidate].step.stop is not None:
            self.solution = self.path[-1]

    def tree(self) -> SearchTree:
        """Freeze what was found."""
        solutions = () if self.solution is None else (self.solution,)
        return SearchTree(self.problem, tuple(self.expansions), solutions, tuple(self.dropped), self.given_up)
