"""Trees -> one packed sequence: every shared prefix is computed once.

A tree of token segments is laid out depth first in one row. Each token sees the tokens of its own segment before it
and of all ancestors, and its position id is its depth in the tree: to the model, every path from the root is an
ordinary sequence. Pure: numpy in, numpy out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of token ids that continues segment number `parent` (none: a root)."""

    ids: tuple[int, ...]
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    """One packed row of T tokens.

    Attributes:
        ids_T: Token ids.
        positions_T: Depth of each token in its tree.
        visible_T_T: Whether the row's token may see the column's token.
        spans: Where each segment lies, as (start, end).
        previous_T: Index of the token before each one on its path; -1 at a root's first token.
    """

    ids_T: NDArray[np.int64]
    positions_T: NDArray[np.int64]
    visible_T_T: NDArray[np.bool_]
    spans: tuple[tuple[int, int], ...]
    previous_T: NDArray[np.int64]


def pack(segments: Sequence[Segment]) -> Layout:
    """Lay out one tree, or several: a segment without parent begins a new one.

    Raises:
        ValueError: if a segment is empty or stands before its parent.
    """
    total = sum(len(segment.ids) for segment in segments)
    ids_T = np.zeros(total, np.int64)
    positions_T = np.zeros(total, np.int64)
    previous_T = np.full(total, -1, np.int64)
    visible_T_T = np.zeros((total, total), np.bool_)
    spans: list[tuple[int, int]] = []
    for number, segment in enumerate(segments):
        start = spans[-1][1] if spans else 0
        end = start + len(segment.ids)
        if end == start or (segment.parent is not None and not 0 <= segment.parent < number):
            raise ValueError(f"segment {number} is empty or stands before its parent {segment.parent}")
        ids_T[start:end] = segment.ids
        depth = 0
        if segment.parent is not None:
            last = spans[segment.parent][1] - 1
            depth = positions_T[last] + 1
            visible_T_T[start:end] = visible_T_T[last]
            previous_T[start] = last
        previous_T[start + 1 : end] = np.arange(start, end - 1)
        positions_T[start:end] = np.arange(depth, depth + end - start)
        visible_T_T[start:end, start:end] = np.tri(end - start, dtype=np.bool_)
        spans.append((start, end))
    return Layout(ids_T, positions_T, visible_T_T, tuple(spans), previous_T)
