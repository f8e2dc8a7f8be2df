"""Several solutions a problem: graded, voted on, and summed up.

From the same samples come pass@k, maj@k, the judge-weighted vote and the judge's best of n; a single greedy solution,
or the one that a search ended with, gives plain accuracy.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

from presrm.prompts import PromptSet
from presrm.protocols import Generator, Grader, Judge, Request, Sampling, Searcher, StepSplitter
from presrm.seeding import derive_seed
from presrm.statistics import Figure, maj_at_k, mean, pass_at_k, share
from presrm.types import Grade, Problem, SearchTree, Stop, Trajectory


@dataclass(frozen=True, slots=True)
class Sample:
    """One solution of a problem.

    Attributes:
        solution: As written.
        num_tokens: Of the solution; none where the engine does not tell.
        stop: Why it ended; `Stop.MAX_TOKENS`: cut off, `Stop.NO_ROOM`: never begun.
        extracted: The final answer found in it, or none.
        grade: Against the reference.
        score: The judge's, or none where it gave none.
    """

    solution: str
    num_tokens: int | None
    stop: Stop | None
    extracted: str | None
    grade: Grade
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """What a policy made of one problem.

    Attributes:
        problem: The problem.
        samples: Its solutions; of a search those that it ended with.
        chosen: Which of them is the policy's answer; none where nothing chose.
        is_search: Whether a search made them: the samples are then no independent draws.
    """

    problem: Problem
    samples: tuple[Sample, ...]
    chosen: int | None = None
    is_search: bool = False


def sample_solutions(
    problems: Sequence[Problem],
    generator: Generator,
    prompts: PromptSet,
    grader: Grader,
    *,
    num: int,
    sampling: Sampling,
    group_size: int,
    seed: int,
    start: int = 0,
    splitter: StepSplitter | None = None,
) -> Iterator[list[Item]]:
    """Solve every problem `num` times; items come in lockstep groups.

    Args:
        problems: With reference answers.
        generator: Solves.
        prompts: Renders the question.
        grader: Grades.
        num: Solutions a problem; a single one is the policy's answer.
        sampling: How they are drawn.
        group_size: Problems in one group.
        seed: Every draw derives from it and the problem's index in the whole list.
        start: That index of ``problems[0]``.
        splitter: Of a policy that does not end its reply: its first cut does, which counts as `Stop.ANSWER`.

    Raises:
        ValueError: for a problem without a reference answer.
    """
    rest = iter(enumerate(problems, start))
    cut = None if splitter is None else Stop.ANSWER
    while group := list(islice(rest, group_size)):
        requests = [
            Request(prompts.solve(Trajectory(p)), num, sampling, splitter, derive_seed(seed, "samples", i))
            for i, p in group
        ]
        yield [
            Item(
                problem,
                tuple(_sample(problem, grader, one.text, _num_tokens([one.tokens]), one.stop or cut) for one in drawn),
                0 if num == 1 else None,
            )
            for (_, problem), drawn in zip(group, generator.generate(requests), strict=True)
        ]


def search_solutions(
    problems: Sequence[Problem],
    generator: Generator,
    judge: Judge,
    searcher: Searcher,
    grader: Grader,
    *,
    group_size: int,
    start: int = 0,
    whole: bool = False,
) -> Iterator[list[Item]]:
    """Solve every problem by a search with a judge; items come in lockstep groups.

    Args:
        problems: With reference answers.
        generator: Proposes.
        judge: Judges.
        searcher: Searches.
        grader: Grades.
        group_size: Problems in one group, as the searcher's.
        start: Index of ``problems[0]`` in the whole list.
        whole: The candidates of the search are whole solutions: all of them are samples.

    Raises:
        ValueError: for a problem without a reference answer.
    """
    trees = searcher.search(problems, generator, judge, start)
    while group := list(islice(trees, group_size)):
        yield [_found(tree, grader, whole) for tree in group]


def summarize(items: Sequence[Item]) -> dict[str, Figure]:
    """Sum up items: ``accuracy`` where something was chosen, and what several samples tell.

    A problem for which a search found nothing is not solved. A vote that no sample takes part in is not right.

    Raises:
        ValueError: if there are none.
    """
    if not items:
        raise ValueError("nothing to sum up")
    found: dict[str, Figure] = {}
    num = min((len(item.samples) for item in items if not item.is_search), default=0)
    if num <= 1:
        found["accuracy"] = share([_is_right(item) for item in items])
    for k in _powers_of_two(num):
        values = [pass_at_k(len(item.samples), _num_right(item.samples), k) for item in items]
        found[f"pass@{k}"] = _mean(values)
    for k in _powers_of_two(num)[1:]:
        found[f"maj@{k}"] = _mean([_majority(item.samples, k) for item in items])
    if num > 1 and any(sample.score is not None for item in items for sample in item.samples):
        found[f"best of {num}"] = share([_is_right(item) for item in items])
        found[f"judge-weighted vote of {num}"] = _mean([_weighted_vote(item.samples) for item in items])
    drawn = [item.samples for item in items if item.samples]
    if drawn:
        found["no answer"] = _mean([fmean(one.grade is Grade.NO_ANSWER for one in of) for of in drawn])
        found["cut off"] = _mean([fmean(one.stop is Stop.MAX_TOKENS for one in of) for of in drawn])
        if any(one.stop is Stop.NO_ROOM for of in drawn for one in of):
            found["no room"] = _mean([fmean(one.stop is Stop.NO_ROOM for one in of) for of in drawn])
    if any(item.is_search for item in items):
        found["nothing found"] = share([not item.samples for item in items])
    return found


def _sample(
    problem: Problem, grader: Grader, text: str, num_tokens: int | None, stop: Stop | None, score: float | None = None
) -> Sample:
    if problem.answer is None:
        raise ValueError(f"problem {problem.id!r} has no answer to grade against")
    return Sample(text, num_tokens, stop, grader.extract(text), grader.grade(text, problem.answer), score)


def _found(tree: SearchTree, grader: Grader, whole: bool) -> Item:
    """Read what a search ended with."""
    if whole:
        (found,) = tree.expansions
        samples = tuple(
            _sample(
                tree.problem, grader, one.step.text, _num_tokens([one.step.tokens]), one.step.stop, one.judgement.score
            )
            for one in found.candidates
        )
        return Item(tree.problem, samples, tree.solutions[0][1] if tree.solutions else None)
    paths = list(tree.solution_trajectories())[:1]
    samples = tuple(
        _sample(tree.problem, grader, path.text, _num_tokens([step.tokens for step in path.steps]), path.stop)
        for path in paths
    )
    return Item(tree.problem, samples, 0 if samples else None, is_search=True)


def _num_tokens(steps: Sequence[tuple[int, ...] | None]) -> int | None:
    known = [len(tokens) for tokens in steps if tokens is not None]
    return sum(known) if len(known) == len(steps) else None


def _is_right(item: Item) -> bool:
    return item.chosen is not None and item.samples[item.chosen].grade is Grade.CORRECT


def _num_right(samples: Sequence[Sample]) -> int:
    return sum(sample.grade is Grade.CORRECT for sample in samples)


def _answers(samples: Sequence[Sample]) -> dict[tuple[str, bool], list[Sample]]:
    """Samples by what they answer; those without an answer have no vote."""
    answers: defaultdict[tuple[str, bool], list[Sample]] = defaultdict(list)
    for sample in samples:
        if sample.extracted is not None and sample.grade is not Grade.NO_ANSWER:
            answers[sample.extracted.strip(), sample.grade is Grade.CORRECT].append(sample)
    return dict(answers)


def _majority(samples: Sequence[Sample], k: int) -> float | None:
    answers = _answers(samples)
    votes = [(len(given), is_right) for (_, is_right), given in answers.items()]
    return maj_at_k(votes, len(samples) - sum(count for count, _ in votes), k)


def _weighted_vote(samples: Sequence[Sample]) -> float:
    """Whether the answer with the largest sum of readable scores is right; of equal ones each with equal chance."""
    weights = {
        answer: sum(sample.score for sample in given if sample.score is not None)
        for answer, given in _answers(samples).items()
        if any(sample.score is not None for sample in given)
    }
    top = [answer for answer, weight in weights.items() if weight == max(weights.values())]
    return fmean(is_right for _, is_right in top) if top else 0.0


def _powers_of_two(num: int) -> list[int]:
    """1, 2, 4, ... and `num` itself; nothing where there are not several samples."""
    return [] if num <= 1 else sorted({2**i for i in range(num.bit_length()) if 2**i <= num} | {num})


def _mean(values: Sequence[float | None]) -> Figure:
    """A mean over problems; of 0 and 1 alone it is a share."""
    known = [value for value in values if value is not None]
    return share([value == 1 for value in known]) if set(known) <= {0.0, 1.0} else mean(known)
