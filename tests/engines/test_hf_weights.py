"""Weights in the kernels' order: the same layer up to rounding, and only where nothing else reads the weights."""

import weakref
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from presrm.engines import hf_weights
from presrm.engines.hf import HFEngine
from presrm.engines.hf_loading import load_policy
from presrm.engines.hf_weights import order_weights
from presrm.prompts import PromptSet
from presrm.protocols import Request, Sampling
from presrm.types import Checkpoint, Problem, Trajectory

WORDS = torch.tensor([[1, 2, 3, 5, 8, 13], [4, 6, 9, 10, 12, 14]])
needs_kernels = pytest.mark.skipif(not hf_weights._has_kernels(torch.float32), reason="no oneDNN kernels for float32")


def llama(dtype: torch.dtype, *, tied: bool = False) -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        attention_bias=True,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).to(dtype).eval()


def plain_layers(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if type(module) is nn.Linear]


@needs_kernels
@pytest.mark.parametrize(("dtype", "nats"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
@pytest.mark.parametrize("tied", [False, True])
def test_what_a_model_says_stays_up_to_rounding(dtype, nats, tied):
    if not hf_weights._has_kernels(dtype):
        pytest.skip("no oneDNN kernels for this dtype")
    model = llama(dtype, tied=tied)
    embedding = model.get_input_embeddings().weight.clone()
    with torch.inference_mode():
        before = model(input_ids=WORDS).logits.float().log_softmax(-1)
        order_weights(model)
        assert not plain_layers(model)
        after = model(input_ids=WORDS).logits.float().log_softmax(-1)
        one_row = model(input_ids=WORDS[:1, :1]).logits.float().log_softmax(-1)
    torch.testing.assert_close(after, before, atol=nats, rtol=0)
    torch.testing.assert_close(one_row, before[:1, :1], atol=nats, rtol=0)
    assert torch.equal(model.get_input_embeddings().weight, embedding)


@needs_kernels
def test_layers_of_another_kind_are_left_alone():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_embd=32, n_layer=1, n_head=2)).eval()
    order_weights(model)
    assert type(model.get_submodule("transformer.h.0.attn.c_attn")).__name__ == "Conv1D"
    assert type(model.lm_head) is not nn.Linear


class Packed(Tensor):
    """Stands for numbers that are not plain, as those of a quantised layer."""


@needs_kernels
def test_a_quantised_layer_is_left_alone():
    model = llama(torch.float32)
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().as_subclass(Packed), requires_grad=False)
    layer = model.get_submodule("model.layers.0.mlp.up_proj")
    layer.forward = lambda hidden: torch.zeros(*hidden.shape[:-1], 48)
    order_weights(model)
    assert plain_layers(model) == [layer, model.lm_head]


@needs_kernels
def test_plain_weights_go_one_after_the_other():
    model, held, most = llama(torch.float32), weakref.WeakSet(), []
    held.update(layer.weight for layer in plain_layers(model))
    put = model.set_submodule

    def count(name: str, module: nn.Module) -> None:
        put(name, module)
        most.append(len(held))

    model.set_submodule = count
    num = len(held)
    order_weights(model)
    assert not held
    assert all(left <= num - done + 1 for done, left in enumerate(most, 1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_dtype_without_kernels_is_left_alone(dtype):
    model = llama(dtype)
    order_weights(model)
    assert len(plain_layers(model)) == 2 * 7 + 1


def test_another_processor_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "NEON")
    model = llama(torch.float32)
    order_weights(model)
    assert len(plain_layers(model)) == 2 * 7 + 1


@needs_kernels
def test_an_engine_orders_the_weights_of_a_policy_and_counts_them_once():
    model, _ = load_policy(Checkpoint("embedded"))
    with HFEngine(Checkpoint("embedded"), dtype="float32", device="cpu") as engine:
        assert not plain_layers(engine._running())
        assert engine.describe()["parameters"] == model.num_parameters()


@needs_kernels
def test_the_layers_of_an_adapter_may_read_the_weights_of_its_base(tmp_path: Path):
    model, _ = load_policy(Checkpoint("embedded"))
    lora = LoraConfig(r=2, target_modules=["q_proj"], use_dora=True)  # DoRA takes the norm of the base's weights
    get_peft_model(model, lora).save_pretrained(tmp_path)
    request = Request(PromptSet("compact").solve(Trajectory(Problem("a", "1 + 1 = ?"))), 1, Sampling(max_tokens=4))
    with HFEngine(Checkpoint("embedded", tmp_path), dtype="float32", device="cpu") as engine:
        assert plain_layers(engine._running())
        assert len(engine.generate([request])) == 1
