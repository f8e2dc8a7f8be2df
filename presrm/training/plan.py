"""Which pairs each optimiser step takes: whole trees, in a seeded order."""

import random
from collections.abc import Sequence


def plan_steps(trees: Sequence[str], batch_pairs: int, epochs: int, seed: int) -> list[tuple[int, ...]]:
    """Group pairs into optimiser steps.

    A step takes whole trees until it holds `batch_pairs` pairs or more; the last step of an epoch may hold fewer. Every
    epoch shuffles the trees anew.

    Args:
        trees: For each pair, the id of the problem whose tree it hangs on.
        batch_pairs: Pairs wanted in a step.
        epochs: Passes over the pairs.
        seed: Decides the order.

    Returns:
        One tuple of indices of pairs for each optimiser step of all epochs.

    >>> plan_steps(["a", "a", "b", "b", "c"], batch_pairs=3, epochs=1, seed=0)
    [(0, 1, 4), (2, 3)]
    """
    pairs_of: dict[str, list[int]] = {}
    for index, tree in enumerate(trees):
        pairs_of.setdefault(tree, []).append(index)
    rng = random.Random(seed)
    steps: list[tuple[int, ...]] = []
    for _ in range(epochs):
        step: list[int] = []
        for tree in rng.sample(sorted(pairs_of), len(pairs_of)):
            step += pairs_of[tree]
            if len(step) >= batch_pairs:
                steps.append(tuple(step))
                step = []
        if step:
            steps.append(tuple(step))
    return steps
