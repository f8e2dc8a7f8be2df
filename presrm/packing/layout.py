"""Trees -> one packed sequence: every shared prefix is computed once.

Sequences of token ids that begin alike form a prefix tree. Its segments are laid out depth first in one row, where
each token sees itself and what is before it on its own path, and its position id is its depth in the tree: to the
model, every path from the root is an ordinary sequence. Pure: numpy in, numpy out. docs/packing.md has a drawing.

Relatives: Tree Training (arXiv 2511.00413) packs the trees of agents' roll-outs, prefix-sharing DPO (arXiv 2410.20305)
the two halves of one pair.
"""

from bisect import bisect, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Ids = tuple[int, ...]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of token ids that continues segment number `parent` (none: a root)."""

    ids: Ids
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """A stretch of the row in which each token continues the one before it.

    Attributes:
        start: Where it begins in the row.
        end: Where it is over.
        before: The stretches, as (start, end), that lead to it from the root, in order.
    """

    start: int
    end: int
    before: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """One packed row of T tokens, depth first, the longest way down first.

    Attributes:
        ids_T: Token ids.
        positions_T: Depth of each token in its tree.
        until_T: Where the part of the row ends that descends from each token: it is seen from there and no further.
        spans: Where each segment lies, as (start, end), in the order in which the segments were given.
        chains: The row, cut wherever a token does not continue the one before it.
    """

    ids_T: Indices
    positions_T: Indices
    until_T: Indices
    spans: tuple[tuple[int, int], ...]
    chains: tuple[Chain, ...]

    def visible(
        self, window: int | None = None, rows: slice | Indices = slice(None), columns: slice | Indices = slice(None)
    ) -> NDArray[np.bool_]:
        """Whether the row's token may see the column's token: visible_Q_K.

        Args:
            window: See only the last so many tokens of the path, itself included; none: all.
            rows: The Q tokens that are asked for.
            columns: The K tokens likewise.
        """
        all_T = np.arange(len(self.ids_T))
        row_Q_1, column_K = all_T[rows, None], all_T[columns]
        visible_Q_K = (row_Q_1 >= column_K) & (row_Q_1 < self.until_T[columns])
        if window is not None:
            visible_Q_K &= self.positions_T[rows, None] - self.positions_T[columns] < window
        return np.asarray(visible_Q_K)

    def blocks(self, size: int, window: int | None = None) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """What each of the row's N blocks of `size` tokens sees of each block: some_N_N, every_N_N.

        Worked out from the chains and from the extremes of every block, so that no T x T table is ever made. Places
        behind the end of the row see nothing and are not seen.

        Args:
            size: Tokens in a block.
            window: As for `visible`.

        Returns:
            Whether any token of the row's block sees any token of the column's, and whether all see all.
        """
        starts_N = np.arange(0, len(self.ids_T), size)
        some_N_N = np.zeros((len(starts_N),) * 2, np.bool_)
        for chain in self.chains:
            for start in (chain.start, *range(chain.start - chain.start % size + size, chain.end, size)):
                row = start // size
                shallowest = 0 if window is None else self.positions_T[start] + 1 - window
                for first, end in (*chain.before, (chain.start, min(chain.end, (row + 1) * size))):
                    seen = first + max(0, shallowest - self.positions_T[first])
                    if seen < end:
                        some_N_N[row, seen // size : (end - 1) // size + 1] = True
        until_N, shallowest_N = (np.minimum.reduceat(each_T, starts_N) for each_T in (self.until_T, self.positions_T))
        every_N_N = (starts_N[:, None] >= starts_N + size - 1) & (starts_N[:, None] + size <= until_N)
        if window is not None:
            every_N_N &= np.maximum.reduceat(self.positions_T, starts_N)[:, None] - shallowest_N < window
        return some_N_N, every_N_N


@dataclass(frozen=True, slots=True)
class Scored:
    """A sequence whose tokens from `start` on are to be scored.

    Attributes:
        ids: Token ids.
        start: First token whose log-probability counts; the first of all has none.
    """

    ids: Ids
    start: int

    def __post_init__(self) -> None:
        if not 1 <= self.start < len(self.ids):
            raise ValueError(f"nothing to score from {self.start} on in {len(self.ids)} tokens")


@dataclass(frozen=True, slots=True)
class Pack:
    """Scored sequences as one packed row.

    A last token is only predicted, never read, and is not part of the row unless another sequence goes on behind it.

    Attributes:
        layout: The row.
        sources_W: Places in the row whose prediction is wanted; each (source, target) once.
        targets_W: The token id whose log-probability is wanted there.
        sums: For each sequence, which of the W log-probabilities add up to its own.
        places: For each sequence, where its tokens lie in the row, without its last one.
    """

    layout: Layout
    sources_W: Indices
    targets_W: Indices
    sums: tuple[Indices, ...]
    places: tuple[Indices, ...]

    @property
    def owners_N(self) -> Indices:
        """The number of the sequence to which each of the N scored tokens belongs, sequence after sequence."""
        return np.repeat(np.arange(len(self.sums)), [len(places) for places in self.sums])


def lay_out(segments: Sequence[Segment]) -> Layout:
    """Lay out one tree, or several: a segment without parent begins a new one.

    Raises:
        ValueError: if a segment is empty or stands before its parent.
    """
    for number, segment in enumerate(segments):
        if not segment.ids or (segment.parent is not None and not 0 <= segment.parent < number):
            raise ValueError(f"segment {number} is empty or stands before its parent {segment.parent}")
    children, sizes = _children(segments)
    total = sum(len(segment.ids) for segment in segments)
    ids_T, positions_T, until_T = (np.zeros(total, np.int64) for _ in range(3))
    spans = [(0, 0)] * len(segments)
    before: list[tuple[tuple[int, int], ...]] = [()] * len(segments)
    chains: list[Chain] = []
    start = 0
    todo = children[None][::-1]
    while todo:
        number = todo.pop()
        segment = segments[number]
        end = start + len(segment.ids)
        depth = 0
        if segment.parent is not None:
            depth = int(positions_T[spans[segment.parent][1] - 1]) + 1
            before[number] = _join(before[segment.parent], spans[segment.parent])
        spans[number] = (start, end)
        ids_T[start:end] = segment.ids
        positions_T[start:end] = np.arange(depth, depth + end - start)
        until_T[start:end] = start + sizes[number]
        if before[number] and before[number][-1][1] == start:
            chains[-1] = Chain(chains[-1].start, end, chains[-1].before)
        else:
            chains.append(Chain(start, end, before[number]))
        todo += children[number][::-1]
        start = end
    return Layout(ids_T, positions_T, until_T, tuple(spans), tuple(chains))


def prefix_tree(sequences: Sequence[Ids]) -> tuple[list[Segment], list[Ids]]:
    """Share what sequences have in common at their beginning.

    Returns:
        The segments of the tree, or of several; and for each sequence the numbers of the segments that spell it.

    Raises:
        ValueError: if a sequence is empty.

    >>> prefix_tree([(1, 2, 3), (1, 2, 4)])
    ([Segment(ids=(1, 2), parent=None), Segment(ids=(3,), parent=0), Segment(ids=(4,), parent=0)], [(0, 1), (0, 2)])
    """
    if not all(sequences):
        raise ValueError("a sequence is empty")
    segments: list[Segment] = []
    ways: dict[Ids, Ids] = {}
    todo: list[tuple[list[Ids], int, Ids]] = [(sorted(set(sequences)), 0, ())]
    while todo:
        group, depth, way = todo.pop()  # sorted, alike up to `depth`, which the segments of `way` spell
        if not group:
            continue
        common = depth + num_common(group[0][depth:], group[-1][depth:])
        if common > depth:
            segments.append(Segment(group[0][depth:common], way[-1] if way else None))
            way = (*way, len(segments) - 1)
        if len(group[0]) == common:
            ways[group.pop(0)] = way
        branches = [list(branch) for _, branch in groupby(group, key=lambda ids: ids[common])]
        todo += [(branch, common, way) for branch in reversed(branches)]
    return segments, [ways[ids] for ids in sequences]


def lay_out_prefixes(sequences: Sequence[Ids]) -> tuple[Layout, list[Indices]]:
    """Lay out sequences, what they have in common at their beginning once; and say where the tokens of each lie.

    Raises:
        ValueError: if a sequence is empty.
    """
    segments, ways = prefix_tree(sequences)
    layout = lay_out(segments)
    return layout, [np.concatenate([np.arange(*layout.spans[number]) for number in way]) for way in ways]


def tree_size(sequences: Sequence[Ids]) -> int:
    """Count the tokens of a prefix tree: what is shared counts once."""
    return sum(len(segment.ids) for segment in prefix_tree(sequences)[0])


def pack(sequences: Sequence[Scored]) -> Pack:
    """Pack sequences, in whatever order, into one row."""
    layout, places = lay_out_prefixes([sequence.ids[:-1] for sequence in sequences])
    wanted: dict[tuple[int, int], int] = {}
    sums = []
    for sequence, own in zip(sequences, places, strict=True):
        asked = zip(own[sequence.start - 1 :].tolist(), sequence.ids[sequence.start :], strict=True)
        sums.append(np.array([wanted.setdefault(place_and_id, len(wanted)) for place_and_id in asked]))
    sources_and_targets = np.array(list(wanted)).reshape(-1, 2)
    return Pack(layout, sources_and_targets[:, 0], sources_and_targets[:, 1], tuple(sums), tuple(places))


def fill_packs(groups: Sequence[Sequence[Ids]], budget: int) -> list[tuple[int, ...]]:
    """Divide groups of sequences among packs: what is alike meets, and a long tree is cut between two groups.

    The packs of a tree that was cut overlap in what they share: it is computed in each, and counts in none twice.

    Args:
        groups: Sequences that have to lie in one pack, such as both halves of a pair.
        budget: Tokens in one pack. A group with more has a pack of its own.

    Returns:
        For each pack the indices of its groups; each index once.
    """
    packs: list[list[int]] = []
    held: list[Ids] = []
    size = 0
    for index in sorted(range(len(groups)), key=lambda index: tuple(groups[index])):
        more = list(held)
        added = sum(_insert(ids, more) for ids in groups[index])
        if packs and size + added <= budget:
            packs[-1].append(index)
            held, size = more, size + added
        else:
            packs.append([index])
            held = []
            size = sum(_insert(ids, held) for ids in groups[index])
    return [tuple(indices) for indices in packs]


def num_common(first: Ids, second: Ids) -> int:
    """Count the tokens with which both begin."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))


def _insert(ids: Ids, held: list[Ids]) -> int:
    """Put a sequence among sorted ones; returns how many tokens the prefix tree gains."""
    place = bisect(held, ids)
    shared = [num_common(ids, neighbour) for neighbour in held[max(place - 1, 0) : place + 1]]
    insort(held, ids)
    return len(ids) - max(shared, default=0)


def _children(segments: Sequence[Segment]) -> tuple[dict[int | None, list[int]], list[int]]:
    """Children of each segment, those with the longest way down first, and the tokens of each one's subtree."""
    children: dict[int | None, list[int]] = {None: [], **{number: [] for number in range(len(segments))}}
    sizes = [len(segment.ids) for segment in segments]
    heights = list(sizes)
    for number in reversed(range(len(segments))):
        parent = segments[number].parent
        children[parent].insert(0, number)
        if parent is not None:
            sizes[parent] += sizes[number]
            heights[parent] = max(heights[parent], len(segments[parent].ids) + heights[number])
    for siblings in children.values():
        siblings.sort(key=lambda number: -heights[number])
    return children, sizes


def _join(stretches: tuple[tuple[int, int], ...], following: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """Append a stretch of the row, as one with the last if they touch."""
    if stretches and stretches[-1][1] == following[0]:
        return (*stretches[:-1], (stretches[-1][0], following[1]))
    return (*stretches, following)
