"""How sure a pair is, worked by hand."""

import random

import pytest
from scipy import stats

from presrm.config import PairsConfig
from presrm.credit.consistency import doubts, rank_agreement, vote_doubt
from presrm.credit.pairs import mine_pairs
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Step

ABOUT = Problem("p", "?")


def test_agreement_of_ranks_is_kendalls_tau_between_nothing_and_one() -> None:
    rng = random.Random(0)
    for _ in range(50):
        one, other = ([rng.randint(0, 4) / 4 for _ in range(6)] for _ in range(2))
        if len(set(one)) > 1 and len(set(other)) > 1:
            expected = (stats.kendalltau(one, other).statistic + 1) / 2
            assert rank_agreement(one, other) == pytest.approx(expected)


def test_what_either_judge_could_not_read_has_no_part_in_the_agreement() -> None:
    assert rank_agreement([1.0, None, 0.0, 0.5], [1.0, 0.3, 0.0, None]) == 1.0
    assert rank_agreement([1.0, None], [1.0, 0.0]) is None


def test_without_any_confidence_there_is_no_doubt() -> None:
    assert doubts([None, None], by="set") == [0.0, 0.0] == doubts([None, None], by="pair")


def tree(scores: dict[str, float], kept: int = 0) -> SearchTree:
    candidates = tuple(Candidate(Step(text), Judgement(score)) for text, score in scores.items())
    return SearchTree(ABOUT, (Expansion(None, candidates, (kept,)),), solutions=((0, kept),))


def test_the_share_of_votes_is_the_label_and_nothing_else_changes() -> None:
    found = tree({"good": 0.75, "bad": 0.25})
    (hard,), (soft,) = (mine_pairs([found], PairsConfig(labels=labels)).pairs for labels in ("hard", "votes"))
    assert (hard.doubt, soft.doubt) == (0.0, 0.25)  # 3 of 4 votes for the one, 1 of 4 for the other
    assert (hard.chosen, hard.rejected, hard.margin) == (soft.chosen, soft.rejected, soft.margin)
    assert vote_doubt(0.0) == 0.5


@pytest.mark.parametrize(("least", "spread"), [(0.0, 1.0), (0.3, 0.6), (0.5, 0.1)])
@pytest.mark.parametrize(
    ("share", "chosen", "rejected"),
    [
        (None, "the best one", "low"),
        (0.0, "the best one", "low"),
        (0.1, "near best", "low"),  # upper from 0.9 on, lower up to 0.1
        (0.4, "good", "a long low one"),  # upper from 0.6 on, lower up to 0.4
    ],
)
def test_length_decides_within_tiers_of_the_scores(
    share: float | None, chosen: str, rejected: str, least: float, spread: float
) -> None:
    scores = {"the best one": 1.0, "near best": 0.95, "good": 0.65, "a longer one between": 0.5}
    scores |= {"a long low one": 0.35, "low": 0.0}
    scores = {text: least + spread * score for text, score in scores.items()}
    (pair,) = mine_pairs([tree(scores)], PairsConfig(length_tier=share)).pairs
    assert (pair.chosen.text, pair.rejected.text) == (chosen, rejected)
    assert pair.margin == pytest.approx(scores[chosen] - scores[rejected])


@pytest.mark.parametrize("order", [1, -1])
def test_among_equally_long_ones_the_score_decides_and_among_equal_scores_the_first(order: int) -> None:
    options = PairsConfig(length_tier=0.4)
    scores = {"best": 1.0, "good": 0.9, "fine": 0.8, "low?": 0.2, "poor": 0.1, "base": 0.0}
    (pair,) = mine_pairs([tree(dict([*scores.items()][::order]), 0 if order == 1 else 5)], options).pairs
    assert (pair.chosen.text, pair.rejected.text) == ("best", "base")

    alike = [*{"one": 1.0, "two": 1.0, "yes": 0.0, "no!": 0.0}.items()][::order]
    (pair,) = mine_pairs([tree(dict(alike), 0 if order == 1 else 2)], options).pairs
    assert (pair.chosen.text, pair.rejected.text) == (("one", "yes") if order == 1 else ("two", "no!"))


def test_length_is_counted_in_tokens_where_they_are_known() -> None:
    few = Candidate(Step("long to read", tokens=(1,)), Judgement(0.9))
    many = Candidate(Step("short", tokens=(1, 2, 3)), Judgement(1.0))
    low = Candidate(Step("x", tokens=(1,)), Judgement(0.0))
    found = SearchTree(ABOUT, (Expansion(None, (many, few, low), (0,)),), solutions=((0, 0),))
    (pair,) = mine_pairs([found], PairsConfig(length_tier=0.4)).pairs
    assert pair.chosen.text == "long to read"


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="choose one"):
        PairsConfig(labels="votes", consistency="set")
    with pytest.raises(ValueError, match="set rejected to lowest"):
        PairsConfig(length_tier=0.4, rejected="all")
