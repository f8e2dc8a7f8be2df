"""Process-based Self-Rewarding Language Models (arXiv 2503.03746)."""

from typing import ClassVar

from presrm.config import PairsConfig
from presrm.credit.pairs import explain_no_pairs
from presrm.errors import NoLessonsError, counted
from presrm.files.run import IterationDir
from presrm.methods.mends import mined_pairs, with_solutions
from presrm.methods.stages import Stages
from presrm.protocols import Improved
from presrm.types import Checkpoint, PreferencePair


class Presrm:
    """Search step by step with the policy as its own judge, pair best and worst, train on the pairs (section 3).

    Args:
        pairs: Which pairs to take.
    """

    lesson: ClassVar[type] = PreferencePair

    def __init__(self, pairs: PairsConfig) -> None:
        self._pairs = pairs

    def improve(self, policy: Checkpoint, stages: Stages, iteration: IterationDir) -> Improved:
        """Make the next policy.

        Raises:
            NoLessonsError: if no expansion gives a pair, or, where only solutions are wanted, if none is accepted; says
                why, with counts.
        """
        problems = stages.problems(iteration, policy)
        trees = stages.search(policy, problems, iteration)
        mined = mined_pairs(trees, self._pairs, policy, stages, iteration)
        lessons = with_solutions(mined.pairs, trees, self._pairs, iteration)
        if self._pairs.max_per_problem == 0 and not lessons:
            num = sum(len(tree.solutions) for tree in trees)
            raise NoLessonsError(
                f"M{iteration.number} cannot be trained: none of {counted(num, 'solution')} from "
                f"{counted(len(trees), 'problem')} has a score of {self._pairs.solution_min:g} or more in every step; "
                "lower pairs.solution_min"
            )
        if self._pairs.max_per_problem != 0 and not mined.pairs:
            raise NoLessonsError(f"M{iteration.number} cannot be trained: {explain_no_pairs(mined)}")
        trained = stages.fit(lessons, policy, iteration)
        return Improved(trained, len(mined.pairs) or len(lessons), mined.dropped, mined.num_contradicted)
