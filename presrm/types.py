"""The nouns: what flows between the stages of the loop.

All are frozen values. `presrm.files` reads and writes them as JSON Lines.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from numbers import Real
from pathlib import Path
from typing import Any


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


UNFINISHED = frozenset({Stop.MAX_TOKENS, Stop.NO_ROOM, Stop.FILTERED})
"""A text that ended so is not whole: it is counted by its stop, but never judged, kept or learned from."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question and, where known, its reference answer.

    Attributes:
        id: Unique within its problem set.
        question: The text put to the policy, verbatim.
        answer: The reference answer; none is fit for self-rewarding, not for evaluation.
        solution: A reference solution, read by the seed stage alone.
        kind: What kind of problem it is. It names what can check its steps, where anything can (`presrm.checkers`).
            ``pairwise``, ``pointwise``, ``listwise`` and ``first-error`` are questions to a judge about `shown`; the
            first two may have ``-direct`` behind them, and all ``-hinted``: then the right verdict is told, too.
        shown: What a judge is shown, where the solution is a judgement: then `answer` is the right verdict, see
            `presrm.judging.problems`.
        system: A system turn that a policy is shown before the question, or none.
        history: Earlier turns that it is shown before the question: what was asked, and the reply.
    """

    id: str
    question: str
    answer: str | None = None
    solution: str | None = None
    kind: str = "text"
    shown: "Candidates | None" = None
    system: str | None = None
    history: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One unit of a solution, verbatim, its delimiter included.

    Attributes:
        text: The step's text; the texts of all steps join to the solution.
        tokens: The token ids as generated (never re-tokenised, no end token), or none for text from elsewhere.
        stop: Why the solution ends with this step; none where it goes on. The end token is trained only for `Stop.EOS`.
    """

    text: str
    tokens: tuple[int, ...] | None = None
    stop: Stop | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the policy wrote it to its end: neither cut off, nor without room to begin, nor withheld."""
        return self.stop not in UNFINISHED


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A problem and its steps so far: partial until its last step says why it ended."""

    problem: Problem
    steps: tuple[Step, ...] = ()

    @property
    def stop(self) -> Stop | None:
        """Why it ended, or none."""
        return self.steps[-1].stop if self.steps else None

    @property
    def text(self) -> str:
        """The solution so far."""
        return "".join(step.text for step in self.steps)

    @property
    def is_complete(self) -> bool:
        """Whether it ended, for whatever reason."""
        return self.stop is not None

    def extend(self, step: Step) -> "Trajectory":
        """Give the trajectory with one more step."""
        return replace(self, steps=(*self.steps, step))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Proposed next steps after one prefix: what a judge is shown."""

    prefix: Trajectory
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """A score in [0, 1], or none and the reason.

    Attributes:
        score: None where `status` is not OK. Any real number is taken, one of numpy or torch, too, as Python's own.
        status: OK, or why not.
        rationale: What the judge wrote.
        contradicted: Of a judge that compares every two candidates in both orders, the siblings (``short_hash`` of the
            text, as in the ledger) for which both verdicts name the one shown first, or both the one shown second; none
            where not both orders are asked.

    Raises:
        ValueError: unless `score` is none exactly when `status` is not OK, or if it lies outside [0, 1] or is no number
            (true and false are none), or if `rationale` is no text.
    """

    score: float | None
    status: Status = Status.OK
    rationale: str = ""
    contradicted: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Hold the law that unknown is not zero."""
        if not isinstance(self.status, Status):
            raise ValueError(f"status {self.status!r:.80} is no Status")
        if not isinstance(self.rationale, str):
            raise ValueError(f"rationale {self.rationale!r:.80} is no text")
        if self.score is not None and type(self.score) is not float:
            object.__setattr__(self, "score", _own_number(self.score))
        if (self.score is None) == (self.status is Status.OK):
            raise ValueError(f"score {self.score!r} contradicts status {self.status.value!r}")
        if self.score is not None and not 0.0 <= self.score <= 1.0:
            raise ValueError(f"score {self.score!r} lies outside [0, 1]")


def _own_number(score: Any) -> float:
    """Give a number that may be one of numpy or torch as Python has it: only that can be written to a file."""
    number = score.item() if hasattr(score, "item") else score
    is_real = isinstance(number, Real) and not isinstance(number, bool)
    if not is_real:
        raise ValueError(f"score {score!r:.80} is no real number")
    return number if isinstance(number, int) else float(number)


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
class Candidate:
    """A proposed next step and what was thought of it.

    Attributes:
        step: The step.
        judgement: The judge's.
        worth: What the search came to think of the path that ends with it, where the search thinks in paths.
    """

    step: Step
    judgement: Judgement
    worth: float | None = None


@dataclass(frozen=True, slots=True)
class Expansion:
    """A prefix, its candidates with their judgements, and which candidate was kept.

    Attributes:
        parent: The (expansion, candidate) whose step the prefix ends with; none at the first step.
        candidates: Duplicates included, in the order sampled.
        kept: The candidates that were continued or ended a solution; none on a tie.
    """

    parent: tuple[int, int] | None
    candidates: tuple[Candidate, ...]
    kept: tuple[int, ...] = ()

    @property
    def whole(self) -> dict[str, Candidate]:
        """The first candidate of each text, in the order sampled, without those that are not whole."""
        found: dict[str, Candidate] = {}
        for candidate in self.candidates:
            if candidate.step.is_whole:
                found.setdefault(candidate.step.text, candidate)
        return found

    @property
    def scores(self) -> dict[int, float]:
        """The readable scores, by number of the candidate."""
        judged = enumerate(candidate.judgement.score for candidate in self.candidates)
        return {number: score for number, score in judged if score is not None}


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

    def path(self, end: tuple[int, int] | None) -> list[tuple[int, int]]:
        """Give the (expansion, candidate) of every step from the first to `end`."""
        places: list[tuple[int, int]] = []
        while end is not None:
            places.append(end)
            end = self.expansions[end[0]].parent
        return places[::-1]

    def trajectory(self, end: tuple[int, int] | None) -> Trajectory:
        """Rebuild the trajectory whose last step is the (expansion, candidate) `end`."""
        steps = (self.expansions[number].candidates[candidate].step for number, candidate in self.path(end))
        return Trajectory(self.problem, tuple(steps))

    def prefix(self, expansion: int) -> Trajectory:
        """Rebuild the partial trajectory that expansion number `expansion` continues."""
        return self.trajectory(self.expansions[expansion].parent)

    def solution_trajectories(self) -> Iterator[Trajectory]:
        """Rebuild each complete trajectory."""
        return map(self.trajectory, self.solutions)


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """Two steps after one prefix, of which the judge preferred the first.

    Attributes:
        id: ``<iteration>/<problem id>/<expansion>``, with ``/<candidate>`` behind it where `rejected` is that candidate
            and not the lowest: leads to the judgements that it came from. Pairs from elsewhere have ids of their own.
        prefix: The partial trajectory before the step.
        chosen: The preferred step.
        rejected: The other.
        margin: Difference of their scores, in (0, 1].
        doubt: Probability, in [0, 1], that the judge put them the wrong way round, where something says how sure it is.
    """

    id: str
    prefix: Trajectory
    chosen: Step
    rejected: Step
    margin: float
    doubt: float = 0.0


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A step, or a whole solution, to imitate.

    Attributes:
        id: Unique within its file.
        prefix: What it follows.
        reply: What is imitated.
        weight: How much it counts beside others.
    """

    id: str
    prefix: Trajectory
    reply: Step
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """A step, or a whole solution, that was sampled, and the reward that it got.

    Attributes:
        id: Unique within its file.
        prefix: What it follows.
        completion: What was sampled.
        reward: What it got, or none where that is unknown: then it has no part in the statistics of its group.
        group: Names the attempts that it is compared with: those at one prefix.
    """

    id: str
    prefix: Trajectory
    completion: Step
    reward: float | None
    group: str


Lesson = PreferencePair | Demonstration | Attempt
"""What a policy is trained on."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The weights of a policy, by where they are.

    Attributes:
        model: Hub id, folder, ``.gguf`` file, ``embedded`` or the address of a server: the whole model, or the base of
            `adapter`. An address is only ever typed by a user: what a file names is a folder or a Hub id.
        adapter: Folder of a LoRA adapter on top of `model`, or none.
    """

    model: str
    adapter: Path | None = None

    @property
    def is_remote(self) -> bool:
        """Whether the model is named by an address, well-formed or not; no folder and no Hub id is written so."""
        return "://" in self.model or self.model.strip().casefold().startswith(("http:", "https:"))


@dataclass(frozen=True, slots=True)
class LabelledSteps:
    """A right and a wrong next step after one right prefix; none where only the other is known."""

    prefix: Trajectory
    good: Step | None
    bad: Step | None


@dataclass(frozen=True, slots=True)
class LabelledSolution:
    """A solution whose first wrong step is known.

    Attributes:
        solution: All of its steps, or those up to the first wrong one at least.
        first_error: 0-based index of that step, -1 if none is wrong.
        right: A right step in the place of the wrong one, where one is known.
    """

    solution: Trajectory
    first_error: int
    right: Step | None = None
