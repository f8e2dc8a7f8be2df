"""What an objective is told of a batch: the log-probabilities of its lessons' replies, by token."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """B lessons with R replies each: N tokens, lesson after lesson, and in each reply after reply.

    Attributes:
        policy_N: Log-probability (nats) of each token under the weights in training.
        reference_N: Under the reference, or none where the objective does not read it.
        start_N: Under the weights that the training began from, likewise.
        lengths_B_R: Tokens of each reply, 1 or more.
        weights_B: What `Objective.weigh` said of each lesson.
        doubts_B: Probability that a pair is the wrong way round; none: there is no doubt of any.
    """

    policy_N: Tensor
    reference_N: Tensor | None
    start_N: Tensor | None
    lengths_B_R: Sequence[Sequence[int]]
    weights_B: Tensor
    doubts_B: Tensor | None = None

    def sum(self, values_N: Tensor | None) -> Tensor:
        """Add up what each reply's tokens have: sums_R_B.

        Raises:
            ValueError: for values that the objective has not said it reads.
        """
        if values_N is None:
            raise ValueError("log-probabilities that the objective does not say it reads")
        parts = torch.split(values_N, list(chain.from_iterable(self.lengths_B_R)))
        return torch.stack([part.sum() for part in parts]).view(len(self.lengths_B_R), -1).T

    @property
    def lengths_R_B(self) -> Tensor:
        """Tokens of each reply, as `sum` lays them out."""
        return torch.tensor(self.lengths_B_R, device=self.policy_N.device).T
