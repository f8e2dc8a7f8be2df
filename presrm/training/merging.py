"""An adapter and its base -> one model that needs neither."""

from pathlib import Path

import torch
from accelerate import PartialState
from peft import PeftModel

from presrm.engines.hf_loading import load_policy, load_tokenizer_beside, quietly
from presrm.training.fitting import whole_folder
from presrm.training.saving import render_merged_card
from presrm.types import Checkpoint


def merge_adapter(policy: Checkpoint, out: Path, dtype: str) -> None:
    """Write a policy as one whole model, with tokenizer, chat template and card; a model without adapter is copied.

    Args:
        policy: The policy.
        out: Gets the folder, whole or not at all.
        dtype: Of the weights that are written; they are added up in float32.
    """
    with quietly():
        model, tokenizer = load_policy(policy, dtype="float32", device="cpu")
        whole = model.merge_and_unload() if isinstance(model, PeftModel) else model
        whole.to(getattr(torch, dtype))
        with whole_folder(out, PartialState()) as folder:
            whole.save_pretrained(folder)
            (load_tokenizer_beside(policy.adapter) or tokenizer).save_pretrained(folder)
            (folder / "README.md").write_text(render_merged_card(policy), "utf-8")
