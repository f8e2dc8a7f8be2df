"""Losses as pure functions of tensors."""

from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

IGNORED = -100


def step_dpo_loss(
    policy_chosen_B: Tensor,
    policy_rejected_B: Tensor,
    reference_chosen_B: Tensor,
    reference_rejected_B: Tensor,
    *,
    beta: float,
) -> Tensor:
    """Step-wise DPO: ``-log sigmoid(beta * ((pc - rc) - (pr - rr)))`` of each pair.

    The log-probabilities are those of one step's tokens given its prefix (Step-DPO, arXiv 2406.18629, its loss
    equation; PReSRM, arXiv 2503.03746, section 2.5).

    Args:
        policy_chosen_B: Log-probabilities (nats) of the chosen steps under the policy.
        policy_rejected_B: Of the rejected steps under the policy.
        reference_chosen_B: Of the chosen steps under the weights that the iteration started from.
        reference_rejected_B: Of the rejected steps under those weights.
        beta: Strength of the pull to the reference.

    Returns:
        loss_B, in nats.
    """
    gain_chosen_B = policy_chosen_B - reference_chosen_B
    gain_rejected_B = policy_rejected_B - reference_rejected_B
    return -logsigmoid(beta * (gain_chosen_B - gain_rejected_B))


def sequence_logps(logits_B_T_V: Tensor, targets_B_T: Tensor) -> Tensor:
    """Sum the log-probabilities (nats) of the targets of each row.

    Args:
        logits_B_T_V: Logits, of any float type; the sum is taken in float32.
        targets_B_T: The token that each position predicts (already shifted), `IGNORED` where none counts.

    Returns:
        logps_B; 0 for a row without targets.
    """
    losses = cross_entropy(
        logits_B_T_V.flatten(0, 1).float(), targets_B_T.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return -losses.view_as(targets_B_T).sum(-1)
