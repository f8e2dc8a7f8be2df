"""Objectives on preference pairs: step-wise DPO and IPO, as pure functions of log-probabilities."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor
from torch.nn.functional import logsigmoid

from presrm.config import Section
from presrm.errors import ConfigError
from presrm.training.scores import Scores
from presrm.training.tokens import LessonTokens
from presrm.types import PreferencePair, Step


def step_dpo_loss(
    policy_chosen_B: Tensor,
    policy_rejected_B: Tensor,
    reference_chosen_B: Tensor,
    reference_rejected_B: Tensor,
    *,
    beta: float,
    label_smoothing: float | Tensor = 0.0,
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
        label_smoothing: Probability that the judge put a pair the wrong way round: one for all, or one for each, e_B.
            CREAM (arXiv 2410.12735) has e = 1 - C for a confidence C in the ranking.

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


def margin_weights(margins: Sequence[float]) -> list[float]:
    """Weights that count a pair by how far apart the judge saw its steps: the margin itself.

    They multiply the loss, which is still divided by the number of pairs, not by the sum of the weights: a pair then
    weighs the same whatever is beside it, in whatever packs and processes. This is the scaled Bradley-Terry loss of
    HelpSteer2-Preference (arXiv 2410.01257), there of a reward model; Reward Difference Optimization (arXiv 2408.09385)
    weighs DPO by a score difference too. DPO with an offset (arXiv 2402.10571) is another thing: it shifts h.

    Args:
        margins: Score of chosen less score of rejected, in (0, 1].

    Raises:
        ValueError: if a margin lies outside (0, 1]: a weight that is negative or unknown would train the wrong way.
    """
    if not all(0 < margin <= 1 for margin in margins):
        raise ValueError(f"margins lie outside (0, 1]: from {min(margins)} to {max(margins)}")
    return list(margins)


class _Preference(Section):
    """What the objectives on preference pairs have in common."""

    takes: ClassVar[tuple[type, ...]] = (PreferencePair,)
    reads: ClassVar[frozenset[str]] = frozenset({"reference"})

    weight: Literal["equal", "margin"] = Field("equal", description="All pairs count alike, or each by its margin.")

    def replies(self, lesson: PreferencePair) -> tuple[Step, ...]:
        """The chosen step, then the rejected one."""
        return lesson.chosen, lesson.rejected

    def weigh(self, lessons: Sequence[PreferencePair]) -> list[float | str]:
        """1, or the margin."""
        if self.weight == "equal":
            return [1.0] * len(lessons)
        return [*margin_weights([lesson.margin for lesson in lessons])]

    def count(self, lesson: LessonTokens) -> int:
        """A pair is one pair."""
        return 1


class DPO(_Preference):
    """Step-wise DPO, see `step_dpo_loss`."""

    name: ClassVar[str] = "dpo"

    beta: float = Field(0.1, gt=0, description="Strength of the pull to the reference.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Share of pairs held to be the wrong way round (conservative DPO)."
    )
    rpo_alpha: float = Field(
        0.0,
        ge=0,
        description="Weight of the chosen step's own loss (nats a token), which keeps it likely; iterative reasoning "
        "preference optimisation (arXiv 2404.19733) has 1.",
    )

    def losses(self, scores: Scores) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (nats) of each pair, weighted."""
        policy_2_B, reference_2_B = scores.sum(scores.policy_N), scores.sum(scores.reference_N)
        doubt: float | Tensor = self.label_smoothing
        if scores.doubts_B is not None:  # wrong if the one is and the other is not
            doubt = scores.doubts_B * (1 - self.label_smoothing) + (1 - scores.doubts_B) * self.label_smoothing
        loss_B = step_dpo_loss(*policy_2_B, *reference_2_B, beta=self.beta, label_smoothing=doubt)
        logged = _rewards(policy_2_B, reference_2_B, self.beta)
        if self.rpo_alpha:
            nll_B = -policy_2_B[0] / scores.lengths_R_B[0]
            loss_B, logged = loss_B + self.rpo_alpha * nll_B, {**logged, "nll_loss": nll_B}
        return scores.weights_B * loss_B, logged


class IPO(_Preference):
    """Step-wise IPO, length-normalised, see `step_ipo_loss`."""

    name: ClassVar[str] = "ipo"

    beta: float = Field(
        0.1, gt=0, description="The chosen step is to gain 1 / (2 beta) nats a token on the rejected one."
    )

    def weigh(self, lessons: Sequence[PreferencePair]) -> list[float | str]:
        """1, or the margin.

        Raises:
            ConfigError: if there is doubt of a pair, which no paper has for IPO.
        """
        if any(lesson.doubt for lesson in lessons):
            raise ConfigError("objective.kind ipo has no form for pairs in doubt: set objective.kind to dpo")
        return super().weigh(lessons)

    def losses(self, scores: Scores) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (nats squared) of each pair, weighted."""
        policy_2_B, reference_2_B = scores.sum(scores.policy_N), scores.sum(scores.reference_N)
        loss_B = step_ipo_loss(*policy_2_B, *reference_2_B, *scores.lengths_R_B, beta=self.beta)
        return scores.weights_B * loss_B, _rewards(policy_2_B, reference_2_B, self.beta)


def _rewards(policy_2_B: Tensor, reference_2_B: Tensor, beta: float) -> dict[str, Tensor]:
    """What TRL logs of a pair, under its names: log-probabilities (nats), and beta times their gain."""
    chosen_B, rejected_B = beta * (policy_2_B.detach() - reference_2_B)
    return {
        "logps/chosen": policy_2_B[0],
        "logps/rejected": policy_2_B[1],
        "rewards/chosen": chosen_B,
        "rewards/rejected": rejected_B,
        "rewards/accuracies": (chosen_B > rejected_B).float(),
        "rewards/margins": chosen_B - rejected_B,
    }
