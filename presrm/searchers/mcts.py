"""Monte-Carlo tree search over steps, as in MCTS-DPO (arXiv 2405.00451): the judge's value, visits, back-up.

The tree of a problem grows expansion by expansion. Each time, the search goes down from the root to the most promising
place that is not expanded, expands it, has the judge score the new candidates, and backs the value of the best one up
the path. What comes out is a tree with a worth for every candidate: the mean of its own value and of what was seen
behind it. ``pairs.by: worth`` makes pairs of that, not of the judge's score of the step alone.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Annotated

from pydantic import Field

from presrm.config import SearchConfig
from presrm.errors import ConfigError
from presrm.prompts import PromptSet
from presrm.protocols import Composition, Generator, Judge, StepSplitter, composition_of, keeping
from presrm.searchers.expanding import Expander, Place, why_none_is_whole
from presrm.searchers.worth import compose
from presrm.types import Expansion, Judgement, Problem, SearchTree, Step, Trajectory

End = tuple[int, int]


class MctsSearcher:
    """Grows one tree a problem within a budget of descents, and keeps the path to the complete candidate of most value.

    Selection is PUCT without a prior: mean value plus ``exploration * sqrt(visits of all siblings) / (1 + visits)``. A
    candidate begins with the value that the judge's scores of its path compose to; of scores that multiply, the
    geometric mean, so that paths of different lengths compare. An unknown value is none: such a candidate is neither
    descended into nor counted. A descent that ends at a complete candidate backs its value up once more.

    Args:
        prompts: The set whose ``solve`` template is asked.
        splitter: Cuts the steps.
        settings: Of the search.
        seed: Every draw derives from it.
        num_descents: Descents of a problem, each of which makes one expansion at most (64 in the authors' code).
        exploration: Weight of places seldom visited against good ones.
    """

    def __init__(
        self,
        prompts: PromptSet,
        splitter: StepSplitter,
        settings: SearchConfig,
        *,
        seed: int,
        num_descents: Annotated[int, Field(ge=1)] = 16,
        exploration: Annotated[float, Field(ge=0)] = 1.0,
    ) -> None:
        self._expander = Expander(prompts, splitter, settings, seed=seed, judges_single=True)
        self._group_size = settings.group_size
        self._num_descents = num_descents
        self._exploration = exploration

    def search(
        self, problems: Sequence[Problem], generator: Generator, judge: Judge, start: int = 0
    ) -> Iterator[SearchTree]:
        """Search every problem; trees come in order, when their whole lockstep group is finished.

        Args:
            problems: What to solve.
            generator: Proposes the steps.
            judge: Scores them; of absolute scale, since values of different prefixes are compared.
            start: Index of ``problems[0]`` in the whole list: groups and seeds go by the index in the whole list.

        Raises:
            ConfigError: if the judge's scale is relative.
            JudgeError: if the judge raises, or does not give one judgement for each candidate.
        """
        if judge.scale == "relative":
            raise ConfigError("search.kind mcts compares steps of different prefixes: choose a judge of absolute scale")
        composition = composition_of(judge)
        indexed = enumerate(problems, start)
        while group := list(islice(indexed, self._group_size)):
            trees = [_Growing(index, problem, composition, self._exploration) for index, problem in group]
            live = trees
            with keeping(generator):
                while live := [tree for tree in live if tree.grows(self._num_descents)]:
                    places = [tree.place() for tree in live]
                    for tree, expansion in zip(live, self._expander.expand(places, generator, judge), strict=True):
                        tree.add(expansion)
            yield from (tree.freeze() for tree in trees)


@dataclass
class _Node:
    """One candidate: how often a descent passed it, and what that came to.

    Attributes:
        value: What its path is worth to the judge; none where that is unknown.
        expansion: Number of the expansion behind it, or none.
        visits: Descents that ended in it or behind it, its own judging included.
        total: Sum of their values.
    """

    step: Step
    value: float | None
    expansion: int | None = None
    visits: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        """Mean value of what was seen."""
        return self.total / self.visits


@dataclass
class _Growing:
    """The tree of one problem so far.

    Attributes:
        index: Of the problem in the whole list.
        problem: What is searched.
        composition: How scores of steps make the value of a path.
        exploration: As for `MctsSearcher`.
        expansions: In the order made.
        nodes: Of each expansion, one for each distinct text: its first candidate's number, and its node.
        goal: The path to where the tree grows next.
        num_descents: Made so far.
    """

    index: int
    problem: Problem
    composition: Composition
    exploration: float
    expansions: list[Expansion] = field(default_factory=list)
    nodes: list[dict[int, _Node]] = field(default_factory=list)
    goal: list[End] = field(default_factory=list)
    num_descents: int = 0

    def grows(self, most: int) -> bool:
        """Descend to where the tree grows next, if it does within `most` descents."""
        while self.num_descents < most:
            self.num_descents += 1
            if not self.expansions:
                return True
            self.goal = self._descend()
            if not self.goal:
                return False
            last = self._node(self.goal[-1])
            if last.step.stop is None:
                return True
            assert last.value is not None  # no descent chooses an unknown one
            self._back_up(self.goal, last.value)
        return False

    def place(self) -> Place:
        """Where the tree grows."""
        steps = tuple(self._node(end).step for end in self.goal)
        parent = self.goal[-1] if self.goal else None
        return Place(Trajectory(self.problem, steps), parent, self.index, len(self.expansions))

    def add(self, expansion: Expansion) -> None:
        """Take an expansion of the goal, and back the value of its best candidate up."""
        number = len(self.expansions)
        self.expansions.append(expansion)
        before = [self.expansions[e].candidates[c].judgement for e, c in self.goal]
        nodes: dict[int, _Node] = {}
        texts: set[str] = set()
        for i, candidate in enumerate(expansion.candidates):
            if candidate.step.is_whole and candidate.step.text not in texts:
                texts.add(candidate.step.text)
                nodes[i] = _Node(candidate.step, self._value([*before, candidate.judgement]))
        self.nodes.append(nodes)
        if self.goal:
            self._node(self.goal[-1]).expansion = number
        known = [node for node in nodes.values() if node.value is not None]
        for node in known:
            node.visits, node.total = 1, node.value or 0.0
        if known:
            self._back_up(self.goal, max(node.total for node in known))

    def _value(self, judgements: Sequence[Judgement]) -> float | None:
        """What a path is worth to the judge, whatever its length."""
        value = compose(judgements, self.composition).score
        return value ** (1 / len(judgements)) if value is not None and self.composition == "product" else value

    def _node(self, end: End) -> _Node:
        return self.nodes[end[0]][end[1]]

    def _back_up(self, path: Sequence[End], value: float) -> None:
        for end in path:
            node = self._node(end)
            node.visits += 1
            node.total += value

    def _descend(self) -> list[End]:
        """The path of the most promising candidates; empty where every one of the first step is a dead end."""
        path: list[End] = []
        expansion: int | None = 0
        while expansion is not None:
            known = {i: node for i, node in self.nodes[expansion].items() if node.value is not None}
            if not known:
                return self._dead_end(path)
            visits = sum(node.visits for node in known.values())

            def promise(i: int, known: dict[int, _Node] = known, visits: int = visits) -> float:
                node = known[i]
                return node.mean + self.exploration * math.sqrt(visits) / (1 + node.visits)

            best = max(known, key=promise)
            path.append((expansion, best))
            expansion = known[best].expansion
        return path

    def _dead_end(self, path: list[End]) -> list[End]:
        """Nothing behind the last candidate of a path can be continued: from now on it is worth nothing known."""
        if not path:
            return []
        self._node(path[-1]).value = None
        return self._descend()

    def freeze(self) -> SearchTree:
        """Give every candidate its worth; kept are those that were expanded, and the end of the solution."""
        end, given_up = self._solution()
        expansions = []
        for number, (nodes, expansion) in enumerate(zip(self.nodes, self.expansions, strict=True)):
            by_text = {node.step.text: node for node in nodes.values() if node.visits}
            candidates = tuple(
                replace(one, worth=by_text[one.step.text].mean)
                if one.step.is_whole and one.step.text in by_text
                else one
                for one in expansion.candidates
            )
            kept = [i for i, node in nodes.items() if node.expansion is not None or (number, i) == end]
            expansions.append(replace(expansion, candidates=candidates, kept=tuple(kept)))
        return SearchTree(self.problem, tuple(expansions), () if end is None else (end,), (), given_up)

    def _solution(self) -> tuple[End | None, str | None]:
        """The complete candidate of the greatest value, the first of several; else why there is none."""
        ends = [
            (node.value, (number, i))
            for number, nodes in enumerate(self.nodes)
            for i, node in nodes.items()
            if node.step.stop is not None and node.value is not None
        ]
        if ends:
            return max(ends, key=lambda found: found[0])[1], None
        if not self.nodes[0]:
            return None, why_none_is_whole(self.expansions[0])
        if not any(node.visits for nodes in self.nodes for node in nodes.values()):
            return None, "no judgement was readable"
        return None, "no solution within search.options.num_descents"
