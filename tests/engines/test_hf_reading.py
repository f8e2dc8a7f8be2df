"""A search that reads nothing twice: the same text and scores, by counts, on models of each kind of attention."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from presrm.config import SearchConfig
from presrm.engines.hf import HFEngine
from presrm.errors import SplitterError
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Request, Sampling
from presrm.searchers.greedy import GreedySearcher
from presrm.types import Candidates, Checkpoint, Judgement, Problem, SearchTree, Status, Step, Trajectory

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "max_position_embeddings": 2048,
}
CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, object]]] = {
    "llama": (LlamaConfig, SMALL),
    "qwen3": (Qwen3Config, SMALL | {"head_dim": 8}),
    "gemma3": (
        Gemma3TextConfig,
        SMALL | {"head_dim": 8, "sliding_window": 48, "layer_types": ["sliding_attention", "full_attention"]},
    ),
    "mistral": (MistralConfig, SMALL | {"sliding_window": 48}),
    "gpt2": (GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 2048, "initializer_range": 0.2}),
    "mamba": (MambaConfig, {"hidden_size": 32, "num_hidden_layers": 2, "initializer_range": 0.2}),
}
PROMPTS = PromptSet("compact")
LENGTH = 3  # characters in a step

Maker = Callable[..., HFEngine]


@pytest.fixture(scope="module")
def make_engine(tiny_policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Maker:
    folders: dict[str, Path] = {}

    def make(name: str, **options: int) -> HFEngine:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
            kind, size = CONFIGS[name]
            ends = {
                "bos_token_id": None,
                "eos_token_id": tokenizer.eos_token_id,
                "pad_token_id": tokenizer.pad_token_id,
            }
            with torch.random.fork_rng():
                torch.manual_seed(0)
                model = AutoModelForCausalLM.from_config(kind(vocab_size=len(tokenizer), **size, **ends))
            model.save_pretrained(folders[name])
            tokenizer.save_pretrained(folders[name])
        return HFEngine(Checkpoint(str(folders[name])), device="cpu", **options)

    return make


@dataclass
class Paths:
    """Solutions that grow step by step, and what a judge of each step is asked."""

    num: int = 3

    def requests(self, depth: int) -> list[Request]:
        how = Sampling(temperature=1.0, max_tokens=6)
        return [Request(PROMPTS.solve(self.prefix(p, depth)), 2, how, seed=100 * depth + p) for p in range(self.num)]

    def prefix(self, problem: int, depth: int) -> Trajectory:
        steps = tuple(Step(f"{problem} + {n} = {problem + n}\n") for n in range(depth))
        return Trajectory(Problem(f"p{problem}", f"What is {problem} + 10?"), steps)

    def questions(self, depth: int) -> list:
        return [
            PROMPTS.pairwise(self.prefix(p, depth), Step(first), Step(second), direct=True)
            for p in range(self.num)
            for first, second in (("1 = 1\n", "2 = 2\n"), ("2 = 2\n", "1 = 1\n"), ("1 = 1\n", "3 = 1\n"))
        ]


def work(engine: HFEngine, depths: Sequence[int]) -> tuple[list, list, list[int]]:
    """What is written and scored at each depth, and how many tokens that reads."""
    paths, written, scored, read = Paths(), [], [], []
    for depth in depths:
        before = engine.tokens_read
        written += engine.generate(paths.requests(depth))
        scored += [logp for row in engine.logprobs(paths.questions(depth), ["A", "B"]) for logp in row]
        read.append(engine.tokens_read - before)
    return written, scored, read


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("budget", [10_000, 150, 0])
def test_kept_or_read_again_it_writes_and_scores_the_same(name: str, budget: int, make_engine: Maker) -> None:
    plain = work(make_engine(name), range(8))
    engine = make_engine(name, cache_tokens=budget)
    with engine.keeping():
        kept = work(engine, range(8))
        if engine._reader:
            assert engine._reader.num_kept <= budget
    assert kept[0] == plain[0]
    assert kept[1] == pytest.approx(plain[1], abs=1e-4)
    if name != "mamba":
        assert (sum(kept[2]) < sum(plain[2])) == (budget > 0)
        assert engine.tokens_recalled > 0 or budget == 0


@pytest.mark.parametrize("lacking", ["takes_packs", "keeps_tokens"])
def test_what_can_be_one_but_not_the_other_keeps_nothing(
    lacking: str, make_engine: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"presrm.engines.hf.{lacking}", lambda model: False)
    engine = make_engine("llama")
    with engine.keeping():
        kept = work(engine, range(3))
    assert engine.tokens_recalled == 0
    assert kept == work(make_engine("llama"), range(3))


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_tokens_read_at_a_step_do_not_grow_with_the_depth(name: str, make_engine: Maker) -> None:
    engine = make_engine(name)
    with engine.keeping():
        _, _, read = work(engine, range(1, 20))
    assert max(read[2:]) <= min(read[2:]) + 3 * 2 * 3, "a number of two digits here and there"
    _, _, again = work(make_engine(name), range(1, 20))
    assert again[-1] > 3 * read[-1]


def test_nothing_is_kept_from_before_and_nothing_stays(make_engine: Maker) -> None:
    engine = make_engine("llama")
    with engine.keeping():
        first = work(engine, range(3))
    assert engine._reader.num_kept == 0
    with engine.keeping():
        assert work(engine, range(3)) == first, "the same calls give the same bytes, whatever was before"
    _, _, (read, again) = work(engine, [2, 2])
    assert read == again, "outside, every call reads"

    class Broken:
        stop = ()

        def split(self, text: str) -> list[str]:
            raise LookupError

    with pytest.raises(SplitterError):
        engine.generate([replace(request, splitter=Broken()) for request in Paths().requests(1)])
    assert engine._reader.num_kept == 0, "nor where a call fails"


def test_what_a_judge_asks_of_one_prefix_shares_its_trunk_when_it_writes_too(make_engine: Maker) -> None:
    engine, prefix = make_engine("llama"), Paths().prefix(0, 12)
    steps = [Step(f"{n} = {n}\n") for n in range(4)]
    pairs = [(a, b) for a in steps for b in steps if a is not b]
    asked = [PROMPTS.pairwise(prefix, *pair) for pair in pairs]
    engine.generate([Request(prompt, sampling=Sampling(max_tokens=2)) for prompt in asked])
    trunk = len(engine.encoder.trunk(asked[0]))
    whole = sum(len(engine.encoder.encode(prompt)) for prompt in asked)
    assert engine.tokens_read <= trunk + whole - 12 * trunk


def test_out_of_memory_in_a_pass_keeps_nothing_of_it(make_engine: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, failing = make_engine("llama"), [False]
    from presrm.engines import hf_reading

    read_row = hf_reading.read_row

    def read(*arguments: object) -> object:
        if failing[0]:
            failing[0] = False
            raise torch.OutOfMemoryError
        return read_row(*arguments)

    monkeypatch.setattr(hf_reading, "read_row", read)
    expected = work(make_engine("llama"), range(4))
    with engine.keeping():
        before = engine.generate(Paths().requests(0))
        failing[0] = True
        assert [*before, *engine.generate(Paths().requests(1))] == expected[0][:6]
        assert not failing[0]


class Lines:
    """Every three characters are a step."""

    stop = ()

    def split(self, text: str) -> list[str]:
        return [text[i : i + LENGTH] for i in range(0, len(text), LENGTH)]


class Likely:
    """Scores a step by the policy's odds of yes, however small both are."""

    scale = "absolute"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        asked = [PROMPTS.pointwise(item.prefix, step, direct=True) for item in batch for step in item.steps]
        rows = iter(self.engine.logprobs(asked, ["yes", "no"]))
        scores = [[1 / (1 + math.exp(no - yes)) for yes, no in (next(rows) for _ in item.steps)] for item in batch]
        return [tuple(Judgement(score, Status.OK, "") for score in of) for of in scores]


def search(engine: Engine) -> list[SearchTree]:
    settings = SearchConfig(num_candidates=3, max_steps=10, max_step_tokens=60, temperature=1.0, group_size=2)
    searcher = GreedySearcher(PROMPTS, Lines(), settings, tie_tolerance=0.0, seed=5)
    problems = [Problem(f"p{n}", f"What is {n} + 1?") for n in range(4)]
    return list(searcher.search(problems, engine, Likely(engine)))


class Forgetful:
    """An engine that does not say that it can keep anything."""

    def __init__(self, engine: Engine) -> None:
        self.generate, self.logprobs = engine.generate, engine.logprobs


def test_a_search_has_its_engine_keep_what_it_reads_group_by_group(make_engine: Maker) -> None:
    engine, other = make_engine("llama"), make_engine("llama")
    trees, plain = search(engine), search(Forgetful(other))
    assert [[c.step for e in tree.expansions for c in e.candidates] for tree in trees] == [
        [c.step for e in tree.expansions for c in e.candidates] for tree in plain
    ]
    assert max(len(tree.expansions) for tree in trees) > 5
    assert engine.tokens_read < 0.7 * other.tokens_read
    assert search(engine) == trees
