"""Policy gradient on attempts: each is compared with the others of its group (GRPO and its relatives)."""

from collections import defaultdict
from collections.abc import Sequence
from math import isfinite
from statistics import fmean, stdev
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from presrm.config import Section
from presrm.training.scores import Scores
from presrm.training.tokens import LessonTokens
from presrm.types import Attempt, Step

_EPSILON = 1e-4
"""Added to a standard deviation, as TRL does."""


Scale = Literal["group", "mean", "none"]


def group_advantages(
    rewards: Sequence[float | None], groups: Sequence[str], *, scale: Scale = "group"
) -> list[float | str]:
    """Advantages of attempts over the others of their group: how far a reward lies above the mean, scaled.

    A reward that is unknown has no part in the mean, nor in the deviation, and no advantage. A group whose known
    rewards are all alike has none.

    Args:
        rewards: Of each attempt, or none where it is unknown.
        groups: For each attempt, the name of its group.
        scale: What the difference is divided by. ``group``: the sample's standard deviation + 1e-4, as in TRL (GRPO,
            arXiv 2402.03300, section 4.1.2); ``none``: nothing, which counts hard and easy groups alike (Dr. GRPO,
            arXiv 2503.20783); ``mean``: the mean reward, which counts hard groups more (MaxRL, arXiv 2602.02710).

    Returns:
        For each attempt its advantage, or ``no_reward`` or ``no_spread``.

    Raises:
        ValueError: if a reward is not finite, or negative where the mean is divided by.

    >>> group_advantages([1.0, 0.0, None, 1.0, 1.0], ["a", "a", "a", "b", "b"], scale="none")
    [0.5, -0.5, 'no_reward', 'no_spread', 'no_spread']
    """
    known: dict[str, list[float]] = defaultdict(list)
    for reward, group in zip(rewards, groups, strict=True):
        if reward is not None:
            if not isfinite(reward) or (scale == "mean" and reward < 0):
                raise ValueError(f"a reward in group {group!r} is {reward}")
            known[group].append(reward)
    means = {group: fmean(values) for group, values in known.items() if len(set(values)) > 1}
    scales = {
        group: {"group": stdev(known[group]) + _EPSILON, "mean": mean, "none": 1.0}[scale]
        for group, mean in means.items()
    }
    return [
        "no_reward" if reward is None else (reward - means[group]) / scales[group] if group in means else "no_spread"
        for reward, group in zip(rewards, groups, strict=True)
    ]


def clipped_loss(
    policy_N: Tensor, start_N: Tensor, advantages_N: Tensor, *, epsilon_low: float, epsilon_high: float
) -> Tensor:
    """Clipped surrogate: ``-min(r A, clip(r, 1 - low, 1 + high) A)`` of each token, with ``r = exp(policy - start)``.

    PPO, arXiv 1707.06347, equation 7; bounds of their own below and above are DAPO's, arXiv 2503.14476, equation 8.

    Args:
        policy_N: Log-probabilities (nats) of tokens under the weights in training.
        start_N: Under the weights that sampled them.
        advantages_N: Of the attempts that they belong to.
        epsilon_low: How far the ratio may fall.
        epsilon_high: How far it may rise.
    """
    ratios_N = torch.exp(policy_N - start_N)
    clipped_N = ratios_N.clamp(1 - epsilon_low, 1 + epsilon_high)
    return -torch.min(ratios_N * advantages_N, clipped_N * advantages_N)


def k3_divergence(policy_N: Tensor, reference_N: Tensor) -> Tensor:
    """Estimate the divergence (nats) from the reference at each token: ``exp(d) - d - 1``, d = reference - policy.

    Unbiased and never negative (Schulman 2020, "Approximating KL divergence", k3; GRPO, arXiv 2402.03300, equation 4).
    """
    further_N = reference_N - policy_N
    return torch.exp(further_N) - further_N - 1


class PolicyGradient(Section):
    """Group-relative policy optimisation on `Attempt`s; options are named as in TRL's GRPOConfig.

    The weights that sampled are those that the training starts from: a token's ratio is taken against its
    log-probability at the start. Unlike in TRL, a group without spread is left out, and so adds nothing to the number
    of attempts or tokens, nor to the divergence.
    """

    name: ClassVar[str] = "policy-gradient"
    takes: ClassVar[tuple[type, ...]] = (Attempt,)

    beta: float = Field(0.0, ge=0, description="Weight of the divergence from the reference.")
    use_bias_correction_kl: bool = Field(
        True,
        description="Multiply the divergence by the ratio, so that its gradient is that of the reverse divergence.",
    )
    epsilon: float = Field(
        0.2, gt=0, lt=1, description="The ratio is clipped below at 1 - epsilon, and above likewise."
    )
    epsilon_high: float | None = Field(None, gt=0, description="The ratio is clipped at 1 + this; none: epsilon.")
    scale_rewards: Scale = Field(
        "group",
        description="What advantages are divided by: the standard deviation of their group (group), its mean reward "
        "(mean), or nothing (none).",
    )
    loss_type: Literal["dapo", "grpo", "dr_grpo"] = Field(
        "dapo",
        description="What the loss is divided by: all tokens; a completion's tokens, then completions; "
        "completions times max_completion_length.",
    )
    max_completion_length: int | None = Field(None, gt=0, description="For dr_grpo: a constant number of tokens.")

    @model_validator(mode="after")
    def _is_read(self) -> Self:
        if (self.max_completion_length is None) == (self.loss_type == "dr_grpo"):
            raise ValueError("max_completion_length is for loss_type dr_grpo, and needed there")
        return self

    @property
    def reads(self) -> frozenset[str]:
        """The start, and the reference where it weighs anything."""
        return frozenset({"start", "reference"} if self.beta else {"start"})

    def replies(self, lesson: Attempt) -> tuple[Step, ...]:
        """The completion."""
        return (lesson.completion,)

    def weigh(self, lessons: Sequence[Attempt]) -> list[float | str]:
        """The advantages."""
        rewards, groups = [lesson.reward for lesson in lessons], [lesson.group for lesson in lessons]
        return group_advantages(rewards, groups, scale=self.scale_rewards)

    def count(self, lesson: LessonTokens) -> int:
        """Its tokens, or one completion."""
        return sum(lesson.lengths) if self.loss_type == "dapo" else 1

    def losses(self, scores: Scores) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of each attempt: its tokens' sum (dapo), their mean (grpo), or their sum over a constant (dr_grpo)."""
        policy_N, start_N = scores.policy_N, scores.start_N
        assert start_N is not None
        (lengths_B,) = scores.lengths_R_B
        high = self.epsilon if self.epsilon_high is None else self.epsilon_high
        advantages_N = scores.weights_B.repeat_interleave(lengths_B)
        loss_N = clipped_loss(policy_N, start_N, advantages_N, epsilon_low=self.epsilon, epsilon_high=high)
        ratios_N = torch.exp(policy_N.detach() - start_N)
        observed_N = {
            "clip_ratio/low_mean": ((ratios_N < 1 - self.epsilon) & (advantages_N < 0)).float(),
            "clip_ratio/high_mean": ((ratios_N > 1 + high) & (advantages_N > 0)).float(),
        }
        if self.beta:
            assert scores.reference_N is not None
            observed_N["kl"] = k3_divergence(policy_N, scores.reference_N)
            kl_N = observed_N["kl"]
            if self.use_bias_correction_kl:  # DeepSeek-V3.2, arXiv 2512.02556
                kl_N = kl_N * torch.exp(policy_N - start_N)
            loss_N = loss_N + self.beta * kl_N
        divisors = {"dapo": 1, "grpo": lengths_B, "dr_grpo": self.max_completion_length}
        (loss_B,) = scores.sum(loss_N)
        observed = {name: scores.sum(value_N)[0] / lengths_B for name, value_N in observed_N.items()}
        return loss_B / divisors[self.loss_type], observed
