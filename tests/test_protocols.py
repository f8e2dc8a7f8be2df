"""A judge that does not answer for each candidate is named."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from presrm.errors import JudgeError
from presrm.protocols import ask_judge
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
