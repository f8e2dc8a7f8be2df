"""Meta-judges: which of several judgements are likeliest to be right (SPCT, arXiv 2504.02495, section 4)."""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from presrm.types import Candidates

if TYPE_CHECKING:
    from presrm.engines.hf_prm import StepScorer


class TrainedMeta:
    """A model with a head that learned which judgements are right: ``presrm fit-prm`` on ``traces.jsonl``.

    It is loaded when the first judgement is rated.

    Args:
        model: Hub id or folder.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    def rate(self, judgements: Sequence[tuple[Candidates, str]]) -> list[float | None]:
        """Give the probability that a judgement is right, of each; none where it is too long to be read.

        Args:
            judgements: What was shown, in the order shown, and what was written of it.
        """
        texts = [(judged_text(shown), (reply,)) for shown, reply in judgements]
        distinct = list(dict.fromkeys(texts))  # at a low temperature many replies are the same, word for word
        if not distinct:
            return []
        rated = dict(zip(distinct, self._scorer.score(distinct), strict=True))
        return [rated[text][0].probability for text in texts]

    @cached_property
    def _scorer(self) -> "StepScorer":
        from presrm.engines.hf_prm import StepScorer

        return StepScorer(self._model, "token-classification")


def judged_text(shown: Candidates) -> str:
    r"""What a judge was shown, as a trained meta-judge reads it before the judgement: the candidates numbered from 1.

    Neither instructions nor fences stand in it, so a head that learned from the replies to one prompt set reads those
    to another.

    >>> from presrm.types import Problem, Step, Trajectory
    >>> judged_text(Candidates(Trajectory(Problem("p", "2 + 3 - 1?")), (Step(" 2 + 3 = 5\n"), Step(" 2 + 3 = 6\n"))))
    '2 + 3 - 1?\n1: 2 + 3 = 5\n2: 2 + 3 = 6'
    """
    numbered = [f"{number}: {step.text.strip()}" for number, step in enumerate(shown.steps, start=1)]
    before = (shown.prefix.problem.question.strip(), shown.prefix.text.strip())
    return "\n".join([*filter(None, before), *numbered])


def better_half(ratings: Sequence[float | None]) -> list[int]:
    """Give the places of the better half, rounded up, the best first; all of them if none is rated.

    What is not rated comes last; of those rated alike the first comes first.

    >>> better_half([0.2, None, 0.9]), better_half([0.5, 0.5]), better_half([None, None])
    ([2, 0], [0], [0, 1])
    """
    order = sorted(range(len(ratings)), key=lambda at: (ratings[at] is not None, ratings[at] or 0.0), reverse=True)
    is_rated = any(rating is not None for rating in ratings)
    return order[: (len(order) + 1) // 2] if is_rated else order
