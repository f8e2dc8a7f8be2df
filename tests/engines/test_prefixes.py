"""The index of what is kept: against a plain dictionary of every prefix."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from presrm.engines.prefixes import PrefixIndex

texts = st.lists(st.integers(0, 2), max_size=8).map(tuple)


def put(index: PrefixIndex, ids: tuple[int, ...], free: list[int]) -> None:
    """Find what is known of a text, take slots for the rest, and have all of it known."""
    found = index.find(ids).tolist()
    new = [free.pop() for _ in range(len(ids) - len(found))]
    index.insert(ids, np.array([*found, *new], np.int64))


@given(st.lists(texts, max_size=20))
def test_every_prefix_has_the_slots_that_it_was_given_first(sequences: list[tuple[int, ...]]) -> None:
    index, slots = PrefixIndex(), {}
    free = list(range(1000))
    for ids in sequences:
        known = max((n for n in range(len(ids) + 1) if ids[:n] in slots or n == 0), default=0)
        assert len(index.find(ids)) == known
        put(index, ids, free)
        for n, slot in enumerate(index.find(ids).tolist(), start=1):
            assert slots.setdefault(ids[:n], slot) == slot
    assert len(set(slots.values())) == len(slots) == index.num_tokens


@given(st.lists(texts, min_size=1, max_size=12), st.integers(0, 40))
def test_what_is_dropped_is_forgotten_from_its_end_and_its_slots_come_back(
    sequences: list[tuple[int, ...]], num: int
) -> None:
    index, free = PrefixIndex(), list(range(1000))
    for ids in sequences:
        index.begin()
        put(index, ids, free)
    before = index.num_tokens
    held = {slot for ids in sequences for slot in index.find(ids).tolist()}
    dropped = index.drop(num).tolist()
    assert len(dropped) >= min(num, before)
    assert index.num_tokens == before - len(dropped)
    left = {slot for ids in sequences for slot in index.find(ids).tolist()}
    assert left == held - set(dropped)
    assert len(left) == index.num_tokens


def test_what_was_not_used_the_longest_goes_first() -> None:
    index, free = PrefixIndex(), list(range(100))
    trunk = (1, 2, 3)
    for branch in ((4, 4), (5, 5), (6, 6)):
        index.begin()
        put(index, trunk + branch, free)
    index.begin()
    index.find((*trunk, 4, 4))
    index.drop(1)
    lengths = [len(index.find(trunk + branch)) for branch in ((4, 4), (5, 5), (6, 6))]
    assert lengths == [5, 3, 5], "the trunk stays as long as anything hangs on it"
    index.drop(7)
    assert index.num_tokens == 0
