"""Which pairs each optimiser step takes, in a seeded order: whole trees, or single pairs."""

import random
from collections.abc import Sequence
from typing import Literal, TypeVar

T = TypeVar("T")


def plan_steps(
    trees: Sequence[str], batch_pairs: int, epochs: int, seed: int, shuffle: Literal["trees", "pairs"] = "trees"
) -> list[tuple[int, ...]]:
    """Group pairs into optimiser steps.

    Shuffled by trees, a step takes whole trees until it holds `batch_pairs` pairs or more: pairs that share a prefix
    share its cost. Shuffled by pairs, it takes `batch_pairs` pairs drawn over all trees: its pairs are less alike, and
    share little. The last step of an epoch may hold fewer. Every epoch shuffles anew.

    Args:
        trees: For each pair, the id of the problem whose tree it hangs on.
        batch_pairs: Pairs wanted in a step.
        epochs: Passes over the pairs.
        seed: Decides the order.
        shuffle: What is drawn.

    Returns:
        One tuple of indices of pairs for each optimiser step of all epochs.

    >>> plan_steps(["a", "a", "b", "b", "c"], batch_pairs=3, epochs=1, seed=0)
    [(2, 3, 4), (0, 1)]
    >>> plan_steps(["a", "a", "b", "b", "c"], batch_pairs=3, epochs=1, seed=0, shuffle="pairs")
    [(3, 4, 0), (1, 2)]
    """
    units: dict[str, list[int]] = {}
    for index, tree in enumerate(trees):
        units.setdefault(tree if shuffle == "trees" else str(index), []).append(index)
    rng = random.Random(seed)
    steps: list[tuple[int, ...]] = []
    for _ in range(epochs):
        step: list[int] = []
        for unit in rng.sample(sorted(units), len(units)):
            step += units[unit]
            if len(step) >= batch_pairs:
                steps.append(tuple(step))
                step = []
        if step:
            steps.append(tuple(step))
    return steps


def share_evenly(units: Sequence[tuple[T, int]], num: int) -> list[list[tuple[T, int]]]:
    """Divide units of work, each with its size, among `num` processes: the largest first, each to the least busy.

    >>> share_evenly([("a", 5), ("b", 3), ("c", 3)], 2)
    [[('a', 5)], [('b', 3), ('c', 3)]]
    """
    shares: list[list[tuple[T, int]]] = [[] for _ in range(num)]
    busy = [0] * num
    for unit in sorted(units, key=lambda unit: -unit[1]):
        least = busy.index(min(busy))
        shares[least].append(unit)
        busy[least] += unit[1]
    return shares
