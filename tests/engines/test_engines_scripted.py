import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.errors import EngineError
from presrm.prompts import Part, Prompt
from presrm.protocols import Completion, Engine, Request, Sampling
from presrm.testing import check_engine
from presrm.types import Step, Stop

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
    limits = [Request(PROMPT, sampling=Sampling(max_tokens=n), splitter=Lines()) for n in (5, 6, 7)]

    [[cut], [unsure], [whole]] = engine.generate(limits)
    assert (cut.text, cut.stop) == ("12345", Stop.MAX_TOKENS)
    assert (unsure.text, unsure.stop) == ("12345\n", Stop.MAX_TOKENS), "the next line has not begun"
    assert (whole.text, whole.stop) == ("12345\n", None)


def test_the_end_token_is_one_of_the_limit() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "12345")
    [[cut], [ended]] = engine.generate([Request(PROMPT, sampling=Sampling(max_tokens=n)) for n in (5, 6)])

    assert cut == Completion("12345", tuple(map(ord, "12345")), Stop.MAX_TOKENS)
    assert ended.stop is Stop.EOS


def test_a_prompt_without_room_is_data() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "123", options=lambda prompt, options: [0.5, 0.5], context=5)
    fits, full = Prompt((Part("abc"),)), Prompt((Part("abc"),), reply=(Step("de"),))

    assert engine.generate([Request(full, 2), Request(fits)]) == [
        [Completion("", (), Stop.NO_ROOM)] * 2,
        [Completion("12", (49, 50), Stop.MAX_TOKENS)],
    ]
    assert engine.logprobs([fits, full], ["A", "B"]) == [(math.log(0.5),) * 2, None]
    assert engine.logprobs([fits], ["A", "longer"]) == [None]


def test_tokens_are_code_points() -> None:
    [[completion]] = ScriptedEngine(lambda prompt, rng: "é😀\n").generate([Request(PROMPT)])

    assert "".join(map(chr, completion.tokens)) == completion.text == "é😀\n"


def test_draws_depend_on_the_seed_and_the_number_of_the_completion_alone() -> None:
    def roll(prompt: Prompt, rng: random.Random) -> str:
        return str(rng.random())

    first, again, other = ScriptedEngine(roll).generate([Request(PROMPT, num=3, seed=seed) for seed in (1, 1, 2)])
    assert first == again
    assert len({completion.text for completion in first + other}) == 6


def test_it_holds_the_laws_of_an_engine() -> None:
    def reply(prompt: Prompt, rng: random.Random) -> str:
        return "".join(rng.choice("0123456789\n") for _ in range(rng.randrange(40)))

    engine = ScriptedEngine(reply, lambda prompt, options: [0.5, 0.25], context=600)
    too_long = Prompt((Part("x" * 600),))
    check_engine(engine, too_long=too_long, splitter=Lines(), decode=lambda ids: "".join(map(chr, ids)))


def test_probabilities_of_options_become_log_probabilities() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "", options=lambda prompt, options: [0.25, 0.0])

    assert engine.logprobs([PROMPT], ["A", "B"]) == [(math.log(0.25), -math.inf)]


def test_without_options_there_are_no_log_probabilities() -> None:
    with pytest.raises(EngineError, match="without options"):
        ScriptedEngine(lambda prompt, rng: "").logprobs([PROMPT], ["A", "B"])
