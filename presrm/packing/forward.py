"""A packed row and a model -> the log-probability of each of its sequences, or of their tokens.

The row runs through the model once; only attention is ours (see `presrm.packing.attention`). The language-model head
then runs on the wanted places alone, in chunks, so that no full logits tensor exists.
"""

import logging
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from presrm.packing.attention import TREE_ATTENTION, Memory, Tree
from presrm.packing.layout import Ids, Layout, Pack, Scored, pack

logger = logging.getLogger(__name__)

_CHUNK = 2**27  # logits in one chunk of the head: 512 MB in float32
_DEPTH = 8  # tokens in the trunk of the tree that is tried
_BRANCHES = (24, 16, 32)  # tokens in each of its branches: with few a wrong mask would hardly be felt beyond rounding
_PROBE_IDS = 200  # token ids in it: the lowest, which no model keeps for images
_NOTHING = 1e-5  # nats


def read_row(model: nn.Module, layout: Layout, memory: Memory | None = None) -> Tensor:
    """Read a row, or what of it is new to a memory: hidden_N_D, behind each of its tokens that are read.

    Args:
        model: As for `packed_logps`.
        layout: The row.
        memory: Has the keys and values of what is not read now, and gets those of what is.
    """
    base: Any = base_of(model)
    device = base.get_input_embeddings().weight.device
    ids_T, positions_T = layout.ids_T, layout.positions_T
    if memory is not None:
        ids_T, positions_T = ids_T[memory.is_new_T], positions_T[memory.is_new_T]
    return cast(
        Tensor,
        base.get_decoder()(
            input_ids=torch.from_numpy(ids_T)[None].to(device),
            position_ids=torch.from_numpy(positions_T)[None].to(device),
            use_cache=False,
            tree=Tree(layout, device, memory),
        ).last_hidden_state[0],
    )


def packed_logps(model: nn.Module, packed: Pack, *, by_token: bool = False, memory: Memory | None = None) -> Tensor:
    """Log-probabilities (nats) of the sequences of a pack, or of their tokens.

    Args:
        model: A causal language model that `takes_packs`, inside `tree_attention_in`; perhaps with an adapter.
        packed: S sequences as one row; their N scored tokens, sequence after sequence, belong to ``packed.owners_N``.
        by_token: Give the tokens' own log-probabilities, for an objective that weighs each.
        memory: As for `read_row`; every token before a scored one has to be new to it.

    Returns:
        logps_S, sums over the scored tokens of each sequence; with `by_token` logps_N.
    """
    base: Any = base_of(model)
    device = base.get_input_embeddings().weight.device
    sources_W = packed.sources_W if memory is None else (memory.is_new_T.cumsum() - 1)[packed.sources_W]
    hidden_N_D = read_row(model, packed.layout, memory)
    hidden_W_D = hidden_N_D[torch.from_numpy(sources_W).to(hidden_N_D.device)]
    logps_W = _target_logps(base.get_output_embeddings(), hidden_W_D, torch.from_numpy(packed.targets_W).to(device))
    logps_N = logps_W[torch.from_numpy(np.concatenate(packed.sums)).to(logps_W.device)]
    if by_token:
        return logps_N
    return torch.stack([part.sum() for part in torch.split(logps_N, [len(places) for places in packed.sums])])


@contextmanager
def tree_attention_in(model: nn.Module) -> Iterator[None]:
    """Let a model run packs inside the block, and nothing else."""
    base = base_of(model)
    before = base.config._attn_implementation
    try:
        base.set_attn_implementation(TREE_ATTENTION)
        yield
    finally:
        base.set_attn_implementation(before)


def accept_packs(model: nn.Module, longest: int | None = None) -> bool:
    """Have ``model(packed)`` give the log-probabilities of a pack from now on, as `packed_logps`, and nothing else.

    So that the pack passes through whatever wraps the model: a process group, a shard, a type of number.

    Args:
        model: What is going to be trained, before its first step; run in the autocast of its training.
        longest: As for `takes_packs`.

    Returns:
        Whether it does; a model that cannot is left as it is, and that is said once.
    """
    if not takes_packs(model, longest, training=True):
        logger.warning("%s cannot take packed trees: every sequence runs alone", type(base_of(model)).__name__)
        return False
    base_of(model).set_attn_implementation(TREE_ATTENTION)
    model.forward = partial(packed_logps, model)
    return True


def takes_packs(model: nn.Module, longest: int | None = None, *, training: bool = False) -> bool:
    """Whether a small tree gives what its sequences give one by one: tried out, not looked up.

    A model that carries a state along the row, adds something of its own to attention, has a bias or a mask that
    cannot be told, or changes logits behind its head gives something else, or fails. A model with a sliding window is
    tried beyond it, too.

    Args:
        model: A language model.
        longest: Tokens in the longest sequence that is going to be packed, if that is known.
        training: Try it as in training, with a backward pass, which clears gradients. Dropout is off meanwhile; a model
            that draws at random all the same is tried as in evaluation.
    """
    base = base_of(model)
    text = base.config.get_text_config()
    if base.config.is_encoder_decoder:
        return False
    window = getattr(text, "sliding_window", None) or 0
    room = getattr(text, "max_position_embeddings", None) or math.inf
    depths = [_DEPTH]
    if window + _DEPTH + max(_BRANCHES) <= room and (longest is None or longest > window):
        depths.append(window + _DEPTH)
    was_training = model.training
    try:
        with torch.random.fork_rng([base.device] if base.device.type == "cuda" else []), _without_dropout(model):
            model.train(training)
            return all(_agrees(model, depth, longest) for depth in dict.fromkeys(depths))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        logger.debug("no packs: %s", error)
        return False
    finally:
        model.train(was_training)


def rotary_group(model: nn.Module) -> Callable[[int], Hashable]:
    """What lengths of sequences may share a pack.

    Some rotary embeddings depend on the longest position of a forward pass: longrope has other factors beyond the
    length it was first trained for, dynamic scaling other ones for every such length. A pack equals its parts if all
    of them would have had the same. The last token of a sequence is not read and does not count.

    Returns:
        A function from the longest length of what has to lie together to a key; what has the same key may be packed.
    """
    text = base_of(model).config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    first = rope.get("original_max_position_embeddings") or getattr(text, "original_max_position_embeddings", None)
    kind = rope.get("rope_type")
    if kind == "dynamic":
        return lambda length: max(length - 1, first or text.max_position_embeddings)
    if kind == "longrope" and first:
        return lambda length: length - 1 > first
    return lambda length: None


def _agrees(model: nn.Module, depth: int, longest: int | None) -> bool:
    """Whether a tree with a trunk of `depth` tokens gives what its sequences, up to `longest`, give one by one.

    In any precision: the two may be apart by a small part of what the row is off when it is read as plain text.
    """
    base: Any = base_of(model)
    highest = min(_PROBE_IDS, base.get_input_embeddings().weight.shape[0])
    rng = np.random.default_rng(0)
    most = max(_BRANCHES) if longest is None else max(4, longest - depth)
    lengths = (depth, *(min(num, most) for num in _BRANCHES))
    trunk, *branches = (tuple(rng.integers(2, highest, num).tolist()) for num in lengths)
    packed = pack(sequences := [Scored(trunk + branch, depth) for branch in branches])
    alone_N = _alone_logps(model, sequences)
    if model.training and not torch.equal(alone_N, _alone_logps(model, sequences)):
        model.eval()
        alone_N = _alone_logps(model, sequences)
    with torch.set_grad_enabled(model.training), tree_attention_in(model):
        together_N = packed_logps(model, packed, by_token=True)
        if together_N.requires_grad:
            torch.autograd.backward(together_N.sum())
            model.zero_grad()
    row = tuple(packed.layout.ids_T.tolist())
    places_N = torch.from_numpy(packed.sources_W[np.concatenate(packed.sums)] - len(row))
    targets_N = torch.from_numpy(packed.targets_W[np.concatenate(packed.sums)])
    text_N = _last_logps(model, row, len(row) - depth + 1)[places_N, targets_N]
    apart, far_apart = ((logps_N - alone_N).abs().mean() for logps_N in (together_N.detach(), text_N))
    logger.debug("a packed tree is off by %.2g nats a token; the row as plain text, by %.2g", apart, far_apart)
    is_exact = base.dtype == torch.float32 and not torch.is_autocast_enabled(base.device.type)
    return bool(apart <= (0.01 if is_exact else 0.1) * far_apart + _NOTHING)


def _alone_logps(model: nn.Module, sequences: Sequence[Scored]) -> Tensor:
    """Log-probabilities (nats) of the scored tokens, each sequence by itself: logps_N."""
    logps = []
    for ids, start in ((sequence.ids, sequence.start) for sequence in sequences):
        logps_K_V = _last_logps(model, ids, len(ids) - start + 1)[:-1]
        logps.append(logps_K_V[range(len(ids) - start), ids[start:]])
    return torch.cat(logps)


@torch.no_grad()
def _last_logps(model: nn.Module, ids: Ids, num: int) -> Tensor:
    """Log-probabilities (nats) of every token behind each of the last `num` ones of a text: logps_K_V."""
    ids_1_T = torch.tensor([ids], device=base_of(model).device)
    logits_1_K_V = model(input_ids=ids_1_T, use_cache=False, logits_to_keep=num).logits
    return cast(Tensor, logits_1_K_V[0].float().log_softmax(-1))


@contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    """Set to 0 in the block whatever is named for dropout, that of whole layers too, or for the jitter of a router."""
    holders: dict[int, dict[str, Any]] = {}
    for module in model.modules():
        for each in (module, getattr(module, "config", None)):
            if hasattr(each, "__dict__"):
                holders[id(each)] = vars(each)
    noisy = [
        (holder, name, value)
        for holder in holders.values()
        for name, value in holder.items()
        if isinstance(value, float) and (name == "p" or "drop" in name or "jitter" in name)
    ]
    try:
        for holder, name, _ in noisy:
            holder[name] = 0.0
        yield
    finally:
        for holder, name, value in noisy:
            holder[name] = value


def base_of(model: nn.Module) -> PreTrainedModel:
    """Give the model inside an adapter, or the model itself; peft, which takes long to import, need not be there."""
    get = getattr(model, "get_base_model", None)
    return cast(PreTrainedModel, model if get is None else get())


def _target_logps(head: Any, hidden_W_D: Tensor, targets_W: Tensor) -> Tensor:
    """Log-probability (nats) of each target: logps_W. With several chunks the backward pass makes the logits anew."""

    def score(hidden_C_D: Tensor, targets_C: Tensor) -> Tensor:
        return -cross_entropy(head(hidden_C_D).float(), targets_C, reduction="none")

    size = max(1, _CHUNK // head.weight.shape[0])
    chunks = list(zip(torch.split(hidden_W_D, size), torch.split(targets_W, size), strict=True))
    if len(chunks) == 1 or not torch.is_grad_enabled():
        return torch.cat([score(*chunk) for chunk in chunks])
    return torch.cat([cast(Tensor, checkpoint(score, *chunk, use_reentrant=False)) for chunk in chunks])
