"""Rows that branch from a trunk: the trunk is held once, and each row is written as it would be alone."""

from collections.abc import Sequence

import pytest
import torch
from transformers import PreTrainedModel
from writing_models import ENDS, VOCABULARY, make_model, write_alone

from presrm.engines import hf_caches
from presrm.engines.drafting import Draft
from presrm.engines.hf_caches import BranchingCache, can_branch
from presrm.engines.hf_decoding import decode
from presrm.engines.hf_reading import Reader
from presrm.packing.attention import TREE_ATTENTION
from presrm.protocols import Sampling

NUM_TOKENS = 24
Ids = tuple[int, ...]


def draw_ids(num: int, seed: int) -> Ids:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(1, VOCABULARY, (num,), generator=generator).tolist())


def make_branches() -> tuple[list[Ids], list[int]]:
    """Questions behind three trunks of several lengths, longest first, and how long the trunk of each is."""
    rows = []
    for seed, (length, tails) in enumerate([(30, (1, 2, 7, 7, 3)), (12, (9, 1)), (20, (4,))]):
        trunk = draw_ids(length, seed)
        rows += [(trunk + draw_ids(tail, 100 * seed + place), length) for place, tail in enumerate(tails)]
    rows.sort(key=lambda row: -len(row[0]))
    return [ids for ids, _ in rows], [length for _, length in rows]


def write(model: PreTrainedModel, prompts: Sequence[Ids], num_kept: Sequence[int], how: Sampling) -> list[Ids]:
    drafts = [Draft(how.max_tokens, None, str, ENDS) for _ in prompts]
    with torch.inference_mode():
        decode(model, prompts, drafts, how, range(len(prompts)), reader=Reader(model, 1000), num_kept=num_kept)
    return [draft.completion().tokens for draft in drafts]


@pytest.fixture
def caches(monkeypatch: pytest.MonkeyPatch) -> list[BranchingCache]:
    """Those that are made in a test."""
    made: list[BranchingCache] = []
    init = BranchingCache.__init__

    def note(self: BranchingCache, *arguments: object) -> None:
        made.append(self)
        init(self, *arguments)

    monkeypatch.setattr(BranchingCache, "__init__", note)
    return made


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2"])
def test_a_row_behind_a_trunk_is_written_as_it_would_be_alone(name, caches):
    model, (prompts, lengths) = make_model(name), make_branches()
    written = write(model, prompts, lengths, Sampling(max_tokens=NUM_TOKENS))
    assert written == [write_alone(model, prompt) for prompt in prompts]
    assert len(set(map(len, written))) > 1, "rows should leave at different times"
    (cache,) = caches
    assert max(len(keys) for keys, _ in cache.trunks) <= 3


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_candidates_of_one_prompt_share_all_of_it(name, caches):
    model, prompt = make_model(name), draw_ids(30, 5)
    how = Sampling(temperature=1.0, max_tokens=NUM_TOKENS)
    together = write(model, [prompt] * 5, [30] * 5, how)
    assert [keys.shape[0] for keys, _ in caches[0].trunks] == [1] * len(caches[0].layers)
    assert len(set(together)) > 1
    draft = Draft(NUM_TOKENS, None, str, ENDS)
    with torch.inference_mode():
        decode(model, [prompt], [draft], how, [3])
    assert draft.completion().tokens == together[3], "as drawn without a reader, alone"


def test_trunks_leave_with_their_last_row(caches):
    model, (prompts, lengths) = make_model("llama"), make_branches()
    write(model, prompts, lengths, Sampling(max_tokens=NUM_TOKENS))
    (cache,) = caches
    cache.batch_select_indices(torch.tensor([0]))
    assert [len(keys) for keys, _ in cache.trunks] == [1] * len(cache.layers)


@pytest.mark.parametrize("name", ["gemma3", "mistral"])
def test_a_window_would_count_the_padding_behind_a_trunk(name, caches):
    model, (prompts, lengths) = make_model(name), make_branches()
    assert not can_branch(model)
    assert write(model, prompts, lengths, Sampling(max_tokens=NUM_TOKENS)) == [
        write_alone(model, prompt) for prompt in prompts
    ]
    assert not caches


def test_prompts_that_share_nothing_are_rows_of_their_own(caches):
    model, prompts = make_model("llama"), [draw_ids(9, 1), draw_ids(8, 2)]
    assert write(model, prompts, [9, 8], Sampling(max_tokens=4)) == [
        write_alone(model, prompt)[:4] for prompt in prompts
    ]
    assert not caches


def test_rows_behind_nothing_share_nothing(caches):
    model, prompts = make_model("llama"), [draw_ids(9, 1), draw_ids(8, 2)]
    written = write(model, prompts, [0, 0], Sampling(max_tokens=NUM_TOKENS))
    assert written == [write_alone(model, prompt) for prompt in prompts]
    assert not caches


def test_values_may_be_narrower_than_keys():
    torch.manual_seed(0)
    keys, values, query = torch.randn(2, 4, 9, 12), torch.randn(2, 4, 9, 6), torch.randn(2, 4, 1, 12)
    keys[1, :, :5], values[1, :, :5] = keys[0, :, :5], values[0, :, :5]
    trunk, rows = (keys[:1, :, :5], values[:1, :, :5]), (keys[:, :, 5:], values[:, :, 5:])
    shown = torch.ones(1, 5, dtype=torch.bool), torch.ones(2, 4, dtype=torch.bool)
    cache = BranchingCache([trunk], shown[0], [rows], shown[1], torch.zeros(2, dtype=torch.long))
    exact = torch.nn.functional.scaled_dot_product_attention(query, keys, values)
    torch.testing.assert_close(cache.attend(0, query, None), exact.transpose(1, 2))


@pytest.mark.parametrize("kind", [TREE_ATTENTION, hf_caches._ATTENTION])
def test_an_interrupt_leaves_the_model_as_it_was(kind, monkeypatch):
    model = make_model("llama")
    before, change = model.config._attn_implementation, model.set_attn_implementation

    def interrupt(name: str) -> None:
        change(name)
        if name == kind:
            raise KeyboardInterrupt

    monkeypatch.setattr(model, "set_attn_implementation", interrupt)
    prompt = draw_ids(9, 1)
    with pytest.raises(KeyboardInterrupt):
        write(model, [prompt] * 2, [9, 9], Sampling(max_tokens=2))
    assert model.config._attn_implementation == before
    assert hf_caches._cache.get(None) is None


def test_attention_in_half_precision_is_that_of_exact_numbers_up_to_rounding():
    torch.manual_seed(0)
    heads, width, num_trunk, num_own = 2, 8, 300, 5
    trunk, own = torch.randn(1, heads, num_trunk, width), torch.randn(3, heads, num_own, width)
    query = torch.randn(3, 4, 1, width)
    exact = torch.nn.functional.scaled_dot_product_attention(
        query.view(3, heads, 2, width), *([torch.cat([trunk.expand(3, -1, -1, -1), own], 2)] * 2)
    )
    half = [(states.bfloat16(), states.bfloat16()) for states in (trunk, own)]
    shown = torch.ones(1, num_trunk, dtype=torch.bool), torch.ones(3, num_own, dtype=torch.bool)
    cache = BranchingCache([half[0]], shown[0], [half[1]], shown[1], torch.zeros(3, dtype=torch.long))
    found = cache.attend(0, query, None)
    torch.testing.assert_close(found.float().view(3, heads, 2, width), exact, atol=0.02, rtol=0.05)
