"""Which prefixes are still known, and where: the index of what an engine has read and keeps.

A prefix tree of token ids, each token with the number of the slot that holds what was computed for it. Pure: ids and
numpy in, numpy out.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from presrm.packing.layout import Ids, Indices, num_common


@dataclass(eq=False, slots=True)
class _Node:
    """A run of tokens that continues its parent.

    Attributes:
        ids: Token ids; none at the root.
        slots: One a token.
        used: When it was last asked for.
        parent: None at the root.
        children: By their first id.
    """

    ids: Ids
    slots: Indices
    used: int
    parent: "_Node | None"
    children: dict[int, "_Node"] = field(default_factory=dict)


class PrefixIndex:
    """Knows prefixes, and drops those that were not asked for the longest.

    What it does follows from the calls alone, so equal calls always find and drop the same.

    Attributes:
        num_tokens: How many it knows.
    """

    def __init__(self) -> None:
        self._now = 0
        self._root = _Node((), np.empty(0, np.int64), 0, None)
        self.num_tokens = 0

    def begin(self) -> None:
        """What is asked for from now on is used later than all before."""
        self._now += 1

    def find(self, ids: Ids) -> Indices:
        """Give the slots of the longest known prefix of `ids`, which is now in use."""
        node, depth, slots = self._root, 0, [self._root.slots]
        while (child := node.children.get(ids[depth]) if depth < len(ids) else None) is not None:
            child.used = self._now
            common = num_common(child.ids, ids[depth : depth + len(child.ids)])
            slots.append(child.slots[:common])
            depth += common
            if common < len(child.ids):
                break
            node = child
        return np.concatenate(slots)

    def insert(self, ids: Ids, slots: Indices) -> None:
        """Know a prefix from now on; what is known of it already keeps the slots that it has."""
        node, depth = self._root, 0
        while depth < len(ids):
            child = node.children.get(ids[depth])
            if child is None:
                node.children[ids[depth]] = _Node(ids[depth:], slots[depth:].copy(), self._now, node)
                self.num_tokens += len(ids) - depth
                return
            common = num_common(child.ids, ids[depth : depth + len(child.ids)])
            node = child if common == len(child.ids) else self._split(child, common)
            node.used = self._now
            depth += common

    def _split(self, node: _Node, place: int) -> _Node:
        """Cut a node in two before its token number `place`; gives the first half, which leads to the second."""
        assert node.parent is not None
        head = _Node(node.ids[:place], node.slots[:place], node.used, node.parent, {node.ids[place]: node})
        node.parent.children[node.ids[0]] = head
        node.ids, node.slots, node.parent = node.ids[place:], node.slots[place:], head
        return head

    def drop(self, num: int) -> Indices:
        """Forget at least `num` tokens, if there are so many, from the ends of the paths not used the longest.

        Returns:
            The slots that they had.
        """
        ends = [node for node in self._nodes() if not node.children]
        falling = [(node.used, number, node) for number, node in enumerate(ends)]
        heapq.heapify(falling)
        freed, number = [self._root.slots], len(ends)
        while num > 0 and falling:
            _, _, node = heapq.heappop(falling)
            assert node.parent is not None
            freed.append(node.slots)
            num -= len(node.slots)
            self.num_tokens -= len(node.slots)
            del node.parent.children[node.ids[0]]
            if node.parent.parent is not None and not node.parent.children:
                heapq.heappush(falling, (node.parent.used, number, node.parent))
                number += 1
        return np.concatenate(freed)

    def _nodes(self) -> Iterator[_Node]:
        todo = list(self._root.children.values())
        while todo:
            node = todo.pop()
            yield node
            todo += node.children.values()
