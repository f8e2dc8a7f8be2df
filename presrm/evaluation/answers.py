r"""A policy's answers on held-out problems: graded, scored, and compared with those of another policy.

The loop and ``presrm eval`` use the same code and write the same rows, those of lm-evaluation-harness with our own
fields behind:

```
{"doc_id": 0, "doc": {"id": "p0", "question": "1+1?", "answer": "2"}, "target": "2",
 "resps": [["It is 2.\n#### 2"]], "filtered_resps": ["2"], "exact_match": 1.0, "grades": ["correct"],
 "stops": ["eos"], "num_tokens": [9], "num_steps": [2], "scores": [null], "votes": [0], "chosen": 0, "is_search": false}
```
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from statistics import fmean
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from presrm.evaluation.votes import Votes
from presrm.prompts import PromptSet
from presrm.protocols import Generator, Grader, Judge, Request, Sampling, Searcher, StepSplitter, split_steps
from presrm.searchers.checked import search_trees
from presrm.seeding import derive_seed
from presrm.statistics import Figure, mcnemar_exact, mean, share
from presrm.types import Grade, Problem, SearchTree, Step, Stop, Trajectory


@dataclass(frozen=True, slots=True)
class Solution:
    """One solution of a problem, graded.

    Attributes:
        text: As written.
        num_tokens: Tokens of the solution; none where the engine does not tell.
        num_steps: By the splitter.
        stop: Why it ended, or none where the engine does not tell. `Stop.MAX_TOKENS`: cut off, graded as far as it
            goes. `Stop.NO_ROOM` and `Stop.FILTERED`: no answer, whatever stands there.
        extracted: The final answer found in it, or none.
        grade: Against the reference.
        score: The judge's, or none where it gave none.
        vote: Which of the problem's solutions is the first one with the same answer; none where this one gives none.
    """

    text: str
    num_tokens: int | None
    num_steps: int
    stop: Stop | None
    extracted: str | None
    grade: Grade
    score: float | None = None
    vote: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a policy made of one problem.

    Attributes:
        problem: The problem.
        solutions: Its solutions; of a search by steps the one that it ended with, if any.
        chosen: Which of them is the policy's answer; none where nothing chose.
        is_search: Whether a search by steps made them: none is then an unsolved problem.
        number: The problem's place among those evaluated.
    """

    problem: Problem
    solutions: tuple[Solution, ...]
    chosen: int | None = None
    is_search: bool = False
    number: int = 0

    @property
    def solution(self) -> Solution | None:
        """The chosen solution."""
        return None if self.chosen is None else self.solutions[self.chosen]

    @property
    def is_decided(self) -> bool:
        """Whether there is an answer to be right or wrong: something chose, or a search found nothing."""
        return self.chosen is not None or self.is_search

    @property
    def is_right(self) -> bool:
        """Whether the chosen solution is graded correct."""
        return self.solution is not None and self.solution.grade is Grade.CORRECT

    def to_row(self) -> dict[str, Any]:
        """Give it as plain JSON values, in the shape above."""
        solutions, problem = self.solutions, self.problem
        return {
            "doc_id": self.number,
            "doc": {"id": problem.id, "question": problem.question, "answer": problem.answer},
            "target": problem.answer,
            "resps": [[one.text for one in solutions]],
            "filtered_resps": [one.extracted for one in solutions],
            "exact_match": float(self.is_right) if self.is_decided else None,
            "grades": [one.grade.value for one in solutions],
            "stops": [one.stop and one.stop.value for one in solutions],
            "num_tokens": [one.num_tokens for one in solutions],
            "num_steps": [one.num_steps for one in solutions],
            "scores": [one.score for one in solutions],
            "votes": [one.vote for one in solutions],
            "chosen": self.chosen,
            "is_search": self.is_search,
        }

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Let `presrm.files` read and write it as such a row."""
        return core_schema.no_info_after_validator_function(
            _from_row,
            handler.generate_schema(_Row),
            serialization=core_schema.plain_serializer_function_ser_schema(cls.to_row),
        )


@dataclass(frozen=True, slots=True)
class _Doc:
    id: str
    question: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class _Row:
    doc_id: int
    doc: _Doc
    resps: tuple[tuple[str, ...]]
    filtered_resps: tuple[str | None, ...]
    grades: tuple[Grade, ...]
    stops: tuple[Stop | None, ...]
    num_tokens: tuple[int | None, ...]
    num_steps: tuple[int, ...]
    scores: tuple[float | None, ...]
    votes: tuple[int | None, ...]
    chosen: int | None
    is_search: bool


def _from_row(row: _Row) -> Answer:
    columns = (row.num_tokens, row.num_steps, row.stops, row.filtered_resps, row.grades, row.scores, row.votes)
    solutions = tuple(Solution(*values) for values in zip(row.resps[0], *columns, strict=True))
    if row.chosen is not None and not 0 <= row.chosen < len(solutions):
        raise ValueError(f"chosen is {row.chosen}, of {len(solutions)} solutions")
    return Answer(Problem(**asdict(row.doc)), solutions, row.chosen, row.is_search, row.doc_id)


def evaluate(
    problems: Sequence[Problem],
    generator: Generator,
    prompts: PromptSet,
    grader: Grader,
    *,
    sampling: Sampling,
    splitter: StepSplitter,
    group_size: int,
    num: int = 1,
    seed: int = 0,
    start: int = 0,
    turns: StepSplitter | None = None,
) -> Iterator[list[Answer]]:
    """Solve every problem `num` times and grade the solutions; answers come in lockstep groups, in the problems' order.

    Args:
        problems: With reference answers.
        generator: Solves.
        prompts: Renders the question.
        grader: Grades.
        sampling: How solutions are drawn.
        splitter: Cuts them into steps.
        group_size: Problems in one group.
        num: Solutions a problem; a single one is the policy's answer.
        seed: Every draw derives from it and the problem's index in the whole list.
        start: That index of ``problems[0]``.
        turns: Of a policy that does not end its reply: its first cut does, which counts as `Stop.ANSWER`.

    Raises:
        ValueError: for a problem without a reference answer.
    """
    grading = _Grading(grader, splitter)
    rest = iter(enumerate(problems, start))
    cut = None if turns is None else Stop.ANSWER
    while group := list(islice(rest, group_size)):
        requests = [
            Request(prompts.solve(Trajectory(problem)), num, sampling, turns, derive_seed(seed, "samples", number))
            for number, problem in group
        ]
        yield [
            Answer(
                problem,
                grading.grade(problem, [[Step(one.text, one.tokens, one.stop or cut)] for one in drawn]),
                0 if num == 1 else None,
                number=number,
            )
            for (number, problem), drawn in zip(group, generator.generate(requests), strict=True)
        ]


def evaluate_search(
    problems: Sequence[Problem],
    generator: Generator,
    judge: Judge,
    searcher: Searcher,
    grader: Grader,
    *,
    splitter: StepSplitter,
    group_size: int,
    start: int = 0,
    whole: bool = False,
) -> Iterator[list[Answer]]:
    """Solve every problem by a search with a judge; answers come in lockstep groups.

    Args:
        problems: With reference answers.
        generator: Proposes.
        judge: Judges.
        searcher: Searches.
        grader: Grades.
        splitter: Cuts solutions into steps.
        group_size: Problems in one group, as the searcher's.
        start: Index of ``problems[0]`` in the whole list.
        whole: The candidates of the search are whole solutions: all of them are kept.

    Raises:
        ValueError: for a problem without a reference answer.
    """
    grading = _Grading(grader, splitter)
    trees = iter(enumerate(search_trees(searcher, problems, generator, judge, start), start))
    while group := list(islice(trees, group_size)):
        yield [_read_search(tree, grading, number, whole) for number, tree in group]


def _read_search(tree: SearchTree, grading: "_Grading", number: int, whole: bool) -> Answer:
    if whole:
        (found,) = tree.expansions
        scores = [candidate.judgement.score for candidate in found.candidates]
        solutions = grading.grade(tree.problem, [[candidate.step] for candidate in found.candidates], scores)
        return Answer(tree.problem, solutions, tree.solutions[0][1] if tree.solutions else None, number=number)
    solutions = grading.grade(tree.problem, [path.steps for path in islice(tree.solution_trajectories(), 1)])
    return Answer(tree.problem, solutions, 0 if solutions else None, is_search=True, number=number)


class _Grading:
    """Grades the solutions of one problem, and finds those with the same answer."""

    def __init__(self, grader: Grader, splitter: StepSplitter) -> None:
        self._grader, self._splitter, self._votes = grader, splitter, Votes(grader)

    def grade(
        self, problem: Problem, paths: Sequence[Sequence[Step]], scores: Sequence[float | None] | None = None
    ) -> tuple[Solution, ...]:
        """Grade what was drawn; each solution comes in the pieces in which it was generated.

        Raises:
            ValueError: for a problem without a reference answer.
        """
        if problem.answer is None:
            raise ValueError(f"problem {problem.id!r} has no answer to grade against")
        drawn = [("".join(step.text for step in path), path[-1].stop) for path in paths]
        grades = {key: self._grade(*key, problem.answer) for key in dict.fromkeys(drawn)}  # equal solutions once
        graded = [grades[key] for key in drawn]
        columns = zip(drawn, paths, graded, scores or [None] * len(paths), self._votes.group(graded), strict=True)
        return tuple(
            Solution(
                text,
                _count_tokens(path),
                len(split_steps(self._splitter, text)),
                stop,
                extracted,
                grade,
                judged,
                vote,
            )
            for (text, stop), path, (extracted, grade), judged, vote in columns
        )

    def _grade(self, text: str, stop: Stop | None, reference: str) -> tuple[str | None, Grade]:
        if stop in (Stop.NO_ROOM, Stop.FILTERED):
            return None, Grade.NO_ANSWER
        return self._grader.extract(text), self._grader.grade(text, reference)


def _count_tokens(path: Sequence[Step]) -> int | None:
    counts = [len(step.tokens) for step in path if step.tokens is not None]
    return sum(counts) if len(counts) == len(path) else None


@dataclass(frozen=True, slots=True)
class Scores:
    """What answers come to. A solution without an answer is not correct, and is shown apart.

    Attributes:
        accuracy: Share of the problems solved.
        correct: Problems whose solution is graded correct.
        incorrect: With a wrong answer.
        no_answer: Where no answer could be extracted, or a search found nothing.
        cut_off: Solutions cut off at the limit of tokens, whatever their grade.
        no_room: Solutions not written, since the prompt leaves no room for a reply; they are no answer.
        filtered: Solutions withheld by a content filter; they are no answer.
        mean_steps: Steps a solution; none where there is none.
        mean_step_tokens: Tokens a step; none where no solution has a step, or no engine told.
        mean_tokens: Tokens a solution, over those whose number is known; none where there is none.
    """

    accuracy: Figure
    correct: int
    incorrect: int
    no_answer: int
    cut_off: int
    no_room: int
    filtered: int
    mean_steps: float | None
    mean_step_tokens: float | None
    mean_tokens: float | None


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


def score(answers: Sequence[Answer]) -> Scores:
    """Sum up answers.

    Raises:
        ValueError: if there are none, or one of several solutions of which nothing chose.
    """
    if not answers:
        raise ValueError("no answers to score")
    if undecided := sum(not answer.is_decided for answer in answers):
        raise ValueError(f"{undecided} of {len(answers)} problems have several solutions, of which nothing chose one")
    chosen = [solution for answer in answers if (solution := answer.solution) is not None]
    counts = {grade: sum(solution.grade is grade for solution in chosen) for grade in Grade}
    stops = {stop: sum(solution.stop is stop for solution in chosen) for stop in Stop}
    counted = [(one.num_tokens, one.num_steps) for one in chosen if one.num_tokens is not None]
    num_tokens, num_steps = sum(tokens for tokens, _ in counted), sum(steps for _, steps in counted)
    return Scores(
        share([answer.is_right for answer in answers]),
        counts[Grade.CORRECT],
        counts[Grade.INCORRECT],
        counts[Grade.NO_ANSWER] + len(answers) - len(chosen),
        stops[Stop.MAX_TOKENS],
        stops[Stop.NO_ROOM],
        stops[Stop.FILTERED],
        fmean(solution.num_steps for solution in chosen) if chosen else None,
        num_tokens / num_steps if num_steps else None,
        num_tokens / len(counted) if counted else None,
    )


def compare(before: Sequence[Answer], after: Sequence[Answer]) -> Comparison:
    """Compare two policies problem by problem.

    Raises:
        ValueError: if they did not answer the same problems once each, or none.
    """
    earlier = {answer.problem.id: answer.is_right for answer in before}
    later = {answer.problem.id: answer.is_right for answer in after}
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
