"""The first wrong step of the policy's own solutions, found by roll-outs in a binary search: OmegaPRM, 2406.06592, 3.2.

From a prefix that is right some completion reaches the answer; from one with an error in it none does. So the error
lies behind the longest prefix from which one does, which takes log2(steps) prefixes to find instead of all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from presrm.judging.problems import LabelledProblem
from presrm.prompts import PromptSet
from presrm.protocols import Generator, Grader, Request, Sampling, StepSplitter, split_steps
from presrm.seeding import derive_seed
from presrm.types import UNFINISHED, Grade, LabelledSolution, Problem, Step, Stop, Trajectory


@dataclass(frozen=True, slots=True)
class _Search:
    """Where the first error of a wrong solution can be.

    Attributes:
        number: Of the problem.
        solution: Is wrong.
        low: So many steps lead to the answer, or, at 0, are being asked about first.
        high: So many do not.
        right: A step after the first `low`, from a completion that reached the answer.
    """

    number: int
    solution: Trajectory
    low: int
    high: int
    right: Step | None = None

    @property
    def asked(self) -> int:
        """The number of steps from which roll-outs are drawn next."""
        return (self.low + self.high) // 2 if self.right is not None else 0


def find_first_errors(
    problems: Sequence[Problem],
    generator: Generator,
    grader: Grader,
    prompts: PromptSet,
    splitter: StepSplitter,
    sampling: Sampling,
    *,
    num_completions: int = 8,
    seed: int,
) -> list[LabelledProblem]:
    """Draw one solution of each problem, and find the first wrong step where its answer is wrong.

    A solution with the right answer is taken for right. Where no completion of the question itself reaches the answer
    nothing can be told, nor where all completions of a prefix were cut off. All problems advance together.

    Args:
        problems: With answers; nothing is told of one without.
        generator: Runs the policy.
        grader: Compares answers.
        prompts: The set to solve with.
        splitter: Cuts solutions into steps.
        sampling: Of solutions and completions alike.
        num_completions: Completions a prefix (k; the paper draws 8).
        seed: Of the draws, which go by the problem.
    """
    known = [(number, problem) for number, problem in enumerate(problems) if problem.answer is not None]
    requests = [
        Request(prompts.solve(Trajectory(problem)), 1, sampling, seed=derive_seed(seed, problem.id, "solution"))
        for _, problem in known
    ]
    found: dict[int, LabelledSolution] = {}
    live: list[_Search] = []
    for (number, problem), (drawn,) in zip(known, generator.generate(requests) if requests else [], strict=True):
        steps = tuple(map(Step, split_steps(splitter, drawn.text)))
        if drawn.stop in UNFINISHED or not steps:
            continue
        solution = Trajectory(problem, (*steps[:-1], replace(steps[-1], stop=Stop.EOS)))
        if grader.grade(drawn.text, problem.answer or "") is Grade.CORRECT:
            found[number] = LabelledSolution(solution, -1)
        else:
            live.append(_Search(number, solution, 0, len(steps)))
    while live:
        requests = [_request(one, prompts, sampling, num_completions, seed) for one in live]
        following = []
        for one, ends in zip(live, generator.generate(requests), strict=True):
            prefix = "".join(step.text for step in one.solution.steps[: one.asked])
            answer, whole = one.solution.problem.answer or "", [end for end in ends if end.stop not in UNFINISHED]
            reached = [end.text for end in whole if grader.grade(prefix + end.text, answer) is Grade.CORRECT]
            narrowed = _narrow(one, reached, splitter) if whole else None
            if narrowed is None:
                continue
            if narrowed.high - narrowed.low > 1:
                following.append(narrowed)
            else:
                found[one.number] = LabelledSolution(one.solution, narrowed.low, narrowed.right)
        live = following
    return [
        LabelledProblem(problem.id, solutions=(found[number],) if number in found else ())
        for number, problem in enumerate(problems)
    ]


def _request(one: _Search, prompts: PromptSet, sampling: Sampling, num: int, seed: int) -> Request:
    prefix = Trajectory(one.solution.problem, one.solution.steps[: one.asked])
    return Request(prompts.solve(prefix), num, sampling, seed=derive_seed(seed, prefix.problem.id, one.asked))


def _narrow(one: _Search, reached: Sequence[str], splitter: StepSplitter) -> _Search | None:
    """Halve where the error can be; none if not even the question leads to the answer."""
    if not reached:
        return None if one.right is None else replace(one, high=one.asked)
    pieces = split_steps(splitter, reached[0])
    if not pieces:
        return None
    return replace(one, low=one.asked, right=Step(pieces[0], stop=Stop.EOS if len(pieces) == 1 else None))
