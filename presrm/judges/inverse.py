r"""A judge that is given the easier inverse task: not to solve the problem, but to check its answer (RLSR).

An integral is judged by differentiating the answer, a Countdown expression by computing it, any other answer by putting
it back into the question (arXiv 2505.08827; the prompts of the authors' code are for integrals alone).
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

from presrm.graders import GRADERS
from presrm.graders.checked import make_grader
from presrm.judging.verdicts import EXPLANATION, ask_explained
from presrm.prompts import PromptSet
from presrm.protocols import Composition, Engine, Grader, Sampling
from presrm.types import Candidates, Judgement, Problem, Status, Step, Verdict

_WORDS = ("yes", "no")
_TASKS = {
    "integral": "Differentiate the answer. Is the derivative equal to what is integrated, and the answer a function, "
    "no integral? A constant that is added does not matter.",
    "countdown": "Compute the expression. Does it come to the target, and use every given number exactly once and no "
    "other number?",
}
_TASK = "Put the answer back into the question. Does everything that the question says then hold?"


class InverseJudge:
    """Finds the final answer of a solution, and asks whether it passes the inverse task; the score is 1 or 0.

    The policy is shown the question and the answer, nothing else of the solution, so that nothing else can sway it. A
    solution that is not complete, or without a final answer, has no score.

    Args:
        engine: Runs the policy that judges.
        prompts: The set whose ``inverse`` template is asked.
        sampling: Of the replies.
        grader: Finds final answers of problems whose kind names no grader.
        tasks: By kind of problem, what is to be done with an answer, instead of ours.
    """

    scale: Literal["absolute", "relative"] = "absolute"
    composition: Composition = "last"

    def __init__(
        self,
        engine: Engine,
        prompts: PromptSet,
        *,
        sampling: Sampling = EXPLANATION,
        grader: str = "auto",
        tasks: Mapping[str, str] | None = None,
    ) -> None:
        self._engine = engine
        self._prompts = prompts
        self._sampling = sampling
        self._grader = grader
        self._tasks = {**_TASKS, **(tasks or {})}

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item with one call of the engine, which gets each distinct answer once."""
        answers = [[self._answer(item, step) for step in item.steps] for item in batch]
        asked = [
            (number, answer)
            for number, of in enumerate(answers)
            for answer in sorted({answer for answer in of if answer is not None})
        ]
        problems = [batch[number].prefix.problem for number, _ in asked]
        prompts = [
            self._prompts.inverse(problem, answer, self._tasks.get(problem.kind, _TASK))
            for problem, (_, answer) in zip(problems, asked, strict=True)
        ]
        verdicts = dict(zip(asked, ask_explained(self._engine, prompts, _WORDS, self._sampling), strict=True))
        return [
            tuple(_judgement(None if answer is None else verdicts[number, answer]) for answer in of)
            for number, of in enumerate(answers)
        ]

    def _answer(self, item: Candidates, step: Step) -> str | None:
        if not step.is_whole:
            return None
        answer = grader_for(item.prefix.problem, self._grader).extract(item.prefix.text + step.text)
        return answer if answer and answer.strip() else None


def grader_for(problem: Problem, otherwise: str) -> Grader:
    """The grader that the kind of a problem names, or else the one called `otherwise`."""
    return _grader(problem.kind if problem.kind in GRADERS.names() else otherwise)


@cache
def _grader(name: str) -> Grader:
    return make_grader(name)


def _judgement(verdict: Verdict | None) -> Judgement:
    if verdict is None:
        return Judgement(None, Status.UNREADABLE, "no final answer to check")
    return verdict.judgement()
