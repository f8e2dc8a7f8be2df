"""A pack gives what its sequences give one by one: the definition, on every kind of attention that we claim."""

import logging
import random
from collections.abc import Iterator, Sequence

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.nn.functional import log_softmax
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    Llama4TextConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Phi3Config,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

from presrm.packing import forward as packed_forward
from presrm.packing.forward import accept_packs, packed_logps, rotary_group, takes_packs, tree_attention_in
from presrm.packing.layout import Scored, pack
from presrm.training.loss import step_dpo_loss

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
    "llama 4 (chunks)": Llama4TextConfig(
        **SMALL, head_dim=8, attention_chunk_size=8, num_local_experts=2, intermediate_size_mlp=32
    ),
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
    ids = torch.tensor([sequence.ids])
    table = log_softmax(model(input_ids=ids, use_cache=False).logits[0], -1)
    return table[sequence.start - 1 : -1].gather(-1, ids[0, sequence.start :, None])[:, 0]


def one_by_one(model: nn.Module, sequences: Sequence[Scored]) -> torch.Tensor:
    return torch.stack([tokens_of(model, sequence).sum() for sequence in sequences])


def dpo(logps: torch.Tensor) -> torch.Tensor:
    """A loss that weighs every sequence differently."""
    reference = torch.linspace(-25, -20, len(logps) // 2)
    return step_dpo_loss(logps[::2], logps[1::2], reference, reference.flip(0), beta=0.1).sum()


def gradients(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, weight in model.named_parameters():
        if weight.grad is not None:
            yield name, weight.grad.clone()


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", CONFIGS)
def test_log_probabilities_and_gradients_are_those_of_every_pair_alone(
    name: str, lora: bool, checkpointing: bool
) -> None:
    model: nn.Module = make_model(CONFIGS[name])
    if lora:
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    sequences = tree_of_pairs()
    expected = one_by_one(model, sequences)
    dpo(expected).backward()
    naive = dict(gradients(model))
    model.zero_grad()
    if checkpointing:
        base = model.get_base_model() if lora else model
        base.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()

    with tree_attention_in(model):
        logps = packed_logps(model, pack(sequences))
        dpo(logps).backward()

    torch.testing.assert_close(logps, expected, rtol=0, atol=1e-4)
    packed = dict(gradients(model))
    assert packed.keys() == naive.keys()
    whole = torch.cat([gradient.flatten() for gradient in naive.values()]).norm()
    for key, gradient in naive.items():
        assert (packed[key] - gradient).norm() <= 1e-5 * max(gradient.norm(), 1e-2 * whole), key


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_forward, "_in_rounds", packed_forward._flex)
    monkeypatch.setattr(packed_forward, "_MIN_FLEX", 128)
    model, sequences = make_model(CONFIGS[name]), tree_of_pairs()

    with torch.no_grad(), tree_attention_in(model):
        logps = packed_logps(model, pack(sequences))

    torch.testing.assert_close(logps, one_by_one(model, sequences), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_by_token_each_sequence_has_the_log_probabilities_that_it_has_alone(name: str) -> None:
    model, sequences = make_model(CONFIGS[name]), tree_of_pairs()
    sequences += [Scored(sequences[-2].ids, 3), Scored(sequences[0].ids, 1)]  # overlap with others, and with the prompt

    packed = pack(sequences)
    with tree_attention_in(model):
        logps_N, logps_S = packed_logps(model, packed, by_token=True), packed_logps(model, packed)
        weights_N = torch.linspace(-1, 1, len(logps_N))
        (logps_N * weights_N).sum().backward()
    found = dict(gradients(model))

    expected = [tokens_of(model, sequence) for sequence in sequences]
    assert packed.owners_N.tolist() == [owner for owner, part in enumerate(expected) for _ in part]
    torch.testing.assert_close(logps_N, torch.cat(expected), rtol=0, atol=1e-4)
    sums = [part.sum() for part in logps_N.split([len(part) for part in expected])]
    assert torch.equal(logps_S, torch.stack(sums)), "sums are sums of these"
    model.zero_grad()
    (torch.cat(expected) * weights_N).sum().backward()
    whole = torch.cat([gradient.flatten() for _, gradient in gradients(model)]).norm()
    for key, gradient in gradients(model):
        assert (found[key] - gradient).norm() <= 1e-5 * max(gradient.norm(), 1e-2 * whole), key


def test_through_the_wrapped_model_log_probabilities_come_by_token_too() -> None:
    model, packed = make_model(CONFIGS["llama"]), pack(tree_of_pairs())
    assert accept_packs(model)

    with torch.no_grad():
        logps_N, logps_S = model(packed, by_token=True), model(packed)

    assert logps_N.shape == packed.owners_N.shape
    torch.testing.assert_close(
        torch.zeros_like(logps_S).index_add_(0, torch.from_numpy(packed.owners_N), logps_N), logps_S
    )


def test_a_head_in_chunks_gives_the_same_log_probabilities_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    model, packed = make_model(CONFIGS["llama"]), pack(tree_of_pairs())
    results = []
    for chunk in (2**26, 97 * 7):
        monkeypatch.setattr(packed_forward, "_CHUNK", chunk)
        with tree_attention_in(model):
            logps = packed_logps(model, packed)
            dpo(logps).backward()
        results.append((logps.detach(), dict(gradients(model))))
        model.zero_grad()

    (whole, naive), (chunked, found) = results
    torch.testing.assert_close(chunked, whole)
    torch.testing.assert_close(found, naive)


def test_branches_of_branches_and_several_trees_in_one_row() -> None:
    model = make_model(CONFIGS["llama"])
    first, second = tree_of_pairs(steps=2), tree_of_pairs(prompt=4, steps=3)
    bough = first[1].ids
    sequences = [*first, *second, Scored((*bough, 5, 6), len(bough)), Scored((*bough, 5, 9, 9), len(bough))]

    with torch.no_grad(), tree_attention_in(model):
        logps = packed_logps(model, pack(sequences))

    torch.testing.assert_close(logps, one_by_one(model, sequences), rtol=0, atol=1e-4)


def test_outside_the_block_the_model_is_as_before() -> None:
    model, ids = make_model(CONFIGS["gemma3"]), torch.arange(3, 40)[None]
    before = model(input_ids=ids).logits

    with tree_attention_in(model):
        packed_logps(model, pack(tree_of_pairs()))

    assert torch.equal(model(input_ids=ids).logits, before)


@pytest.mark.parametrize("name", CONFIGS)
def test_these_models_take_packs(name: str) -> None:
    assert takes_packs(make_model(CONFIGS[name]))


def test_learned_positions_take_packs_too() -> None:
    config = GPT2Config(vocab_size=97, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2)

    assert takes_packs(make_model(config))


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_would_come_out_different_is_found_out(name: str, caplog: pytest.LogCaptureFixture) -> None:
    model = make_model(REFUSED[name])
    forward = model.forward

    with caplog.at_level(logging.WARNING, logger="presrm.packing.forward"):
        assert not accept_packs(model)

    assert model.forward == forward, "it is left as it was"
    ours = [record.message for record in caplog.records if record.name == "presrm.packing.forward"]
    assert len(ours) == 1
    assert "cannot take packed trees" in ours[0]


def test_longrope_packs_equal_their_parts_only_within_a_group() -> None:
    model = make_model(CONFIGS["phi3"])
    short, long = tree_of_pairs(prompt=20, steps=1), tree_of_pairs(prompt=80, steps=1)
    key = rotary_group(model)

    assert key(64) == key(20) != key(65) == key(500)
    expected = one_by_one(model, [*short, *long])
    with torch.no_grad(), tree_attention_in(model):
        apart = torch.cat([packed_logps(model, pack(short)), packed_logps(model, pack(long))])
        together = packed_logps(model, pack([*short, *long]))
    torch.testing.assert_close(apart, expected, rtol=0, atol=1e-4)
    assert (together - expected).abs().max() > 1e-3, "together the short ones would have had the long factors"


def test_dynamic_rotary_embeddings_share_no_pack_beyond_their_first_length() -> None:
    key = rotary_group(make_model(LlamaConfig(**SMALL, rope_scaling={"rope_type": "dynamic", "factor": 2.0})))

    assert key(10) == key(512) != key(513) != key(514)
