r"""A gate before a judge: what no judge needs to see gets nothing, and is not asked about.

Reinforcement finds what a judge lets pass. RLSR (arXiv 2505.08827) lets no answer reach its judge that does not parse,
or that hands the integral back (which LADDER, arXiv 2503.00735, found policies to do); SPARK (arXiv 2512.03244) saw
steps padded and repeated. Here the score of what is refused is 0, known: the judge has no part in it.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, Protocol, runtime_checkable

from presrm.protocols import Composition, Grader, Judge, ask_judge, composition_of
from presrm.types import Candidates, Judgement, Problem, Step

REFUSED = "gate: "
"""What the rationale of a refused candidate begins with."""
_VERDICT = re.compile(r"\[\[\s*(?:yes|no|[AB]|-?\d+(?:\s*,\s*\d+)*)\s*\]\]|</?JUDGE_SCORE>", re.IGNORECASE)
_PADDING = re.compile(r"(?<=\S)[^\S\n]{12,}|\n\s*\n\s*\n\s*\n|(\S)\1{24,}")
_FINAL = re.compile(r"^[^\S\n]*####\s*[-+$(]*\d", re.MULTILINE)
_FEWEST_WORDS = 5
"""A line of fewer words may come again in a solution without being padding."""


@runtime_checkable
class Parser(Protocol):
    """A grader that knows more of a final answer than that it is there."""

    def parses(self, answer: str) -> bool:
        """Whether `answer` is of the form that this kind of problem asks for, and does not hand the problem back."""
        ...


def refusal(problem: Problem, before: str, step: Step, grader: Grader) -> str | None:
    """Say in a few words why a candidate deserves nothing, whatever a judge would say; none if a judge is to see it.

    Args:
        problem: What is solved.
        before: The solution up to the candidate.
        step: The candidate; it is complete if its `Step.stop` says why it ends.
        grader: Finds final answers of this kind of problem.
    """
    if not step.text.strip() and (step.stop is None or not before.strip()):
        return "empty"
    if _VERDICT.search(step.text):
        return "holds a verdict"
    if _PADDING.search(step.text):
        return "padded"
    lines = [line for text in (before, step.text) for line in text.splitlines() if len(line.split()) >= _FEWEST_WORDS]
    if len(set(map(str.strip, lines))) < len(lines):
        return "repeats itself"
    if step.stop is None:
        return None
    solution = before + step.text
    if len(_FINAL.findall(solution)) > 1:
        return "several final answers"
    answer = grader.extract(solution)
    if answer is None or not answer.strip():
        return "no final answer"
    if answer.strip() == problem.question.strip():
        return "hands the problem back"
    if isinstance(grader, Parser) and not grader.parses(answer):
        return "the answer does not parse, or hands the problem back"
    return None


class GatedJudge:
    """A judge that is asked only about what passes the gate; the score of what does not is 0.

    Args:
        judge: Is asked; its scale and composition are this judge's.
        grader_of: Gives the grader that finds final answers of a problem.
    """

    scale: Literal["absolute", "relative"]
    composition: Composition

    def __init__(self, judge: Judge, grader_of: Callable[[Problem], Grader]) -> None:
        self._judge = judge
        self._grader_of = grader_of
        self.scale = judge.scale
        self.composition = composition_of(judge)

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item, with at most one call of the judge.

        Raises:
            JudgeError: if the judge raises, or does not give one judgement for each candidate.
        """
        causes = [
            [refusal(problem := item.prefix.problem, item.prefix.text, s, self._grader_of(problem)) for s in item.steps]
            for item in batch
        ]
        passed = [
            Candidates(item.prefix, tuple(s for s, cause in zip(item.steps, of, strict=True) if cause is None))
            for item, of in zip(batch, causes, strict=True)
        ]
        least = 1 if self.scale == "absolute" else 2
        asked = [len(item.steps) >= least for item in passed]
        judged = iter(ask_judge(self._judge, [item for item, is_asked in zip(passed, asked, strict=True) if is_asked]))
        found: list[tuple[Judgement, ...]] = []
        for of, is_asked in zip(causes, asked, strict=True):
            rest = iter(next(judged)) if is_asked else None
            found.append(
                tuple(
                    Judgement(0.0, rationale=f"{REFUSED}{cause}")
                    if cause is not None
                    else next(rest)
                    if rest is not None
                    else Judgement(1.0, rationale="alone behind the gate: nothing to compare it with")
                    for cause in of
                )
            )
        return found
