"""Pairs -> token ids, through the encoder that also generates and judges."""

from dataclasses import dataclass

from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.types import PreferencePair, Step, Stop


@dataclass(frozen=True, slots=True)
class PairTokens:
    """One preference pair as token ids.

    Attributes:
        prefix: The prompt and the steps before, never trained on.
        chosen: The preferred step, with the end token exactly where the policy generated it.
        rejected: The other step, likewise.
        margin: How far apart the judge saw the steps.
    """

    prefix: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    margin: float = 1.0


def tokenise_pair(
    pair: PreferencePair, encoder: PromptEncoder, prompts: PromptSet, max_tokens: int
) -> PairTokens | None:
    """Turn a pair into ids of at most `max_tokens` for prefix + step.

    The end token is trained only for `Stop.EOS`: behind any other step it would teach the policy to stop there.

    Returns:
        The ids, or none where they do not fit: a prefix that is cut on its left has lost its question.
    """
    chosen = _step_ids(pair.chosen, encoder)
    rejected = _step_ids(pair.rejected, encoder)
    prefix = tuple(encoder.encode(prompts.solve(pair.prefix)))
    if len(prefix) + max(len(chosen), len(rejected)) > max_tokens:
        return None
    return PairTokens(prefix, chosen, rejected, margin=pair.margin)


def _step_ids(step: Step, encoder: PromptEncoder) -> tuple[int, ...]:
    end = [encoder.eos_id] if step.stop is Stop.EOS else []
    return (*encoder.step(step), *end)
