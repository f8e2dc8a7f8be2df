"""How the hf engine writes: what prompts have in common is read once, and rows that are done leave the batch.

transformers' own ``generate`` draws the tokens. It is called anew, with the rows that are left and their cache, whenever
enough rows are done.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import torch
from transformers import (
    Cache,
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicLayer

from presrm.engines.drafting import Draft
from presrm.packed_forward import rotary_group
from presrm.protocols import Sampling

_WORTH_LEAVING = 8  # rows that are done leave the batch once they are an eighth of it
_WORTH_SHARING = 16  # tokens that prompts have in common are read once, in a pass of their own


def decode(
    model: PreTrainedModel,
    prompts: Sequence[tuple[int, ...]],
    drafts: Sequence[Draft],
    sampling: Sampling,
    pad_id: int,
    seed: int,
) -> int:
    """Write drafts behind their prompts until all are done.

    What is drawn depends on `seed` and on a row's place among the prompts, not on when other rows are done.

    Args:
        model: On its device.
        prompts: Ids, none empty, one a draft; equal ones are read once.
        drafts: Get the tokens that are drawn.
        sampling: How, and how many at most.
        pad_id: Fills up shorter prompts, unseen.
        seed: Of the draws.

    Returns:
        Number of prompt tokens read.
    """
    distinct = {ids: number for number, ids in enumerate(dict.fromkeys(prompts))}
    prompt_B = torch.tensor([distinct[ids] for ids in prompts], device=model.device)
    shared = _num_shared(model, list(distinct), sampling.max_tokens)
    ids_P_T, mask_P_T = pad_rows(list(distinct), pad_id, model.device, shared)
    cache = _read(model, ids_P_T, mask_P_T, prompt_B, shared)
    ids_B_T, mask_B_T = ids_P_T[prompt_B], mask_P_T[prompt_B]
    length = ids_B_T.shape[1] + sampling.max_tokens
    draw = _Draw(len(drafts), seed, model.device)
    while True:
        writing = _Writing([drafts[row] for row in draw.rows.tolist()], can_leave=cache is not None)
        ids_B_T = model.generate(
            ids_B_T,
            attention_mask=mask_B_T,
            generation_config=GenerationConfig(  # type: ignore[no-untyped-call]
                max_length=length, do_sample=False, pad_token_id=pad_id, use_cache=True
            ),
            logits_processor=_draws(sampling, draw),
            stopping_criteria=StoppingCriteriaList([writing]),
            **({} if cache is None else {"past_key_values": cache}),
        )
        left = torch.tensor([i for i, draft in enumerate(writing.drafts) if not draft.is_done], device=model.device)
        if cache is None or not len(left):
            return sum(map(len, distinct)) - shared * (len(distinct) - 1)
        cache.batch_select_indices(left)  # type: ignore[no-untyped-call]
        ids_B_T, draw.rows = ids_B_T[left], draw.rows[left]
        num_new = ids_B_T.shape[1] - mask_B_T.shape[1]
        mask_B_T = torch.cat([mask_B_T[left], mask_B_T.new_ones(len(left), num_new)], dim=1)


def pad_rows(
    rows: Sequence[tuple[int, ...]], pad_id: int, device: torch.device, shared: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows of ids on the left, behind the `shared` first: ids and mask, both (rows, longest)."""
    longest = max(map(len, rows))
    ids = [row[:shared] + (pad_id,) * (longest - len(row)) + row[shared:] for row in rows]
    mask = [[1] * shared + [0] * (longest - len(row)) + [1] * (len(row) - shared) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def positions(mask_B_T: torch.Tensor) -> torch.Tensor:
    """Position ids of padded rows, 0 at the first real token."""
    return (mask_B_T.cumsum(-1) - 1).clamp(min=0)


class RoomyLayer(DynamicLayer):
    """Keys and values with room behind them: new ones are put there, where `DynamicLayer` copies all at every token.

    Args:
        layer: Holds what has been read.
    """

    def __init__(self, layer: DynamicLayer) -> None:
        super().__init__()
        self.__dict__.update(layer.__dict__)
        self._rooms = self._held()

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Put the states, (batch, heads, new tokens, width), behind those that are there, and give all."""
        keys, values = self._held()
        length, new = keys.shape[-2], key_states.shape[-2]
        if length + new > self._rooms[0].shape[-2]:
            self._rooms = (_with_room(keys, new), _with_room(values, new))
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
    """How many first tokens all prompts share, but their last; 0 where what lies between could change what is read."""
    kept = DynamicCache(config=model.config.get_text_config(decoder=True)).layers
    key = rotary_group(model)
    if (
        len(prompts) == 1
        or key(1) != key(max(map(len, prompts)) + extra)
        or any(type(x) is not DynamicLayer for x in kept)
    ):
        return 0
    columns = zip(*(ids[:-1] for ids in prompts), strict=False)
    num = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    return num if num >= _WORTH_SHARING else 0


def _read(
    model: PreTrainedModel, ids_P_T: torch.Tensor, mask_P_T: torch.Tensor, prompt_B: torch.Tensor, shared: int
) -> Cache | None:
    """Read each of P prompts but its last token, the first `shared` once: their cache, laid out for B rows.

    None for a model that keeps no such cache, and for prompts of one token: `generate` reads them itself.
    """
    cache: Cache | None = None
    for start, end, num in ((0, shared, 1), (shared, ids_P_T.shape[1] - 1, len(ids_P_T))):
        if start == end:
            continue
        if cache is not None:
            cache.batch_repeat_interleave(num)
        output = model(
            input_ids=ids_P_T[:num, start:end],
            attention_mask=mask_P_T[:num, :end],
            position_ids=positions(mask_P_T[:num, :end])[:, start:],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = getattr(output, "past_key_values", None)
    if cache is not None:
        cache.batch_select_indices(prompt_B)  # type: ignore[no-untyped-call]
        cache.layers = [RoomyLayer(layer) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _draws(sampling: Sampling, draw: "_Draw") -> LogitsProcessorList:
    """Plain sampling, or greedy at temperature 0."""
    if sampling.temperature == 0:
        return LogitsProcessorList()
    steps: list[LogitsProcessor] = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_p < 1:
        steps.append(TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList([*steps, draw])


class _Draw(LogitsProcessor):
    """Makes a sample of each row's probabilities its largest score, as `torch.multinomial` does.

    Rows that have left go on drawing, so that what the others draw does not depend on when they left.

    Attributes:
        rows: The rows that are left, of all.
    """

    def __init__(self, num_rows: int, seed: int, device: torch.device) -> None:
        self.rows = torch.arange(num_rows, device=device)
        self._num_rows = num_rows
        self._generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        noise_B_V = scores.new_empty(self._num_rows, scores.shape[-1]).exponential_(generator=self._generator)
        return scores.softmax(-1) / noise_B_V[self.rows]


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
