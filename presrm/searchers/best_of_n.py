"""Best of n: whole solutions are sampled, judged, and the best is taken.

Not the paper's search but what it is measured against. An absolute judge scores the steps of each solution, whose worth
follows from them as in beam search (`presrm.searchers.worth`), or with ``search.unit: solution`` each solution once, as
if it were a step; a relative one always compares the whole solutions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

from presrm.config import SearchConfig
from presrm.prompts import PromptSet
from presrm.protocols import Generator, Judge, Request, Sampling, StepSplitter, ask_judge, composition_of, split_steps
from presrm.searchers.expanding import unjudged, why_none_is_whole
from presrm.searchers.worth import compose
from presrm.seeding import derive_seed
from presrm.types import (
    Candidate,
    Candidates,
    Expansion,
    Judgement,
    Problem,
    SearchTree,
    Status,
    Step,
    Stop,
    Trajectory,
)


class BestOfN:
    """Samples ``search.num_candidates`` solutions a problem and keeps the best.

    The tree of a problem has one expansion, whose candidates are the whole solutions. A solution that was cut off, or
    whose worth is unknown because of a step without a readable score, is not kept. Where all whole solutions are
    equal there is nothing to choose, and it is kept.

    Args:
        prompts: The set whose ``solve`` template is asked.
        splitter: Cuts the solutions for an absolute judge.
        settings: Of the search. A solution may have ``max_steps`` times ``max_step_tokens`` tokens.
        seed: Every draw derives from it.
    """

    def __init__(self, prompts: PromptSet, splitter: StepSplitter, settings: SearchConfig, *, seed: int) -> None:
        self._prompts = prompts
        self._splitter = splitter
        self._settings = settings
        self._seed = seed

    def search(
        self, problems: Sequence[Problem], generator: Generator, judge: Judge, start: int = 0
    ) -> Iterator[SearchTree]:
        """Search every problem; trees come in order, when their whole lockstep group is finished.

        Args:
            problems: What to solve.
            generator: Proposes the solutions.
            judge: Scores them.
            start: Index of ``problems[0]``, where a group begins, in the whole list: seeds go by it.

        Raises:
            SplitterError: if the splitter raises or breaks its law.
            JudgeError: if the judge raises, or does not give one judgement for each candidate.
        """
        splitter = self._splitter if self._settings.unit == "step" else None
        indexed = enumerate(problems, start)
        while group := list(islice(indexed, self._settings.group_size)):
            completions = generator.generate([self._request(index, problem) for index, problem in group])
            drawn = [[Step(one.text, one.tokens, one.stop or Stop.EOS) for one in of] for of in completions]
            scores = judge_solutions([problem for _, problem in group], drawn, judge, splitter)
            yield from (_tree(*of) for of in zip([problem for _, problem in group], drawn, scores, strict=True))

    def _request(self, index: int, problem: Problem) -> Request:
        settings = self._settings
        sampling = Sampling(settings.temperature, settings.top_p, settings.max_steps * settings.max_step_tokens)
        seed = derive_seed(self._seed, "best of n", index)
        return Request(self._prompts.solve(Trajectory(problem)), settings.num_candidates, sampling, seed=seed)


def judge_solutions(
    problems: Sequence[Problem], drawn: Sequence[Sequence[Step]], judge: Judge, splitter: StepSplitter | None
) -> list[dict[str, Judgement]]:
    """Judge whole solutions: for each problem, the judgement of each distinct one that was not cut off.

    Args:
        problems: What is solved.
        drawn: The solutions of each.
        judge: Scores them.
        splitter: Cuts the solutions into steps for a judge of absolute scale, whose scores are put together as it says;
            none: each solution is judged once, as if it were a step. A relative judge always compares whole solutions,
            and not a single one.

    Raises:
        SplitterError: if the splitter raises or breaks its law.
        JudgeError: if the judge raises, or does not give one judgement for each candidate.
    """
    texts = [_whole(solutions) for solutions in drawn]
    if judge.scale == "absolute" and splitter is not None:
        return _judge_steps(problems, texts, judge, splitter)
    pairs = list(zip(problems, texts, strict=True))
    least = 1 if judge.scale == "absolute" else 2
    batch = [
        Candidates(Trajectory(problem), tuple(Step(text, stop=one.stop) for text, one in of.items()))
        for problem, of in pairs
        if len(of) >= least
    ]
    found = iter(ask_judge(judge, batch))
    single = Judgement(None, Status.UNREADABLE, "only one distinct solution: not judged")
    return [dict(zip(of, next(found) if len(of) >= least else [single] * len(of), strict=True)) for of in texts]


def _judge_steps(
    problems: Sequence[Problem], texts: Sequence[Mapping[str, Step]], judge: Judge, splitter: StepSplitter
) -> list[dict[str, Judgement]]:
    """Compose the judgement of each solution of those of its steps."""
    cut = [{text: _cut(solution, splitter) for text, solution in of.items()} for of in texts]
    batch = [
        Candidates(Trajectory(problem, tuple(steps[:i])), (step,))
        for problem, solutions in zip(problems, cut, strict=True)
        for steps in solutions.values()
        for i, step in enumerate(steps)
    ]
    found, composition = iter(ask_judge(judge, batch)), composition_of(judge)
    return [
        {text: compose([next(found)[0] for _ in steps], composition) for text, steps in solutions.items()}
        for solutions in cut
    ]


def _cut(solution: Step, splitter: StepSplitter) -> list[Step]:
    """The steps of a solution, the last of which says why it ends."""
    steps = [Step(piece) for piece in split_steps(splitter, solution.text)]
    return [*steps[:-1], replace(steps[-1], stop=solution.stop)] if steps else []


def _whole(solutions: Sequence[Step]) -> dict[str, Step]:
    """The distinct solutions that were not cut off, in the order sampled: the first of each text."""
    found: dict[str, Step] = {}
    for solution in solutions:
        if solution.is_whole:
            found.setdefault(solution.text, solution)
    return found


def _tree(problem: Problem, solutions: Sequence[Step], scores: dict[str, Judgement]) -> SearchTree:
    judgements = [scores[solution.text] if solution.is_whole else unjudged(solution) for solution in solutions]
    expansion = Expansion(None, tuple(map(Candidate, solutions, judgements)))
    worth = expansion.scores
    best = max(worth, key=worth.__getitem__) if worth else None
    if best is None and len(scores) == 1:
        best = next(i for i, solution in enumerate(solutions) if solution.is_whole)
    if best is None:
        reason = "no solution had a readable score" if expansion.whole else why_none_is_whole(expansion)
        return SearchTree(problem, (expansion,), given_up=reason)
    return SearchTree(problem, (replace(expansion, kept=(best,)),), ((0, best),))
