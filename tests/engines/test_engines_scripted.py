import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.errors import EngineError
from presrm.prompts import Part, Prompt
from presrm.protocols import Engine, Request, Sampling
from presrm.types import Stop

PROMPT = Prompt((Part("Count."),))


@dataclass
class Lines:
    stop: Sequence[str] = ("\n",)

    def split(self, text: str) -> list[str]:
        return text.splitlines(keepends=True)


def test_it_is_an_engine() -> None:
    with ScriptedEngine(lambda prompt, rng: "one\n") as engine:
        as_engine: Engine = engine
        assert as_engine.generate([]) == []


def test_without_a_splitter_the_whole_reply_comes_up_to_the_end_token() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "one\ntwo\n")

    [[completion]] = engine.generate([Request(PROMPT)])
    assert (completion.text, completion.stop) == ("one\ntwo\n", Stop.EOS)


def test_with_a_splitter_the_first_step_comes_and_the_last_one_ends() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "".join(["one\n", "two 😀"][len(prompt.reply) :]))

    [[completion]] = engine.generate([Request(PROMPT, splitter=Lines())])
    assert (completion.text, completion.stop) == ("one\n", None)


def test_a_completion_is_cut_at_its_limit_in_characters() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "12345\n6")
    limits = [Request(PROMPT, sampling=Sampling(max_tokens=n), splitter=Lines()) for n in (5, 6)]

    [[cut], [whole]] = engine.generate(limits)
    assert (cut.text, cut.stop) == ("12345", Stop.MAX_TOKENS)
    assert (whole.text, whole.stop) == ("12345\n", None)


def test_tokens_are_code_points() -> None:
    [[completion]] = ScriptedEngine(lambda prompt, rng: "é😀\n").generate([Request(PROMPT)])

    assert "".join(map(chr, completion.tokens)) == completion.text == "é😀\n"


def test_draws_depend_on_the_seed_and_the_number_of_the_completion_alone() -> None:
    def roll(prompt: Prompt, rng: random.Random) -> str:
        return str(rng.random())

    first, again, other = ScriptedEngine(roll).generate([Request(PROMPT, num=3, seed=seed) for seed in (1, 1, 2)])
    assert first == again
    assert len({completion.text for completion in first + other}) == 6


def test_probabilities_of_options_become_log_probabilities() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "", options=lambda prompt, options: [0.25, 0.0])

    assert engine.logprobs([PROMPT], ["A", "B"]) == [(math.log(0.25), -math.inf)]


def test_without_options_there_are_no_log_probabilities() -> None:
    with pytest.raises(EngineError, match="without options"):
        ScriptedEngine(lambda prompt, rng: "").logprobs([PROMPT], ["A", "B"])
