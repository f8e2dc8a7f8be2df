"""How the hf engine draws tokens: one uniform number each, and the inverse of the distribution's cumulative sum.

The numbers belong to a completion, whatever is drawn beside it (``docs/decisions/0004-draws-belong-to-requests.md``).
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor

from presrm.protocols import Sampling

_AT_ONCE = 64  # numbers that a row takes from its stream at a time
_LIKELIEST = 64  # tokens that hold most nuclei; to sort a vocabulary takes longer than to find them


class Draws(LogitsProcessor):
    """Makes the token that each row draws its largest score, so that ``generate`` takes it.

    Args:
        sampling: How to draw; its temperature is not 0.
        seeds: One a row, non-negative and below 2**128.
        device: Where the scores are.
    """

    def __init__(self, sampling: Sampling, seeds: Sequence[int], device: torch.device) -> None:
        self._sampling = sampling
        self._streams = [np.random.Philox(key=seed) for seed in seeds]
        # Apple's GPUs have no float64; there, what rounding spoils is mended in `invert`.
        self._dtype = torch.float32 if device.type == "mps" else torch.float64
        self._uniform_B_N = torch.empty(len(seeds), 0, dtype=self._dtype, device=device)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with some rows only; the others draw nothing any more."""
        self._streams = [self._streams[row] for row in rows]
        self._uniform_B_N = self._uniform_B_N[list(rows)]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Draw a token for each row of `scores`, (rows, vocabulary), which are changed in place."""
        if not self._uniform_B_N.shape[1]:
            # Of all that numpy draws only the raw bits are the same in every version of it.
            bits_B_N = np.stack([stream.random_raw(_AT_ONCE) for stream in self._streams])
            uniform_B_N = torch.from_numpy((bits_B_N >> 11) / 2**53)
            self._uniform_B_N = uniform_B_N.to(self._dtype).to(scores.device)
        uniform_B, self._uniform_B_N = self._uniform_B_N[:, 0], self._uniform_B_N[:, 1:]
        probs_B_V = (scores / self._sampling.temperature).softmax(-1)
        if self._sampling.top_p < 1:
            probs_B_V = keep_nucleus(probs_B_V, self._sampling.top_p)
        return scores.scatter_(1, invert(probs_B_V, uniform_B)[:, None], math.inf)


def keep_nucleus(probs_B_V: torch.Tensor, top_p: float) -> torch.Tensor:
    """Set to 0 what lies outside the nucleus: the fewest tokens, likeliest first, that hold a mass of `top_p`.

    A token as likely as the least likely of them is kept, too: which one came first would be a matter of chance.
    """
    num_tokens = probs_B_V.shape[-1]
    falling_B_K = probs_B_V.topk(min(_LIKELIEST, num_tokens)).values
    before_B_K = falling_B_K.cumsum(-1) - falling_B_K
    if falling_B_K.shape[-1] < num_tokens and (before_B_K[:, -1] < top_p).any():
        falling_B_K = probs_B_V.sort(-1, descending=True).values
        before_B_K = falling_B_K.cumsum(-1) - falling_B_K
    num_B = (before_B_K < top_p).sum(-1)
    least_B_1 = falling_B_K.gather(-1, (num_B - 1).clamp(min=0)[:, None])
    return probs_B_V.masked_fill(probs_B_V < least_B_1, 0)


def invert(probs_B_V: torch.Tensor, uniform_B: torch.Tensor) -> torch.Tensor:
    """Give the token of each row at which the sum of its probabilities so far passes a share `uniform` of the whole.

    Tokens stand in the order of the vocabulary, not of their probability: a logit that is off by its last bit then
    moves borders by as little, where two tokens that change places would change what is drawn between them.

    Args:
        probs_B_V: Not negative; need not sum to 1.
        uniform_B: In [0, 1).

    Returns:
        Ids of positive probability, (rows,).
    """
    mass_B_V = probs_B_V.cumsum(-1, dtype=uniform_B.dtype)
    target_B_1 = (uniform_B * mass_B_V[:, -1])[:, None]
    ids_B_1 = torch.searchsorted(mass_B_V, target_B_1, right=True).clamp(max=probs_B_V.shape[-1] - 1)
    # In exact sums that token has a positive probability. Parallel ones may step between two tokens of none.
    is_drawn_B_1 = probs_B_V.gather(-1, ids_B_1) > 0
    return torch.where(is_drawn_B_1, ids_B_1, probs_B_V.argmax(-1, keepdim=True))[:, 0]
