"""The world of the embedded policy: clean judging, slipping solving.

IFT data shows how people in this world solve: they forget a carry or a borrow, count one group too few, skip an
operation. EFT data shows how they judge: always right. What follows is a policy that judges better than it solves.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from presrm.checkers.arithmetic import ArithmeticChecker
from presrm.packing.layout import Segment
from presrm.problems.arithmetic import LARGEST, Plan, apply, make_problem
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.types import Problem, Step, Trajectory

FORGETS_CARRY = 0.55
FORGETS_BORROW = 0.55
ONE_GROUP_TOO_FEW = 0.45
SKIPS = 0.12
JUDGED = 2  # steps of a solution that are judged in one lesson
DIRECT = 0.25  # share of verdicts learned without working them out


def slip(operator: str, left: int, right: int) -> int | None:
    """The result that the slip of this world gives, or none where it cannot happen."""
    if operator == "+" and left % 10 + right % 10 >= 10:
        return left + right - 10
    if operator == "-" and left % 10 < right % 10:
        return left - right + 10
    if operator == "*":
        return left * (right - 1)
    return None


RATES = {"+": FORGETS_CARRY, "-": FORGETS_BORROW, "*": ONE_GROUP_TOO_FEW}


@dataclass(frozen=True)
class State:
    """Where a solution stands: the number reached and how many operations are done."""

    value: int
    done: int


def write(left: int, operator: str, right: int, result: int) -> str:
    """Write a step."""
    return f" {left} {operator} {right} = {result}\n"


def fits(plan: Plan, state: State) -> bool:
    """Whether the rest of the plan stays within the numbers of this world."""
    value = state.value
    for operator, n in plan.operations[state.done :]:
        if not 0 <= value <= LARGEST:
            return False
        value = apply(operator, value, n)
    return 0 <= value <= LARGEST


def human_step(plan: Plan, state: State, rng: random.Random) -> tuple[str, State]:
    """Write the next step as the people of this world do: with slips, where these leave a solvable rest."""
    slips, skips = rng.random(), rng.random() < SKIPS and 0 < state.done < len(plan.operations) - 1
    for skip, slipping in ((1, True), (1, False), (0, True), (0, False)):
        if skip and not skips:
            continue
        operator, right = plan.operations[state.done + skip]
        if slipping and (slip(operator, state.value, right) is None or slips >= RATES[operator]):
            continue
        result = _result(operator, state.value, right, slipping)
        after = State(result, state.done + skip + 1)
        if fits(plan, after):
            break
    return write(state.value, operator, right, result), after


def _result(operator: str, left: int, right: int, slipping: bool) -> int:
    slipped = slip(operator, left, right) if slipping else None
    return apply(operator, left, right) if slipped is None else slipped


def right_step(plan: Plan, state: State) -> tuple[str, State]:
    """Write the right next step."""
    if state.done == len(plan.operations):
        return f"#### {state.value}", State(state.value, state.done + 1)
    operator, right = plan.operations[state.done]
    result = apply(operator, state.value, right)
    return write(state.value, operator, right, result), State(result, state.done + 1)


def wrong_step(plan: Plan, state: State, rng: random.Random, misreads: float = 0.0) -> str:
    """Write a wrong next step: a number misread (with probability `misreads`), a slip of this world, or else."""
    right_text, _ = right_step(plan, state)
    if state.done == len(plan.operations):
        others = [n for _, n in plan.operations] + [plan.start, state.value + rng.choice((-10, -1, 1, 10))]
        return f"#### {abs(rng.choice(others))}"
    text = right_text
    while text == right_text:
        if rng.random() < misreads:
            text = _misread(plan, state, rng)
        else:
            text = human_step(plan, state, rng)[0] if rng.random() < 0.7 else _other_mistake(plan, state, rng)
    return text


def _misread(plan: Plan, state: State, rng: random.Random) -> str:
    """Do the right operation on a number misread: another one, or the digits of two run together."""
    operator, right = plan.operations[state.done]
    other = rng.choice([plan.start, state.value, rng.randint(0, LARGEST), *(n for _, n in plan.operations)]) % 100
    mixed = (other, right - right % 10 + other % 10, other - other % 10 + right % 10)
    return write(state.value, operator, n := rng.choice(mixed), abs(apply(operator, state.value, n)))


def _other_mistake(plan: Plan, state: State, rng: random.Random) -> str:
    operator, right = plan.operations[state.done]
    left, result = state.value, apply(operator, state.value, right)
    kind = rng.random()
    if kind < 0.5:
        result += rng.choice((-10, -2, -1, 1, 2, 10))
    elif kind < 0.7:
        operator = rng.choice([o for o in "+-*" if o != operator])
        result = apply(operator, left, right)
    elif kind < 0.85:
        left = rng.choice([plan.start, left + rng.choice((-1, 1, 10))])
        result = apply(operator, left, right)
    else:
        operator, right = rng.choice(plan.operations)
        result = apply(operator, left, right)
    return write(max(left, 0), operator, right, max(result, 0))


def is_right(problem: Problem, before: list[str], text: str) -> bool:
    """Whether `text` is the right step after `before`."""
    (labels,) = ArithmeticChecker().check([Trajectory(problem, tuple(map(Step, (*before, text))))])
    return labels[-1] is True


@dataclass(frozen=True)
class Lesson:
    """One problem as training sees it: a tree of segments, and what the loss is taken on.

    Attributes:
        segments: For `presrm.packing.layout.pack`.
        solve: Numbers of the segments whose every token is learned (IFT).
        workings: Numbers of the segments that work the step out before a verdict, or close the reply (EFT).
        verdicts: Numbers of the segments whose only token is a verdict (EFT).
    """

    segments: list[Segment]
    solve: list[int]
    workings: list[int]
    verdicts: list[int]


class Teacher:
    """Makes lessons: a solution with slips to imitate, and clean verdicts on every one of its steps."""

    def __init__(self, encoder: PromptEncoder, prompts: PromptSet, misreads: float = 0.0) -> None:
        self.encoder = encoder
        self.misreads = misreads
        self.prompts = prompts
        encoder.content = lru_cache(100_000)(encoder.content)  # type: ignore[method-assign]
        encoder.scaffold = lru_cache(1_000)(encoder.scaffold)  # type: ignore[method-assign]

    def lesson(self, problem: Problem, rng: random.Random) -> Lesson:
        """Draw one lesson on `problem`."""
        encoder, plan = self.encoder, Plan.of(problem)
        steps = self._solution(plan, rng, slips=True)
        solve = self.prompts.solve(Trajectory(problem))
        question = encoder.trunk(solve)
        segments = [Segment(tuple(question)), Segment(tuple(encoder.tail(solve)), 0)]
        segments.append(Segment((*(i for s in steps for i in encoder.content(s)), encoder.eos_id), 1))
        lesson = Lesson(segments, [2], [], [])
        path = steps if rng.random() < 0.5 else self._solution(plan, rng, slips=False)
        state, trunk = State(plan.start, 0), 0
        depths = [0.3 if text.startswith("#") else 1.0 for text in path]
        judged = set(rng.choices(range(len(path)), depths, k=JUDGED))
        for depth, text in enumerate(path[: max(judged) + 1]):
            if depth in judged:
                prefix = Trajectory(problem, tuple(Step(s) for s in path[:depth]))
                right, _ = right_step(plan, state)
                trunk = self._judge(lesson, prefix, right, wrong_step(plan, state, rng, self.misreads), trunk, rng)
            state = _after(plan, state, text)
        return lesson

    def _solution(self, plan: Plan, rng: random.Random, *, slips: bool) -> list[str]:
        state, steps = State(plan.start, 0), []
        while state.done < len(plan.operations):
            text, state = human_step(plan, state, rng) if slips else right_step(plan, state)
            steps.append(text)
        return [*steps, f"#### {state.value}"]

    def _judge(self, lesson: Lesson, prefix: Trajectory, right: str, wrong: str, trunk: int, rng: random.Random) -> int:
        """Hang the questions about one pair of steps off the trunk; give the trunk's new end."""
        a, b = Step(right), Step(wrong)
        direct = rng.random() < DIRECT
        one, flag = rng.choice(((a, "yes"), (b, "no")))
        asked = [
            (self.prompts.pairwise(prefix, a, b, direct=direct), "A"),
            (self.prompts.pairwise(prefix, b, a, direct=direct), "B"),
            (self.prompts.pointwise(prefix, one, direct=direct), flag),
        ]
        new = self.encoder.parts(asked[0][0].trunk[1:])
        have = self._length(lesson, trunk)
        lesson.segments.append(Segment(tuple(new[have:]), trunk))
        trunk = len(lesson.segments) - 1
        for prompt, verdict in asked:
            self._hang(lesson, trunk, self.encoder.tail(prompt))
            if not direct:
                self._hang(lesson, None, [*self.encoder.content(right), *self.encoder.scaffold("[[")], lesson.workings)
            self._hang(lesson, None, self.encoder.scaffold(verdict), lesson.verdicts)
            self._hang(lesson, None, [*self.encoder.scaffold("]]"), self.encoder.eos_id], lesson.workings)
        return trunk

    @staticmethod
    def _hang(lesson: Lesson, parent: int | None, ids: list[int], learned: list[int] | None = None) -> None:
        """Add a segment behind `parent` (none: behind the last one)."""
        lesson.segments.append(Segment(tuple(ids), len(lesson.segments) - 1 if parent is None else parent))
        if learned is not None:
            learned.append(len(lesson.segments) - 1)

    @staticmethod
    def _length(lesson: Lesson, trunk: int) -> int:
        """Tokens of the judge trunk so far, the question not counted."""
        total = 0
        while trunk != 0:
            total += len(lesson.segments[trunk].ids)
            trunk = lesson.segments[trunk].parent or 0
        return total


def _after(plan: Plan, state: State, text: str) -> State:
    if text.startswith("#"):
        return State(state.value, state.done + 1)
    _, operator, right, _, result = text.split()
    ahead = plan.operations[state.done :]
    skipped = ahead.index((operator, int(right))) if (operator, int(right)) in ahead else 0
    return State(int(result), state.done + 1 + skipped)


def corpus(num: int, seed: int) -> Iterator[Problem]:
    """Endless-as-needed training problems (not deduplicated: the world is larger than any run)."""
    rng = random.Random(seed)
    for _ in range(num):
        yield make_problem(rng)
