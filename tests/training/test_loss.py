"""The loss equals arithmetic done by hand, and its gradient is the one that calculus gives."""

import math

import pytest
import torch
from torch.nn.functional import log_softmax

from presrm.training.loss import IGNORED, sequence_logps, step_dpo_loss


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


def test_logps_sum_over_targets_and_skip_what_is_ignored() -> None:
    torch.manual_seed(0)
    logits_B_T_V = torch.randn(2, 3, 5)
    targets_B_T = torch.tensor([[1, IGNORED, 4], [IGNORED, IGNORED, IGNORED]])

    logps_B = sequence_logps(logits_B_T_V, targets_B_T)

    log_probs = log_softmax(logits_B_T_V, dim=-1)
    assert logps_B.tolist() == pytest.approx([(log_probs[0, 0, 1] + log_probs[0, 2, 4]).item(), 0.0])


def test_half_precision_logits_are_summed_in_float32() -> None:
    assert sequence_logps(torch.zeros(1, 2, 4, dtype=torch.bfloat16), torch.tensor([[0, 1]])).dtype == torch.float32
