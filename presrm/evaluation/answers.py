"""A policy's greedy answers on held-out problems: graded, scored, and compared with those of another policy."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

from presrm.prompts import PromptSet
from presrm.protocols import Generator, Grader, Request, Sampling, StepSplitter
from presrm.statistics import Figure, mcnemar_exact, mean, share
from presrm.types import Grade, Problem, Stop, Trajectory


@dataclass(frozen=True, slots=True)
class Answer:
    """What a policy answered to one problem.

    Attributes:
        problem_id: Which.
        solution: As written.
        num_tokens: Of the solution.
        num_steps: By the splitter.
        stop: Why it ended; `Stop.MAX_TOKENS`: cut off, `Stop.NO_ROOM`: never begun.
        extracted: The final answer found in it, or none.
        grade: Against the reference.
    """

    problem_id: str
    solution: str
    num_tokens: int
    num_steps: int
    stop: Stop | None
    extracted: str | None
    grade: Grade


@dataclass(frozen=True, slots=True)
class Scores:
    """What the answers come to. A solution without an answer is not correct, and is shown apart.

    Attributes:
        accuracy: Share of the problems solved.
        correct: Problems whose solution is graded correct.
        incorrect: With a wrong answer.
        no_answer: Where no answer could be extracted.
        truncated: Cut off at the token limit (whatever their grade).
        no_room: Not written: the prompt leaves no room for a reply.
        mean_steps: Steps a solution.
        mean_step_tokens: Tokens a step; none where no solution has a step.
        mean_tokens: Tokens a solution.
    """

    accuracy: Figure
    correct: int
    incorrect: int
    no_answer: int
    truncated: int
    no_room: int
    mean_steps: float
    mean_step_tokens: float | None
    mean_tokens: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two policies on the same problems.

    Attributes:
        difference: Of the accuracies, after - before, over problems. No interval where nothing changed.
        p_value: Of the exact McNemar test.
        solved: Problems that only the later one solves.
        lost: Problems that only the earlier one solves.
    """

    difference: Figure
    p_value: float
    solved: tuple[str, ...]
    lost: tuple[str, ...]


def evaluate(
    problems: Sequence[Problem],
    generator: Generator,
    prompts: PromptSet,
    grader: Grader,
    *,
    sampling: Sampling,
    splitter: StepSplitter,
    group_size: int,
) -> Iterator[Answer]:
    """Solve problems and grade the solutions; answers come in lockstep groups, in the problems' order.

    Raises:
        ValueError: for a problem without a reference answer.
    """
    left = iter(problems)
    while group := list(islice(left, group_size)):
        requests = [Request(prompts.solve(Trajectory(problem)), sampling=sampling) for problem in group]
        for problem, (completion,) in zip(group, generator.generate(requests), strict=True):
            if problem.answer is None:
                raise ValueError(f"problem {problem.id!r} has no answer to grade against")
            yield Answer(
                problem.id,
                completion.text,
                len(completion.tokens or ()),
                len(splitter.split(completion.text)),
                completion.stop,
                grader.extract(completion.text),
                grader.grade(completion.text, problem.answer),
            )


def score(answers: Sequence[Answer]) -> Scores:
    """Sum up answers.

    Raises:
        ValueError: if there are none.
    """
    num = len(answers)
    counts = {grade: sum(answer.grade is grade for answer in answers) for grade in Grade}
    if not answers:
        raise ValueError("no answers to score")
    num_tokens, num_steps = (sum(answer.num_tokens for answer in answers), sum(answer.num_steps for answer in answers))
    return Scores(
        share([answer.grade is Grade.CORRECT for answer in answers]),
        counts[Grade.CORRECT],
        counts[Grade.INCORRECT],
        counts[Grade.NO_ANSWER],
        sum(answer.stop is Stop.MAX_TOKENS for answer in answers),
        sum(answer.stop is Stop.NO_ROOM for answer in answers),
        num_steps / num,
        num_tokens / num_steps if num_steps else None,
        fmean(answer.num_tokens for answer in answers),
    )


def compare(before: Sequence[Answer], after: Sequence[Answer]) -> Comparison:
    """Compare two policies problem by problem.

    Raises:
        ValueError: if they did not answer the same problems once each, or none.
    """
    earlier = {answer.problem_id: answer.grade is Grade.CORRECT for answer in before}
    later = {answer.problem_id: answer.grade is Grade.CORRECT for answer in after}
    if not len(earlier) == len(before) or not len(later) == len(after):
        raise ValueError(f"{len(earlier)} problems, answered {len(before)} and {len(after)} times: once each is needed")
    return compare_outcomes(earlier, later)


def compare_outcomes(earlier: Mapping[str, bool], later: Mapping[str, bool]) -> Comparison:
    """Compare two policies by which problems (by id) they solved.

    Raises:
        ValueError: if they did not answer the same problems, or none.
    """
    if earlier.keys() != later.keys() or not earlier:
        raise ValueError(f"not the same problems: {len(earlier)} against {len(later)}")
    difference = mean([float(later[name]) - float(earlier[name]) for name in earlier])
    solved = tuple(name for name in earlier if later[name] and not earlier[name])
    lost = tuple(name for name in earlier if earlier[name] and not later[name])
    return Comparison(difference, mcnemar_exact(len(lost), len(solved)), solved, lost)
