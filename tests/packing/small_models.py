"""Small models of many families with sharp weights, and a tree of pairs for them."""

import random
from collections.abc import Iterator, Sequence

import torch
from torch import nn
from torch.nn.functional import log_softmax
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Cohere2Config,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoConfig,
    GptOssConfig,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MixtralConfig,
    OPTConfig,
    Phi3Config,
    PhimoeConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from presrm.packing.layout import Scored

SMALL = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LONGROPE = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 3.0, 4.0, 5.0]}
WINDOW = 9
LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
CONFIGS = {
    "llama": LlamaConfig(**SMALL),
    "qwen2": Qwen2Config(**SMALL),
    "qwen3": Qwen3Config(**SMALL, head_dim=8),
    "gemma3": Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=WINDOW, layer_types=LAYERS),
    "mistral": MistralConfig(**SMALL, sliding_window=WINDOW),
    "phi3": Phi3Config(**SMALL, original_max_position_embeddings=64, rope_scaling=LONGROPE),
}
REFUSED = {
    "mamba": MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=4, pad_token_id=0),
    "gemma2 (soft caps)": Gemma2Config(**SMALL, head_dim=8),
    "gpt-oss (sinks)": GptOssConfig(**SMALL, head_dim=8, num_local_experts=2, num_experts_per_tok=1),
    "gemma2 (soft caps), windowed": Gemma2Config(**SMALL, head_dim=8, sliding_window=WINDOW),
    "bloom (place in the row)": BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4),
    "gpt-neo (attention of its own)": GPTNeoConfig(
        vocab_size=97, hidden_size=32, num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]]
    ),
    "cohere2 (behind the head)": Cohere2Config(**SMALL, sliding_window=WINDOW),
    "llama 4 (chunks)": Llama4TextConfig(
        **SMALL, head_dim=8, attention_chunk_size=8, num_local_experts=2, intermediate_size_mlp=32
    ),
}

WINDOWED = {
    "mistral": MistralConfig(**SMALL, sliding_window=WINDOW),
    "gemma3": CONFIGS["gemma3"],
    "phi3": Phi3Config(**SMALL, sliding_window=WINDOW),
    "phimoe": PhimoeConfig(**SMALL, sliding_window=WINDOW, num_local_experts=2),
    "qwen2": Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
    "mixtral": MixtralConfig(**SMALL, sliding_window=WINDOW, num_local_experts=2),
}
GPT2 = {"vocab_size": 97, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 1, "eos_token_id": 2}
NOISY = {
    "attention": LlamaConfig(**SMALL, attention_dropout=0.5),
    "modules": GPT2Config(**GPT2, attn_pdrop=0.5, resid_pdrop=0.5, embd_pdrop=0.5),
    "whole layers": OPTConfig(
        vocab_size=97,
        hidden_size=32,
        word_embed_proj_dim=32,
        ffn_dim=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        layerdrop=0.5,
        dropout=0.5,
    ),
    "router": MixtralConfig(**SMALL, num_local_experts=2, router_jitter_noise=0.5),
    "random routes": PhimoeConfig(**SMALL, num_local_experts=2, attention_dropout=0.5, router_jitter_noise=0.1),
}


def make_model(config: PreTrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(type(config).from_dict(config.to_dict()), dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.mul_(3)  # so that a token in the wrong place is felt
    return model.eval()


def tree_of_pairs(prompt: int = 20, steps: int = 6, length: int = 5) -> list[Scored]:
    """Chosen and rejected of each step: a path longer than the window, and branches of several lengths off it."""
    rng = random.Random(0)

    def ids(num: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, 97) for _ in range(num))

    prefix, sequences = ids(prompt), []
    for depth in range(steps):
        chosen, rejected = ids(length), ids(1 + 2 * depth)
        sequences += [Scored(prefix + chosen, len(prefix)), Scored(prefix + rejected, len(prefix))]
        prefix += chosen
    return sequences


def tokens_of(model: nn.Module, sequence: Scored) -> torch.Tensor:
    ids = torch.tensor([sequence.ids], device=model.device)
    table = log_softmax(model(input_ids=ids, use_cache=False).logits[0], -1)
    return table[sequence.start - 1 : -1].gather(-1, ids[0, sequence.start :, None])[:, 0]


def one_by_one(model: nn.Module, sequences: Sequence[Scored]) -> torch.Tensor:
    return torch.stack([tokens_of(model, sequence).sum() for sequence in sequences])


def gradients(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            yield name, weight.grad.clone()
