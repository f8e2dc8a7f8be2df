"""The law kits pass what is lawful and name what is not."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.prompts import Part, Prompt
from presrm.protocols import Completion, Request
from presrm.seeding import derive_seed
from presrm.splitters import SPLITTERS
from presrm.testing import check_engine, check_judge, check_problem_set, check_splitter
from presrm.types import Candidates, Judgement, Problem, Status, Stop


class LineSplitter:
    stop: Sequence[str] = ("\n",)

    def split(self, text: str) -> list[str]:
        return text.splitlines(keepends=True)


class DropsSpace(LineSplitter):
    def split(self, text: str) -> list[str]:
        return super().split(text.strip())


class GivesEmptySteps(LineSplitter):
    def split(self, text: str) -> list[str]:
        return [text, ""]


class GivesATuple(LineSplitter):
    def split(self, text: str) -> Any:
        return tuple(super().split(text))


class Remembers(LineSplitter):
    def __init__(self) -> None:
        self.num_calls = 0

    def split(self, text: str) -> list[str]:
        self.num_calls += 1
        return super().split(text) if self.num_calls % 2 else [text]


class StopsAtAString(LineSplitter):
    stop = "\n"


def test_a_lawful_splitter_passes() -> None:
    check_splitter(LineSplitter())


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        (DropsSpace(), "do not join"),
        (GivesEmptySteps(), "a step is empty"),
        (GivesATuple(), "list of strings"),
        (Remembers(), "other steps the second time|a step is empty"),
        (StopsAtAString(), "stop must be"),
    ],
)
def test_a_splitter_that_breaks_a_law_is_named(splitter: LineSplitter, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_splitter(splitter)


class FailsOn(LineSplitter):
    def __init__(self, text: str) -> None:
        self.text = text

    def split(self, text: str) -> list[str]:
        return ["wrong"] if text == self.text else super().split(text)


def test_texts_of_the_author_are_tried_too() -> None:
    with pytest.raises(AssertionError, match=r"'my \\x00 text'"):
        check_splitter(FailsOn("my \x00 text"), ["my \x00 text"])


def test_a_long_text_is_shown_cut() -> None:
    text = "a" * 10_000
    with pytest.raises(AssertionError, match=r"a{50}\.\.\. \(10002 characters\)$"):
        check_splitter(FailsOn(text), [text])


def test_the_kit_works_without_hypothesis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presrm.testing.find_spec", lambda name: None)
    check_splitter(SPLITTERS.create("newline"))
    with pytest.raises(AssertionError):
        check_splitter(DropsSpace())


def roll(prompt: Prompt, rng: random.Random) -> str:
    return "".join(rng.choice("0123456789") for _ in range(rng.randrange(2, 30)))


def even(prompt: Prompt, options: Sequence[str]) -> list[float]:
    return [0.25] * len(options)


LONG = Prompt((Part("x" * 900),))


class FairEngine(ScriptedEngine):
    def __init__(self) -> None:
        super().__init__(roll, even, context=900)


class SeedsByPlace(FairEngine):
    """Draws belong to the call: another order gives other completions."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return super().generate([replace(request, seed=place) for place, request in enumerate(requests)])


class SeedsByBatch(FairEngine):
    """Draws belong to the batch: a request alone is drawn otherwise."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        batch = derive_seed(*(request.seed for request in requests)) if requests else 0
        return super().generate([replace(request, seed=derive_seed(batch, request.seed)) for request in requests])


class SeedsByTheNumberOfCompletions(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return super().generate([replace(request, seed=derive_seed(request.seed, request.num)) for request in requests])


class NeverTheSame(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return super().generate([replace(request, seed=random.getrandbits(32)) for request in requests])


class IgnoresSeeds(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return super().generate([replace(request, seed=0) for request in requests])


class IgnoresNumbers(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return [
            one * r.num
            for one, r in zip(super().generate([replace(r, num=1) for r in requests]), requests, strict=True)
        ]


class GivesOneTooFew(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return [completions[:1] for completions in super().generate(requests)]


class KeepsTheEndToken(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return [[replace(one, tokens=(*one.tokens, 3)) for one in of] for of in super().generate(requests)]


class WritesTooMuch(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        more = [replace(r, sampling=replace(r.sampling, max_tokens=99)) for r in requests]
        return super().generate(more)


class NeverSaysWhyItStopped(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return [[replace(one, stop=None) for one in of] for of in super().generate(requests)]


class RaisesWithoutRoom(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        assert LONG not in [request.prompt for request in requests], "too long"
        return super().generate(requests)


class CallsItCutOff(FairEngine):
    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return [
            [replace(c, stop=c.stop if c.tokens else Stop.MAX_TOKENS) for c in of] for of in super().generate(requests)
        ]


class WeighsWithoutRoom(FairEngine):
    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        return [(-1.0,) * len(options)] * len(prompts)


class WeighsByPlace(FairEngine):
    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        return [(-1.0 - place,) * len(options) for place in range(len(prompts))]


class ForgetsAnOption(FairEngine):
    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        return super().logprobs(prompts, options[:1])


def check(engine: ScriptedEngine, ties: float = 0.0) -> None:
    check_engine(engine, too_long=LONG, decode=lambda ids: "".join(map(chr, ids)), ties=ties)


def test_a_lawful_engine_passes() -> None:
    check(FairEngine())


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (SeedsByPlace, "otherwise in two calls"),
        (SeedsByBatch, "otherwise in two calls"),
        (SeedsByTheNumberOfCompletions, "otherwise asked for one completion"),
        (NeverTheSame, "otherwise the second time"),
        (IgnoresSeeds, "other seeds and numbers must draw otherwise"),
        (IgnoresNumbers, "other seeds and numbers must draw otherwise"),
        (GivesOneTooFew, "one list of `num` completions"),
        (KeepsTheEndToken, "tokens and text differ|tokens for Request"),
        (WritesTooMuch, "tokens for Request"),
        (NeverSaysWhyItStopped, "cannot end so"),
        (RaisesWithoutRoom, "too long"),
        (CallsItCutOff, "Stop.NO_ROOM"),
        (WeighsWithoutRoom, "must have no log-probabilities"),
        (WeighsByPlace, "company changes log-probabilities"),
        (ForgetsAnOption, "a tuple of 2 log-probabilities"),
    ],
)
def test_an_engine_that_breaks_a_law_is_named(engine: type[ScriptedEngine], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(engine())


def test_numerical_ties_may_be_allowed() -> None:
    check(SeedsByPlace(), ties=1.0)


class LengthJudge:
    """Prefers the longer step; says nothing about equal ones."""

    scale: Literal["absolute", "relative"] = "relative"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [self.judge_item(item) for item in batch]

    def judge_item(self, item: Candidates) -> tuple[Judgement, ...]:
        longest = max(len(step.text) for step in item.steps)
        if len({step.text for step in item.steps}) == 1:
            return (Judgement(None, Status.UNREADABLE, "nothing to compare"),) * len(item.steps)
        return tuple(Judgement(len(step.text) / longest) for step in item.steps)


class ForgetsACandidate(LengthJudge):
    def judge_item(self, item: Candidates) -> tuple[Judgement, ...]:
        return super().judge_item(item)[:1]


class ForgetsAnItem(LengthJudge):
    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return super().judge(batch)[1:]


class GivesNumbers(LengthJudge):
    def judge_item(self, item: Candidates) -> Any:
        return tuple(0.0 for _ in item.steps)


class HasNoScale(LengthJudge):
    scale: Any = "percent"


def test_a_lawful_judge_passes() -> None:
    check_judge(LengthJudge())


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        (ForgetsACandidate(), "one judgement a candidate"),
        (ForgetsAnItem(), "list of 5 tuples"),
        (GivesNumbers(), "expected judgements"),
        (HasNoScale(), "scale must be"),
    ],
)
def test_a_judge_that_breaks_a_law_is_named(judge: LengthJudge, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_judge(judge)


def test_a_lawful_problem_set_passes() -> None:
    check_problem_set(Problem(str(number), f"What is {number} + 1?", str(number + 1)) for number in range(3))


@pytest.mark.parametrize(
    ("problems", "message"),
    [
        ([], "must hold a problem"),
        ([Problem("1", "a?"), Problem("1", "b?")], "unique"),
        ([Problem("", "a?")], "not empty"),
        ([Problem("1", " \n")], "question must not be blank"),
        ([Problem("1", "a?", "")], "answer must be none or not blank"),
        (["What is 1 + 1?"], "expected problems"),
    ],
)
def test_a_problem_set_that_breaks_a_law_is_named(problems: list[Problem], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_problem_set(problems)
