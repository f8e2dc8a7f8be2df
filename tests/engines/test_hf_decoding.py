"""Writing in batches: whatever is shared, padded, or leaves early, each row is written as it would be alone."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch
from transformers import DynamicCache, GenerationConfig, Phi3Config, PreTrainedModel
from writing_models import CONFIGS, ENDS, GREEDY, SMALL, VOCABULARY, make_model, write_alone

from presrm.engines import hf_decoding
from presrm.engines.drafting import Draft
from presrm.engines.hf_decoding import decode
from presrm.engines.hf_reading import Reader, keeps_tokens
from presrm.packing.forward import takes_packs
from presrm.packing.layout import tree_size
from presrm.protocols import Sampling


def reader_of(model: PreTrainedModel) -> Reader | None:
    return Reader(model, 1000) if takes_packs(model) and keeps_tokens(model) else None


def count_read(model: PreTrainedModel, *arguments: Any, reader: Reader | None) -> int:
    """Decode, and count the prompt tokens that are read for it."""
    read: list[int] = []
    with torch.inference_mode():
        decode(model, *arguments, reader=reader, on_read=read.append)
    return sum(read) + (reader.tokens_read if reader else 0)


def make_prompts(num: int, shared: int = 20) -> list[tuple[int, ...]]:
    """Prompts of several lengths, longest first, which begin alike; every fifth is there twice."""
    generator = torch.Generator().manual_seed(1)
    head = torch.randint(1, VOCABULARY, (shared,), generator=generator).tolist()
    tails = [torch.randint(1, VOCABULARY, (2 + i % 9,), generator=generator).tolist() for i in range(num)]
    prompts = [tuple(head + tails[i - (i % 5 == 4) * 4]) for i in range(num)]
    return sorted(prompts, key=len, reverse=True)


def write(
    model: PreTrainedModel, prompts: Sequence[tuple[int, ...]], how: Sampling = GREEDY, *, by_reader: bool = True
) -> list[tuple[int, ...]]:
    drafts = [Draft(how.max_tokens, None, str, ENDS) for _ in prompts]
    with torch.inference_mode():
        decode(model, prompts, drafts, how, range(len(prompts)), reader=reader_of(model) if by_reader else None)
    return [draft.completion().tokens for draft in drafts]


@pytest.mark.parametrize("by_reader", [True, False])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_row_is_written_as_it_would_be_alone(name: str, by_reader: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hf_decoding, "_READ_AT_ONCE", 100)
    model, prompts = make_model(name), make_prompts(16)
    written = write(model, prompts, by_reader=by_reader)
    assert written == [write_alone(model, prompt) for prompt in prompts]
    assert len(set(map(len, written))) > 3, "rows should leave at different times"


@pytest.mark.parametrize("name", ["llama", "gemma3", "mistral", "gpt2"])
def test_what_prompts_share_is_read_once(name: str) -> None:
    model, prompts = make_model(name), make_prompts(10)
    drafts = [Draft(1, None, str, ENDS) for _ in prompts]
    num_read = count_read(model, prompts, drafts, Sampling(max_tokens=1), range(10), reader=reader_of(model))
    heads = {ids[:-1] for ids in prompts}
    assert num_read == tree_size(list(heads)) + len(set(prompts))
    assert num_read <= 20 + sum(len(ids) - 20 for ids in set(prompts))


@pytest.mark.parametrize("name", ["mpt", "mamba"])
def test_a_model_that_takes_no_packs_reads_every_prompt_whole(name: str) -> None:
    model, prompts = make_model(name), make_prompts(10)
    assert reader_of(model) is None
    drafts = [Draft(1, None, str, ENDS) for _ in prompts]
    num_read = count_read(model, prompts, drafts, Sampling(max_tokens=1), range(10), reader=None)
    assert num_read == sum(map(len, set(prompts)))


@pytest.mark.parametrize(
    ("name", "why"),
    [("diffllama", "attends twice in a layer, each time to half of the values"), ("deepseek", "caches latents")],
)
def test_what_is_attended_to_cannot_stand_in_a_cache_of_something_else(name: str, why: str) -> None:
    model = make_model(name)
    assert takes_packs(model)
    assert not keeps_tokens(model), why


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3", "mistral", "gpt2"])
def test_a_cache_of_what_is_attended_to_is_known_in_any_precision(name: str, dtype: torch.dtype) -> None:
    assert keeps_tokens(make_model(name).to(dtype))


@pytest.mark.parametrize("by_reader", [True, False])
def test_prompts_of_one_token_have_nothing_to_be_read_before(by_reader: bool) -> None:
    model, prompts = make_model("llama"), [(5,), (7,), (5,)]
    assert write(model, prompts, by_reader=by_reader) == [write_alone(model, prompt) for prompt in prompts]
    read: list[int] = []
    drafts = [Draft(1, None, str, ENDS) for _ in prompts]
    with torch.inference_mode():
        reader = reader_of(model) if by_reader else None
        decode(model, prompts, drafts, Sampling(max_tokens=1), range(3), reader=reader, on_read=read.append)
    assert sum(read) == 2


@pytest.mark.parametrize("name", ["llama", "bamba", "mamba"])
def test_padding_of_one_token_is_not_read(name: str) -> None:
    model, prompts = make_model(name), [(5, 6), (5, 6), (7,), (8,)]
    assert write(model, prompts, by_reader=False) == [write_alone(model, prompt) for prompt in prompts]


def test_rows_that_are_done_are_not_run_any_more() -> None:
    model, prompts = make_model("llama"), make_prompts(32)
    sizes: list[int] = []
    model.model.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    written = write(model, prompts)
    rows_run = sum(sizes[-len(max(written, key=len)) :])
    assert sizes[-1] < 32
    assert rows_run < 1.3 * sum(len(tokens) + 1 for tokens in written)


def test_rows_leave_once_an_eighth_of_those_that_are_left_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = make_model("llama"), make_prompts(32)
    generate, sizes = model.generate, []

    def count(ids: torch.Tensor, **options: Any) -> torch.Tensor:
        sizes.append(len(ids))
        return generate(ids, **options)

    monkeypatch.setattr(model, "generate", count)
    write(model, prompts)
    assert sizes[0] == 32
    assert all(before - after >= before / 8 for before, after in pairwise(sizes))


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "mpt", "mamba"])
def test_a_row_draws_the_same_alone_and_in_any_company(name: str) -> None:
    model, prompts = make_model(name), make_prompts(12)
    how = Sampling(temperature=1.0, top_p=0.9, max_tokens=24)
    together = write(model, prompts, how)
    for row, prompt in enumerate(prompts):
        draft = Draft(how.max_tokens, None, str, ENDS)
        with torch.inference_mode():
            decode(model, [prompt], [draft], how, [row], reader=reader_of(model))
        assert draft.completion().tokens == together[row]
    pairs = [(a, b) for a in range(12) for b in range(a) if prompts[a] == prompts[b]]
    assert pairs
    assert all(together[a] != together[b] for a, b in pairs), "equal prompts draw by different seeds"
    assert together != write(model, prompts), "nor is it the likeliest"


def test_what_a_row_draws_does_not_depend_on_who_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = make_model("llama"), make_prompts(24)
    how = Sampling(temperature=1.0, max_tokens=24)
    leaving = write(model, prompts, how)
    monkeypatch.setattr(hf_decoding, "_WORTH_LEAVING", 1)
    assert write(model, prompts, how) == leaving


def test_a_roomy_layer_holds_what_a_plain_one_holds() -> None:
    model = make_model("llama")
    ids = torch.arange(1, 11)[None].repeat(3, 1)
    plain = DynamicCache()
    with torch.inference_mode():
        model(input_ids=ids[:, :4], past_key_values=plain)
        roomy = hf_decoding._merge([model(input_ids=ids[:, :4]).past_key_values])
        for i in range(4, 10):
            for kept in (plain, roomy):
                model(input_ids=ids[: 3 - (i > 6), i : i + 1], past_key_values=kept)
                if i == 6:
                    kept.batch_select_indices(torch.tensor([0, 2]))
    for layer, expected in zip(roomy.layers, plain.layers, strict=True):
        torch.testing.assert_close(layer.keys, expected.keys)
        torch.testing.assert_close(layer.values, expected.values)


def test_a_prompt_that_all_others_begin_with_is_written_as_it_would_be_alone() -> None:
    model, prompts = make_model("llama"), make_prompts(6)
    prompts = [*prompts, prompts[0][:20]]
    assert write(model, prompts) == [write_alone(model, prompt) for prompt in prompts]


LONGROPE = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [2.0, 9.0, 20.0, 40.0]}


@pytest.mark.parametrize(("first", "max_tokens"), [(64, 24), (64, 60), (40, 24), (24, 24)])
def test_a_row_is_written_as_alone_where_rotary_factors_change(
    first: int, max_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = SMALL | {"original_max_position_embeddings": first, "max_position_embeddings": 512}
    monkeypatch.setitem(CONFIGS, "phi3", Phi3Config(**size, rope_scaling=LONGROPE, bos_token_id=1, eos_token_id=2))
    model, how = make_model("phi3"), Sampling(max_tokens=max_tokens)
    prompts = [ids[:28] for ids in make_prompts(6) if len(ids) >= 28] or [make_prompts(6)[0]] * 2
    drafts = [Draft(max_tokens, None, str, frozenset()) for _ in prompts]
    with torch.inference_mode():
        decode(model, prompts, drafts, how, range(len(prompts)), reader=reader_of(model))
    config = GenerationConfig(max_new_tokens=max_tokens, do_sample=False, pad_token_id=0)
    for prompt, draft in zip(prompts, drafts, strict=True):
        ids = torch.tensor([prompt])
        drawn = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)[0, len(prompt) :]
        assert draft.completion().tokens == tuple(drawn.tolist())
