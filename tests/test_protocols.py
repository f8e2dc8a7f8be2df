"""A part of a user's that breaks its law is named, by one check for all that call it."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest
import torch

from presrm.errors import JudgeError, SplitterError
from presrm.files.jsonl import dump
from presrm.protocols import ask_judge, split_steps, stop_hints
from presrm.types import Candidates, Judgement, Problem, Status, Step, Trajectory

PROBLEM = Problem("first", "1+1?", "2")


class Replays:
    """A judge that gives what it was made with, whatever it is asked, and counts the calls."""

    scale: Literal["absolute", "relative"] = "absolute"

    def __init__(self, judged: Any) -> None:
        self.judged = judged
        self.num_calls = 0

    def judge(self, batch: Sequence[Candidates]) -> Any:
        self.num_calls += 1
        if isinstance(self.judged, Exception):
            raise self.judged
        return self.judged


YES, UNKNOWN = Judgement(1.0), Judgement(None, Status.UNREADABLE)
ITEMS = [Candidates(Trajectory(PROBLEM), tuple(map(Step, texts))) for texts in ("ab", "c")]


@pytest.mark.parametrize("judged", [[(YES, UNKNOWN), (YES,)], [[YES, UNKNOWN], [YES]], iter([(YES, UNKNOWN), (YES,)])])
def test_a_judge_gives_one_judgement_for_each_candidate(judged: Any) -> None:
    assert ask_judge(Replays(judged), ITEMS) == [(YES, UNKNOWN), (YES,)]


def test_a_judge_is_not_called_for_nothing() -> None:
    judge = Replays([])
    assert (ask_judge(judge, []), judge.num_calls) == ([], 0)


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        ([(YES, UNKNOWN)], "gave results for 1 items of 2"),
        ([(YES, UNKNOWN), (YES,), (YES,)], "gave results for 3 items of 2"),
        ([(YES,), (YES,)], r"for the 2 candidates of item 1 of 2: expected one Judgement each"),
        ([(YES, UNKNOWN), (YES, YES)], r"for the 1 candidates of item 2 of 2"),
        ([(1.0, 0.0), (1.0,)], r"gave \(1.0, 0.0\) for the 2 candidates of item 1"),
        ([None, None], "raised"),
        (ValueError("mine"), "raised ValueError: mine"),
    ],
)
def test_a_judge_that_does_not_is_named(judged: Any, message: str) -> None:
    for name in ("Replays", "2 additive"):
        with pytest.raises(JudgeError, match=f"judge '{name}' .*{message}"):
            ask_judge(Replays(judged), ITEMS, None if name == "Replays" else name)


@pytest.mark.parametrize(
    "score",
    [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5), torch.tensor([0.5]), Fraction(1, 2)],
)
def test_a_score_may_be_any_real_number_and_is_kept_as_pythons_own(score: Any) -> None:
    judgement = Judgement(score)
    assert (judgement.score, type(judgement.score)) == (0.5, float)
    assert dump(judgement) == dump(Judgement(0.5))


def test_a_score_that_is_a_whole_number_is_written_as_one() -> None:
    assert [type(Judgement(one).score) for one in (1, np.int64(1), 1.0)] == [int, int, float]


@pytest.mark.parametrize(
    "score",
    [True, np.True_, torch.tensor(data=True), "0.5", 1j, [0.5], np.array([0.5, 0.5]), torch.zeros(2), 1.5, np.nan],
)
def test_a_score_that_is_no_number_from_0_to_1_is_refused(score: Any) -> None:
    class Gives(Replays):
        def judge(self, batch: Sequence[Candidates]) -> Any:
            return [tuple(Judgement(score) for _ in item.steps) for item in batch]

    with pytest.raises(JudgeError, match=r"^judge 'Gives' raised (Value|Runtime|Type)Error: "):
        ask_judge(Gives(None), ITEMS)


@pytest.mark.parametrize("values", [{"rationale": None}, {"rationale": ["why"]}, {"status": "ok"}])
def test_a_judgement_holds_text_and_a_status(values: Any) -> None:
    with pytest.raises(ValueError, match=r"is no (text|Status)"):
        replace(YES, **values)


@pytest.mark.parametrize(
    ("name", "value"), [("scale", "abs"), ("scale", None), ("scale", ["absolute"]), ("composition", "mean")]
)
def test_a_judge_that_does_not_say_what_its_scores_are_is_refused(name: str, value: Any) -> None:
    judge = Replays([(YES, UNKNOWN), (YES,)])
    setattr(judge, name, value)
    with pytest.raises(
        JudgeError, match=r"^judge 'Replays' has scale .*: expected one of absolute, relative, and one of"
    ):
        ask_judge(judge, ITEMS)
    assert judge.num_calls == 0


class Cuts:
    """A splitter that gives what it was made with, whatever the text."""

    def __init__(self, pieces: Any, stop: Any = ()) -> None:
        self.pieces = pieces
        self.stop = stop

    def split(self, text: str) -> Any:
        if isinstance(self.pieces, BaseException):
            raise self.pieces
        return self.pieces


@pytest.mark.parametrize("pieces", [["a\n", "b"], ("a\n", "b")])
def test_the_steps_of_a_splitter_join_to_the_text(pieces: Any) -> None:
    assert split_steps(Cuts(pieces), "a\nb") == ["a\n", "b"]
    assert split_steps(Cuts([]), "") == []


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        (["a"], r"cut 'a\\nb' into \['a'\]: the pieces do not join to the text"),
        ([], "the pieces do not join"),
        (["a\n", "", "b"], "a piece is empty"),
        ([1, 2], "expected a list of strings"),
        ("a\nb", "expected a list of strings"),
        (None, "into None: expected a list of strings"),
        (iter(["a\n", "b"]), "expected a list of strings"),
        (KeyError("mine"), "raised KeyError: 'mine'"),
        (SystemExit(3), "raised SystemExit: 3"),
    ],
)
def test_a_splitter_that_breaks_its_law_is_named(pieces: Any, message: str) -> None:
    with pytest.raises(SplitterError, match=f"^splitter Cuts .*{message}"):
        split_steps(Cuts(pieces), "a\nb")


@pytest.mark.parametrize("stop", [None, "\n", [1], ("",), {"a": "b"}])
def test_a_splitter_says_where_generation_may_pause(stop: Any) -> None:
    assert stop_hints(Cuts([], ("\n",))) == ("\n",)
    with pytest.raises(SplitterError, match=r"^splitter Cuts has .* for 'stop': expected a tuple of strings"):
        stop_hints(Cuts([], stop))
