"""The nouns: what flows between the stages of the loop.

All are frozen values. `presrm.files.run` reads and writes them as JSON Lines.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path


class Grade(StrEnum):
    """What a grader says of a solution. Compare by name: it has no truth value."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    NO_ANSWER = "no_answer"

    def __bool__(self) -> bool:
        """Refuse: ``if grade`` would read `INCORRECT` as true.

        Raises:
            TypeError: always.
        """
        raise TypeError("a Grade has no truth value: compare it with Grade.CORRECT")


class Status(StrEnum):
    """Whether a judgement could be made, and if not, why."""

    OK = "ok"
    UNREADABLE = "unreadable"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    ERROR = "error"


class Stop(StrEnum):
    """Why a trajectory ended.

    `NO_ROOM`: its prompt left the policy no room to write; `FILTERED`: a server withheld what was written, or would not
    read the prompt, because of what they say. Both are counted, and neither is an answer.
    """

    EOS = "eos"
    ANSWER = "answer"
    MAX_STEPS = "max_steps"
    MAX_TOKENS = "max_tokens"
    NO_ROOM = "no_room"
    FILTERED = "filtered"


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and, where known, its reference answer.

    Attributes:
        id: Unique within its problem set.
        question: The text put to the policy, verbatim.
        answer: The reference answer; none is fit for self-rewarding, not for evaluation.
        solution: A reference solution, read by the seed stage alone.
    """

    id: str
    question: str
    answer: str | None = None
    solution: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of a solution, verbatim, its delimiter included.

    Attributes:
        text: The step's text; the texts of all steps join to the solution.
        tokens: The token ids as generated (never re-tokenised, no end token), or none for text from elsewhere.
    """

    text: str
    tokens: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A problem and its steps so far: partial until `stop` says why it ended."""

    problem: Problem
    steps: tuple[Step, ...] = ()
    stop: Stop | None = None

    @property
    def text(self) -> str:
        """The solution so far."""
        return "".join(step.text for step in self.steps)

    @property
    def is_complete(self) -> bool:
        """Whether it ended, for whatever reason."""
        return self.stop is not None

    def extend(self, step: Step, stop: Stop | None = None) -> "Trajectory":
        """Give the trajectory with one more step."""
        return replace(self, steps=(*self.steps, step), stop=stop)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Proposed next steps after one prefix: what a judge is shown."""

    prefix: Trajectory
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score in [0, 1], or none and the reason.

    Raises:
        ValueError: unless `score` is none exactly when `status` is not OK, or if it lies outside [0, 1].
    """

    score: float | None
    status: Status = Status.OK
    rationale: str = ""

    def __post_init__(self) -> None:
        """Hold the law that unknown is not zero."""
        if (self.score is None) == (self.status is Status.OK):
            raise ValueError(f"score {self.score!r} contradicts status {self.status.value!r}")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score {self.score!r} lies outside [0, 1]")


LEAST_MASS = 0.1
"""A direct verdict whose two words together have a smaller probability is unreadable."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one question.

    Attributes:
        probability: That the first word holds (explained: 0 or 1), or none if it cannot be read.
        status: OK, or why not.
        rationale: The reply, or the two probabilities.
    """

    probability: float | None
    status: Status = Status.OK
    rationale: str = ""

    def judgement(self) -> Judgement:
        """Take the probability for a score."""
        return Judgement(self.probability, self.status, self.rationale)


@dataclass(frozen=True, slots=True)
class Expansion:
    """A prefix, its candidates, their judgements, and which candidate was kept.

    Attributes:
        parent: The (expansion, candidate) whose step the prefix ends with; none at the first step.
        steps: The candidates, duplicates included, in the order sampled.
        stops: Why the solution ends with each candidate, none where it goes on.
        judgements: One for each candidate.
        kept: The candidates that were continued or ended a solution; none on a tie.
    """

    parent: tuple[int, int] | None
    steps: tuple[Step, ...]
    stops: tuple[Stop | None, ...]
    judgements: tuple[Judgement, ...]
    kept: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchTree:
    """All expansions of one problem in the order made: an append-only log.

    Attributes:
        problem: What was searched.
        expansions: Prefixes are not repeated: each points to its parent.
        solutions: The (expansion, candidate) pairs that ended a solution.
        dropped: Expansions that a roll-back discarded, in the order of the roll-backs.
        given_up: Why the search ended without a solution, or none.
    """

    problem: Problem
    expansions: tuple[Expansion, ...] = ()
    solutions: tuple[tuple[int, int], ...] = ()
    dropped: tuple[int, ...] = ()
    given_up: str | None = None

    def prefix(self, expansion: int) -> Trajectory:
        """Rebuild the partial trajectory that expansion number `expansion` continues."""
        steps: list[Step] = []
        parent = self.expansions[expansion].parent
        while parent is not None:
            made_by = self.expansions[parent[0]]
            steps.append(made_by.steps[parent[1]])
            parent = made_by.parent
        return Trajectory(self.problem, tuple(reversed(steps)))

    def solution_trajectories(self) -> Iterator[Trajectory]:
        """Rebuild each complete trajectory."""
        for expansion, candidate in self.solutions:
            made_by = self.expansions[expansion]
            yield self.prefix(expansion).extend(made_by.steps[candidate], made_by.stops[candidate])


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two steps after one prefix, of which the judge preferred the first.

    Attributes:
        id: ``<problem id>/<expansion>``, or ``<problem id>/<expansion>/<candidate>`` where `rejected` is that candidate
            and not the lowest: leads to the judgements that it came from.
        prefix: The partial trajectory before the step.
        chosen: The preferred step.
        rejected: The other.
        margin: Difference of their scores, in (0, 1].
        chosen_stop: Why the solution ends with `chosen`; the end token is trained only for `Stop.EOS`.
        rejected_stop: The same for `rejected`.
    """

    id: str
    prefix: Trajectory
    chosen: Step
    rejected: Step
    margin: float
    chosen_stop: Stop | None = None
    rejected_stop: Stop | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights of a policy, by where they are.

    Attributes:
        model: Hub id, folder, ``.gguf`` file or ``embedded``: the whole model, or the base of `adapter`.
        adapter: Folder of a LoRA adapter on top of `model`, or none.
    """

    model: str
    adapter: Path | None = None


@dataclass(frozen=True, slots=True)
class LabelledSteps:
    """A right and a wrong next step after one right prefix; none where only the other is known."""

    prefix: Trajectory
    good: Step | None
    bad: Step | None
