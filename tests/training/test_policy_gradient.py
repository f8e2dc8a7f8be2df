"""Policy gradient against TRL's GRPO formula, written out on padded rows as there."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from presrm.config import ObjectiveConfig
from presrm.errors import ConfigError
from presrm.training.objectives import make_objective
from presrm.training.policy_gradient import PolicyGradient, clipped_loss, group_advantages, k3_divergence
from presrm.training.scores import Scores
from presrm.training.tokens import LessonTokens

LENGTHS = (3, 5, 2, 4)
REWARDS = (1.0, 0.0, 0.25, 0.5)


def scores_of(advantages: list[float], policy_N: torch.Tensor, seed: int = 1) -> Scores:
    torch.manual_seed(seed)
    start_N, reference_N = policy_N.detach() + 0.3 * torch.randn(14), policy_N.detach() + 0.3 * torch.randn(14)
    return Scores(policy_N, reference_N, start_N, [(n,) for n in LENGTHS], torch.tensor(advantages))


def padded(values_N: torch.Tensor) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(torch.split(values_N, list(LENGTHS)), batch_first=True)


def trl_advantages(rewards: torch.Tensor, scale: str) -> torch.Tensor:
    """GRPOTrainer._generate_and_score_completions of TRL 1.16 for one group."""
    advantages = rewards - rewards.mean()
    return advantages / (rewards.std() + 1e-4) if scale == "group" else advantages


def trl_loss(
    scores: Scores, advantages_B: torch.Tensor, kind: str, low: float, high: float, beta: float
) -> torch.Tensor:
    """GRPOTrainer._compute_loss of TRL 1.16 in one batch on one process."""
    logps, old, ref = map(padded, (scores.policy_N, scores.start_N, scores.reference_N))
    mask = padded(torch.ones(14))
    advantages = advantages_B[:, None]
    coef_1 = torch.exp(logps - old)
    coef_2 = torch.clamp(coef_1, 1 - low, 1 + high)
    per_token_loss = -torch.min(coef_1 * advantages, coef_2 * advantages)
    if beta:
        per_token_loss = per_token_loss + beta * (torch.exp(ref - logps) - (ref - logps) - 1)
    if kind == "grpo":
        return ((per_token_loss * mask).sum(-1) / mask.sum(-1).clamp(min=1.0)).mean()
    if kind == "dr_grpo":
        return (per_token_loss * mask).sum() / (per_token_loss.size(0) * 7)
    return (per_token_loss * mask).sum() / mask.sum()


@pytest.mark.parametrize("kind", ["grpo", "dapo", "dr_grpo"])
@pytest.mark.parametrize("scale", ["group", "none"])
@pytest.mark.parametrize(("high", "beta"), [(None, 0.0), (0.28, 0.04)])
def test_loss_and_gradient_are_those_of_trl(kind: str, scale: str, high: float | None, beta: float) -> None:
    torch.manual_seed(0)
    policy_N = (-3 * torch.rand(14)).requires_grad_()
    length = {"max_completion_length": 7} if kind == "dr_grpo" else {}
    objective = PolicyGradient(
        loss_type=kind, scale_rewards=scale, epsilon_high=high, beta=beta, use_bias_correction_kl=False, **length
    )
    advantages = group_advantages(REWARDS, ["a"] * 4, scale=scale)
    scores = scores_of(advantages, policy_N)
    number = sum(objective.count(LessonTokens(objective, (1,), (tuple(range(n)),))) for n in LENGTHS)

    losses_B, observed = objective.losses(scores)
    loss = losses_B.sum() / number
    theirs = trl_loss(scores, trl_advantages(torch.tensor(REWARDS), scale), kind, 0.2, high or 0.2, beta)

    torch.testing.assert_close(loss, theirs)
    ours_N, theirs_N = (torch.autograd.grad(each, policy_N, retain_graph=True)[0] for each in (loss, theirs))
    torch.testing.assert_close(ours_N, theirs_N)
    assert ("kl" in observed) == (beta > 0)
    assert observed["clip_ratio/low_mean"].sum() + observed["clip_ratio/high_mean"].sum() > 0


@given(
    rewards=st.lists(st.integers(0, 4).map(lambda points: points / 4), min_size=1, max_size=8),
    places=st.lists(st.integers(0, 8), max_size=4),
    scale=st.sampled_from(["group", "mean", "none"]),
)
def test_unknown_rewards_change_no_advantage_of_others(rewards: list[float], places: list[int], scale: str) -> None:
    with_unknown: list[float | None] = [*rewards]
    for place in places:
        with_unknown.insert(place, None)

    advantages = group_advantages(with_unknown, ["a"] * len(with_unknown), scale=scale)

    assert advantages.count("no_reward") == len(places)
    known = [advantage for advantage in advantages if advantage != "no_reward"]
    assert known == group_advantages(rewards, ["a"] * len(rewards), scale=scale)


def test_divided_by_the_mean_a_group_that_is_seldom_right_counts_more() -> None:
    hard, easy = [1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]

    assert group_advantages(hard, ["a"] * 4, scale="mean") == pytest.approx([3.0, -1.0, -1.0, -1.0])
    assert group_advantages(easy, ["a"] * 4, scale="mean") == pytest.approx([1 / 3, 1 / 3, 1 / 3, -1.0])
    with pytest.raises(ValueError, match="group 'a' is -1"):
        group_advantages([1.0, -1.0], ["a", "a"], scale="mean")


def test_groups_are_compared_within_themselves() -> None:
    both = group_advantages([1.0, 5.0, 0.0, 3.0], ["a", "b", "a", "b"])

    assert both[::2] == group_advantages([1.0, 0.0], ["a", "a"])
    assert both[1::2] == group_advantages([5.0, 3.0], ["b", "b"])
    assert both[0] == pytest.approx(0.5 / (math.sqrt(0.5) + 1e-4))


@pytest.mark.parametrize("rewards", [[1.0], [0.5, 0.5, 0.5], [1.0, None]])
def test_a_group_without_spread_tells_nothing(rewards: list[float | None]) -> None:
    words = group_advantages(rewards, ["a"] * len(rewards))

    assert words == ["no_reward" if reward is None else "no_spread" for reward in rewards]


@pytest.mark.parametrize("reward", [math.nan, math.inf])
def test_a_reward_that_is_not_finite_is_refused(reward: float) -> None:
    with pytest.raises(ValueError, match="group 'a'"):
        group_advantages([reward, 0.0], ["a", "a"])


def test_beyond_its_bound_a_ratio_moves_nothing_further() -> None:
    policy_N = torch.log(torch.tensor([1.5, 0.5, 1.5, 0.5])).requires_grad_()

    clipped_loss(
        policy_N, torch.zeros(4), torch.tensor([1.0, 1.0, -1.0, -1.0]), epsilon_low=0.2, epsilon_high=0.28
    ).sum().backward()

    assert policy_N.grad is not None
    assert [value != 0 for value in policy_N.grad.tolist()] == [False, True, True, False]


def test_the_divergence_is_zero_at_the_reference_and_positive_elsewhere() -> None:
    values_N = k3_divergence(torch.tensor([-1.0, -2.0, -1.0]), torch.tensor([-1.0, -1.0, -2.0]))

    assert values_N.tolist() == pytest.approx([0.0, math.e - 2, 1 / math.e])


@pytest.mark.parametrize("options", [{"loss_type": "dr_grpo"}, {"max_completion_length": 9}])
def test_the_constant_length_belongs_to_dr_grpo(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="max_completion_length is for loss_type dr_grpo"):
        make_objective(ObjectiveConfig(kind="policy-gradient", options=options))
