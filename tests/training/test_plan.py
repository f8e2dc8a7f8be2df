"""One optimiser step takes whole trees, or single pairs drawn over all of them."""

from hypothesis import given
from hypothesis import strategies as st

from presrm.training.plan import plan_steps

TREES = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40)


@given(TREES, st.integers(1, 12), st.integers(1, 3), st.integers(0, 5))
def test_every_epoch_takes_every_pair_once_and_no_tree_is_divided(
    trees: list[str], batch_pairs: int, epochs: int, seed: int
) -> None:
    steps = plan_steps(trees, batch_pairs, epochs, seed)

    taken = [index for step in steps for index in step]
    assert sorted(taken) == sorted([*range(len(trees))] * epochs)
    for step in steps:
        for tree in {trees[index] for index in step}:
            assert sum(trees[index] == tree for index in step) == trees.count(tree)


@given(TREES, st.integers(1, 12), st.integers(0, 5))
def test_a_step_ends_with_the_tree_that_reaches_the_number_wanted(
    trees: list[str], batch_pairs: int, seed: int
) -> None:
    *full, last = plan_steps(trees, batch_pairs, 1, seed)

    for step in full:
        assert len(step) >= batch_pairs
    for step in [*full, last]:
        assert len(step) - trees.count(trees[step[-1]]) < batch_pairs


def test_the_seed_decides_the_order_and_epochs_differ() -> None:
    trees = [str(i) for i in range(20)]

    assert plan_steps(trees, 4, 1, seed=0) == plan_steps(trees, 4, 1, seed=0)
    assert plan_steps(trees, 4, 1, seed=0) != plan_steps(trees, 4, 1, seed=1)
    both = plan_steps(trees, 4, 2, seed=0)
    assert both[:5] != both[5:]


@given(TREES, st.integers(1, 12), st.integers(1, 3), st.integers(0, 5))
def test_single_pairs_fill_every_step_but_the_last_of_an_epoch_exactly(
    trees: list[str], batch_pairs: int, epochs: int, seed: int
) -> None:
    steps = plan_steps(trees, batch_pairs, epochs, seed, shuffle="pairs")

    full, rest = divmod(len(trees), batch_pairs)
    assert [len(step) for step in steps] == ([batch_pairs] * full + [rest] * (rest > 0)) * epochs
    taken = [index for step in steps for index in step]
    assert sorted(taken) == sorted([*range(len(trees))] * epochs)


def test_single_pairs_of_a_tree_are_spread_over_the_steps() -> None:
    trees = [tree for tree in "abcdefgh" for _ in range(8)]

    num_trees = [len({trees[index] for index in step}) for step in plan_steps(trees, 8, 1, 0, shuffle="pairs")]
    assert min(num_trees) > 2
    assert {len({trees[index] for index in step}) for step in plan_steps(trees, 8, 1, 0, shuffle="trees")} == {1}
