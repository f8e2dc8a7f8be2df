"""Keys and values of rows that are written: with room behind them, and those of a trunk that rows share only once.

The candidates of a step share a prompt, the questions about an expansion its path. Attention of a row is that over the
trunk, in which the rows of a trunk are queries beside each other, and that over its own tokens, weighed together.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from presrm.packing.forward import rotary_group

_ATTENTION = "presrm_branches"  # its name in transformers
_cache: ContextVar["BranchingCache"] = ContextVar("cache")


class RoomyLayer(DynamicLayer):
    """Keys and values with room behind them: new ones are put there, where `DynamicLayer` copies all at every token.

    Args:
        keys: Of what has been read, and room behind it: (rows, heads, tokens and room, width).
        values: Likewise.
        length: Tokens that have been read.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, length: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self._rooms = keys, values
        self.keys, self.values = (room[..., :length, :] for room in self._rooms)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the states, (rows, heads, new tokens, width), behind those that are there, and give all."""
        keys, values = self.held()
        length, new = keys.shape[-2], key_states.shape[-2]
        if length + new > self._rooms[0].shape[-2]:
            self._rooms = _with_room(keys, new), _with_room(values, new)
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[..., length : length + new, :] = states
        self.keys, self.values = (room[..., : length + new, :] for room in self._rooms)
        return self.held()

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows, and the room behind them."""
        length = self.held()[0].shape[-2]
        keys, values = self._rooms
        self._rooms = keys.index_select(0, indices), values.index_select(0, indices)
        self.keys, self.values = (room[..., :length, :] for room in self._rooms)

    def held(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of what has been read and written."""
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values


def _with_room(states: torch.Tensor, new: int) -> torch.Tensor:
    """Copy `states` to a place with room for `new` tokens and a quarter more."""
    *outer, length, width = states.shape
    room = states.new_empty(*outer, length + max(new, 32, length // 4), width)
    room[..., :length, :] = states
    return room


class BranchingCache(DynamicCache):
    """Keys and values of B rows that branch off from P trunks, and go on to be written. Every layer keeps all tokens.

    Args:
        trunks: Of each layer, keys and values, both (P, heads, T, width).
        shown_P_T: Which tokens of the trunks are no padding.
        rows: Of each layer, keys and values of what the rows have of their own, with room behind, likewise.
        shown_B_O: Which of those that have been read are no padding.
        trunk_B: The number of each row's trunk.
    """

    def __init__(
        self,
        trunks: Sequence[tuple[Tensor, Tensor]],
        shown_P_T: Tensor,
        rows: Sequence[tuple[Tensor, Tensor]],
        shown_B_O: Tensor,
        trunk_B: Tensor,
    ) -> None:
        super().__init__()
        self.trunks = [*trunks]
        self._shown_P_T, self._shown_B_O = shown_P_T, shown_B_O
        self._own = [_BranchLayer(*own, shown_B_O.shape[1], shown_P_T.shape[1]) for own in rows]
        self.layers = [*self._own]
        self._seat(trunk_B)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows, and the trunks that they still need."""
        super().batch_select_indices(indices)
        self._shown_B_O = self._shown_B_O[indices]
        needed, trunk_B = torch.unique(self._trunk_B[indices], return_inverse=True)
        if len(needed) < len(self._shown_P_T):
            self.trunks = [(keys[needed], values[needed]) for keys, values in self.trunks]
            self._shown_P_T = self._shown_P_T[needed]
        self._seat(trunk_B)

    def _seat(self, trunk_B: Tensor) -> None:
        """Give every row one of the N seats beside its trunk."""
        num_P = trunk_B.bincount(minlength=len(self._shown_P_T))
        self._trunk_B, self._num_seats = trunk_B, int(num_P.max())
        order_B = trunk_B.argsort(stable=True)
        first_P = num_P.cumsum(0) - num_P
        seat_B = torch.empty_like(trunk_B)
        seat_B[order_B] = torch.arange(len(trunk_B), device=trunk_B.device) - first_P[trunk_B[order_B]]
        self._seat_B = trunk_B * self._num_seats + seat_B
        self._hidden_P_T = torch.where(self._shown_P_T, 0.0, -torch.inf)[:, None, None]
        self._hidden_B_O = torch.where(self._shown_B_O, 0.0, -torch.inf)[:, None, None]

    def attend(self, layer: int, query_B_H_1_D: Tensor, scaling: float | None) -> Tensor:
        """Attention of each row's new token over its trunk and its own tokens: (B, 1, H, width of values)."""
        (trunk_keys, trunk_values), (keys, values) = self.trunks[layer], self._own[layer].held()
        num, heads, _, width = query_B_H_1_D.shape
        num_keys = keys.shape[1]  # heads of a group are queries to the same keys
        query = query_B_H_1_D.to(keys.dtype).view(num, num_keys, heads // num_keys, width)
        query = query * (width**-0.5 if scaling is None else scaling)
        at_trunk = self._apart(torch.matmul(self._beside(query), trunk_keys.transpose(-1, -2)) + self._hidden_P_T)
        at_own = torch.matmul(query, keys.transpose(-1, -2)).float()
        at_own[..., : self._hidden_B_O.shape[-1]] += self._hidden_B_O
        weights = torch.cat([at_trunk, at_own], -1).softmax(-1).to(values.dtype)
        to_trunk, to_own = torch.split(weights, [at_trunk.shape[-1], at_own.shape[-1]], -1)
        out = self._apart(torch.matmul(self._beside(to_trunk), trunk_values)) + torch.matmul(to_own, values)
        return out.reshape(num, 1, heads, -1)

    def _beside(self, states: Tensor) -> Tensor:
        """Put what rows have, (B, heads, group, X), beside their trunks: (P, heads, seats and group, X)."""
        _, heads, group, size = states.shape
        seats = states.new_zeros(len(self._shown_P_T) * self._num_seats, heads, group, size)
        seats[self._seat_B] = states
        return seats.view(-1, self._num_seats, heads, group, size).transpose(1, 2).flatten(2, 3)

    def _apart(self, states: Tensor) -> Tensor:
        """Give each row back what stands at its seat."""
        num, heads, _, size = states.shape
        seats = states.view(num, heads, self._num_seats, -1, size).transpose(1, 2).flatten(0, 1)
        return seats[self._seat_B]


class _BranchLayer(RoomyLayer):  # type: ignore[no-untyped-call]
    """What rows have of their own, behind trunks of a length."""

    def __init__(self, keys: Tensor, values: Tensor, length: int, trunk: int) -> None:
        super().__init__(keys, values, length)
        self._trunk = trunk

    def get_seq_length(self) -> int:
        return self._trunk + self.held()[0].shape[-2]


def keep_rows(cache: Cache, rows_B: Tensor) -> None:
    """Keep some rows of a cache, each as often as it is named: keys and values, and states that layers carry along."""
    if isinstance(cache, BranchingCache):
        cache.batch_select_indices(rows_B)
        return
    layers: list[Any] = cache.layers
    for layer in layers:
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            layer.reorder_cache(rows_B)  # type: ignore[arg-type]
        else:
            layer.batch_select_indices(rows_B)


def keeps_all(model: PreTrainedModel) -> bool:
    """Whether every layer attends to all that was read, so that padding inside a row changes nothing."""
    layers = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    return all(type(layer) is DynamicLayer for layer in layers)


def can_branch(model: PreTrainedModel) -> bool:
    """Whether a model that `presrm.packing.forward.takes_packs` can write behind a `BranchingCache`.

    A window would count the padding between a trunk and its rows, and a model whose rotary factors change with the
    length reads all anew then. A GPU has attention kernels of its own, against which this was not measured.
    """
    key = rotary_group(model)
    return model.device.type == "cpu" and keeps_all(model) and key(1) == key(2**31)


@contextmanager
def branching(model: PreTrainedModel, cache: Cache | None) -> Iterator[None]:
    """Have a model attend, inside the block, to what a cache holds, if that is a `BranchingCache`."""
    if not isinstance(cache, BranchingCache):
        yield
        return
    before, token = model.config._attn_implementation, _cache.set(cache)
    try:
        model.set_attn_implementation(_ATTENTION)
        yield
    finally:
        model.set_attn_implementation(before)
        _cache.reset(token)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of one layer, as transformers calls it; keys and values are in the cache by now."""
    layer: Any = module.layer_idx
    return _cache.get().attend(layer, query, scaling), None


def _no_mask(**others: Any) -> None:
    """The cache knows what is padding."""


AttentionInterface.register(_ATTENTION, _attention)
AttentionMaskInterface.register(_ATTENTION, _no_mask)
