"""The hf engine on a GPU: what it writes and reads there is what it writes and reads on a processor."""

from collections.abc import Iterator

import pytest
import torch

from presrm.engines.hf import HFEngine
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.protocols import Request, Sampling
from presrm.types import Checkpoint, Trajectory

pytestmark = pytest.mark.gpu
PROMPTS = PromptSet("compact")


@pytest.fixture
def asked() -> list[Trajectory]:
    return [Trajectory(problem) for problem in load_problems("arithmetic", split="test", num=24, seed=3)]


@pytest.fixture(params=["cuda", "cuda, few tokens at once"])
def engine(request: pytest.FixtureRequest) -> Iterator[HFEngine]:
    at_once = 65_536 if request.param == "cuda" else 400
    with HFEngine(Checkpoint("embedded"), device="cuda", dtype="float32", batch_tokens=at_once) as opened:
        yield opened


def test_greedy_text_is_that_of_the_processor_whatever_the_batch(engine: HFEngine, asked: list[Trajectory]) -> None:
    requests = [Request(PROMPTS.solve(one), 1, Sampling(0.0, 1.0, 48)) for one in asked]
    with HFEngine(Checkpoint("embedded"), device="cpu", dtype="float32") as here:
        expected = here.generate(requests)

    assert engine.generate(requests) == expected


def test_the_same_draws_give_the_same_bytes_twice(engine: HFEngine, asked: list[Trajectory]) -> None:
    requests = [Request(PROMPTS.solve(one), 4, Sampling(1.0, 0.9, 48), seed=n) for n, one in enumerate(asked)]

    assert engine.generate(requests) == engine.generate(requests)


def test_log_probabilities_are_those_of_the_processor(engine: HFEngine, asked: list[Trajectory]) -> None:
    prompts, options = [PROMPTS.solve(one) for one in asked], ["1", "2", "The"]
    with HFEngine(Checkpoint("embedded"), device="cpu", dtype="float32") as here:
        expected = here.logprobs(prompts, options)

    torch.testing.assert_close(
        torch.tensor(engine.logprobs(prompts, options)), torch.tensor(expected), rtol=1e-4, atol=1e-3
    )


def test_what_was_read_before_is_recalled_and_changes_nothing(engine: HFEngine, asked: list[Trajectory]) -> None:
    requests = [Request(PROMPTS.solve(one), 2, Sampling(0.0, 1.0, 24)) for one in asked]
    expected = engine.generate(requests)
    with engine.keeping():
        engine.generate(requests)
        before = engine.tokens_recalled
        again = engine.generate(requests)

    assert again == expected
    assert engine.tokens_recalled > before
