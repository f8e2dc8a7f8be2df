"""The laws of an engine, held by the real one: on the embedded policy and on one of each kind of attention."""

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    GPT2Config,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen3Config,
)

from presrm.engines.hf import HFEngine
from presrm.prompts import Part, Prompt
from presrm.splitters import SPLITTERS
from presrm.testing import check_engine
from presrm.types import Checkpoint

TOO_LONG = Prompt((Part("x y " * 2000),))
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
    "max_position_embeddings": 1024,
}
CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, object]]] = {
    "qwen3": (Qwen3Config, SMALL),
    "gemma3": (
        Gemma3TextConfig,
        SMALL | {"sliding_window": 64, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "mistral": (MistralConfig, SMALL | {"sliding_window": 64}),
    "gpt2": (GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.2}),
    "longrope": (
        Phi3Config,
        SMALL
        | {
            "original_max_position_embeddings": 40,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10_000.0,
                "short_factor": [1.0] * 4,
                "long_factor": [4.0] * 4,
                "original_max_position_embeddings": 40,
            },
        },
    ),
    "mamba": (MambaConfig, {"hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.2}),
}


@pytest.mark.parametrize("batch_tokens", [65_536, 1000, 1])
def test_the_engine_holds_the_laws(batch_tokens: int, tiny_policy: Path) -> None:
    with HFEngine(Checkpoint(str(tiny_policy)), device="cpu", batch_tokens=batch_tokens) as engine:
        check_engine(engine, too_long=TOO_LONG, splitter=SPLITTERS.create("newline"), decode=engine.encoder.decode)


def test_so_it_does_on_the_embedded_policy() -> None:
    with HFEngine(Checkpoint("embedded"), device="cpu") as engine:
        check_engine(engine, too_long=TOO_LONG, splitter=SPLITTERS.create("newline"), decode=engine.encoder.decode)


@pytest.mark.parametrize("name", CONFIGS)
def test_so_it_does_on_other_kinds_of_models(name: str, tiny_policy: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    kind, size = CONFIGS[name]
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(kind(vocab_size=len(tokenizer), **size, **ends))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with HFEngine(Checkpoint(str(tmp_path)), device="cpu") as engine:
        too_long = None if name == "mamba" else TOO_LONG  # reads any number of tokens
        check_engine(engine, too_long=too_long, splitter=SPLITTERS.create("newline"), decode=engine.encoder.decode)


def test_what_is_generated_does_not_depend_on_the_size_of_batches(tiny_policy: Path) -> None:
    from presrm.protocols import Request, Sampling

    requests = [Request(Prompt((Part("Why? " * n),)), 4, Sampling(1.0, 0.95, 40), seed=n) for n in range(1, 12)]
    engines = [HFEngine(Checkpoint(str(tiny_policy)), device="cpu", batch_tokens=size) for size in (65_536, 500, 1)]
    first, *others = [engine.generate(requests) for engine in engines]
    assert all(found == first for found in others)
