from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.config import PairsConfig
from presrm.credit.pairs import MinedPairs, explain_no_pairs, mine_pairs
from presrm.files.ledger import short_hash
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Status, Step, Stop, Trajectory

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
        tuple(
            Candidate(Step(text, stop=(stops or {}).get(text)), UNREADABLE if score is None else Judgement(score))
            for text, score in scores.items()
        ),
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
    assert (second.chosen.stop, second.rejected.stop) == (Stop.EOS, None)
    assert mined.dropped == {"rolled_back": 1, "tie": 1}


def test_narrow_pairs_are_dropped_and_counted() -> None:
    mined = mine_pairs([TREE], PairsConfig(min_margin=0.5))

    assert [pair.id for pair in mined.pairs] == ["p/2"]
    assert mined.dropped == {"rolled_back": 1, "tie": 1, "min_margin": 1}


# Scores 1, 0.25, 0.75, 0.25, 1, 0.5, 0.25: the kept candidate, and below it three texts, one of which was drawn twice.
MANY = SearchTree(
    PROBLEM,
    (
        Expansion(
            None,
            tuple(
                Candidate(Step(text), Judgement(score))
                for text, score in zip(
                    ("best", "low", "good", "lower", "also best", "fair", "low"),
                    (1.0, 0.25, 0.75, 0.25, 1.0, 0.5, 0.25),
                    strict=True,
                )
            ),
            kept=(0,),
        ),
    ),
    solutions=((0, 0),),
)


def test_all_candidates_below_the_kept_one_give_a_pair_each_widest_first() -> None:
    mined = mine_pairs([MANY], PairsConfig(rejected="all"))

    assert {pair.chosen.text for pair in mined.pairs} == {"best"}
    assert [(pair.id, pair.rejected.text, pair.margin) for pair in mined.pairs] == [
        ("p/0", "low", 0.75),
        ("p/0/3", "lower", 0.75),
        ("p/0/5", "fair", 0.5),
        ("p/0/2", "good", 0.25),
    ]
    assert mined.dropped == {}
    assert mine_pairs([MANY], PairsConfig()).pairs == mined.pairs[:1]


def test_margins_and_the_most_a_problem_may_give_hold_for_single_pairs() -> None:
    def texts(options: PairsConfig) -> list[str]:
        mined = mine_pairs([MANY], options)
        assert mined.dropped == {}  # the expansion still gives a pair
        return [pair.rejected.text for pair in mined.pairs]

    assert texts(PairsConfig(rejected="all", min_margin=0.5)) == ["low", "lower", "fair"]
    assert texts(PairsConfig(rejected="all", max_per_problem=1)) == ["low"]
    assert mine_pairs([MANY], PairsConfig(rejected="all", min_margin=0.8)).dropped == {"min_margin": 1}


def test_an_expansion_that_wider_pairs_leave_without_any_is_counted() -> None:
    narrow = expansion(None, {"a": 1.0, "b": 0.9, "c": 0.8}, kept=0)
    tree = replace(MANY, expansions=(narrow, *MANY.expansions), solutions=((0, 0), (1, 0)))

    mined = mine_pairs([tree], PairsConfig(rejected="all", max_per_problem=4))
    assert {pair.id for pair in mined.pairs} == {"p/1", "p/1/3", "p/1/5", "p/1/2"}
    assert mined.dropped == {"over_max_per_problem": 1}


def test_the_widest_pairs_of_a_problem_stay_in_their_order() -> None:
    narrow_first = replace(TREE, dropped=(), expansions=(*TREE.expansions[2:], expansion(None, {"x": 1, "y": 0}, 0)))
    expansions = tuple(replace(expansion, parent=None) for expansion in narrow_first.expansions)
    narrow_first = replace(narrow_first, expansions=expansions, solutions=((0, 1), (1, 0), (2, 0)))

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
    solutions = tuple((0, kept) for kept in made.kept)
    mined = mine_pairs([SearchTree(PROBLEM, (made,), solutions)], PairsConfig())

    assert (mined.pairs, mined.dropped) == ((), {cause: 1})


def test_of_several_paths_only_those_to_a_solution_give_pairs_and_the_others_are_no_ties() -> None:
    """A beam of two: the second path is left at the second step, where it kept nothing."""
    beam = SearchTree(
        PROBLEM,
        (
            replace(expansion(None, {"a": 0.9, "b": 0.8, "c": 0.1}, 0), kept=(0, 1)),
            weighed(expansion((0, 0), {"a1": 0.9, "a2": 0.5}, 0, {"a1": Stop.EOS}), 0.9),
            weighed(expansion((0, 1), {"b1": 0.3, "b2": 0.2}, None), 0.8),
        ),
        solutions=((1, 0),),
    )

    mined = mine_pairs([beam], PairsConfig(), iteration=3)
    assert [(pair.id, pair.chosen.text, pair.rejected.text) for pair in mined.pairs] == [
        ("3/p/0", "a", "c"),
        ("3/p/1", "a1", "a2"),
    ]
    assert mined.dropped == {"left": 1}


def test_a_path_is_left_and_not_tied_where_only_some_of_its_candidates_have_a_worth() -> None:
    beam = SearchTree(
        PROBLEM,
        (
            replace(expansion(None, {"a": 0.9, "b": 0.8}, 0), kept=(0, 1)),
            weighed(expansion((0, 0), {"a1": 0.9, "a2": 0.5}, 0, {"a1": Stop.EOS}), 0.9),
            weighed(expansion((0, 1), {"b1": 0.3, "b2": 0.2, "b3": None}, None), 0.8),
        ),
        solutions=((1, 0),),
    )
    assert mine_pairs([beam], PairsConfig()).dropped == {"left": 1}


def test_a_path_that_kept_a_step_and_was_left_later_is_not_given_up() -> None:
    beam = SearchTree(
        PROBLEM,
        (
            replace(expansion(None, {"a": 0.9, "b": 0.8}, 0), kept=(0, 1)),
            expansion((0, 0), {"a1": 0.9, "a2": 0.5}, 0, {"a1": Stop.EOS}),
            expansion((0, 1), {"b1": 0.3, "b2": 0.2}, 0),
        ),
        solutions=((1, 0),),
    )
    assert mine_pairs([beam], PairsConfig()).dropped == {"left": 1}
    assert mine_pairs([replace(beam, solutions=(), given_up="why")], PairsConfig()).dropped == {"given_up": 3}


def test_by_worth_a_candidate_without_any_is_neither_chosen_nor_rejected() -> None:
    made = expansion(None, {"a": 0.1, "b": 0.2, "c": 0.9, "d": 0.0}, 0, {"a": Stop.EOS})
    worths = dict(zip("abcd", (0.8, 0.5, 0.3, None), strict=True))
    candidates = tuple(replace(one, worth=worths[one.step.text]) for one in made.candidates)
    tree = SearchTree(PROBLEM, (replace(made, candidates=candidates),), solutions=((0, 0),))
    (pair,) = mine_pairs([tree], PairsConfig(by="worth")).pairs
    assert (pair.chosen.text, pair.rejected.text, pair.margin) == ("a", "c", pytest.approx(0.5))


def test_what_was_mined_from_two_parts_is_what_is_mined_from_both() -> None:
    tied = SearchTree(PROBLEM, (expansion(None, {"a": 0.5, "b": 0.5}, None),), given_up="a tie at the first step")
    asked = [tree_of(("low",), (), ("best",)), tree_of((), (), ())]
    parts = [tied, TREE], [TREE, *asked, tied]
    one, other = (mine_pairs(part, PairsConfig()) for part in parts)
    both = mine_pairs([*parts[0], *parts[1]], PairsConfig())
    assert MinedPairs((), {}) + both == both
    assert one + other == both
    assert sorted(both.both_orders) == [False, True]


def weighed(made: Expansion, worth: float) -> Expansion:
    def weigh(candidate: Candidate) -> Candidate:
        score = candidate.judgement.score
        return replace(candidate, worth=None if score is None else worth * score)

    return replace(made, candidates=tuple(map(weigh, made.candidates)))


def test_a_problem_given_up_gives_no_pairs() -> None:
    mined = mine_pairs([replace(TREE, solutions=(), given_up="a tie after 1 roll-backs")], PairsConfig())

    assert mined.pairs == ()
    assert mined.dropped == {"given_up": 2, "rolled_back": 1, "tie": 1}


def test_no_pairs_are_explained_in_one_line_with_counts() -> None:
    tied = SearchTree(PROBLEM, (expansion(None, {"a": 0.5, "b": 0.5}, None),), given_up="a tie at the first step")
    alone = SearchTree(PROBLEM, (expansion(None, {"a": None}, 0, {"a": Stop.EOS}),), solutions=((0, 0),))
    trees = [tied, tied, alone]

    line = explain_no_pairs(mine_pairs(trees, PairsConfig()))
    assert line == (
        "no preference pairs from 3 problems and 3 expansions: 2 tied, 1 with one distinct candidate; "
        "given up: 2 for a tie at the first step; raise search.temperature, or lower judge.tie_tolerance"
    )
    for others in ([tied, alone, alone], [alone, tied, alone]):
        assert "expansions: 2 with one distinct candidate, 1 tied" in explain_no_pairs(
            mine_pairs(others, PairsConfig())
        )
    for equal in ([tied, alone], [alone, tied]):
        assert "expansions: 1 tied, 1 with one distinct candidate" in explain_no_pairs(mine_pairs(equal, PairsConfig()))
    for without_advice in ("rolled_back", "left"):
        mined = MinedPairs((), {without_advice: 3, "min_margin": 1})
        assert explain_no_pairs(mined).endswith("; lower pairs.min_margin"), "the advice is that of the next cause"
        assert "; " not in explain_no_pairs(MinedPairs((), {without_advice: 3}))
    assert explain_no_pairs(mine_pairs([], PairsConfig())) == "no preference pairs from 0 problems and 0 expansions"


@given(
    scores=st.lists(
        st.dictionaries(st.text("abc", min_size=1, max_size=2), st.none() | st.floats(0, 1), min_size=1), max_size=5
    ),
    given_up=st.none() | st.just("why"),
    dropped=st.sets(st.integers(0, 4)),
    min_margin=st.floats(0, 1),
    max_per_problem=st.none() | st.integers(1, 3),
    rejected=st.sampled_from(["lowest", "all"]),
)
def test_every_expansion_gives_pairs_or_is_counted_once(
    scores: list[dict[str, float | None]],
    given_up: str | None,
    dropped: set[int],
    min_margin: float,
    max_per_problem: int | None,
    rejected: Literal["lowest", "all"],
) -> None:
    expansions = tuple(expansion(None, found, 0) for found in scores)
    solutions = () if given_up else tuple((number, 0) for number in range(len(expansions)))
    tree = SearchTree(PROBLEM, expansions, solutions, tuple(dropped), given_up)

    options = PairsConfig(min_margin=min_margin, max_per_problem=max_per_problem, rejected=rejected)
    mined = mine_pairs([tree, replace(tree, problem=Problem("q", "Again?"))], options)
    with_pairs = {tuple(pair.id.split("/")[:2]) for pair in mined.pairs}
    assert len(with_pairs) + sum(mined.dropped.values()) == 2 * len(expansions)
    assert len({pair.id for pair in mined.pairs}) == len(mined.pairs)
    if rejected == "lowest":
        assert len(with_pairs) == len(mined.pairs)
    for pair in mined.pairs:
        assert 0 < pair.margin <= 1
        assert pair.margin >= min_margin
        assert pair.chosen.text != pair.rejected.text


def test_of_several_candidates_on_the_way_to_solutions_the_best_is_chosen_and_the_first_of_several_best() -> None:
    made = replace(expansion(None, {"a": 0.6, "b": 0.9, "c": 0.1, "d": 0.9}, 0), kept=(0, 1, 3))
    beam = SearchTree(PROBLEM, (made,), solutions=((0, 0), (0, 1), (0, 3)))

    [pair] = mine_pairs([beam], PairsConfig()).pairs
    assert (pair.chosen.text, pair.rejected.text, pair.margin) == ("b", "c", pytest.approx(0.8))


def test_a_kept_candidate_of_unknown_score_is_not_chosen_before_a_known_one() -> None:
    made = replace(expansion(None, {"a": None, "b": 0.4, "c": 0.1}, 0), kept=(0, 1))
    [pair] = mine_pairs([SearchTree(PROBLEM, (made,), solutions=((0, 0), (0, 1)))], PairsConfig()).pairs
    assert (pair.chosen.text, pair.rejected.text) == ("b", "c")

    mined = mine_pairs([SearchTree(PROBLEM, (made,), solutions=((0, 0),))], PairsConfig())
    assert (mined.pairs, mined.dropped) == ((), {"unreadable": 1})


def test_margins_are_kept_from_the_least_on() -> None:
    [pair] = mine_pairs([MANY], PairsConfig(min_margin=0.75)).pairs
    assert pair.margin == 0.75
    assert mine_pairs([TREE], PairsConfig(max_per_problem=1)).dropped == {
        "rolled_back": 1,
        "tie": 1,
        "over_max_per_problem": 1,
    }


@pytest.mark.parametrize(
    ("stops", "cause"),
    [
        ((Stop.NO_ROOM, Stop.NO_ROOM), "no_room"),
        ((Stop.FILTERED, Stop.FILTERED), "filtered"),
        ((Stop.MAX_TOKENS, Stop.FILTERED), "truncated"),
        ((Stop.NO_ROOM, Stop.MAX_TOKENS), "truncated"),
    ],
)
def test_why_no_candidate_is_whole_is_told_apart(stops: tuple[Stop, Stop], cause: str) -> None:
    made = expansion(None, {"a": None, "b": None}, None, dict(zip("ab", stops, strict=True)))
    tree = SearchTree(PROBLEM, (made,), given_up="no candidate is whole")
    assert mine_pairs([tree], PairsConfig()).dropped == {cause: 1}


def tree_of(*contradicted: tuple[str, ...] | None) -> SearchTree:
    """A step: "best" scores 0.9, "mid" 0.5, "low" 0.1; of each what its two orders contradict each other on."""
    judged = zip(("best", "mid", "low"), (0.9, 0.5, 0.1), contradicted, strict=True)
    candidates = tuple(
        Candidate(
            Step(text, stop=Stop.EOS), Judgement(score, contradicted=told and tuple(short_hash(one) for one in told))
        )
        for text, score, told in judged
    )
    return SearchTree(PROBLEM, (Expansion(None, candidates, (0,)),), solutions=((0, 0),))


def test_pairs_whose_two_orders_contradict_each_other_are_counted_and_dropped_on_request() -> None:
    flipped = tree_of(("low",), (), ("best",))
    kept = mine_pairs([flipped], PairsConfig())
    assert (len(kept.pairs), kept.num_contradicted, kept.dropped) == (1, 1, {})
    strict = PairsConfig(require_both_orders=True)
    dropped = mine_pairs([flipped], strict)
    assert (dropped.pairs, dropped.num_contradicted, dropped.dropped) == ((), None, {"contradicted": 1})
    assert "1 whose two orders contradict each other" in explain_no_pairs(dropped)
    both = mine_pairs([flipped], strict.model_copy(update={"rejected": "all"}))
    assert [pair.rejected.text for pair in both.pairs] == ["mid"], "the other pair of the expansion stays"
    assert (both.num_contradicted, both.dropped) == (0, {})


def test_of_a_judge_that_asks_in_one_order_nothing_is_known_and_nothing_dropped() -> None:
    mined = mine_pairs([tree_of(None, None, None)], PairsConfig(require_both_orders=True))
    assert (len(mined.pairs), mined.num_contradicted) == (1, None)


def test_a_step_that_ends_the_solution_is_paired_with_its_like_alone_on_request() -> None:
    """Best of three ends the solution, the lowest goes on, the middle one ends it, too."""
    (made,) = tree_of(None, None, None).expansions
    best, mid, low = made.candidates
    goes_on = replace(low, step=replace(low.step, stop=None))
    tree = SearchTree(PROBLEM, (replace(made, candidates=(best, mid, goes_on)),), solutions=((0, 0),))
    alike = PairsConfig(ends="alike")
    assert [pair.rejected.text for pair in mine_pairs([tree], PairsConfig()).pairs] == ["low"]
    mined = mine_pairs([tree], alike)
    assert (mined.pairs, mined.dropped) == ((), {"across_end": 1})
    assert "1 of which one step ends the solution and the other does not" in explain_no_pairs(mined)
    every = mine_pairs([tree], alike.model_copy(update={"rejected": "all"}))
    assert ([pair.rejected.text for pair in every.pairs], every.dropped) == (["mid"], {})
    same = mine_pairs([tree_of(None, None, None)], alike)
    assert ([pair.rejected.text for pair in same.pairs], same.dropped) == (["low"], {})
