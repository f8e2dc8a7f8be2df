"""A packed row and a model -> the log-probability of each of its sequences.

The row runs through the model once. Only attention is ours: in every layer a token attends to its own path. On a CPU
neighbouring chains of the row share a call of scaled dot-product attention over the keys that lead to them; on a GPU
it is one call of FlexAttention with a block mask. Either way time and memory follow what is visible, not the square of
the row. The language-model head then runs on the wanted places alone, in chunks, so that no full logits tensor exists.
"""

import logging
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import cross_entropy, pad, scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint
from transformers import AttentionInterface, PreTrainedModel

from presrm.packing.layout import Chain, Layout, Pack, Scored, pack

logger = logging.getLogger(__name__)

_NAME = "presrm_tree"
_CHUNK = 2**27  # logits in one chunk of the head: 512 MB in float32
_ROUND = 256  # tokens of neighbouring chains that share a call of attention, and a copy of what they see
_MIN_FLEX = 1024


def packed_logps(model: nn.Module, packed: Pack, *, by_token: bool = False) -> Tensor:
    """Log-probabilities (nats) of the sequences of a pack, or of their tokens.

    Args:
        model: A causal language model that `takes_packs`, inside `tree_attention_in`; perhaps with an adapter.
        packed: S sequences as one row; their N scored tokens, sequence after sequence, belong to ``packed.owners_N``.
        by_token: Give the tokens' own log-probabilities, for an objective that weighs each.

    Returns:
        logps_S, sums over the scored tokens of each sequence; with `by_token` logps_N.
    """
    base: Any = _base(model)
    device = base.get_input_embeddings().weight.device
    layout = packed.layout
    hidden_T_D = base.get_decoder()(
        input_ids=torch.from_numpy(layout.ids_T)[None].to(device),
        position_ids=torch.from_numpy(layout.positions_T)[None].to(device),
        use_cache=False,
        tree=_Tree(layout, device),
    ).last_hidden_state[0]
    hidden_W_D = hidden_T_D[torch.from_numpy(packed.sources_W).to(hidden_T_D.device)]
    logps_W = _target_logps(base.get_output_embeddings(), hidden_W_D, torch.from_numpy(packed.targets_W).to(device))
    logps_N = logps_W[torch.from_numpy(np.concatenate(packed.sums)).to(logps_W.device)]
    if by_token:
        return logps_N
    return torch.stack([part.sum() for part in torch.split(logps_N, [len(places) for places in packed.sums])])


@contextmanager
def tree_attention_in(model: nn.Module) -> Iterator[None]:
    """Let a model run packs inside the block, and nothing else."""
    base = _base(model)
    before = base.config._attn_implementation
    base.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        base.set_attn_implementation(before)


def accept_packs(model: nn.Module) -> bool:
    """Have ``model(packed)`` give the log-probabilities of a pack from now on, as `packed_logps`, and nothing else.

    So that the pack passes through whatever wraps the model: a process group, a shard, a type of number.

    Returns:
        Whether it does; a model that cannot is left as it is, and that is said once.
    """
    if not takes_packs(model):
        logger.warning("%s cannot take packed trees: every sequence runs alone", type(_base(model)).__name__)
        return False
    _base(model).set_attn_implementation(_NAME)
    model.forward = partial(packed_logps, model)
    return True


@torch.no_grad()
def takes_packs(model: nn.Module) -> bool:
    """Whether a small tree gives what its sequences give one by one: tried out, not looked up.

    A model that carries a state along the row, adds something of its own to attention, has a bias or a mask that
    cannot be told, or changes logits behind its head gives something else, or fails.
    """
    trunk, branches = (7, 11, 5, 13, 9, 3), ((2, 8, 6), (4, 10), (12, 2, 7, 5))
    base = _base(model)
    text = base.config.get_text_config()
    if getattr(text, "attention_chunk_size", None) or base.config.is_encoder_decoder:
        return False
    sequences = [Scored(trunk + branch, 3) for branch in branches]
    was_training = model.training
    model.eval()
    try:
        alone = []
        for sequence in sequences:
            ids_1_T = torch.tensor([sequence.ids], device=base.device)
            logps_T_V = model(input_ids=ids_1_T, use_cache=False).logits[0].float().log_softmax(-1)
            targets = ids_1_T[0, sequence.start :, None]
            alone.append(logps_T_V[sequence.start - 1 : -1].gather(-1, targets).sum())
        with tree_attention_in(model):
            together_S = packed_logps(model, pack(sequences))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        logger.debug("no packs: %s", error)
        return False
    finally:
        model.train(was_training)
    tolerance = 1e-3 if base.dtype == torch.float32 else 5e-2
    return bool((torch.stack(alone) - together_S).abs().max() < tolerance)


def rotary_group(model: nn.Module) -> Callable[[int], Hashable]:
    """What lengths of sequences may share a pack.

    Some rotary embeddings depend on the longest position of a forward pass: longrope has other factors beyond the
    length it was first trained for, dynamic scaling other ones for every such length. A pack equals its parts if all
    of them would have had the same.

    Returns:
        A function from the longest length of what has to lie together to a key; what has the same key may be packed.
    """
    text = _base(model).config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    first = rope.get("original_max_position_embeddings") or getattr(text, "original_max_position_embeddings", None)
    kind = rope.get("rope_type")
    if kind == "dynamic":
        return lambda length: max(length, first or text.max_position_embeddings)
    if kind == "longrope" and first:
        return lambda length: length > first
    return lambda length: None


def _base(model: nn.Module) -> PreTrainedModel:
    base = model.get_base_model() if isinstance(model, PeftModel) else model
    return cast(PreTrainedModel, base)


def _target_logps(head: Any, hidden_W_D: Tensor, targets_W: Tensor) -> Tensor:
    """Log-probability (nats) of each target: logps_W. With several chunks the backward pass makes the logits anew."""

    def score(hidden_C_D: Tensor, targets_C: Tensor) -> Tensor:
        return -cross_entropy(head(hidden_C_D).float(), targets_C, reduction="none")

    size = max(1, _CHUNK // head.weight.shape[0])
    chunks = list(zip(torch.split(hidden_W_D, size), torch.split(targets_W, size), strict=True))
    if len(chunks) == 1 or not torch.is_grad_enabled():
        return torch.cat([score(*chunk) for chunk in chunks])
    return torch.cat([cast(Tensor, checkpoint(score, *chunk, use_reentrant=False)) for chunk in chunks])


@dataclass(frozen=True, slots=True)
class _Round:
    """Neighbouring chains that attend together.

    Attributes:
        num_rows: Rows of the Q tokens that attend.
        seen: The numbers of the pieces of the row that they see, in order: K tokens.
        mask_Q_K: Which of them; none: plainly causal.
    """

    num_rows: int
    seen: list[int]
    mask_Q_K: Tensor | None


class _Tree:
    """What attention has to know of a row, and the masks made of it, one a window."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        self._layout = layout
        self._device = device
        self.rounds = cache(self._rounds)
        self.block_mask = cache(self._block_mask)
        self._groups: list[list[Chain]] = []
        for chain in layout.chains:
            if chain.before and self._groups and chain.end - self._groups[-1][0].start <= _ROUND:
                self._groups[-1].append(chain)
            else:
                self._groups.append([chain])
        ends = {end for chain in layout.chains for _, end in chain.before}
        edges = sorted({0, *ends, *(group[-1].end for group in self._groups)})
        self._pieces = list(pairwise(edges))
        self.sizes = [end - start for start, end in self._pieces]

    def _rounds(self, window: int | None) -> list[_Round]:
        return [self._round(group, window) for group in self._groups]

    def _round(self, group: list[Chain], window: int | None) -> _Round:
        rows = slice(group[0].start, group[-1].end)
        length = rows.stop - rows.start
        visible_Q_T = self._layout.visible(window, rows)
        seen = [number for number, piece in enumerate(self._pieces) if visible_Q_T[:, slice(*piece)].any()]
        mask_Q_K = np.concatenate([visible_Q_T[:, slice(*self._pieces[number])] for number in seen], 1)
        causal = mask_Q_K.shape == (length, length) and (mask_Q_K == np.tri(length, dtype=bool)).all()
        return _Round(length, seen, None if causal else torch.from_numpy(mask_Q_K).to(self._device))

    def _block_mask(self, window: int | None, length: int) -> BlockMask:
        """The same for FlexAttention, of a row padded to `length`; padding sees nothing."""
        more = length - len(self._layout.ids_T)
        until_T = pad(torch.from_numpy(self._layout.until_T), (0, more)).to(self._device)
        positions_T = pad(torch.from_numpy(self._layout.positions_T), (0, more)).to(self._device)

        reach = length if window is None else window

        def sees(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
            return (key <= query) & (query < until_T[key]) & (positions_T[query] - positions_T[key] < reach)

        return create_block_mask(sees, None, None, length, length, device=self._device)


def _tree_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    tree: _Tree,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Attention of one layer, as transformers calls it.

    Args:
        module: The layer's attention.
        query: (1, heads, T, D).
        key: (1, heads or a divisor of it, T, D).
        value: The same.
        attention_mask: Not used: the tree is the mask.
        tree: The row.
        scaling: Of the products; none: 1/sqrt(D).
        dropout: Of attention, in training.
        sliding_window: Tokens of its path that a token sees, itself included.
        others: What other kinds of attention need.

    Returns:
        (1, T, heads, D), and no weights.

    Raises:
        ValueError: for what would change attention and is not known here.
    """
    if others.get("softcap") is not None or others.get("s_aux") is not None or others.get("position_bias") is not None:
        raise ValueError("attention with a soft cap, sinks or a bias")
    attend = _flex if query.is_cuda and not dropout else _in_rounds
    return attend(query, key, value, tree, scaling, dropout, sliding_window).transpose(1, 2).contiguous(), None


def _in_rounds(
    query: Tensor, key: Tensor, value: Tensor, tree: _Tree, scaling: float | None, dropout: float, window: int | None
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
    query: Tensor, key: Tensor, value: Tensor, tree: _Tree, scaling: float | None, dropout: float, window: int | None
) -> Tensor:
    """One call for the whole row, padded to a power of two so that few lengths are ever compiled."""
    length = query.shape[2]
    padded = max(_MIN_FLEX, 1 << (length - 1).bit_length())
    q, k, v = (pad(tensor, (0, 0, 0, padded - length)) for tensor in (query, key, value))
    run: Any = _compiled_flex() if query.is_cuda else flex_attention
    gqa = query.shape[1] != key.shape[1]
    out = run(q, k, v, block_mask=tree.block_mask(window, padded), scale=scaling, enable_gqa=gqa)
    return cast(Tensor, out)[:, :, :length]


@cache
def _compiled_flex() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=False)


AttentionInterface.register(_NAME, _tree_attention)
