"""A setting that would have no effect is refused, not ignored."""

import pytest

from presrm.config import load_config
from presrm.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "setting", "message"),
    [
        ("ipo", "label_smoothing=0.1", "training.label_smoothing: .* not read by training.kind 'ipo', only by dpo,"),
        ("sft", "label_smoothing=0.1", "training.label_smoothing: .* not read by training.kind 'sft', only by dpo,"),
        ("sft", "weight=margin", "training.weight: .* not read by training.kind 'sft', only by dpo and ipo,"),
    ],
)
def test_what_a_loss_does_not_read_is_refused(kind: str, setting: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(None, [f"training.{setting}", f"training.kind={kind}"])


@pytest.mark.parametrize("kind", ["dpo", "ipo", "sft"])
def test_its_neutral_value_may_be_written_out_for_every_loss(kind: str) -> None:
    config = load_config(None, [f"training.kind={kind}", "training.label_smoothing=0", "training.weight=equal"])

    assert config.training.kind == kind
