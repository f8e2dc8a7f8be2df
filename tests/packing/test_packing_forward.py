"""A pack gives what its sequences give one by one: the definition, on every kind of attention that we claim."""

import functools
import logging
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_models import (
    CONFIGS,
    GPT2,
    NOISY,
    REFUSED,
    SMALL,
    WINDOWED,
    gradients,
    make_model,
    one_by_one,
    tokens_of,
    tree_of_pairs,
)
from torch import nn
from transformers import (
    AttentionMaskInterface,
    BloomConfig,
    GPT2Config,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
)

from presrm.packing import forward as packed_forward
from presrm.packing.forward import accept_packs, packed_logps, rotary_group, takes_packs, tree_attention_in
from presrm.packing.layout import Scored, pack
from presrm.training.preference import step_dpo_loss


def dpo(logps: torch.Tensor) -> torch.Tensor:
    """A loss that weighs every sequence differently."""
    reference = torch.linspace(-25, -20, len(logps) // 2)
    return step_dpo_loss(logps[::2], logps[1::2], reference, reference.flip(0), beta=0.1).sum()


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


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", CONFIGS)
def test_these_models_take_packs(name: str, training: bool, autocast: bool) -> None:
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert takes_packs(make_model(CONFIGS[name]), training=training)


def test_a_vocabulary_smaller_than_the_width_takes_packs() -> None:
    assert accept_packs(make_model(LlamaConfig(**SMALL | {"vocab_size": 20})))


def test_no_model_is_tried_beyond_its_positions() -> None:
    model, lengths = make_model(MistralConfig(**SMALL, sliding_window=SMALL["max_position_embeddings"] - 10)), []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        lengths.append(kwargs["input_ids"].shape[1])

    model.register_forward_pre_hook(note, with_kwargs=True)
    assert accept_packs(model)
    assert 0 < max(lengths) <= SMALL["max_position_embeddings"]


def test_bfloat16_weights_take_packs() -> None:
    assert takes_packs(make_model(CONFIGS["llama"]).bfloat16(), training=True)


def test_learned_positions_take_packs_too() -> None:
    assert takes_packs(make_model(GPT2Config(**GPT2)))


@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_would_come_out_different_is_found_out(
    name: str, autocast: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model(REFUSED[name])
    forward, implementation = model.forward, model.config._attn_implementation

    with (
        caplog.at_level(logging.WARNING, logger="presrm.packing.forward"),
        torch.autocast("cpu", torch.bfloat16, enabled=autocast),
    ):
        assert not accept_packs(model)

    assert model.forward == forward, "it is left as it was"
    assert model.config._attn_implementation == implementation
    ours = [record.message for record in caplog.records if record.name == "presrm.packing.forward"]
    assert len(ours) == 1
    assert "cannot take packed trees" in ours[0]


@pytest.mark.parametrize("name", WINDOWED)
def test_a_window_is_that_of_the_models_own_mask(name: str) -> None:
    model, sequences = make_model(WINDOWED[name]), tree_of_pairs()
    expected = one_by_one(model, sequences)

    assert takes_packs(model)
    with torch.no_grad(), tree_attention_in(model):
        logps = packed_logps(model, pack(sequences))

    torch.testing.assert_close(logps, expected, rtol=0, atol=1e-4)
    for config in {id(each): each for each in (model.config, model.model.config)}.values():
        config.sliding_window = 10**6
    assert (one_by_one(model, sequences) - expected).abs().max() > 1e-2, "the trees are longer than the window"


def test_a_window_that_attention_is_not_told_of_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(MistralConfig(**SMALL, sliding_window=20))  # the small tree fits into it
    see_all = functools.partial(monkeypatch.setitem, AttentionMaskInterface._global_mapping, "presrm_tree")

    see_all(lambda **_: None)

    assert takes_packs(model, longest=20), "nothing is longer than the window"
    assert not takes_packs(model, longest=21)
    assert not takes_packs(model)
    assert not takes_packs(model, training=True)


def test_a_mask_of_the_models_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = torch.ones(1, 1, 1, 1, dtype=torch.bool)
    monkeypatch.setitem(AttentionMaskInterface._global_mapping, "presrm_tree", lambda **_: mask)

    assert not takes_packs(make_model(CONFIGS["llama"]))


@pytest.mark.parametrize("config", NOISY.values(), ids=NOISY.keys())
def test_dropout_decides_nothing_and_is_as_before(config: PreTrainedConfig) -> None:
    model = make_model(config)
    noise = {name: vars(module).get("p") for name, module in model.named_modules()}
    drawn = torch.get_rng_state()

    for _ in range(3):
        assert takes_packs(model, training=True)

    assert torch.equal(torch.get_rng_state(), drawn), "what training draws does not depend on it"
    assert not model.training
    assert noise == {name: vars(module).get("p") for name, module in model.named_modules()}
    assert {k: v for k, v in model.config.to_dict().items() if "drop" in k} == {
        k: v for k, v in config.to_dict().items() if "drop" in k
    }
    assert all(weight.grad is None for weight in model.parameters())


def test_dropout_hides_no_difference() -> None:
    config = BloomConfig(vocab_size=97, hidden_size=32, n_layer=2, n_head=4, attention_dropout=0.5, hidden_dropout=0.5)

    assert not takes_packs(make_model(config), training=True)


def test_what_fails_in_the_backward_pass_takes_no_packs() -> None:
    model = make_model(CONFIGS["llama"])

    class NoBackward(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no kernel")

    model.model.norm.register_forward_hook(lambda module, args, out: NoBackward.apply(out))

    assert takes_packs(model)
    assert not takes_packs(model, training=True)


def test_attention_dropout_is_that_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(LlamaConfig(**SMALL, attention_dropout=0.4)).train()
    packed = pack(tree_of_pairs())

    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        with torch.no_grad(), tree_attention_in(model):
            return packed_logps(model, packed)

    first, again, other = run(1), run(1), run(2)
    model.eval()
    without = run(1)

    assert torch.equal(first, again)
    assert (first - other).abs().min() > 0, "every sequence draws"
    assert (first - without).abs().min() > 0


def test_longrope_packs_equal_their_parts_only_within_a_group() -> None:
    model = make_model(CONFIGS["phi3"])
    short, long = tree_of_pairs(prompt=20, steps=1), tree_of_pairs(prompt=80, steps=1)
    key = rotary_group(model)

    assert key(65) == key(20) != key(66) == key(500), "the last token is not read"
    expected = one_by_one(model, [*short, *long])
    with torch.no_grad(), tree_attention_in(model):
        apart = torch.cat([packed_logps(model, pack(short)), packed_logps(model, pack(long))])
        together = packed_logps(model, pack([*short, *long]))
    torch.testing.assert_close(apart, expected, rtol=0, atol=1e-4)
    assert (together - expected).abs().max() > 1e-3, "together the short ones would have had the long factors"


def test_dynamic_rotary_embeddings_share_no_pack_beyond_their_first_length() -> None:
    key = rotary_group(make_model(LlamaConfig(**SMALL, rope_scaling={"rope_type": "dynamic", "factor": 2.0})))

    assert key(10) == key(513) != key(514) != key(515)


class Configured(nn.Module):
    """A model of which nothing but the settings is known."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        text = SimpleNamespace(**{"max_position_embeddings": 512, **settings})
        self.config = SimpleNamespace(get_text_config=lambda: text)


def test_what_lengths_may_share_a_pack_is_read_wherever_a_config_says_it() -> None:
    longrope, first = {"rope_type": "longrope"}, {"original_max_position_embeddings": 64}
    for model in (
        Configured(rope_parameters=longrope | first),
        Configured(rope_parameters=longrope, **first),
        Configured(rope_scaling=longrope | first),
        Configured(rope_parameters=None, rope_scaling=longrope, **first),
    ):
        key = rotary_group(model)
        assert key(20) == key(65) != key(66) == key(500)
    dynamic = rotary_group(Configured(rope_parameters={"rope_type": "dynamic"} | first))
    assert dynamic(20) == dynamic(65) != dynamic(66) != dynamic(67)
    for rope in ({"rope_type": "llama3"} | first, {"rope_type": "yarn"} | first, longrope, {}, None):
        key = rotary_group(Configured(rope_parameters=rope))
        assert key(20) == key(500), "factors that no length changes"


def test_dropout_of_every_kind_is_off_while_a_model_is_tried() -> None:
    model = make_model(LlamaConfig(**SMALL, attention_dropout=0.5))
    ids = torch.arange(1, 20)[None]
    model.train()
    with torch.no_grad():
        with packed_forward._without_dropout(model):
            assert torch.equal(model(ids).logits, model(ids).logits)
        assert not torch.equal(model(ids).logits, model(ids).logits), "it is as before"


@pytest.mark.parametrize("name", ["longrope", "dynamic"])
def test_a_sequence_at_the_edge_of_a_rotary_group_gives_the_same_in_any_company_of_its_group(name: str) -> None:
    edge = 64
    scaling = {"rope_type": "dynamic", "factor": 4.0}
    dynamic = LlamaConfig(**{**SMALL, "max_position_embeddings": edge}, rope_scaling=scaling)
    config = {"longrope": CONFIGS["phi3"], "dynamic": dynamic}[name]
    key = rotary_group(make_model(config))
    sequences = [Scored(tuple(random.Random(n).choices(range(3, 97), k=n)), n - 4) for n in range(edge - 4, edge + 6)]

    def run(several: Sequence[Scored]) -> torch.Tensor:
        model = make_model(config)  # dynamic scaling remembers the longest text that a model has read
        with torch.no_grad(), tree_attention_in(model):
            return packed_logps(model, pack(several))

    groups: dict[Any, list[Scored]] = {}
    for sequence in sequences:
        groups.setdefault(key(len(sequence.ids)), []).append(sequence)

    assert len(groups) > 1
    assert max(len(group) for group in groups.values()) == 6, (
        "up to one more than the first length: the last is not read"
    )
    for group in groups.values():
        alone = torch.cat([run([sequence]) for sequence in group])
        torch.testing.assert_close(run(group), alone, rtol=0, atol=1e-4)


@pytest.mark.parametrize("chunk", [16, 64, 8192])
def test_attention_in_chunks_is_refused_however_long_they_are(chunk: int) -> None:
    """A chunk may be longer than any tree that is tried out, and shorter than what is trained on."""
    config = Llama4TextConfig(
        **SMALL, head_dim=8, attention_chunk_size=chunk, num_local_experts=2, intermediate_size_mlp=32
    )
    assert not takes_packs(make_model(config))


def test_a_models_own_scale_of_attention_counts() -> None:
    model, sequences = make_model(CONFIGS["gemma3"]), tree_of_pairs()
    for layer in model.model.layers:
        layer.self_attn.scaling *= 3
    with torch.no_grad(), tree_attention_in(model):
        logps = packed_logps(model, pack(sequences))
    torch.testing.assert_close(logps, one_by_one(model, sequences), rtol=0, atol=1e-4)
