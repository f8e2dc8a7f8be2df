"""How the hf engine reads: every prefix once, in packed rows, and within a search not again while it is kept.

Keys and values stand in a pool with a slot for each token; an index says which slots hold which prefix. To attend to
what was read before, or to write behind it, is to gather slots.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from presrm.engines.prefixes import PrefixIndex
from presrm.packing.forward import packed_logps, read_row, tree_attention_in
from presrm.packing.layout import Ids, Indices, Layout, Pack, fill_packs, lay_out_prefixes

_READ_AT_ONCE = 16_384  # tokens in one packed row of prompts, those that were read before included
_FIRST_SLOTS = 1024
_NUM_TRIED = 8  # tokens with which it is tried what a model caches


class Reader:
    """Reads prompts, and keeps the keys and values of prefixes.

    What it keeps follows from the calls since it last forgot, so equal calls read and recall the same.

    Args:
        model: One that `presrm.packing.forward.takes_packs` and `keeps_tokens`.
        budget: Tokens that are kept at most behind a call; those that were not used the longest are dropped.

    Attributes:
        tokens_read: Read so far; what prompts of a call share counts once.
        tokens_recalled: That were still there instead, counted likewise.
    """

    def __init__(self, model: PreTrainedModel, budget: int) -> None:
        self._model = model
        self._budget = budget
        self.tokens_read = self.tokens_recalled = 0
        self.forget()

    @property
    def num_kept(self) -> int:
        """Tokens that are kept now."""
        return self._index.num_tokens

    def forget(self) -> None:
        """Keep nothing."""
        self._index, self._pool = PrefixIndex(), _Pool(self._model.device)
        self._key: Hashable = None

    @contextmanager
    def read(self, prompts: Sequence[Ids], num_kept: Sequence[int], key: Hashable) -> Iterator[list[Indices]]:
        """Read prompts; inside, the slots of their tokens, which are given, hold keys and values.

        Args:
            prompts: Token ids, none empty.
            num_kept: How many first tokens of each are worth keeping.
            key: `presrm.packing.forward.rotary_group` of the prompts: what has another one is not the same.
        """
        slots: dict[int, Indices] = {}
        with self._at_work(key) as lent:
            for part in fill_packs([[ids] for ids in prompts], _READ_AT_ONCE):
                layout, places = lay_out_prefixes([prompts[index] for index in part])
                row = _Row(layout, places, [num_kept[index] for index in part])
                memory = self._open(row, lent)
                if memory.is_new_T.any():
                    with tree_attention_in(self._model):
                        read_row(self._model, layout, memory)
                self._keep(row, memory, lent)
                slots |= {index: memory.slots_T[own] for index, own in zip(part, places, strict=True)}
            yield [slots[index] for index in range(len(prompts))]

    def logps(self, packed: Pack, num_kept: Sequence[int], key: Hashable) -> Tensor:
        """Give the log-probability (nats) of each sequence of a pack, logps_S; what is kept is not read.

        Args:
            packed: The sequences.
            num_kept: As for `read`.
            key: The same.
        """
        row = _Row(packed.layout, packed.places, num_kept)
        with self._at_work(key) as lent:
            memory = self._open(row, lent, packed.sources_W)
            with tree_attention_in(self._model):
                logps_S = packed_logps(self._model, packed, memory=memory)
            self._keep(row, memory, lent)
        return logps_S

    def gather(self, slots: Sequence[Indices], room: int = 0) -> tuple[list[tuple[Tensor, Tensor]], Tensor]:
        """Give keys and values of paths of slots, padded on the left, with room for `room` tokens behind.

        Any slot will do for padding and for room.

        Returns:
            Of each layer, keys and values, both (paths, heads, longest and room, width); and which of the places
            before the room are no padding, (paths, longest).
        """
        length = max(map(len, slots))
        slots_B_T = np.zeros((len(slots), length + room), np.int64)
        shown_B_T = np.zeros((len(slots), length), np.bool_)
        for row_T, shown_T, own in zip(slots_B_T, shown_B_T, slots, strict=True):
            row_T[length - len(own) : length] = own
            shown_T[length - len(own) :] = True
        layers = [self._pool.get(layer, slots_B_T) for layer in range(self._pool.num_layers)]
        return layers, torch.from_numpy(shown_B_T).to(self._model.device)

    @contextmanager
    def _at_work(self, key: Hashable) -> Iterator[list[Indices]]:
        """Collect slots that are lent, inside, and take them back; keep no more than may be kept."""
        if key != self._key:
            self.forget()
            self._key = key
        self._index.begin()
        lent: list[Indices] = []
        try:
            yield lent
        finally:
            dropped = self._index.drop(self._index.num_tokens - self._budget)
            self._pool.give_back([*lent, dropped])

    def _open(self, row: "_Row", lent: list[Indices], wanted: Indices | None = None) -> "_Memory":
        """Find what is known of a row, and slots for the rest; `wanted` places are read in any case."""
        slots_T = np.full(len(row.layout.ids_T), -1)
        for ids, places in row.kept():
            found = self._index.find(ids)
            slots_T[places[: len(found)]] = found
        is_new_T = slots_T < 0
        lent.append(self._pool.take(int(is_new_T.sum())))
        slots_T[is_new_T] = lent[-1]
        if wanted is not None:
            is_new_T[wanted] = True
        return _Memory(self._pool, slots_T, is_new_T)

    def _keep(self, row: "_Row", memory: "_Memory", lent: list[Indices]) -> None:
        """Know what was read of a row from now on; the rest stays lent."""
        num_read = int(memory.is_new_T.sum())
        self.tokens_read += num_read
        self.tokens_recalled += len(memory.is_new_T) - num_read
        is_kept_T = np.zeros(len(memory.slots_T), np.bool_)
        for ids, places in row.kept():
            self._index.insert(ids, memory.slots_T[places])
            is_kept_T[places] = True
        lent[-1] = lent[-1][~np.isin(lent[-1], memory.slots_T[is_kept_T])]


def keeps_tokens(model: PreTrainedModel) -> bool:
    """Whether what a model, which `takes_packs`, carries along are keys and values of each token, in every layer."""
    config = model.config.get_text_config(decoder=True)
    layers = DynamicCache(config=config).layers
    numbers = {module.layer_idx for module in model.modules() if hasattr(module, "layer_idx")}
    return (
        len(layers) == config.num_hidden_layers
        and numbers == set(range(len(layers)))
        and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers)
        and _caches_what_it_attends_to(model)
    )


@torch.inference_mode()
def _caches_what_it_attends_to(model: PreTrainedModel) -> bool:
    """Whether a model's cache holds the keys and values that its attention is given: tried out, not looked up.

    Latent attention keeps what it makes them of, and a model may turn or scale them behind its cache.
    """
    ids = tuple(range(2, 2 + _NUM_TRIED))
    layout, _ = lay_out_prefixes([ids])
    pool = _Pool(model.device)
    memory = _Memory(pool, pool.take(len(ids)), np.ones(len(ids), np.bool_))
    with tree_attention_in(model):
        read_row(model, layout, memory)
    cache = model(input_ids=torch.tensor([ids], device=model.device), use_cache=True).past_key_values
    most = 1e-3 if model.dtype == torch.float32 else 0.1
    return all(
        cached.shape == given.shape and bool((cached - given).abs().mean() <= most * given.abs().mean())
        for number, layer in enumerate(cache.layers)
        for cached, given in zip((layer.keys, layer.values), pool.get(number, memory.slots_T[None]), strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """What is read at once.

    Attributes:
        layout: The packed row.
        places: Where the tokens of each sequence lie in it.
        num_kept: How many first ones of each are worth keeping.
    """

    layout: Layout
    places: Sequence[Indices]
    num_kept: Sequence[int]

    def kept(self) -> Iterator[tuple[Ids, Indices]]:
        """The ids of each sequence that are worth keeping, and where they lie."""
        for places, num in zip(self.places, self.num_kept, strict=True):
            yield tuple(self.layout.ids_T[places[:num]].tolist()), places[:num]


class _Memory:
    """Keys and values of a row, in slots of a pool (`presrm.packing.attention.Memory`)."""

    def __init__(self, pool: "_Pool", slots_T: Indices, is_new_T: NDArray[np.bool_]) -> None:
        self._pool = pool
        self.slots_T = slots_T
        self.is_new_T = is_new_T

    def recall(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put away what is new, and give the whole row."""
        self._pool.put(layer, self.slots_T[self.is_new_T], key, value)
        return (key, value) if self.is_new_T.all() else self._pool.get(layer, self.slots_T[None])


class _Pool:
    """Keys and values of every layer in slots, of which there are more as they are needed."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}
        self._num_slots = 0
        self._free = np.empty(0, np.int64)

    @property
    def num_layers(self) -> int:
        """Layers that have put something."""
        return len(self._layers)

    def take(self, num: int) -> Indices:
        """Give free slots."""
        if lacking := max(0, num - len(self._free)):
            first, self._num_slots = self._num_slots, self._num_slots + max(lacking, self._num_slots, _FIRST_SLOTS)
            self._free = np.concatenate([self._free, np.arange(first, self._num_slots)])
            self._layers = {
                layer: (self._with_room(keys), self._with_room(values))
                for layer, (keys, values) in self._layers.items()
            }
        taken, self._free = self._free[:num], self._free[num:]
        return taken

    def give_back(self, slots: Sequence[Indices]) -> None:
        """Free slots."""
        self._free = np.concatenate([*slots, self._free])

    def put(self, layer: int, slots_N: Indices, key: Tensor, value: Tensor) -> None:
        """Put keys and values, (1, heads, N, width), in slots."""
        if layer not in self._layers:
            self._layers[layer] = self._with_room(key[0, :, :0]), self._with_room(value[0, :, :0])
        slots = torch.from_numpy(slots_N).to(self._device)
        for held, states in zip(self._layers[layer], (key, value), strict=True):
            held[:, slots] = states[0]

    def get(self, layer: int, slots_B_T: Indices) -> tuple[Tensor, Tensor]:
        """Give keys and values of rows of slots, both (B, heads, T, width)."""
        slots = torch.from_numpy(slots_B_T.reshape(-1)).to(self._device)
        keys, values = (
            held.index_select(1, slots).view(len(held), *slots_B_T.shape, -1).transpose(0, 1)
            for held in self._layers[layer]
        )
        return keys, values

    def _with_room(self, held: Tensor) -> Tensor:
        """Copy (heads, slots, width) to a place with all slots."""
        heads, num, width = held.shape
        room = held.new_empty(heads, self._num_slots, width)
        room[:, :num] = held
        return room
