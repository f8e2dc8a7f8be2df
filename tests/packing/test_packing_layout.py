"""Trees laid out in one row: worked by hand, and against what the words mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.packing.layout import Chain, Scored, Segment, fill_packs, lay_out, pack, prefix_tree, tree_size

QUESTION, RIGHT, WRONG, LAST, OTHER = (1, 2, 3), (4, 5), (6,), (7, 8), (9, 9)

ids = st.lists(st.integers(0, 2), min_size=2, max_size=8).map(tuple)
sequences = st.lists(ids.flatmap(lambda t: st.builds(Scored, st.just(t), st.integers(1, len(t) - 1))), min_size=1)


def test_a_tree_worked_by_hand() -> None:
    segments = [Segment(QUESTION), Segment(WRONG, 0), Segment(RIGHT, 0), Segment(LAST, 2), Segment(OTHER, 2)]

    layout = lay_out(segments)

    assert layout.ids_T.tolist() == [1, 2, 3, 4, 5, 7, 8, 9, 9, 6], "the longest way down comes first"
    assert layout.positions_T.tolist() == [0, 1, 2, 3, 4, 5, 6, 5, 6, 3], "positions are depths"
    assert layout.spans == ((0, 3), (9, 10), (3, 5), (5, 7), (7, 9)), "spans are in the order of the segments"
    assert layout.chains == (Chain(0, 7, ()), Chain(7, 9, ((0, 5),)), Chain(9, 10, ((0, 3),)))
    visible = ["".join("x" if seen else "." for seen in row) for row in layout.visible()]
    assert visible == [
        "x.........",
        "xx........",
        "xxx.......",
        "xxxx......",
        "xxxxx.....",
        "xxxxxx....",
        "xxxxxxx...",
        "xxxxx..x..",
        "xxxxx..xx.",
        "xxx......x",
    ]


def test_a_window_counts_in_depth_not_in_the_row() -> None:
    layout = lay_out([Segment(QUESTION), Segment(RIGHT, 0), Segment(WRONG, 0)])

    assert layout.visible(window=2)[5].tolist() == [False, False, True, False, False, True]


def test_trees_without_a_common_root_do_not_see_each_other() -> None:
    layout = lay_out([Segment((1, 2)), Segment((3, 4))])

    assert layout.positions_T.tolist() == [0, 1, 0, 1]
    assert not layout.visible()[2:, :2].any()


@pytest.mark.parametrize("segments", [[Segment(())], [Segment((1,), 0)], [Segment((1,)), Segment((2,), 1)]])
def test_segments_that_are_no_tree_are_refused(segments: list[Segment]) -> None:
    with pytest.raises(ValueError, match="empty or stands before its parent"):
        lay_out(segments)


@pytest.mark.parametrize("start", [0, 3, 4])
def test_there_must_be_something_to_score(start: int) -> None:
    with pytest.raises(ValueError, match="nothing to score"):
        Scored((1, 2, 3), start)


def test_the_last_token_is_predicted_but_not_read() -> None:
    packed = pack([Scored((1, 2, 3), 2), Scored((1, 2, 4), 2)])

    assert packed.layout.ids_T.tolist() == [1, 2]
    assert (packed.sources_W.tolist(), packed.targets_W.tolist()) == ([1, 1], [3, 4])
    assert [places.tolist() for places in packed.sums] == [[0], [1]]


def test_what_two_sequences_both_score_is_wanted_once_and_added_to_both() -> None:
    packed = pack([Scored((1, 2, 3, 4), 1), Scored((1, 2, 3, 5), 2)])

    assert packed.targets_W.tolist() == [2, 3, 4, 5]
    assert [places.tolist() for places in packed.sums] == [[0, 1, 2], [1, 3]]


def test_a_sequence_that_another_goes_on_from() -> None:
    packed = pack([Scored((1, 2), 1), Scored((1, 2, 3, 4), 2)])

    assert packed.layout.ids_T.tolist() == [1, 2, 3]
    assert packed.targets_W.tolist() == [2, 3, 4]


@given(sequences)
def test_a_pack_holds_every_sequence_as_if_it_were_alone(scored: list[Scored]) -> None:
    packed = pack(scored)

    layout, visible = packed.layout, packed.layout.visible()
    for sequence, places in zip(scored, packed.sums, strict=True):
        assert packed.targets_W[places].tolist() == list(sequence.ids[sequence.start :])
        for depth, source in enumerate(packed.sources_W[places], start=sequence.start - 1):
            seen = np.flatnonzero(visible[source])
            assert layout.ids_T[seen].tolist() == list(sequence.ids[: depth + 1]), "it sees its own path"
            assert layout.positions_T[seen].tolist() == list(range(depth + 1))


@given(sequences)
def test_nothing_is_computed_twice(scored: list[Scored]) -> None:
    read = [sequence.ids[:-1] for sequence in scored]

    assert len(pack(scored).layout.ids_T) == len({t[: i + 1] for t in read for i in range(len(t))})


@given(sequences)
def test_chains_say_the_same_as_visibility(scored: list[Scored]) -> None:
    layout = pack(scored).layout
    row = np.zeros((len(layout.ids_T),) * 2, np.bool_)
    for chain in layout.chains:
        for place in range(chain.start, chain.end):
            for start, end in (*chain.before, (chain.start, place + 1)):
                row[place, start:end] = True

    assert (row == layout.visible()).all()
    assert [chain.start for chain in layout.chains] == [0, *[chain.end for chain in layout.chains[:-1]]]


@given(st.lists(ids, min_size=1))
def test_a_prefix_tree_spells_its_sequences(spelled: list[tuple[int, ...]]) -> None:
    segments, ways = prefix_tree(spelled)

    for sequence, way in zip(spelled, ways, strict=True):
        assert sum((segments[number].ids for number in way), ()) == sequence
        assert [segments[number].parent for number in way] == [None, *way[:-1]]


def test_an_empty_sequence_has_no_place_in_a_tree() -> None:
    with pytest.raises(ValueError, match="empty"):
        prefix_tree([(1,), ()])


def test_a_long_tree_is_cut_between_two_steps_and_the_packs_overlap() -> None:
    path = (1, 1, 1, 1)
    pairs = [[(*path, 2), (*path, 3)], [(*path, 2, 4), (*path, 2, 5)], [(*path, 2, 4, 6), (*path, 2, 4, 7)]]

    assert fill_packs(pairs, 100) == [(0, 1, 2)]
    assert fill_packs(pairs, 8) == [(0, 1), (2,)]
    assert fill_packs(pairs, 1) == [(0,), (1,), (2,)], "what is too long has a pack of its own"


@given(st.lists(st.lists(ids, min_size=1, max_size=2), min_size=1), st.integers(1, 30))
def test_each_group_lies_in_one_pack_and_packs_keep_the_budget(
    groups: list[list[tuple[int, ...]]], budget: int
) -> None:
    packs = fill_packs(groups, budget)

    assert sorted(index for indices in packs for index in indices) == list(range(len(groups)))
    for indices in packs:
        assert len(indices) == 1 or tree_size([t for index in indices for t in groups[index]]) <= budget


def test_what_begins_alike_meets_in_a_pack_whatever_the_order() -> None:
    groups = [[(1, 1, 2)], [(5, 5, 5)], [(1, 1, 3)]]

    assert fill_packs(groups, 4) == [(0, 2), (1,)]
