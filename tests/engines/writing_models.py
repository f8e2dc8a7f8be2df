"""Small models of several kinds, with weights far from ties, and how transformers alone writes with them."""

import torch
from transformers import (
    AutoModelForCausalLM,
    BambaConfig,
    DeepseekV3Config,
    DiffLlamaConfig,
    Gemma3TextConfig,
    GenerationConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    MptConfig,
    PreTrainedModel,
    Qwen3Config,
)

from presrm.protocols import Sampling

VOCABULARY = 64
ENDS = frozenset(range(40, 50))
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
LAYERS = ["sliding_attention", "full_attention"]
CONFIGS = {
    "llama": LlamaConfig(**SMALL),
    "qwen3": Qwen3Config(**SMALL, head_dim=8),
    "gemma3": Gemma3TextConfig(**SMALL, head_dim=8, sliding_window=16, layer_types=LAYERS),
    "mistral": MistralConfig(**SMALL, sliding_window=16),
    "gpt2": GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2),
    "diffllama": DiffLlamaConfig(**SMALL),
    "deepseek": DeepseekV3Config(
        **SMALL | {"num_key_value_heads": 4},
        moe_intermediate_size=16,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=1,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_nope_head_dim=8,
        qk_rope_head_dim=4,
        v_head_dim=6,
    ),
    "mpt": MptConfig(vocab_size=VOCABULARY, d_model=32, n_heads=4, n_layers=2, expansion_ratio=2),
    "bamba": BambaConfig(
        **SMALL, attn_layer_indices=[1], mamba_d_state=8, mamba_n_heads=8, mamba_d_head=8, mamba_chunk_size=16
    ),
    "mamba": MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2),
}
GREEDY = Sampling(max_tokens=24)


def make_model(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name], dtype=torch.float32).eval()
    for parameter in model.parameters():
        parameter.data *= 3  # far from ties
    model.generation_config = GenerationConfig()
    return model


def write_alone(model: PreTrainedModel, prompt: tuple[int, ...]) -> tuple[int, ...]:
    """transformers' own greedy decoding of one row, cut at the first end token."""
    config = GenerationConfig(max_new_tokens=GREEDY.max_tokens, do_sample=False, pad_token_id=0)
    ids = torch.tensor([prompt])
    mask = torch.ones_like(ids)
    drawn = model.generate(ids, attention_mask=mask, generation_config=config)[0, len(prompt) :].tolist()
    end = next((i for i, token in enumerate(drawn) if token in ENDS), len(drawn))
    return tuple(drawn[:end])
