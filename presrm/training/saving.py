"""What a training leaves behind: a folder that transformers and PEFT load by themselves, with a card that explains it.

The model, or the adapter on it, stands beside its tokenizer, chat template, generation settings and ``README.md``. No
file holds a path of this machine: a base is named by its Hub id, or by the way to it from another folder.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from peft import PeftModel
from transformers import PreTrainedTokenizerBase, Trainer

from presrm.engines.hf_files import EMBEDDED, find_base, locate
from presrm.engines.hf_loading import quietly, write_base
from presrm.prompts.encoding import read_template
from presrm.types import Checkpoint

_SHOWN = ("loss", "rewards/margins", "rewards/accuracies")


@dataclass(frozen=True, slots=True)
class Card:
    """What a card says of a training, besides its base and the figures of its first and last optimiser step.

    Attributes:
        learned_from: The lessons in words, such as ``120 pairs of 30 problems``.
        settings: As in a config, section by section.
        prompts: The prompt set that shows questions.
        facts: Anything else, a line each: the file of the lessons, its hash.
        held_out: Figures on lessons that were not trained on, by name: before and after.
    """

    learned_from: str
    settings: Mapping[str, Any]
    prompts: str
    facts: Mapping[str, str] = field(default_factory=dict)
    held_out: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def save_policy(
    trainer: Trainer,
    tokenizer: PreTrainedTokenizerBase,
    policy: Checkpoint,
    folder: Path,
    out: Path,
    chat_template: str | None,
    card: Card,
) -> Checkpoint:
    """Write to `folder` what is to stand at `out`: the whole model, or the adapter and what its base is.

    Args:
        trainer: Whose model was trained.
        tokenizer: Of the policy, as it came.
        policy: Where the training started.
        folder: Written to; it becomes `out`.
        out: Where the policy will stand.
        chat_template: As ``model.chat_template``. The tokenizer is saved with it, unless it is ``plain``, which is no
            markup.
        card: What ``README.md`` says.

    Returns:
        The checkpoint as it will be once `folder` has become `out`.
    """
    trained = trainer.accelerator.unwrap_model(trainer.model)
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    is_adapter = isinstance(trained, PeftModel)
    if trainer.is_world_process_zero():
        if chat_template not in (None, "plain"):
            tokenizer.chat_template = read_template(chat_template)
        with quietly():
            if is_adapter:
                trained.peft_config["default"].base_model_name_or_path = _way_from_here(policy.model)
                trained.save_pretrained(folder, state_dict=state, save_embedding_layers=False)
                trained.get_base_model().generation_config.save_pretrained(folder)
                write_base(policy.model, folder)
            else:
                trained.save_pretrained(folder, state_dict=state)
            tokenizer.save_pretrained(folder)
        rows = [row for row in trainer.state.log_history if "loss" in row]
        (folder / "README.md").write_text(render_card(card, policy, rows, is_adapter=is_adapter), "utf-8")
    return Checkpoint(policy.model, out) if is_adapter else Checkpoint(str(out))


def _way_from_here(model: str) -> str:
    """Name a base as PEFT finds it: a Hub id, or the way from the working directory to its folder."""
    source = locate(model)
    return os.path.relpath(source.where) if source.is_local else model


def render_card(card: Card, policy: Checkpoint, rows: Sequence[Mapping[str, float]], *, is_adapter: bool) -> str:
    """Give the text of ``README.md``, with the front matter that the Hub reads.

    Args:
        card: What is known of the training.
        policy: Where it started.
        rows: Of its optimiser steps.
        is_adapter: Whether the folder holds an adapter.
    """
    started = " (training went on from an adapter on it)" if policy.adapter is not None else ""
    sections = [
        _front(policy.model, is_adapter=is_adapter),
        f"# {'An adapter on' if is_adapter else 'A policy made from'} {_short_name(policy.model)}",
        f"Trained by presrm (arXiv 2503.03746) on {card.learned_from}.",
        _table(
            ("what", "value"),
            [
                ("base", _short_name(policy.model) + started),
                ("weights of the base (sha256)", find_base(policy.model).sha256 or "unknown: the base is on the Hub"),
                ("prompt set", Path(card.prompts).name),
                *card.facts.items(),
            ],
        ),
        _how_to_load(locate(policy.model).gguf_file if is_adapter else None, is_adapter=is_adapter),
    ]
    if is_adapter:
        sections.append(
            "`presrm export FOLDER --merge --out WHOLE` makes a model that needs neither PEFT nor the base."
        )
    if figures := _figures(card, rows):
        sections += ["## Figures", figures]
    sections += ["## Settings", f"```yaml\n{yaml.safe_dump(dict(card.settings), sort_keys=False)}```"]
    return "\n\n".join(sections) + "\n"


def render_merged_card(policy: Checkpoint) -> str:
    """Give the text of ``README.md`` of a policy that was written as one model."""
    name = _short_name(policy.model)
    adapter = (
        "" if policy.adapter is None else f", with the adapter that was trained on it ({policy.adapter.name}) added"
    )
    sections = [
        _front(policy.model, is_adapter=False),
        f"# A policy made from {name}",
        f"The weights of {name}{adapter}. Written by presrm (arXiv 2503.03746).",
        _how_to_load(is_adapter=False),
    ]
    return "\n\n".join(sections) + "\n"


def _short_name(model: str) -> str:
    """Name a base without a path of this machine."""
    source = locate(model)
    return Path(source.gguf_file or source.where).name if source.is_local and model != EMBEDDED else model


def _front(model: str, *, is_adapter: bool) -> str:
    front = {
        **({} if locate(model).is_local else {"base_model": model}),
        "library_name": "peft" if is_adapter else "transformers",
        "tags": ["presrm", "self-rewarding", *(["lora"] if is_adapter else [])],
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False)}---"


def _how_to_load(gguf_file: str | None = None, *, is_adapter: bool) -> str:
    """Say how other tools load it; `gguf_file` is the base of an adapter, if that is such a file."""
    named = f", gguf_file={json.dumps(gguf_file)}" if gguf_file else ""
    kind = "AutoPeftModelForCausalLM" if is_adapter else "AutoModelForCausalLM"
    return (
        "## How to load it\n\n```python\n"
        f"from {'peft' if is_adapter else 'transformers'} import {kind}\nfrom transformers import AutoTokenizer\n\n"
        f'model = {kind}.from_pretrained("FOLDER"{named})\ntokenizer = AutoTokenizer.from_pretrained("FOLDER")\n```'
    )


def _figures(card: Card, rows: Sequence[Mapping[str, float]]) -> str:
    lines = [(f"held out: {name}", f"{before:.4g}", f"{after:.4g}") for name, (before, after) in card.held_out.items()]
    for name in _SHOWN:  # a step may hold lessons of one objective alone, which logs its own figures
        if values := [row[name] for row in rows if name in row]:
            lines.append((f"{name}, a step's mean", f"{values[0]:.4g}", f"{values[-1]:.4g}"))
    return _table(("figure", "first", "last"), lines) if lines else ""


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
