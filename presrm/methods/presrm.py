"""Process-based Self-Rewarding Language Models (arXiv 2503.03746)."""

from collections.abc import Sequence
from typing import ClassVar

from presrm.config import PairsConfig
from presrm.credit.pairs import explain_no_pairs
from presrm.errors import NoLessonsError, counted
from presrm.files.run import IterationDir
from presrm.methods.mends import mined_pairs, with_solutions
from presrm.methods.stages import Stages
from presrm.protocols import Improved
from presrm.types import Checkpoint, PreferencePair, SearchTree


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
        if self._pairs.max_per_problem == 0:
            return self._on_solutions(trees, policy, stages, iteration)
        mined = mined_pairs(trees, self._pairs, policy, stages, iteration)
        if not mined.pairs:
            raise NoLessonsError(f"M{iteration.number} cannot be trained: {explain_no_pairs(mined)}")
        trained = stages.fit(with_solutions(mined.pairs, trees, self._pairs, iteration), policy, iteration)
        return Improved(trained, len(mined.pairs), mined.dropped, mined.num_contradicted)

    def _on_solutions(
        self, trees: Sequence[SearchTree], policy: Checkpoint, stages: Stages, iteration: IterationDir
    ) -> Improved:
        """Train on the solutions that the judge accepts, and on no pair."""
        accepted = with_solutions((), trees, self._pairs, iteration)
        num = sum(len({found.text for found in tree.solution_trajectories()}) for tree in trees)
        if not accepted:
            raise NoLessonsError(
                f"M{iteration.number} cannot be trained: none of {counted(num, 'solution')} of "
                f"{counted(len(trees), 'problem')} scores {self._pairs.solution_min:g} or more in every step; lower "
                "pairs.solution_min"
            )
        dropped = {"not_accepted": num - len(accepted), "given_up": sum(not tree.solutions for tree in trees)}
        trained = stages.fit(accepted, policy, iteration)
        return Improved(trained, len(accepted), {cause: count for cause, count in dropped.items() if count})
