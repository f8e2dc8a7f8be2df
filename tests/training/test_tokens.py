"""What a pair becomes: the ids that were generated, the end token only where it was, the prefix cut from the left."""

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.preference import DPO
from presrm.training.tokens import LessonTokens, tokenise
from presrm.types import Lesson, PreferencePair, Problem, Step, Stop, Trajectory

PROMPTS = PromptSet("compact")
PREFIX = Trajectory(Problem("p", "How many?"), (Step("12 + 3 = 15\n"),))
PAIR = PreferencePair("p/1", PREFIX, Step("15 - 4 = 11\n"), Step("15 - 4 = 12\n"), margin=1.0)


@pytest.fixture(scope="module")
def encoder(tiny_policy: Path) -> PromptEncoder:
    return PromptEncoder(AutoTokenizer.from_pretrained(tiny_policy))


def tokens_of(lesson: Lesson, encoder: PromptEncoder, longest: int = 512) -> LessonTokens:
    kept, _ = tokenise([lesson], DPO(), encoder, PROMPTS, longest)
    return kept[0]


def test_the_prefix_is_what_the_policy_was_prompted_with(encoder: PromptEncoder) -> None:
    assert tokens_of(PAIR, encoder).prefix == tuple(encoder.encode(PROMPTS.solve(PREFIX)))


def test_steps_keep_the_ids_they_were_generated_with(encoder: PromptEncoder) -> None:
    letter_by_letter = tuple(i for letter in PAIR.chosen.text for i in encoder.content(letter))
    assert letter_by_letter != tuple(encoder.content(PAIR.chosen.text))

    tokens = tokens_of(replace(PAIR, chosen=replace(PAIR.chosen, tokens=letter_by_letter)), encoder)

    assert tokens.replies[0] == letter_by_letter


@pytest.mark.parametrize("stop", [None, *Stop])
def test_the_end_token_stands_only_where_it_was_generated(encoder: PromptEncoder, stop: Stop | None) -> None:
    tokens = tokens_of(replace(PAIR, chosen=replace(PAIR.chosen, stop=stop)), encoder)

    assert (tokens.replies[0][-1] == encoder.eos_id) == (stop is Stop.EOS)
    assert encoder.eos_id not in tokens.replies[0][:-1]
    assert encoder.eos_id not in tokens.replies[1]


def test_text_that_looks_like_the_end_token_stays_text(encoder: PromptEncoder) -> None:
    tokens = tokens_of(replace(PAIR, rejected=Step("<|end|>")), encoder)

    assert encoder.eos_id not in tokens.replies[1]
    assert encoder.decode(tokens.replies[1]) == "<|end|>"


def test_a_lesson_that_does_not_fit_whole_is_left_out_and_never_loses_its_question(encoder: PromptEncoder) -> None:
    whole = tokens_of(PAIR, encoder)
    longest = max(map(len, whole.rows))

    assert tokens_of(PAIR, encoder, longest) == whole
    assert tokenise([PAIR], DPO(), encoder, PROMPTS, longest - 1) == ({}, {"too_long": 1})


@pytest.mark.parametrize(("largest", "size"), [(255, 2), (65_535, 2), (65_536, 4), (2**31 - 1, 4)])
def test_ids_come_back_whatever_room_they_take(largest: int, size: int) -> None:
    tokens = LessonTokens(DPO(), (1, largest, 0), ((2,), (largest, 3)))

    assert len(tokens.ids) == 6 * size
    assert (tokens.prefix, tokens.replies) == ((1, largest, 0), ((2,), (largest, 3)))
    assert tokens.rows == ((1, largest, 0, 2), (1, largest, 0, largest, 3))
    assert tokens.row_lengths == (4, 5)
