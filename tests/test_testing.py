"""The law kits pass what is lawful and name what is not."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from presrm.splitters import SPLITTERS
from presrm.testing import check_judge, check_problem_set, check_splitter
from presrm.types import Candidates, Judgement, Problem, Status


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
