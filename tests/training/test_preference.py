"""The loss equals arithmetic done by hand, and its gradient is the one that calculus gives."""

import math

import pytest
import torch
from pydantic import ValidationError

from presrm.errors import ConfigError
from presrm.training.preference import DPO, IPO, margin_weights, step_dpo_loss, step_ipo_loss
from presrm.training.scores import Scores
from presrm.types import PreferencePair, Problem, Step, Trajectory


def test_the_loss_is_the_negative_log_of_the_logistic_of_the_scaled_margin() -> None:
    loss_B = step_dpo_loss(
        torch.tensor([-1.0, -4.0]),
        torch.tensor([-3.0, -2.0]),
        torch.tensor([-2.0, -4.0]),
        torch.tensor([-2.5, -4.0]),
        beta=0.5,
    )

    by_hand = [-math.log(1 / (1 + math.exp(-0.5 * (1.0 + 0.5)))), -math.log(1 / (1 + math.exp(-0.5 * (0.0 - 2.0))))]
    assert loss_B.tolist() == pytest.approx(by_hand)


def test_a_policy_equal_to_its_reference_loses_log_two() -> None:
    logps_B = torch.tensor([-7.0, -1.5])

    assert step_dpo_loss(logps_B, logps_B - 1, logps_B, logps_B - 1, beta=0.1).tolist() == pytest.approx(
        [math.log(2)] * 2
    )


def test_the_loss_stays_finite_at_margins_where_the_logistic_is_zero() -> None:
    zero_B = torch.zeros(1)

    loss_B = step_dpo_loss(torch.tensor([-5000.0]), torch.tensor([5000.0]), zero_B, zero_B, beta=1.0)

    assert loss_B.item() == pytest.approx(10_000)


def test_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    policy = [torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    reference = [torch.randn(3, dtype=torch.float64) for _ in range(2)]

    assert torch.autograd.gradcheck(lambda c, r: step_dpo_loss(c, r, *reference, beta=0.3), policy)


@pytest.mark.parametrize(
    ("smoothing", "loss"),
    [
        (0.0, 0.2876820724517809),  # -log(3/4)
        (0.25, 0.5623351446188083),  # -3/4 log(3/4) - 1/4 log(1/4)
    ],
)
def test_label_smoothing_mixes_in_the_pair_the_other_way_round(smoothing: float, loss: float) -> None:
    log_3 = torch.tensor([math.log(3)])  # sigmoid(log 3) = 3/4
    zero_B = torch.zeros(1)

    loss_B = step_dpo_loss(log_3, zero_B, zero_B, zero_B, beta=1.0, label_smoothing=smoothing)

    assert loss_B.item() == pytest.approx(loss)


def test_smoothed_pairs_are_pushed_apart_until_the_policy_is_as_sure_as_the_labels() -> None:
    zero_B = torch.zeros(3)
    gain_B = torch.tensor([math.log(3) - 0.1, math.log(3), math.log(3) + 0.1], requires_grad=True)

    step_dpo_loss(gain_B, zero_B, zero_B, zero_B, beta=1.0, label_smoothing=0.25).sum().backward()

    assert gain_B.grad is not None
    before, there, beyond = gain_B.grad.tolist()
    assert before < 0 < beyond
    assert there == pytest.approx(0, abs=1e-6)


def test_the_loss_of_cream_is_its_formula() -> None:
    """C L(chosen, rejected) + (1 - C) L(rejected, chosen), arXiv 2410.12735, with e = 1 - C, also above one half."""
    policy_N = torch.tensor([-1.0, -3.0, -2.5, -1.5, -0.5, -2.0])
    reference_N = torch.tensor([-1.5, -2.0, -2.0, -2.0, -1.0, -1.0])
    confidences_B, weights_B = torch.tensor([1.0, 0.75, 0.2]), torch.tensor([1.0, 1.0, 0.5])
    scores = Scores(policy_N, reference_N, None, [(1, 1)] * 3, weights_B, 1 - confidences_B)

    loss_B, _ = DPO(beta=0.4).losses(scores)

    gains = (policy_N - reference_N).tolist()
    by_hand = []
    for pair, (confidence, weight) in enumerate(zip([1.0, 0.75, 0.2], [1.0, 1.0, 0.5], strict=True)):
        h = 0.4 * (gains[2 * pair] - gains[2 * pair + 1])
        right, wrong = -math.log(1 / (1 + math.exp(-h))), -math.log(1 / (1 + math.exp(h)))
        by_hand.append(weight * (confidence * right + (1 - confidence) * wrong))
    assert loss_B.tolist() == pytest.approx(by_hand)


def test_a_pair_in_doubt_is_smoothed_besides() -> None:
    """Right if both or neither turn it round: at e = 0.25 and a smoothing of 0.2 it is wrong in 0.35 of the cases."""
    policy_N, reference_N, weights_B = torch.tensor([-1.0, -3.0]), torch.tensor([-1.5, -2.0]), torch.ones(1)
    doubted = Scores(policy_N, reference_N, None, [(1, 1)], weights_B, torch.tensor([0.25]))
    plain = Scores(policy_N, reference_N, None, [(1, 1)], weights_B)

    loss_B, _ = DPO(label_smoothing=0.2).losses(doubted)
    assert torch.allclose(loss_B, DPO(label_smoothing=0.35).losses(plain)[0])


def test_ipo_refuses_pairs_in_doubt() -> None:
    prefix = Trajectory(Problem("p", "?"))
    with pytest.raises(ConfigError, match=r"set objective\.kind to dpo"):
        IPO().weigh([PreferencePair("p/0", prefix, Step("a"), Step("b"), 1.0, doubt=0.2)])
    assert IPO().weigh([PreferencePair("p/0", prefix, Step("a"), Step("b"), 1.0)]) == [1.0]


def test_ipo_squares_the_distance_of_the_gains_a_token_from_its_goal() -> None:
    loss_B = step_ipo_loss(
        torch.tensor([-6.0, -1.0]),
        torch.tensor([-9.0, -2.0]),
        torch.tensor([-8.0, -1.0]),
        torch.tensor([-6.0, -2.0]),
        torch.tensor([4, 1]),
        torch.tensor([3, 1]),
        beta=0.25,
    )

    # (-6 + 8) / 4 - (-9 + 6) / 3 = 1.5, and its goal is 1 / 0.5 = 2; the second pair has not moved.
    assert loss_B.tolist() == pytest.approx([0.25, 4.0])


def test_ipo_gradients_agree_with_finite_differences() -> None:
    torch.manual_seed(0)
    policy = [torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    reference = [torch.randn(3, dtype=torch.float64) for _ in range(2)]
    num_2_B = torch.tensor([[2, 5, 1], [3, 1, 4]])

    assert torch.autograd.gradcheck(lambda c, r: step_ipo_loss(c, r, *reference, *num_2_B, beta=0.3), policy)


def test_a_pair_weighs_as_much_as_its_margin_whatever_is_beside_it() -> None:
    assert margin_weights([1.0, 0.25]) == [1.0, 0.25]
    assert margin_weights([0.25]) == [0.25]


@pytest.mark.parametrize("margin", [0.0, -0.5, 1.5, math.nan])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match=r"outside \(0, 1\]"):
        margin_weights([0.5, margin])


def test_the_objectives_give_these_losses_weighted_and_what_trl_logs() -> None:
    policy_N, reference_N = torch.tensor([-1.0, -2.0, -3.0, -1.5, -4.0]), torch.tensor([-2.0, -2.0, -2.5, -1.5, -3.0])
    weights_B = torch.tensor([1.0, 0.5])
    scores = Scores(policy_N, reference_N, None, [(2, 1), (1, 1)], weights_B)
    chosen_B, rejected_B = torch.tensor([-3.0, -1.5]), torch.tensor([-3.0, -4.0])
    sums = (chosen_B, rejected_B, torch.tensor([-4.0, -1.5]), torch.tensor([-2.5, -3.0]))

    loss_B, seen = DPO(beta=0.3, label_smoothing=0.2).losses(scores)
    assert torch.allclose(loss_B, weights_B * step_dpo_loss(*sums, beta=0.3, label_smoothing=0.2))
    assert seen["logps/chosen"].tolist() == chosen_B.tolist()
    assert seen["logps/rejected"].tolist() == rejected_B.tolist()
    assert seen["rewards/chosen"].tolist() == pytest.approx([0.3, 0.0])
    assert seen["rewards/rejected"].tolist() == pytest.approx([-0.15, -0.3])
    assert seen["rewards/margins"].tolist() == pytest.approx([0.45, 0.3])
    assert seen["rewards/accuracies"].tolist() == [1.0, 1.0]

    loss_B, _ = IPO(beta=0.3).losses(scores)
    lengths = (torch.tensor([2, 1]), torch.tensor([1, 1]))
    assert torch.allclose(loss_B, weights_B * step_ipo_loss(*sums, *lengths, beta=0.3))


def test_the_chosen_step_is_imitated_beside_it_by_the_token() -> None:
    """Chosen: -1 and -2 nats in two tokens, and -1.5 in one; the reference does not matter to this part."""
    policy_N, weights_B = torch.tensor([-1.0, -2.0, -3.0, -1.5, -4.0], requires_grad=True), torch.tensor([1.0, 0.5])
    scores = Scores(policy_N, torch.tensor([-2.0, -2.0, -2.5, -1.5, -3.0]), None, [(2, 1), (1, 1)], weights_B)

    plain_B, _ = DPO(beta=0.3).losses(scores)
    loss_B, seen = DPO(beta=0.3, rpo_alpha=2.0).losses(scores)

    assert (loss_B - plain_B).tolist() == pytest.approx([2.0 * 1.5, 0.5 * 2.0 * 1.5])
    assert seen["nll_loss"].tolist() == pytest.approx([1.5, 1.5])
    (gradient_N,) = torch.autograd.grad((loss_B - plain_B).sum(), policy_N)
    assert gradient_N.tolist() == pytest.approx([-1.0, -1.0, 0.0, -1.0, 0.0])
    assert "nll_loss" not in DPO().losses(scores)[1]


def test_pairs_count_alike_and_are_as_sure_as_they_say_unless_it_is_set() -> None:
    assert DPO() == DPO(beta=0.1, label_smoothing=0.0, rpo_alpha=0.0, weight="equal")
    assert IPO() == IPO(beta=0.1, weight="equal")


@pytest.mark.parametrize(
    ("objective", "options"),
    [
        (DPO, {"beta": 0}),
        (DPO, {"beta": -1}),
        (IPO, {"beta": 0}),
        (DPO, {"label_smoothing": -0.1}),
        (DPO, {"label_smoothing": 0.5}),
        (DPO, {"rpo_alpha": -1.0}),
        (DPO, {"weight": "length"}),
        (IPO, {"label_smoothing": 0.1}),
    ],
)
def test_options_that_would_train_the_wrong_way_are_refused(objective: type, options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(options))):
        objective(**options)
