"""SPCT (arXiv 2504.02495): as PReSRM, but the policy learns to judge; what it writes is judged by the right verdict.

The first iterations are rejective fine-tuning (3.1): right verdicts are imitated, on problems on which not all are
right; where none is, the policy is told the right verdict and asked again, once. The others are reinforcement (3.2):
every verdict is an attempt, rewarded by whether it is right. With ``learn: pairs`` right ones are preferred to wrong
ones instead (R-PRM, arXiv 2503.21295).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from presrm.credit.accepted import accept, explain_none_accepted, trace_pairs
from presrm.credit.attempts import credit_attempts, explain_no_attempts
from presrm.errors import NoLessonsError
from presrm.files.run import IterationDir
from presrm.judging.problems import hinted, unhinted
from presrm.methods.stages import Stages
from presrm.protocols import Improved
from presrm.types import Attempt, Checkpoint, Demonstration, Lesson, PreferencePair, Problem, Step, Stop, Trajectory

_Lessons = tuple[Sequence[Lesson], Mapping[str, int], str]
"""Lessons, what gave none by cause, and why there are none if there are none."""


class Spct:
    """Draw judgements, and learn from those whose verdict is right.

    Args:
        rejective: Iterations of rejective fine-tuning, before those of reinforcement.
        hints: Ask again with the right verdict told where no verdict was right. Such traces take short cuts, as the
            authors warn; their ids end in ``/hinted``.
        solutions: In rejective fine-tuning imitate as many reference solutions, as far as there are any, so that the
            policy goes on solving (the paper mixes in general instructions).
        learn: What reinforcement learns from: ``attempts`` or ``pairs``.
    """

    learns_to_judge: ClassVar[bool] = True

    def __init__(
        self,
        rejective: Annotated[int, Field(ge=0)] = 1,
        hints: bool = True,
        solutions: bool = True,
        learn: Literal["attempts", "pairs"] = "attempts",
    ) -> None:
        self.lesson: type = PreferencePair if learn == "pairs" else Attempt
        self._rejective = rejective
        self._hints = hints
        self._solutions = solutions

    def improve(self, policy: Checkpoint, stages: Stages, iteration: IterationDir) -> Improved:
        """Make the next policy.

        Raises:
            NoLessonsError: if no problem teaches anything; says why, with counts.
        """
        problems = stages.judge_problems(policy, iteration)
        if iteration.number - 1 <= self._rejective:
            lessons, dropped, why = self._imitate(problems, policy, stages, iteration)
        else:
            lessons, dropped, why = self._reinforce(problems, policy, stages, iteration)
        if not lessons:
            raise NoLessonsError(f"M{iteration.number} cannot be trained: {why}")
        return Improved(stages.fit(lessons, policy, iteration), len(lessons), dropped)

    def _imitate(
        self, problems: Sequence[Problem], policy: Checkpoint, stages: Stages, iteration: IterationDir
    ) -> _Lessons:
        found = accept(stages.trace(policy, problems, iteration), iteration.name)
        lessons, dropped = list[Lesson](found.demonstrations), Counter(found.dropped)
        if self._hints and found.never_right:
            told = [hinted(problem) for problem in found.never_right]
            again = accept(stages.trace(policy, told, iteration.inside("hinted")), iteration.name, keep_easy=True)
            lessons += map(_as_hinted, again.demonstrations)
            dropped["never_right"] -= len({one.prefix.problem.id for one in again.demonstrations})
        why = explain_none_accepted(+dropped)
        if self._solutions and lessons:
            solved = [problem for problem in stages.problems(iteration, policy) if problem.solution]
            lessons += map(_solve, solved[: len(lessons)])
        return lessons, dict(+dropped), why

    def _reinforce(
        self, problems: Sequence[Problem], policy: Checkpoint, stages: Stages, iteration: IterationDir
    ) -> _Lessons:
        traces = stages.trace(policy, problems, iteration)
        if self.lesson is PreferencePair:
            dropped = accept(traces, iteration.name).dropped
            return trace_pairs(traces, iteration.name), dropped, explain_none_accepted(dropped)
        credited = credit_attempts(traces, iteration.name)
        return credited.attempts, credited.dropped, explain_no_attempts(credited.dropped)


def _as_hinted(made: Demonstration) -> Demonstration:
    """What was written with the verdict told is learned without."""
    return replace(made, id=f"{made.id}/hinted", prefix=Trajectory(unhinted(made.prefix.problem)))


def _solve(problem: Problem) -> Demonstration:
    return Demonstration(f"solution/{problem.id}", Trajectory(problem), Step(problem.solution or "", stop=Stop.EOS))
