"""How the hf engine writes: what prompts have in common is read once, and rows that are done leave the batch.

The tokens come from transformers' own ``generate``, which is called anew, with the rows that are left and their cache,
whenever enough rows are done.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from itertools import takewhile
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import (
    Cache,
    DynamicCache,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

from presrm.engines.drafting import Draft
from presrm.engines.hf_drawing import Draws
from presrm.packing.forward import rotary_group
from presrm.protocols import Sampling

_WORTH_LEAVING = 8  # rows that are done leave the batch once they are an eighth of it
_WORTH_SHARING = 16  # tokens that prompts have in common are read once, in a pass of their own
_READ_AT_ONCE = 4096  # tokens of prompts, of like length
_PAD = 0  # unseen, so any token does; a tokenizer's own may have no embedding


def decode(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    drafts: Sequence[Draft],
    sampling: Sampling,
    seeds: Sequence[int],
    *,
    shares: bool,
    on_read: Callable[[int], None] = lambda tokens: None,
) -> None:
    """Write drafts behind their prompts until all are done.

    What a row draws depends on its seed and its probabilities alone.

    Args:
        model: On its device.
        prompts: Ids, longest first, none empty, one a draft; equal ones are read once.
        drafts: Get the tokens that are drawn.
        sampling: How, and how many at most.
        seeds: Of the draws, one a draft.
        shares: Read what all prompts begin with once. Padding may then lie inside a row, so attention has to go by
            position ids, as that of a model that `presrm.packing.forward.takes_packs`.
        on_read: Told of prompt tokens as they are read.
    """
    distinct = {ids: number for number, ids in enumerate(dict.fromkeys(prompts))}
    shared = _num_shared(model, list(distinct), sampling.max_tokens) if shares else 0
    ids_P_T, mask_P_T, cache = _read(model, list(distinct), shared, on_read)
    prompt_B = torch.tensor([distinct[ids] for ids in prompts], device=model.device)
    ids_B_T, mask_B_T = ids_P_T[prompt_B], mask_P_T[prompt_B]
    if cache is not None and len(distinct) < len(prompts):
        cache.batch_select_indices(prompt_B)
    length = ids_B_T.shape[1] + sampling.max_tokens
    draws = Draws(sampling, seeds, model.device) if sampling.temperature > 0 else None
    while True:
        writing = _Writing(drafts, can_leave=cache is not None)
        ids_B_T = model.generate(  # type: ignore[operator]
            ids_B_T,
            attention_mask=mask_B_T,
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_length=length, do_sample=False, pad_token_id=_PAD, use_cache=True
            ),
            logits_processor=LogitsProcessorList([draws] if draws else []),
            stopping_criteria=StoppingCriteriaList([writing]),
            **({} if cache is None else {"past_key_values": cache}),
        )
        left = [row for row, draft in enumerate(drafts) if not draft.is_done]
        if cache is None or not left:
            return
        drafts = [drafts[row] for row in left]
        if draws:
            draws.keep(left)
        left_B = torch.tensor(left, device=model.device)
        cache.batch_select_indices(left_B)
        ids_B_T = ids_B_T[left_B]
        num_new = ids_B_T.shape[1] - mask_B_T.shape[1]
        mask_B_T = torch.cat([mask_B_T[left_B], mask_B_T.new_ones(len(left), num_new)], dim=1)


def pad_rows(
    rows: Sequence[tuple[int, ...]], device: torch.device, shared: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows of ids on the left, behind the `shared` first: ids and mask, both (rows, longest)."""
    longest = max(map(len, rows))
    ids = [row[:shared] + (_PAD,) * (longest - len(row)) + row[shared:] for row in rows]
    mask = [[1] * shared + [0] * (longest - len(row)) + [1] * (len(row) - shared) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def positions(mask_B_T: torch.Tensor) -> torch.Tensor:
    """Position ids of padded rows, 0 at the first real token."""
    return (mask_B_T.cumsum(-1) - 1).clamp(min=0)


class RoomyLayer(DynamicLayer):
    """Keys and values with room behind them: new ones are put there, where `DynamicLayer` copies all at every token.

    Args:
        keys: Of what has been read: (rows, heads, tokens, width).
        values: Likewise.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self.keys, self.values = self._rooms = keys, values

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the states, (rows, heads, new tokens, width), behind those that are there, and give all."""
        keys, values = self._held()
        length, new = keys.shape[-2], key_states.shape[-2]
        if length + new > self._rooms[0].shape[-2]:
            self._rooms = _with_room(keys, new), _with_room(values, new)
        for room, states in zip(self._rooms, (key_states, value_states), strict=True):
            room[..., length : length + new, :] = states
        self.keys, self.values = (room[..., : length + new, :] for room in self._rooms)
        return self._held()

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep some rows."""
        super().batch_select_indices(indices)
        self._rooms = self._held()

    def _held(self) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.keys is not None
        assert self.values is not None
        return self.keys, self.values


def _with_room(states: torch.Tensor, new: int) -> torch.Tensor:
    """Copy `states` to a place with room for `new` tokens and a quarter more."""
    *outer, length, width = states.shape
    room = states.new_empty(*outer, length + max(new, 32, length // 4), width)
    room[..., :length, :] = states
    return room


def _num_shared(model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], extra: int) -> int:
    """How many first tokens all prompts share, but their last; 0 where reading them apart would not be the same."""
    key = rotary_group(model)
    if not _keeps_all(model) or key(1) != key(max(map(len, prompts)) + extra):
        return 0
    columns = zip(*(ids[:-1] for ids in prompts), strict=False)
    num = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return num if num >= _WORTH_SHARING and len(prompts) > 1 else 0


def _keeps_all(model: PreTrainedModel) -> bool:
    """Whether every layer attends to all that was read, so that padding inside a row changes nothing."""
    layers = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    return all(type(layer) is DynamicLayer for layer in layers)


def _read(
    model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], shared: int, on_read: Callable[[int], None]
) -> tuple[torch.Tensor, torch.Tensor, Cache | None]:
    """Read P prompts, longest first, but their last token: the first `shared` once, and some at a time.

    Returns:
        Ids and mask, both (prompts, longest), and the cache; none for a model that keeps no such, and for prompts of
        one token: `generate` reads them itself.
    """
    longest, apart = len(prompts[0]), _keeps_all(model) and len(prompts[-1]) > 1
    members = [*_alike(prompts)] if apart else [prompts]
    parts = [pad_rows(part, model.device, shared) for part in members]
    ids_P_T, mask_P_T = (
        torch.cat([pad(part, (longest - part.shape[1], 0), value=filler) for part in column])
        for column, filler in zip(zip(*parts, strict=True), (_PAD, 0), strict=True)
    )
    on_read(shared)
    if longest == 1:
        on_read(len(prompts))
        return ids_P_T, mask_P_T, None
    first_ids, first_mask = parts[0]
    start = _forward(model, first_ids[:1, :shared], first_mask[:1, :shared], None) if shared else None
    caches = []
    for (ids, mask), part in zip(parts, members, strict=True):
        caches.append(_forward(model, ids[:, :-1], mask[:, :-1], start))
        on_read(sum(len(prompt) - shared for prompt in part))
    return ids_P_T, mask_P_T, _merge(caches)


def _alike(prompts: Sequence[tuple[int, ...]]) -> Iterator[Sequence[tuple[int, ...]]]:
    """Cut prompts, longest first, into parts that are read at once."""
    begin = 0
    while begin < len(prompts):
        end = begin + max(1, _READ_AT_ONCE // len(prompts[begin]))
        yield prompts[begin:end]
        begin = end


def _forward(
    model: PreTrainedModel, ids_P_T: torch.Tensor, mask_P_T: torch.Tensor, start: Cache | None
) -> Cache | None:
    """Read rows of ids, which all begin as the one row in the cache `start` does."""
    cache, num_read = deepcopy(start), 0
    if cache is not None:
        num_read = cache.get_seq_length()
        cache.batch_repeat_interleave(len(ids_P_T))
        if num_read == ids_P_T.shape[1]:
            return cache
    output = model(
        input_ids=ids_P_T[:, num_read:],
        attention_mask=mask_P_T,
        position_ids=positions(mask_P_T)[:, num_read:],
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return getattr(output, "past_key_values", None)


def _merge(caches: Sequence[Cache | None]) -> Cache | None:
    """Put the rows of several caches one below the other, padded on the left, with room to write."""
    merged, *_ = caches
    if merged is not None:
        columns = zip(*(cache.layers for cache in caches if cache is not None), strict=True)
        merged.layers = [_merge_layers(layers) for layers in columns]
    return merged


def _merge_layers(layers: Sequence[CacheLayerMixin]) -> CacheLayerMixin:
    if type(layers[0]) is not DynamicLayer or not layers[0].is_initialized:
        return layers[0]
    longest = layers[0].get_seq_length()
    keys, values = (
        torch.cat([pad(states, (0, 0, longest - states.shape[-2], 0)) for states in column])
        for column in zip(*((layer.keys, layer.values) for layer in layers), strict=True)
    )
    return RoomyLayer(keys, values)


class _Writing(StoppingCriteria):
    """Shows every token to its draft, and ends a call of `generate` when all are done or enough can leave."""

    def __init__(self, drafts: Sequence[Draft], can_leave: bool) -> None:
        self.drafts = drafts
        self._enough = -(-len(drafts) // _WORTH_LEAVING) if can_leave else len(drafts)

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: Any) -> torch.Tensor:
        for draft, token in zip(self.drafts, input_ids[:, -1].tolist(), strict=True):
            draft.add(token)
        num_done = sum(draft.is_done for draft in self.drafts)
        return torch.full((len(self.drafts),), num_done >= self._enough, device=input_ids.device)
