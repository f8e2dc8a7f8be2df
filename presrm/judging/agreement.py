"""Labels without a label: two steps of which every vote, in either order, prefers the same one.

What a policy says in whatever order and however often it is asked is more often right than what it says once (SPARK,
arXiv 2512.03244, builds labels so for whole solutions). It can be wrong in the same way each time: the labels teach a
judge to be of one mind, and more only where its mistakes are noise.
"""

import random
from collections.abc import Sequence

from presrm.judging.health import LabelledCandidates
from presrm.protocols import Judge, ask_judge
from presrm.seeding import derive_seed
from presrm.types import Candidates


def label_by_agreement(siblings: Sequence[Candidates], judges: Sequence[Judge], seed: int) -> list[LabelledCandidates]:
    """Draw two candidates after each prefix, and label them where all judges agree that one is best.

    A judge agrees by a score of 1 for the one and 0 for the other: a pairwise judge gives that only if both orders
    name the same step. One that cannot say does not agree.

    Args:
        siblings: Distinct candidates, two or more; of fewer nothing is told.
        judges: The votes: the same judge with draws of its own for each.
        seed: Of the draw.

    Raises:
        JudgeError: if a judge raises, or does not give one judgement for each candidate.
    """
    drawn = []
    for one in siblings:
        rng = random.Random(derive_seed(seed, one.prefix.problem.id, one.prefix.text))
        if len(one.steps) > 1:
            drawn.append(Candidates(one.prefix, tuple(rng.sample(one.steps, 2))))
    votes = [ask_judge(judge, drawn) for judge in judges]
    labelled = []
    for item, *judged in zip(drawn, *votes, strict=True):
        scores = {tuple(judgement.score for judgement in of) for of in judged}
        if scores in ({(1.0, 0.0)}, {(0.0, 1.0)}):
            ((first, _),) = scores
            labelled.append(LabelledCandidates(item, (first == 1.0, first == 0.0)))
    return labelled
