"""Is the judge any good? Measured on held-out problems, never trained on.

Two figures: on a fixed set of made-up pairs, and, the one that counts, on the policy's own sibling candidates of which
exactly one is right. A judge can have the first and lack the second.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from presrm.errors import JudgeError, boundary
from presrm.prompts import PromptSet
from presrm.protocols import Generator, Judge, Request, Sampling, StepSplitter
from presrm.seeding import derive_seed
from presrm.statistics import wilson_interval
from presrm.training.eft import LabelledSteps
from presrm.types import Candidates, Judgement, Problem, Status, Step, Stop, Trajectory

StepLabeller = Callable[[Trajectory, Step], bool | None]
"""Says whether a step is right after a prefix, or none where that cannot be told."""


@dataclass(frozen=True, slots=True)
class JudgeAccuracy:
    """How often a judge prefers the right one of two steps.

    Attributes:
        num: Pairs judged.
        correct: The right step scored higher.
        ties: Both scored alike: not correct.
        unreadable: No score for one of them: not correct, and shown apart.
        accuracy: correct / num; none where there were no pairs.
        interval: Its 95 % Wilson interval, or none. It takes pairs for independent: too narrow where they share steps.
    """

    num: int
    correct: int
    ties: int
    unreadable: int
    accuracy: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Siblings:
    """The judge on the policy's own candidates.

    Attributes:
        accuracy: On every two siblings of which exactly one is right.
        num_expansions: Expansions sampled.
        num_with_pair: Of them, those that hold such a pair: where the judge can teach anything at all.
    """

    accuracy: JudgeAccuracy
    num_expansions: int
    num_with_pair: int


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of one policy's judge; none where it cannot be measured."""

    fixed: JudgeAccuracy | None
    siblings: Siblings | None


def judge_pairs(pairs: Sequence[LabelledSteps], judge: Judge) -> JudgeAccuracy:
    """Let `judge` compare the two steps of every pair, with one call.

    Every other pair shows the bad step first: a judge that goes by the position alone is right on half of them.

    Raises:
        JudgeError: if the judge raises, or does not give one judgement for each step.
    """
    whole = [(pair.prefix, pair.good, pair.bad) for pair in pairs if pair.good and pair.bad]
    items = [
        Candidates(prefix, (bad, good) if place % 2 else (good, bad)) for place, (prefix, good, bad) in enumerate(whole)
    ]
    correct = ties = unreadable = 0
    for place, judged in enumerate(_ask(judge, items)):
        good, bad = reversed(judged) if place % 2 else judged
        if good.status is not Status.OK or bad.status is not Status.OK:
            unreadable += 1
        elif good.score == bad.score:
            ties += 1
        elif good.score is not None and bad.score is not None:
            correct += good.score > bad.score
    num = len(items)
    return JudgeAccuracy(num, correct, ties, unreadable, correct / num if num else None, wilson_interval(correct, num))


def _ask(judge: Judge, items: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
    """Call the judge once and check the shape of what it gives."""
    if not items:
        return []
    culprit = f"judge {type(judge).__name__!r}"
    with boundary(JudgeError, culprit):
        judged = [tuple(judgements) for judgements in judge.judge(items)]
    if [len(judgements) for judgements in judged] != [2] * len(items):
        raise JudgeError(f"{culprit} did not give two judgements for each of {len(items)} pairs")
    return judged


def judge_siblings(
    problems: Sequence[Problem],
    generator: Generator,
    judge: Judge,
    prompts: PromptSet,
    splitter: StepSplitter,
    label: StepLabeller,
    *,
    num: int,
    sampling: Sampling,
    max_steps: int,
    seed: int,
) -> Siblings:
    """Sample candidates along a path of each problem, and judge every two siblings of which exactly one is right.

    The path goes on with the first candidate. All problems are taken a step further at once.

    Args:
        problems: Held-out problems.
        generator: Proposes the steps.
        judge: Is measured.
        prompts: Renders the question.
        splitter: Cuts the steps.
        label: Tells right from wrong.
        num: Candidates a step.
        sampling: Of the candidates.
        max_steps: Longest path.
        seed: Of the draws.
    """
    pairs: list[LabelledSteps] = []
    num_expansions = num_with_pair = 0
    live = [Trajectory(problem) for problem in problems]
    for depth in range(max_steps):
        requests = [
            Request(
                prompts.solve(prefix), num, sampling, splitter, derive_seed(seed, "siblings", prefix.problem.id, depth)
            )
            for prefix in live
        ]
        following = []
        for prefix, candidates in zip(live, generator.generate(requests), strict=True):
            num_expansions += 1
            whole = {c.text: Step(c.text, c.tokens) for c in candidates if c.stop is not Stop.MAX_TOKENS}
            found = _label_pairs(prefix, list(whole.values()), label)
            num_with_pair += bool(found)
            pairs += found
            first = candidates[0]
            if first.stop is None:
                following.append(prefix.extend(Step(first.text, first.tokens)))
        live = following
        if not live:
            break
    return Siblings(judge_pairs(pairs, judge), num_expansions, num_with_pair)


def _label_pairs(prefix: Trajectory, steps: Sequence[Step], label: StepLabeller) -> list[LabelledSteps]:
    labels = [label(prefix, step) for step in steps]
    pairs = []
    for a, b in combinations(range(len(steps)), 2):
        if {labels[a], labels[b]} == {True, False}:
            good, bad = (a, b) if labels[a] else (b, a)
            pairs.append(LabelledSteps(prefix, steps[good], steps[bad]))
    return pairs
