"""Attention in which every token of a packed row sees its own path.

On a CPU neighbouring chains of the row share a call of scaled dot-product attention over the keys that lead to them; on
a GPU it is one call of FlexAttention with a block mask. Either way time and memory follow what is visible, not the
square of the row.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from operator import itemgetter
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface

from presrm.packing.layout import Chain, Layout

TREE_ATTENTION = "presrm_tree"  # its name in transformers
_ROUND = 256  # tokens of neighbouring chains that share a call of attention, and a copy of what they see
_BLOCK = 128  # tokens in a block of FlexAttention
_MIN_BLOCKS = 2  # a size of 1 would be compiled apart


@dataclass(frozen=True, slots=True)
class _Round:
    """Neighbouring chains that attend together.

    Attributes:
        num_rows: How many of the row's new tokens attend: Q.
        seen: The numbers of the pieces of the row that they see, in order: K tokens.
        mask_Q_K: Which of them; none: plainly causal.
    """

    num_rows: int
    seen: list[int]
    mask_Q_K: Tensor | None


class Memory(Protocol):
    """Keys and values of a row, of which a part was read before.

    Attributes:
        is_new_T: Whether each token of the row is read now.
    """

    is_new_T: NDArray[np.bool_]

    def recall(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Take those of the N new tokens, both (1, heads, N, D), and give those of the whole row, (1, heads, T, D)."""
        ...


class Tree:
    """What attention has to know of a row, and the masks made of it, one a window.

    Args:
        layout: The row.
        device: Where the masks are.
        memory: Has what is not read now; none: all of the row is.
    """

    def __init__(self, layout: Layout, device: torch.device, memory: Memory | None = None) -> None:
        self.memory = memory
        self._is_new_T = np.ones(len(layout.ids_T), bool) if memory is None else memory.is_new_T
        self._layout = layout
        self._device = device
        self._rounds: dict[int | None, list[_Round]] = {}
        self._block_masks: dict[int | None, BlockMask] = {}
        self._groups: list[list[Chain]] = []
        for chain in layout.chains:
            if not self._is_new_T[chain.start : chain.end].any():
                continue
            if chain.before and self._groups and chain.end - self._groups[-1][0].start <= _ROUND:
                self._groups[-1].append(chain)
            else:
                self._groups.append([chain])
        ends = {end for chain in layout.chains for _, end in chain.before}
        edges = sorted({0, *ends, *(group[-1].end for group in self._groups), len(layout.ids_T)})
        self._pieces = list(pairwise(edges))
        self.sizes = [end - start for start, end in self._pieces]

    def rounds(self, window: int | None) -> list[_Round]:
        """The calls of attention that work through the row."""
        if window not in self._rounds:
            self._rounds[window] = [self._round(group, window) for group in self._groups]
        return self._rounds[window]

    def _round(self, group: list[Chain], window: int | None) -> _Round:
        start, end = group[0].start, group[-1].end
        rows = start + np.flatnonzero(self._is_new_T[start:end])
        stretches = {(start, end), *(stretch for chain in group for stretch in chain.before)}
        near = sorted({number for stretch in stretches for number in self._pieces_of(*stretch)})
        masks = {number: self._layout.visible(window, rows, slice(*self._pieces[number])) for number in near}
        seen = [number for number, mask in masks.items() if mask.any()]
        mask_Q_K = np.concatenate([masks[number] for number in seen], 1)
        num = len(rows)
        causal = mask_Q_K.shape == (num, num) and (mask_Q_K == np.tri(num, dtype=bool)).all()
        return _Round(num, seen, None if causal else torch.from_numpy(mask_Q_K).to(self._device))

    def _pieces_of(self, start: int, end: int) -> range:
        """The numbers of the pieces that a stretch of the row touches."""
        return range(
            bisect_right(self._pieces, start, key=itemgetter(0)) - 1, bisect_left(self._pieces, end, key=itemgetter(0))
        )

    def block_mask(self, window: int | None) -> BlockMask:
        """The same for FlexAttention, of the row padded to whole blocks; padding sees nothing."""
        if window not in self._block_masks:
            self._block_masks[window] = self._block_mask(window)
        return self._block_masks[window]

    def _block_mask(self, window: int | None) -> BlockMask:
        """One function of the mask serves all windows and lengths, so that it is compiled once."""
        some_N_N, every_N_N = self._layout.blocks(_BLOCK, window)
        is_new_N = np.logical_or.reduceat(self._is_new_T, np.arange(0, len(self._is_new_T), _BLOCK))
        some_N_N, every_N_N = (blocks_N_N & is_new_N[:, None] for blocks_N_N in (some_N_N, every_N_N))
        more = max(0, _MIN_BLOCKS - len(some_N_N))
        some_N_N, every_N_N = (np.pad(blocks_N_N, (0, more)) for blocks_N_N in (some_N_N, every_N_N))
        length = len(some_N_N) * _BLOCK
        last_T = self._layout.positions_T - (length if window is None else window)
        until_T, depth_T, beyond_T = (
            torch.from_numpy(np.pad(each_T, (0, length - len(each_T))).astype(np.int32)).to(self._device)
            for each_T in (self._layout.until_T, self._layout.positions_T, last_T)
        )

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & (query < until_T[key]) & (depth_T[key] > beyond_T[query])

        partly, wholly = self._ordered(some_N_N & ~every_N_N), self._ordered(every_N_N)
        return BlockMask.from_kv_blocks(*partly, *wholly, BLOCK_SIZE=_BLOCK, mask_mod=sees)

    def _ordered(self, blocks_N_N: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        """The blocks of each row as FlexAttention lists them: how many (1, 1, N); which (1, 1, N, N), those first."""
        order_N_N = np.argsort(~blocks_N_N, axis=1, kind="stable")
        counts, order = (
            torch.from_numpy(each.astype(np.int32))[None, None].to(self._device)
            for each in (blocks_N_N.sum(1), order_N_N)
        )
        return counts, order

    def spread(self, query: Tensor) -> Tensor:
        """Put the queries of the new tokens where they lie in the row; elsewhere nothing is asked."""
        if self.memory is None:
            return query
        row = query.new_zeros(*query.shape[:2], len(self._is_new_T), query.shape[3])
        row[:, :, self._new_places()] = query
        return row

    def gather(self, out: Tensor) -> Tensor:
        """Take what the new tokens got of the row."""
        return out if self.memory is None else out[:, :, self._new_places()]

    def _new_places(self) -> Tensor:
        return torch.from_numpy(np.flatnonzero(self._is_new_T)).to(self._device)


def _window(*, config: Any, local_size: int | None = None, **others: Any) -> int | None:
    """What transformers asks for in place of a layer's mask: how many tokens of its path a token sees, itself included.

    Attention is given it again as its mask. So a window counts wherever the model itself would have masked by it.

    Raises:
        ValueError: if what is seen is bounded by anything but a window.
    """
    if local_size is not None and local_size != getattr(config, "sliding_window", None):
        raise ValueError(f"attention in chunks of {local_size} tokens")
    return local_size


def _tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: int | None,
    *,
    tree: Tree,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of one layer, as transformers calls it.

    Args:
        module: The layer's attention.
        query: (1, heads, T, D).
        key: (1, heads or a divisor of it, T, D); queries, keys and values are those of its new tokens alone where the
            tree has a memory.
        value: The same.
        attention_mask: The layer's window, from `_window`; none: all of its path is seen.
        tree: The row.
        scaling: Of the products; none: 1/sqrt(D).
        dropout: Of attention, in training.
        others: What other kinds of attention need.

    Returns:
        (1, T, heads, D), and no weights.

    Raises:
        ValueError: for what would change attention and is not known here.
    """
    if others.get("softcap") is not None or others.get("s_aux") is not None or others.get("position_bias") is not None:
        raise ValueError("attention with a soft cap, sinks or a bias")
    if isinstance(attention_mask, Tensor):
        raise ValueError("attention with a mask of the model's own")
    kind = query.device.type  # rotary embeddings may have left queries and keys in float32, where autocast made values
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else value.dtype
    q, k, v = (tensor.to(dtype) for tensor in (query, key, value))
    if tree.memory is not None:
        k, v = tree.memory.recall(cast(int, module.layer_idx), k, v)
    attend = _flex if query.is_cuda and not dropout else _in_rounds
    return attend(q, k, v, tree, scaling, dropout, attention_mask).transpose(1, 2).contiguous(), None


def _in_rounds(
    query: Tensor, key: Tensor, value: Tensor, tree: Tree, scaling: float | None, dropout: float, window: int | None
) -> Tensor:
    rounds = tree.rounds(window)
    queries = torch.split(query, [each.num_rows for each in rounds], 2)
    keys, values = (torch.split(tensor, tree.sizes, 2) for tensor in (key, value))
    gqa = query.shape[1] != key.shape[1]
    done = []
    for q, each in zip(queries, rounds, strict=True):
        k, v = (torch.cat([pieces[number] for number in each.seen], 2) for pieces in (keys, values))
        mask, causal = each.mask_Q_K, each.mask_Q_K is None
        done.append(scaled_dot_product_attention(q, k, v, mask, dropout, causal, scale=scaling, enable_gqa=gqa))
    return torch.cat(done, 2)


def _flex(
    query: Tensor, key: Tensor, value: Tensor, tree: Tree, scaling: float | None, dropout: float, window: int | None
) -> Tensor:
    """One call for the whole row, padded to whole blocks.

    Lengths are dynamic from the second one on. All else that dynamo would compile anew for stays out of the call:
    autocast, and the scale, a number, of which it would make a variable that the kernels do not know.
    """
    query = tree.spread(query)
    length, width = query.shape[2:]
    if scaling is not None and not math.isclose(scaling, width**-0.5):
        query = query * (scaling * width**0.5)
    mask = tree.block_mask(window)
    padded = [pad(tensor, (0, 0, 0, mask.shape[-1] - length)) for tensor in (query, key, value)]
    with torch.autocast(query.device.type, enabled=False):
        out = _compiled_flex()(*padded, block_mask=mask, enable_gqa=query.shape[1] != key.shape[1])
    return tree.gather(cast(Tensor, out)[:, :, :length])


@cache
def _compiled_flex() -> Callable[..., Any]:
    """FlexAttention as one graph: what dynamo can no longer compile is an error, not a T x T table."""
    return torch.compile(flex_attention, fullgraph=True)


AttentionInterface.register(TREE_ATTENTION, _tree_attention)
AttentionMaskInterface.register(TREE_ATTENTION, _window)
