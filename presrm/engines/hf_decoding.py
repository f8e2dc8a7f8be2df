"""How the hf engine writes: rows of a batch behind their prompts; those that are done leave it.

The tokens come from transformers' own ``generate``, which is called anew, with the rows that are left and their cache,
whenever enough rows are done.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
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
from presrm.engines.hf_caches import BranchingCache, RoomyLayer, branching, can_branch, keep_rows, keeps_all
from presrm.engines.hf_drawing import Draws
from presrm.packing.forward import rotary_group
from presrm.protocols import Sampling

if TYPE_CHECKING:
    from presrm.engines.hf_reading import Reader

_WORTH_LEAVING = 8  # rows that are done leave the batch once they are an eighth of it
_READ_AT_ONCE = 4096  # tokens of prompts, of like length, where rows are read without a reader
_ROOM = 64  # tokens behind prompts for which there is room from the start
_PAD = 0  # unseen, so any token does; a tokenizer's own may have no embedding


def decode(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    drafts: Sequence[Draft],
    sampling: Sampling,
    seeds: Sequence[int],
    *,
    reader: "Reader | None" = None,
    num_kept: Sequence[int] | None = None,
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
        reader: Reads the prompts; none: they are read as rows of a batch, each from its beginning.
        num_kept: For the reader: how many first tokens of each prompt are worth keeping; none: all.
        on_read: Told of prompt tokens that are read without the reader.
    """
    if reader is None or len(prompts[0]) == 1:
        ids_B_T, mask_B_T, cache = _read_rows(model, prompts, on_read)
    else:
        room = min(sampling.max_tokens, _ROOM)
        ids_B_T, mask_B_T, cache = _read_once(model, prompts, num_kept or [*map(len, prompts)], reader, room)
        on_read(len(set(prompts)))  # the last token of each, which is read now
    length = ids_B_T.shape[1] + sampling.max_tokens
    draws = Draws(sampling, seeds, model.device) if sampling.temperature > 0 else None
    while True:
        writing = _Writing(drafts, can_leave=cache is not None)
        with branching(model, cache):
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
        keep_rows(cache, left_B)
        ids_B_T = ids_B_T[left_B]
        num_new = ids_B_T.shape[1] - mask_B_T.shape[1]
        mask_B_T = torch.cat([mask_B_T[left_B], mask_B_T.new_ones(len(left), num_new)], dim=1)


def pad_rows(rows: Sequence[tuple[int, ...]], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows of ids on the left: ids and mask, both (rows, longest)."""
    longest = max(map(len, rows))
    ids = [(_PAD,) * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def positions(mask_B_T: torch.Tensor) -> torch.Tensor:
    """Position ids of padded rows, 0 at the first real token."""
    return (mask_B_T.cumsum(-1) - 1).clamp(min=0)


def _read_once(
    model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], num_kept: Sequence[int], reader: "Reader", room: int
) -> tuple[torch.Tensor, torch.Tensor, Cache]:
    """Read prompts but their last token, what they have in common once.

    What several of them may share, their first `num_kept` tokens, stands in the cache once, too, where rows can branch.

    Returns:
        Ids and mask, both (prompts, T), and the cache of all places but the last, a row a prompt.
    """
    heads = [ids[:-1] for ids in prompts]
    nums = [min(num, len(ids)) for num, ids in zip(num_kept, heads, strict=True)]
    kept = dict(zip(heads, nums, strict=True))
    distinct = [ids for ids in kept if ids]
    with reader.read(distinct, [kept[ids] for ids in distinct], rotary_group(model)(len(prompts[0]))) as slots:
        by_ids = dict(zip(distinct, slots, strict=True))
        slots_B = [by_ids.get(ids, np.empty(0, np.int64)) for ids in heads]
        trunks = {ids[:num]: slots[:num] for ids, num, slots in zip(heads, nums, slots_B, strict=True)}
        if len(trunks) < len(heads) and any(trunks) and can_branch(model):
            numbers = {ids: number for number, ids in enumerate(trunks)}
            trunk_B = torch.tensor([numbers[ids[:num]] for ids, num in zip(heads, nums, strict=True)])
            shared, shown_P_T = reader.gather([*trunks.values()])
            rows, shown_B_O = reader.gather([slots[num:] for slots, num in zip(slots_B, nums, strict=True)], room)
            cache: DynamicCache = BranchingCache(shared, shown_P_T, rows, shown_B_O, trunk_B)
            mask_B_T = pad(torch.cat([shown_P_T[trunk_B], shown_B_O], 1).long(), (0, 1), value=1)
            ids_B_T = torch.full_like(mask_B_T, _PAD)  # what was read is not read again
            ids_B_T[:, -1] = torch.tensor([ids[-1] for ids in prompts])
        else:
            rows, _ = reader.gather(slots_B, room)
            ids_B_T, mask_B_T = pad_rows(prompts, model.device)
            cache = DynamicCache()
            cache.layers = [RoomyLayer(keys, values, ids_B_T.shape[1] - 1) for keys, values in rows]
    return ids_B_T, mask_B_T, cache


def _read_rows(
    model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], on_read: Callable[[int], None]
) -> tuple[torch.Tensor, torch.Tensor, Cache | None]:
    """Read B prompts, longest first, but their last token, equal ones once, some at a time.

    Returns:
        Ids and mask, both (prompts, longest), and the cache; none for a model that keeps no such, and for prompts of
        one or two tokens: `generate` reads them itself.
    """
    distinct = {ids: number for number, ids in enumerate(dict.fromkeys(prompts))}
    rows = list(distinct)
    ids_P_T, mask_P_T = pad_rows(rows, model.device)
    prompt_B = torch.tensor([distinct[ids] for ids in prompts], device=model.device)
    ids_B_T, mask_B_T = ids_P_T[prompt_B], mask_P_T[prompt_B]
    if len(rows[0]) <= 2:  # models with a state do not mask padding that stands in one column
        on_read(sum(map(len, rows)))
        return ids_B_T, mask_B_T, None
    caches = []
    for part in [*_alike(rows)] if keeps_all(model) and len(rows[-1]) > 1 else [rows]:
        ids, mask = pad_rows(part, model.device)
        output = model(
            input_ids=ids[:, :-1],
            attention_mask=mask[:, :-1],
            position_ids=positions(mask)[:, :-1],
            use_cache=True,
            logits_to_keep=1,
        )
        caches.append(getattr(output, "past_key_values", None))
        on_read(sum(map(len, part)))
    cache = _merge(caches)
    if cache is not None and len(rows) < len(prompts):
        keep_rows(cache, prompt_B)
    return ids_B_T, mask_B_T, cache


def _alike(prompts: Sequence[tuple[int, ...]]) -> Iterator[Sequence[tuple[int, ...]]]:
    """Cut prompts, longest first, into parts that are read at once."""
    begin = 0
    while begin < len(prompts):
        end = begin + max(1, _READ_AT_ONCE // len(prompts[begin]))
        yield prompts[begin:end]
        begin = end


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
    return RoomyLayer(keys, values, longest)


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
