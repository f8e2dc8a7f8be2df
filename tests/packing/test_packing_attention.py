"""Attention of packed rows: block masks from the chains, one dtype, few graphs; and the same on a GPU."""

import tracemalloc
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import CONFIGS, SMALL, WINDOWED, gradients, make_model, one_by_one, tree_of_pairs
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Gemma3TextConfig, LlamaConfig, MistralConfig, PreTrainedConfig, PreTrainedModel

from presrm.packing import attention
from presrm.packing.attention import Tree
from presrm.packing.forward import accept_packs, packed_logps, takes_packs, tree_attention_in
from presrm.packing.layout import Layout, Scored, Segment, lay_out, pack

CPU = torch.device("cpu")
sequences = st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=12).map(tuple), min_size=1, max_size=6)


@pytest.fixture
def flex_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU runs, without its kernels."""
    monkeypatch.setattr(attention, "_in_rounds", attention._flex)
    monkeypatch.setattr(attention, "_compiled_flex", lambda: flex_attention)


def dense_block_mask(layout: Layout, window: int | None, block: int, length: int) -> BlockMask:
    """The same by FlexAttention's own means, from the definition, place by place."""
    visible = torch.zeros(length, length, dtype=torch.bool)
    size = len(layout.ids_T)
    visible[:size, :size] = torch.from_numpy(layout.visible(window))

    def sees(batch: Any, head: Any, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        return visible[query, key]

    return create_block_mask(sees, None, None, length, length, device="cpu", BLOCK_SIZE=block)


def comb(path: int, steps: int, branch: int) -> Layout:
    """A path with a side branch off each step."""
    length = path // steps
    segments: list[Segment] = []
    for step in range(steps):
        parent = None if step == 0 else 2 * step - 2
        segments.append(Segment((1,) * length, parent))
        segments.append(Segment((2,) * branch, 2 * step))
    return lay_out(segments)


@settings(max_examples=60)
@given(sequences, st.none() | st.integers(1, 9), st.integers(2, 5))
def test_blocks_are_those_of_every_token(texts: list[tuple[int, ...]], window: int | None, size: int) -> None:
    layout = pack([Scored(ids, 1) for ids in texts]).layout
    num = -(-len(layout.ids_T) // size)
    visible = np.zeros((num * size,) * 2, np.bool_)
    visible[: len(layout.ids_T), : len(layout.ids_T)] = layout.visible(window)
    tiles = visible.reshape(num, size, num, size)

    some_N_N, every_N_N = layout.blocks(size, window)

    assert (some_N_N == tiles.any((1, 3))).all()
    assert (every_N_N == tiles.all((1, 3))).all()


@settings(max_examples=15, deadline=None)
@given(sequences, st.none() | st.integers(1, 9))
def test_a_block_mask_is_what_flex_attention_makes_of_every_token(
    texts: list[tuple[int, ...]], window: int | None
) -> None:
    layout = pack([Scored(ids, 1) for ids in texts]).layout
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(attention, "_BLOCK", 4)
        ours = Tree(layout, CPU).block_mask(window)

    assert_same_block_mask(ours, dense_block_mask(layout, window, 4, ours.shape[-1]))


@pytest.mark.parametrize("window", [None, 1, 100, 128, 300])
@pytest.mark.parametrize(
    "layout", [comb(1200, 8, 70), comb(900, 3, 200), comb(100, 4, 10)], ids=["thin", "thick", "short"]
)
def test_a_block_mask_of_whole_blocks(layout: Layout, window: int | None) -> None:
    ours = Tree(layout, CPU).block_mask(window)

    assert_same_block_mask(ours, dense_block_mask(layout, window, 128, ours.shape[-1]))
    if window is None and len(layout.ids_T) > 1000:
        assert ours.full_kv_num_blocks is not None
        assert ours.full_kv_num_blocks.sum() > 0, "blocks that are seen whole are told apart"


def assert_same_block_mask(ours: BlockMask, theirs: BlockMask) -> None:
    assert ours.shape == theirs.shape
    for name in ("kv", "full_kv", "q", "full_q"):
        for part in ("num_blocks", "indices"):
            assert torch.equal(getattr(ours, f"{name}_{part}"), getattr(theirs, f"{name}_{part}")), (name, part)
    query, key = torch.arange(ours.shape[-1])[:, None], torch.arange(ours.shape[-1])
    zero = torch.tensor(0)
    assert torch.equal(ours.mask_mod(zero, zero, query, key), theirs.mask_mod(zero, zero, query, key))


class LargestTensor(TorchDispatchMode):
    """Remembers the elements of the largest tensor that was made."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
        self.numel = max([self.numel, *sizes])
        return out


@pytest.mark.parametrize("window", [None, 4096])
def test_a_block_mask_of_65536_tokens_takes_no_table_of_tokens(window: int | None) -> None:
    layout = comb(32768, 128, 256)
    assert len(layout.ids_T) == 65536
    tree = Tree(layout, CPU)

    tracemalloc.start()
    with LargestTensor() as largest:
        mask = tree.block_mask(window)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert mask.shape[-2:] == (65536, 65536)
    assert largest.numel <= 2 * 512 * 512, "blocks by blocks at most"
    assert peak < 2**25, "and so are numpy's arrays"


@pytest.mark.parametrize("name", {**CONFIGS, **WINDOWED})
@pytest.mark.usefixtures("flex_on_cpu")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_flex_attention_gives_the_same(name: str) -> None:
    model, sequences = make_model({**CONFIGS, **WINDOWED}[name]), tree_of_pairs(steps=8, length=20)

    with torch.no_grad(), tree_attention_in(model):
        logps = packed_logps(model, pack(sequences))

    torch.testing.assert_close(logps, one_by_one(model, sequences), rtol=0, atol=2e-4)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.usefixtures("flex_on_cpu")
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_under_autocast_queries_keys_and_values_are_of_one_dtype(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, sequences = make_model(CONFIGS[name]), tree_of_pairs()
    dtypes = set()

    def attend(*tensors: torch.Tensor, **options: Any) -> Any:
        dtypes.add(tuple(tensor.dtype for tensor in tensors))
        return flex_attention(*tensors, **options)

    monkeypatch.setattr(attention, "_compiled_flex", lambda: attend)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = one_by_one(model, sequences)
        with tree_attention_in(model):
            logps = packed_logps(model, pack(sequences))

    assert dtypes == {(torch.bfloat16,) * 3}
    torch.testing.assert_close(logps, expected.float(), rtol=0.02, atol=0.3)


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The graphs that dynamo makes of attention, run without kernels."""
    found: list[Any] = []

    def keep(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        found.append(graph)
        return lambda *inputs: (next(each for each in inputs if isinstance(each, torch.Tensor) and each.dim() == 4),)

    torch._dynamo.reset()
    attention._compiled_flex.cache_clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=keep))
    monkeypatch.setattr(attention, "_in_rounds", attention._flex)
    yield found
    attention._compiled_flex.cache_clear()
    torch._dynamo.reset()


def attend_to_many_layouts(device: str) -> None:
    """Lengths from 1 block to 24, several windows and scales: as in an engine, as a reference, and in training."""
    for steps in (1, 3, 2, 9, 30, 14, 5, 22, 40, 11):
        layout = pack(tree_of_pairs(prompt=20, steps=steps, length=10)).layout
        make_tree = partial(Tree, layout, torch.device(device))  # anew: masks of inference mode are no good in training
        q, k, v = (torch.randn(1, heads, len(layout.ids_T), 16, device=device) for heads in (4, 2, 2))
        attend = partial(attention._tree_attention, torch.nn.Identity(), q.bfloat16(), k.bfloat16(), v.bfloat16())
        for window, scaling in ((None, None), (9, 0.25), (300, 0.3)):
            with torch.inference_mode():
                attend(window, tree=make_tree(), scaling=scaling)
            with torch.no_grad(), torch.autocast(device, torch.bfloat16):
                attend(window, tree=make_tree(), scaling=scaling)
            if device == "cuda":
                trained = (each.bfloat16().requires_grad_() for each in (q, k, v))
                attention._tree_attention(torch.nn.Identity(), *trained, window, tree=make_tree())[0].sum().backward()


def test_many_layouts_windows_and_scales_compile_few_graphs(graphs: list[Any]) -> None:
    attend_to_many_layouts("cpu")

    assert 0 < len(graphs) <= 4, "one of a fixed length and one of any length, for inference mode and without"


def test_what_dynamo_no_longer_compiles_is_an_error(graphs: list[Any]) -> None:
    model = make_model(CONFIGS["llama"])

    with torch._dynamo.config.patch(recompile_limit=1), torch.no_grad(), tree_attention_in(model):
        packed_logps(model, pack(tree_of_pairs(steps=2)))
        longer = pack(tree_of_pairs(steps=30))
        with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
            packed_logps(model, longer)


GPU_SMALL = {**SMALL, "hidden_size": 128, "head_dim": 32, "max_position_embeddings": 4096}
ON_GPU = {
    "llama": LlamaConfig(**GPU_SMALL),
    "gemma3": Gemma3TextConfig(
        **GPU_SMALL, sliding_window=150, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
    ),
    "mistral": MistralConfig(**GPU_SMALL, sliding_window=150),
}


@pytest.mark.usefixtures("flex_on_cpu")
@pytest.mark.parametrize("autocast", [False, True], ids=["bfloat16", "autocast"])
@pytest.mark.parametrize("config", [*ON_GPU.values(), *WINDOWED.values()], ids=[*ON_GPU, *WINDOWED])
def test_the_rounding_of_another_kernel_is_not_taken_for_a_wrong_mask(config: PreTrainedConfig, autocast: bool) -> None:
    model = make_model(config)

    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        assert takes_packs(model if autocast else model.bfloat16())


@pytest.mark.gpu
@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointing"])
@pytest.mark.parametrize("autocast", [False, True], ids=["float32", "autocast"])
@pytest.mark.parametrize("name", ON_GPU)
def test_on_a_gpu_log_probabilities_and_gradients_are_those_of_every_pair_alone(
    name: str, autocast: bool, checkpointing: bool
) -> None:
    model, sequences = make_model(ON_GPU[name]).cuda().train(), tree_of_pairs(prompt=150, steps=9, length=30)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    results = []
    for run in (lambda: one_by_one(model, sequences), lambda: packed_logps(model, pack(sequences))):
        with torch.autocast("cuda", torch.bfloat16, enabled=autocast):
            logps = run_in_tree(model, run) if results else run()
        logps.sum().backward()
        results.append((logps.detach().float(), torch.cat([grad.flatten() for _, grad in gradients(model)])))
        model.zero_grad()

    (expected, naive), (found, packed) = results
    torch.testing.assert_close(found, expected, rtol=0.01 if autocast else 1e-3, atol=0.5 if autocast else 1e-2)
    assert (packed - naive).norm() < (0.05 if autocast else 1e-3) * naive.norm()


def run_in_tree(model: PreTrainedModel, run: Any) -> torch.Tensor:
    with tree_attention_in(model):
        return run()


@pytest.mark.gpu
@pytest.mark.parametrize("name", ON_GPU)
def test_on_a_gpu_a_model_in_training_takes_packs_under_autocast(name: str) -> None:
    model = make_model(ON_GPU[name]).cuda()

    with torch.autocast("cuda", torch.bfloat16):
        assert accept_packs(model)


@pytest.mark.gpu
def test_on_a_gpu_many_layouts_compile_few_graphs() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()

    attend_to_many_layouts("cuda")

    assert 0 < torch._dynamo.utils.counters["stats"]["unique_graphs"] <= 6


@pytest.mark.gpu
def test_on_a_gpu_a_row_of_65536_tokens_takes_memory_for_what_is_visible() -> None:
    tree = Tree(comb(32768, 128, 256), torch.device("cuda"))
    q, k, v = (torch.randn(1, 2, 65536, 64, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()

    attention._flex(q, k, v, tree, None, 0.0, None).sum().backward()

    assert torch.cuda.max_memory_allocated() - before < 2**30, "T x T booleans alone would be 4 GB"
