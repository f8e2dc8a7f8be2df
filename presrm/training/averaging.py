"""A moving average of policies, as a steadier reference."""

from collections.abc import Sequence
from pathlib import Path

import torch
from accelerate import PartialState

from presrm.engines.hf_loading import load_policy
from presrm.errors import ConfigError
from presrm.training.fitting import whole_folder
from presrm.types import Checkpoint


@torch.no_grad()
def average_weights(policies: Sequence[Checkpoint], decay: float, out: Path) -> Checkpoint:
    """Average whole policies: after the first, each counts ``1 - decay`` and what came before it ``decay``.

    Args:
        policies: In the order made, of one architecture.
        decay: In [0, 1).
        out: Gets the average, in float32, whole or not at all.

    Raises:
        ConfigError: if one is an adapter: the average of adapters is not the adapter of the average.
    """
    if any(policy.adapter is not None for policy in policies):
        raise ConfigError("policies.reference: ema needs whole policies; with training.lora choose previous or initial")
    average, tokenizer = load_policy(policies[0], dtype="float32", device="cpu")
    for policy in policies[1:]:
        weights = dict(load_policy(policy, dtype="float32", device="cpu")[0].named_parameters())
        for name, mean in average.named_parameters():  # tied weights once
            mean.lerp_(weights[name], 1 - decay)
    with whole_folder(out, PartialState()) as folder:
        average.save_pretrained(str(folder))
        tokenizer.save_pretrained(folder)
    return Checkpoint(str(out))
