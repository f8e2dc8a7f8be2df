"""Labels without a label: what all votes agree on."""

from collections.abc import Sequence

from presrm.judging.agreement import label_by_agreement
from presrm.types import Candidates, Judgement, Problem, Status, Step, Trajectory

PREFIX = Trajectory(Problem("p", "?"))
PAIR = Candidates(PREFIX, (Step("a"), Step("b")))


class Fixed:
    """Scores by text; what has no score cannot be read."""

    scale = "relative"

    def __init__(self, **scores: float) -> None:
        self.scores = scores

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(self._one(step.text) for step in item.steps) for item in batch]

    def _one(self, text: str) -> Judgement:
        return Judgement(self.scores[text]) if text in self.scores else Judgement(None, Status.UNREADABLE)


def labels(*judges: Fixed) -> dict[str, bool | None]:
    found = label_by_agreement([PAIR], judges, seed=0)
    return {step.text: label for one in found for step, label in zip(one.candidates.steps, one.labels, strict=True)}


def test_a_pair_is_labelled_where_all_votes_name_the_same_step() -> None:
    assert labels(Fixed(a=1, b=0), Fixed(a=1, b=0)) == {"a": True, "b": False}
    assert labels(Fixed(a=0, b=1)) == {"a": False, "b": True}


def test_one_vote_that_differs_or_wavers_or_is_unreadable_is_enough_against_it() -> None:
    assert labels(Fixed(a=1, b=0), Fixed(a=0, b=1)) == {}
    assert labels(Fixed(a=1, b=0), Fixed(a=0.5, b=0.5)) == {}  # its two orders contradict each other
    assert labels(Fixed(a=1, b=0), Fixed(a=1)) == {}


def test_a_single_candidate_says_nothing() -> None:
    assert label_by_agreement([Candidates(PREFIX, (Step("a"),))], [Fixed(a=1)], seed=0) == []
