"""What a pair becomes: the ids that were generated, the end token only where it was, the prefix cut from the left."""

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.tokens import PairTokens, tokenise_pair
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

PROMPTS = PromptSet("compact")
PREFIX = Trajectory(Problem("p", "How many?"), (Step("12 + 3 = 15\n"),))
PAIR = PreferencePair("p/1", PREFIX, Step("15 - 4 = 11\n"), Step("15 - 4 = 12\n"), margin=1.0)


@pytest.fixture(scope="module")
def encoder(tiny_policy: Path) -> PromptEncoder:
    return PromptEncoder(AutoTokenizer.from_pretrained(tiny_policy))


def tokenise(pair: PreferencePair, encoder: PromptEncoder, max_tokens: int = 512) -> PairTokens:
    tokens = tokenise_pair(pair, encoder, PROMPTS, max_tokens)
    assert tokens is not None
    return tokens


def test_the_prefix_is_what_the_policy_was_prompted_with(encoder: PromptEncoder) -> None:
    assert tokenise(PAIR, encoder).prefix == tuple(encoder.encode(PROMPTS.solve(PREFIX)))


def test_steps_keep_the_ids_they_were_generated_with(encoder: PromptEncoder) -> None:
    letter_by_letter = tuple(i for letter in PAIR.chosen.text for i in encoder.content(letter))
    assert letter_by_letter != tuple(encoder.content(PAIR.chosen.text))

    tokens = tokenise(replace(PAIR, chosen=replace(PAIR.chosen, tokens=letter_by_letter)), encoder)

    assert tokens.chosen == letter_by_letter


@pytest.mark.parametrize("stop", [None, *Stop])
def test_the_end_token_stands_only_where_it_was_generated(encoder: PromptEncoder, stop: Stop | None) -> None:
    tokens = tokenise(replace(PAIR, chosen=replace(PAIR.chosen, stop=stop)), encoder)

    assert (tokens.chosen[-1] == encoder.eos_id) == (stop is Stop.EOS)
    assert encoder.eos_id not in tokens.chosen[:-1]
    assert encoder.eos_id not in tokens.rejected


def test_text_that_looks_like_the_end_token_stays_text(encoder: PromptEncoder) -> None:
    tokens = tokenise(replace(PAIR, rejected=Step("<|end|>")), encoder)

    assert encoder.eos_id not in tokens.rejected
    assert encoder.decode(tokens.rejected) == "<|end|>"


def test_a_pair_that_does_not_fit_whole_is_left_out_and_never_loses_its_question(encoder: PromptEncoder) -> None:
    whole = tokenise(PAIR, encoder)
    longest = len(whole.prefix) + max(len(whole.chosen), len(whole.rejected))

    assert tokenise(PAIR, encoder, max_tokens=longest) == whole
    assert tokenise_pair(PAIR, encoder, PROMPTS, max_tokens=longest - 1) is None
