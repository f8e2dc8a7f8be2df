"""Beam search over steps: the paths that the judge holds most probably right go on together.

Not the paper's: a way to spend more at test time. What a path is worth follows from the scores of its steps as the
judge says (`presrm.searchers.worth`): for most judges it is their product, the probability that all of them are right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Annotated

from pydantic import Field

from presrm.config import SearchConfig
from presrm.errors import RequestError
from presrm.prompts import PromptSet
from presrm.protocols import Composition, Generator, Judge, StepSplitter, composition_of, keeping
from presrm.searchers.expanding import Expander, Place, why_none_is_whole
from presrm.searchers.worth import compose
from presrm.types import Expansion, Judgement, Problem, SearchTree, Trajectory


class BeamSearcher:
    """Keeps the best ``beam_width`` paths of each problem; an ended path keeps its place among them.

    A path of unknown worth is not kept. Equal paths count once, and of equally good ones the first found goes on. The
    search of a problem ends when all its best paths have ended.

    Args:
        prompts: The set whose ``solve`` template is asked.
        splitter: Cuts the steps.
        settings: Of the search.
        seed: Every draw derives from it.
        beam_width: Paths that go on together.
    """

    def __init__(
        self,
        prompts: PromptSet,
        splitter: StepSplitter,
        settings: SearchConfig,
        *,
        seed: int,
        beam_width: Annotated[int, Field(gt=0)] = 4,
    ) -> None:
        self._expander = Expander(prompts, splitter, settings, seed=seed, judges_single=True)
        self._group_size = settings.group_size
        self._width = beam_width

    def search(
        self, problems: Sequence[Problem], generator: Generator, judge: Judge, start: int = 0
    ) -> Iterator[SearchTree]:
        """Search every problem; trees come in order, when their whole lockstep group is finished.

        The solutions of a tree come best first.

        Args:
            problems: What to solve.
            generator: Proposes the steps.
            judge: Scores them; of absolute scale.
            start: Index of ``problems[0]``, where a group begins, in the whole list: seeds go by it.

        Raises:
            RequestError: if the judge's scores compare only within one call.
            JudgeError: if the judge raises, or does not give one judgement for each candidate.
        """
        if judge.scale == "relative":
            raise RequestError(
                "beam search compares paths by their scores, and those of a relative judge compare only among the "
                "candidates of one step; choose an absolute judge such as 'pointwise'"
            )
        indexed = enumerate(problems, start)
        while group := list(islice(indexed, self._group_size)):
            beams = [_Beam(index, SearchTree(problem)) for index, problem in group]
            with keeping(generator):
                while any(beam.live for beam in beams):
                    self._expand(beams, generator, judge)
            yield from (beam.finished() for beam in beams)

    def _expand(self, beams: "Sequence[_Beam]", generator: Generator, judge: Judge) -> None:
        """Take every live path of every problem one step further."""
        places = [
            Place(path.prefix, path.end, beam.index, len(beam.tree.expansions) + number)
            for beam in beams
            for number, path in enumerate(beam.live)
        ]
        made = iter(self._expander.expand(places, generator, judge))
        for beam in beams:
            beam.grow([next(made) for _ in beam.live], self._width, composition_of(judge))


@dataclass(frozen=True, slots=True)
class _Path:
    """A path, the judgements of its steps and its worth; `end` is the (expansion, candidate) of its last step."""

    prefix: Trajectory
    judgements: tuple[Judgement, ...] = ()
    worth: float = 1.0
    end: tuple[int, int] | None = None


@dataclass
class _Beam:
    """The search of one problem so far: its tree, and its best paths, best first."""

    index: int
    tree: SearchTree
    paths: list[_Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paths = [_Path(Trajectory(self.tree.problem))]

    @property
    def live(self) -> list[_Path]:
        """The paths that go on."""
        return [path for path in self.paths if path.prefix.stop is None]

    def grow(self, made: Sequence[Expansion], width: int, composition: Composition) -> None:
        """Put the expansions of the live paths into the tree and keep the best paths."""
        found = [path for path in self.paths if path.prefix.stop is not None]
        first = len(self.tree.expansions)
        weighed = [
            _weigh(expansion, path.judgements, composition) for path, expansion in zip(self.live, made, strict=True)
        ]
        for number, (path, expansion) in enumerate(zip(self.live, weighed, strict=True), start=first):
            for i, candidate in enumerate(expansion.candidates):
                if candidate.worth is not None:
                    judgements = (*path.judgements, candidate.judgement)
                    found.append(_Path(path.prefix.extend(candidate.step), judgements, candidate.worth, (number, i)))
        distinct: dict[tuple[str, ...], _Path] = {}
        for path in found:
            distinct.setdefault(tuple(step.text for step in path.prefix.steps), path)
        self.paths = sorted(distinct.values(), key=lambda path: -path.worth)[:width]
        kept = {path.end for path in self.paths}
        grown = [
            replace(expansion, kept=tuple(i for i in range(len(expansion.candidates)) if (number, i) in kept))
            for number, expansion in enumerate(weighed, start=first)
        ]
        self.tree = replace(self.tree, expansions=(*self.tree.expansions, *grown))

    def finished(self) -> SearchTree:
        """Give the tree, its solutions best first."""
        solutions = tuple(path.end for path in self.paths if path.end is not None)
        last = self.tree.expansions[-1]
        reason = "no candidate had a readable score" if last.whole else why_none_is_whole(last)
        given_up = None if solutions else reason
        return replace(self.tree, solutions=solutions, given_up=given_up)


def _weigh(expansion: Expansion, before: tuple[Judgement, ...], composition: Composition) -> Expansion:
    """Say what the path is worth with each candidate, after steps judged as `before`; a cut-off one has no worth."""
    candidates = (
        replace(candidate, worth=compose((*before, candidate.judgement), composition).score)
        if candidate.step.is_whole
        else candidate
        for candidate in expansion.candidates
    )
    return replace(expansion, candidates=tuple(candidates))
