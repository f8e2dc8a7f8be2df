from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.config import PairsConfig
from presrm.pairs import explain_no_pairs, mine_pairs
from presrm.types import Expansion, Judgement, Problem, SearchTree, Status, Step, Stop, Trajectory

PROBLEM = Problem("p", "What is 2 + 3 - 1?")
UNREADABLE = Judgement(None, Status.UNREADABLE)


def expansion(
    parent: tuple[int, int] | None,
    scores: dict[str, float | None],
    kept: int | None,
    stops: dict[str, Stop] | None = None,
) -> Expansion:
    return Expansion(
        parent,
        tuple(Step(text) for text in scores),
        tuple((stops or {}).get(text) for text in scores),
        tuple(UNREADABLE if score is None else Judgement(score) for score in scores.values()),
        () if kept is None else (kept,),
    )


# Two steps; the second was tied first, which took back the first step, and was then found again.
TREE = SearchTree(
    PROBLEM,
    (
        expansion(None, {"2 + 3 = 6\n": 1.0, "2 + 3 = 5\n": 0.0}, kept=0),
        expansion((0, 0), {"6 - 1 = 5": 0.5, "6 - 1 = 4": 0.5}, kept=None),
        expansion(None, {"2 + 3 = 7\n": 0.25, "2 + 3 = 5\n": 1.0, "3 + 2\n": 0.25, "hm": None}, kept=1),
        expansion((2, 1), {"5 - 1 = 4": 0.9, "5 - 1 = 3\n": 0.5}, kept=0, stops={"5 - 1 = 4": Stop.EOS}),
    ),
    solutions=((3, 0),),
    dropped=(0,),
)


def test_a_trees_pairs_worked_by_hand() -> None:
    mined = mine_pairs([TREE], PairsConfig())

    first, second = mined.pairs
    assert (first.id, first.prefix, first.chosen.text, first.rejected.text) == (
        "p/2",
        Trajectory(PROBLEM),
        "2 + 3 = 5\n",
        "2 + 3 = 7\n",
    )
    assert first.margin == 0.75
    assert (second.id, second.prefix.text, second.chosen.text, second.rejected.text) == (
        "p/3",
        "2 + 3 = 5\n",
        "5 - 1 = 4",
        "5 - 1 = 3\n",
    )
    assert second.margin == pytest.approx(0.4)
    assert (second.chosen_stop, second.rejected_stop) == (Stop.EOS, None)
    assert mined.dropped == {"rolled_back": 1, "tie": 1}


def test_narrow_pairs_are_dropped_and_counted() -> None:
    mined = mine_pairs([TREE], PairsConfig(min_margin=0.5))

    assert [pair.id for pair in mined.pairs] == ["p/2"]
    assert mined.dropped == {"rolled_back": 1, "tie": 1, "min_margin": 1}


def test_the_widest_pairs_of_a_problem_stay_in_their_order() -> None:
    narrow_first = replace(TREE, dropped=(), expansions=(*TREE.expansions[2:], expansion(None, {"x": 1, "y": 0}, 0)))
    narrow_first = replace(narrow_first, expansions=tuple(replace(e, parent=None) for e in narrow_first.expansions))

    mined = mine_pairs([narrow_first, TREE], PairsConfig(max_per_problem=2))
    assert [pair.id for pair in mined.pairs] == ["p/0", "p/2", "p/2", "p/3"]
    assert mined.dropped["over_max_per_problem"] == 1


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (expansion(None, {"a": 0.5, "b": 0.5}, None), "tie"),
        (expansion(None, {"a": 0.5, "b": 0.5}, 0), "tie"),
        (expansion(None, {"a": None}, 0), "unanimous"),
        (expansion(None, {"a": None}, None), "unanimous"),
        (expansion(None, {"a": None, "cut": None}, 0, {"cut": Stop.MAX_TOKENS}), "unanimous"),
        (expansion(None, {"a": None, "b": None}, None), "unreadable"),
        (expansion(None, {"a": 1.0, "b": None}, 0), "unreadable"),
        (
            expansion(None, {"cut": None, "off": None}, None, dict.fromkeys(("cut", "off"), Stop.MAX_TOKENS)),
            "truncated",
        ),
    ],
)
def test_an_expansion_without_a_pair_is_counted_by_cause(made: Expansion, cause: str) -> None:
    mined = mine_pairs([SearchTree(PROBLEM, (made,))], PairsConfig())

    assert (mined.pairs, mined.dropped) == ((), {cause: 1})


def test_a_problem_given_up_gives_no_pairs() -> None:
    mined = mine_pairs([replace(TREE, solutions=(), given_up="a tie after 1 roll-backs")], PairsConfig())

    assert mined.pairs == ()
    assert mined.dropped == {"given_up": 2, "rolled_back": 1, "tie": 1}


def test_no_pairs_are_explained_in_one_line_with_counts() -> None:
    tied = SearchTree(PROBLEM, (expansion(None, {"a": 0.5, "b": 0.5}, None),), given_up="a tie at the first step")
    trees = [tied, tied, SearchTree(PROBLEM, (expansion(None, {"a": None}, 0, {"a": Stop.EOS}),))]

    line = explain_no_pairs(trees, mine_pairs(trees, PairsConfig()))
    assert line == (
        "no preference pairs from 3 problems and 3 expansions: 2 tied, 1 with one distinct candidate; "
        "given up: 2 for a tie at the first step; raise search.temperature, or lower judge.tie_tolerance"
    )
    assert explain_no_pairs([], mine_pairs([], PairsConfig())) == "no preference pairs from 0 problems and 0 expansions"


@given(
    scores=st.lists(
        st.dictionaries(st.text("abc", min_size=1, max_size=2), st.none() | st.floats(0, 1), min_size=1), max_size=5
    ),
    given_up=st.none() | st.just("why"),
    dropped=st.sets(st.integers(0, 4)),
    min_margin=st.floats(0, 1),
    max_per_problem=st.none() | st.integers(1, 3),
)
def test_every_expansion_gives_a_pair_or_is_counted_once(
    scores: list[dict[str, float | None]],
    given_up: str | None,
    dropped: set[int],
    min_margin: float,
    max_per_problem: int | None,
) -> None:
    expansions = tuple(expansion(None, found, 0) for found in scores)
    tree = SearchTree(PROBLEM, expansions, dropped=tuple(dropped), given_up=given_up)

    mined = mine_pairs([tree, tree], PairsConfig(min_margin=min_margin, max_per_problem=max_per_problem))
    assert len(mined.pairs) + sum(mined.dropped.values()) == 2 * len(expansions)
    for pair in mined.pairs:
        assert 0 < pair.margin <= 1
        assert pair.margin >= min_margin
        assert pair.chosen.text != pair.rejected.text
