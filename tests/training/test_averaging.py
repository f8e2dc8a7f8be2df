"""A moving average of policies."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from presrm.errors import ConfigError
from presrm.training.averaging import average_weights
from presrm.types import Checkpoint


def scaled(policy: Path, factor: float, out: Path) -> Checkpoint:
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(factor)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(policy).save_pretrained(out)
    return Checkpoint(str(out))


def test_each_policy_counts_what_the_decay_leaves(tiny_policy: Path, tmp_path: Path) -> None:
    policies = [scaled(tiny_policy, factor, tmp_path / str(factor)) for factor in (1.0, 2.0, 5.0)]
    made = average_weights(policies, 0.75, tmp_path / "average")
    first = AutoModelForCausalLM.from_pretrained(policies[0].model, dtype=torch.float32).state_dict()
    found = AutoModelForCausalLM.from_pretrained(made.model, dtype=torch.float32).state_dict()
    factor = 0.75 * (0.75 * 1.0 + 0.25 * 2.0) + 0.25 * 5.0
    assert all(torch.allclose(found[name], factor * first[name], atol=1e-6) for name in first)


def test_adapters_are_not_averaged(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="whole policies"):
        average_weights([Checkpoint("embedded", tmp_path)], 0.9, tmp_path / "average")
