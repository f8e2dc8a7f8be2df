"""RLSR, "Self Rewarding Self Improving" (arXiv 2505.08827): as PReSRM, but reinforcement instead of preferences.

Every answer is an attempt, rewarded by the policy's own verdict on it and compared with the other answers to its
problem (the objective is the policy gradient). With ``search.unit: step`` and a search over steps it is every candidate
step that is rewarded, compared with its siblings: credit that needs no answer.
"""

from collections import Counter
from typing import Annotated, ClassVar

from pydantic import Field

from presrm.config import JudgeConfig
from presrm.credit.attempts import credit_attempts, explain_no_attempts
from presrm.errors import ConfigError, NoLessonsError
from presrm.files.run import IterationDir
from presrm.methods.stages import Stages
from presrm.protocols import Improved
from presrm.types import Attempt, Checkpoint


class Rlsr:
    """Draw attempts, have the policy judge them, reinforce what is better than its group.

    The exact checker, where a problem has an answer or a checker, sees every attempt in the shadow: it changes no
    reward, and ``shadow.json`` says how often judge and gate were wrong.

    Args:
        judge: Stands behind the gate.
        inner_steps: Rounds within an iteration: the problems are dealt out to them, and each round draws its attempts
            from the policy that the round before trained. The optimiser begins anew in each.

    Raises:
        ConfigError: without the gate.
    """

    lesson: ClassVar[type] = Attempt

    def __init__(self, judge: JudgeConfig, inner_steps: Annotated[int, Field(ge=1)] = 1) -> None:
        if not judge.gate:
            raise ConfigError(
                "method rlsr rewards what its judge lets pass, so what deserves nothing must not reach the judge: set "
                "judge.gate=true"
            )
        self._inner_steps = inner_steps

    def improve(self, policy: Checkpoint, stages: Stages, iteration: IterationDir) -> Improved:
        """Make the next policy; a round in which no group has rewards that differ leaves it as it is.

        Raises:
            NoLessonsError: if there was no other round; says why, with counts.
        """
        problems, parent = stages.problems(iteration, policy), policy
        num_lessons, num_unknown, dropped = 0, 0, Counter[str]()
        for share, part in stages.rounds(problems, iteration, self._inner_steps):
            trees = stages.search(policy, share, part)
            stages.shadow(trees, part)
            credited = credit_attempts(trees, part.name)
            num_lessons += len(credited.attempts)
            num_unknown += credited.num_unknown
            dropped.update(credited.dropped)
            if credited.attempts:
                policy = stages.fit(credited.attempts, policy, part, parent=parent)
        if num_unknown:
            stages.progress.note(
                f"M{iteration.number}: {num_unknown} candidates without a known reward are no attempts"
            )
        if policy == parent:
            raise NoLessonsError(f"M{iteration.number} cannot be trained: {explain_no_attempts(dropped)}")
        return Improved(stages.keep(policy, iteration), num_lessons=num_lessons, dropped=dict(dropped))
