"""Losses as pure functions of tensors: one pair in, one number out, however pairs are batched or packed."""

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
    label_smoothing: float = 0.0,
) -> Tensor:
    """Step-wise DPO: ``-log sigmoid(h)`` of each pair, with ``h = beta * ((pc - rc) - (pr - rr))``.

    The log-probabilities are those of one step's tokens given its prefix (Step-DPO, arXiv 2406.18629, its loss
    equation; PReSRM, arXiv 2503.03746, section 3.4, equations 6-8). With label smoothing e it is conservative DPO,
    ``-(1 - e) log sigmoid(h) - e log sigmoid(-h)`` (Mitchell 2023, "A note on DPO with noisy preferences and
    relationship to IPO"): its minimum lies where sigmoid(h) = 1 - e, so that no pair is pushed apart without end.

    Args:
        policy_chosen_B: Log-probabilities (nats) of the chosen steps under the policy.
        policy_rejected_B: Of the rejected steps under the policy.
        reference_chosen_B: Of the chosen steps under the weights that the iteration started from.
        reference_rejected_B: Of the rejected steps under those weights.
        beta: Strength of the pull to the reference.
        label_smoothing: Probability that the judge put a pair the wrong way round, in [0, 0.5).

    Returns:
        loss_B, in nats.
    """
    gain_chosen_B = policy_chosen_B - reference_chosen_B
    gain_rejected_B = policy_rejected_B - reference_rejected_B
    h_B = beta * (gain_chosen_B - gain_rejected_B)
    return -(1 - label_smoothing) * logsigmoid(h_B) - label_smoothing * logsigmoid(-h_B)


def step_ipo_loss(
    policy_chosen_B: Tensor,
    policy_rejected_B: Tensor,
    reference_chosen_B: Tensor,
    reference_rejected_B: Tensor,
    num_chosen_B: Tensor,
    num_rejected_B: Tensor,
    *,
    beta: float,
) -> Tensor:
    """Step-wise IPO, length-normalised: ``(h - 1 / (2 beta))**2``, with ``h = (pc - rc) / nc - (pr - rr) / nr``.

    The squared distance to a finite goal is IPO (arXiv 2310.12036, equation 17, where beta is called tau). The division
    by the number of tokens is not in that paper; TRL has it, and says that the paper's authors confirmed it.

    Args:
        policy_chosen_B: Log-probabilities (nats) of the chosen steps under the policy.
        policy_rejected_B: Of the rejected steps under the policy.
        reference_chosen_B: Of the chosen steps under the weights that the iteration started from.
        reference_rejected_B: Of the rejected steps under those weights.
        num_chosen_B: Tokens of the chosen steps that count, 1 or more.
        num_rejected_B: The same of the rejected steps.
        beta: Strength of the pull to the reference: the goal is 1 / (2 beta) nats a token.

    Returns:
        loss_B, in nats squared.
    """
    gain_chosen_B = (policy_chosen_B - reference_chosen_B) / num_chosen_B
    gain_rejected_B = (policy_rejected_B - reference_rejected_B) / num_rejected_B
    return (gain_chosen_B - gain_rejected_B - 1 / (2 * beta)) ** 2


def margin_weights(margins_B: Tensor) -> Tensor:
    """Weights that count a pair by how far apart the judge saw its steps: the margin itself.

    They multiply the loss, which is still divided by the number of pairs, not by the sum of the weights: a pair then
    weighs the same whatever is beside it, in whatever packs and processes. This is the scaled Bradley-Terry loss of
    HelpSteer2-Preference (arXiv 2410.01257), there of a reward model; Reward Difference Optimization (arXiv 2408.09385)
    weighs DPO by a score difference too. DPO with an offset (arXiv 2402.10571) is another thing: it shifts h.

    Args:
        margins_B: Score of chosen less score of rejected, in (0, 1].

    Returns:
        weights_B, without a gradient.

    Raises:
        ValueError: if a margin lies outside (0, 1]: a weight that is negative or unknown would train the wrong way.
    """
    if not bool(((margins_B > 0) & (margins_B <= 1)).all()):
        raise ValueError(f"margins lie outside (0, 1]: from {margins_B.min().item()} to {margins_B.max().item()}")
    return margins_B.detach()


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
