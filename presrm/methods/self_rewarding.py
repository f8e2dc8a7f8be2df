"""Self-Rewarding Language Models (arXiv 2401.10020): as PReSRM, but whole answers are sampled, judged and paired.

Where PReSRM goes step by step, N answers to each problem are drawn at once; where it compares steps pairwise, each
answer is given points by an additive rubric, three times, and the mean counts. Best over worst and DPO are the same.
"""

from typing import ClassVar

from presrm.config import PairsConfig, SearchConfig
from presrm.credit.pairs import explain_no_pairs
from presrm.errors import ConfigError, NoLessonsError
from presrm.files.run import IterationDir
from presrm.methods.mends import mined_pairs, with_solutions
from presrm.methods.stages import Stages
from presrm.protocols import Improved
from presrm.types import Checkpoint, PreferencePair


class SelfRewarding:
    """Draw whole answers, have the policy score them, pair best and worst, train on the pairs (sections 2.2 and 2.3).

    Args:
        pairs: Which pairs to take.
        search: Its unit is the solution.

    Raises:
        ConfigError: if the search goes step by step: that is PReSRM.
    """

    lesson: ClassVar[type] = PreferencePair

    def __init__(self, pairs: PairsConfig, search: SearchConfig) -> None:
        if search.unit != "solution":
            raise ConfigError(
                "method self-rewarding pairs whole solutions: set search.unit to solution, or begin with the config "
                "embedded-self-rewarding"
            )
        self._pairs = pairs

    def improve(self, policy: Checkpoint, stages: Stages, iteration: IterationDir) -> Improved:
        """Make the next policy.

        Raises:
            NoLessonsError: if no problem gives a pair; says why, with counts.
        """
        problems = stages.problems(iteration, policy)
        answers = stages.search(policy, problems, iteration)
        mined = mined_pairs(answers, self._pairs, policy, stages, iteration)
        if not mined.pairs:
            raise NoLessonsError(f"M{iteration.number} cannot be trained: {explain_no_pairs(mined)}")
        trained = stages.fit(with_solutions(mined.pairs, answers, self._pairs, iteration), policy, iteration)
        return Improved(trained, len(mined.pairs), mined.dropped, mined.num_contradicted)
