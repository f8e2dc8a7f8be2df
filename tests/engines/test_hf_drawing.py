"""Draws: distributed as the probabilities say, never outside the filter, and owned by their seed."""

import math

import pytest
import torch
from transformers import TopPLogitsWarper

from presrm.engines import hf_drawing
from presrm.engines.hf_drawing import Draws, invert, keep_nucleus
from presrm.protocols import Sampling

CPU = torch.device("cpu")
ALMOST_ONE = 1 - 2**-53


def draw(draws: Draws, scores_B_V: torch.Tensor) -> list[int]:
    return draws(torch.empty(0), scores_B_V.clone()).argmax(-1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_inverse_is_the_token_under_the_number(dtype: torch.dtype) -> None:
    probs = torch.tensor([0.0, 0.25, 0.0, 0.25, 0.5, 0.0])
    numbers = torch.tensor([0.0, 0.2, 0.25, 0.499, 0.5, 0.75, ALMOST_ONE], dtype=dtype)
    assert invert(probs.expand(7, 6), numbers).tolist() == [1, 1, 3, 3, 4, 4, 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("num", [7, 50_000, 150_000])
def test_a_token_of_no_probability_is_never_drawn(num: int, dtype: torch.dtype) -> None:
    """Near both ends, and where all that is drawn lies between tokens of none; the mass need not be 1."""
    generator = torch.Generator().manual_seed(num)
    probs = torch.rand(64, num, generator=generator)
    probs *= torch.rand(64, num, generator=generator) < 0.3
    probs[:, [0, 1, -2, -1]], probs[:, num // 2] = 0, 1e-30
    probs *= torch.logspace(-6, 3, 64)[:, None]
    for number in (0.0, 2**-53, 0.5, 1 - 2**-24, ALMOST_ONE):  # in float32 the last one is 1
        ids = invert(probs, torch.full((64,), number, dtype=dtype))
        assert (probs.gather(-1, ids[:, None]) > 0).all()


def test_a_single_token_left_is_drawn_whatever_the_number() -> None:
    probs = torch.zeros(3, 9)
    probs[:, 4] = 1e-20
    assert invert(probs, torch.tensor([0.0, 0.5, ALMOST_ONE], dtype=torch.float64)).tolist() == [4, 4, 4]


def test_a_last_bit_moves_no_draw_but_at_a_border() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 2000, generator=generator)
    near = logits * (1 + 1e-7 * torch.randn(500, 2000, generator=generator))
    numbers = torch.rand(500, dtype=torch.float64, generator=generator)
    assert (invert(logits.softmax(-1), numbers) != invert(near.softmax(-1), numbers)).sum() <= 2


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.9, 0.999])
def test_the_nucleus_is_that_of_transformers(top_p: float) -> None:
    logits = 3 * torch.randn(200, 500, generator=torch.Generator().manual_seed(1))
    theirs = TopPLogitsWarper(top_p)(torch.empty(0), logits) > -math.inf
    assert torch.equal(keep_nucleus(logits.softmax(-1), top_p) > 0, theirs)


def test_the_nucleus_always_holds_a_token_and_all_that_are_as_likely() -> None:
    assert keep_nucleus(torch.tensor([[0.1, 0.6, 0.3]]), 1e-9).tolist() == [[0, pytest.approx(0.6), 0]]
    assert keep_nucleus(torch.full((1, 4), 0.25), 0.3).tolist() == [[0.25] * 4]


@pytest.mark.parametrize("how", [Sampling(1.0), Sampling(0.5), Sampling(1.0, 0.8), Sampling(2.0, 0.5)])
def test_draws_are_as_frequent_as_their_probabilities(how: Sampling) -> None:
    """A chi-square test, passed by one in a thousand wrong by chance; the seed is fixed."""
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])
    expected = keep_nucleus((logits / how.temperature).softmax(-1)[None], how.top_p)[0]
    expected /= expected.sum()
    draws = Draws(how, range(400), CPU)
    drawn = [token for _ in range(100) for token in draw(draws, logits.expand(400, 6))]
    counts = torch.bincount(torch.tensor(drawn), minlength=6)
    assert (counts[expected == 0] == 0).all()
    kept = expected > 0
    chi_square = ((counts[kept] - 40_000 * expected[kept]) ** 2 / (40_000 * expected[kept])).sum()
    assert chi_square < 20.5  # 5 degrees of freedom at most


def test_a_row_draws_by_its_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is beside it, whoever leaves, and however many numbers are taken at once."""
    logits, how = torch.zeros(3, 1000), Sampling(1.0)
    draws = Draws(how, [5, 6, 7], CPU)
    first = [draw(draws, logits) for _ in range(40)]
    draws.keep([2])
    rest = [draw(draws, logits[:1])[0] for _ in range(60)]

    monkeypatch.setattr(hf_drawing, "_AT_ONCE", 7)
    alone = Draws(how, [7], CPU)
    assert [draw(alone, logits[:1])[0] for _ in range(100)] == [row[2] for row in first] + rest
    assert len({tuple(column) for column in zip(*first, strict=True)}) == 3


def test_rows_that_have_left_take_no_more_numbers() -> None:
    draws = Draws(Sampling(1.0), range(8), CPU)
    draw(draws, torch.zeros(8, 10))
    left = draws._streams[0]
    draws.keep([3])
    before = left.state
    for _ in range(3 * hf_drawing._AT_ONCE):
        draw(draws, torch.zeros(1, 10))
    assert str(left.state) == str(before)


def test_the_numbers_are_the_same_for_ever() -> None:
    """A run that is resumed elsewhere, on another numpy, draws on as it began."""
    draws = Draws(Sampling(1.0), [2**63 - 1], CPU)
    assert [draw(draws, torch.zeros(1, 1_000_000))[0] for _ in range(3)] == [925806, 181570, 619256]
