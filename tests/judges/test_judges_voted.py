import random
from collections.abc import Callable
from typing import Any

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError
from presrm.judges import JUDGES
from presrm.judges.pairwise import PairwiseJudge
from presrm.judges.pointwise import PointwiseJudge
from presrm.judges.voted import VotedJudge
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Sampling
from presrm.testing import check_judge
from presrm.types import Candidates, Judgement, Problem, Status, Step, Trajectory

PROMPTS = PromptSet("paper")
PREFIX = Trajectory(Problem("p", "What is 2 + 3?"))
WARM = Sampling(temperature=0.7)


def item(*texts: str) -> Candidates:
    return Candidates(PREFIX, tuple(Step(text) for text in texts))


def saying(*replies: str) -> Callable[[Prompt, random.Random], str]:
    """Give the replies in turn, one a question."""
    turns = iter(replies)
    return lambda prompt, rng: next(turns)


def make(reply: Callable[[Prompt, random.Random], str], **settings: Any) -> Any:
    options = {"kind": "pointwise", "temperature": 0.7, "votes": 4, **settings}
    return make_judge(JudgeConfig(**options), ScriptedEngine(reply), PROMPTS)


def test_the_score_is_the_mean_of_the_readable_votes() -> None:
    judge = make(saying("[[yes]]", "I cannot say.", "[[no]]", "[[yes]]"))

    [(judgement,)] = judge.judge([item("Step 1: 5")])
    assert judgement.score == pytest.approx(2 / 3)
    assert judgement.rationale.startswith("3 of 4 votes readable")
    assert "vote 2, unreadable:\nI cannot say." in judgement.rationale


@pytest.mark.parametrize(
    ("replies", "status"),
    [(("?", ""), Status.UNREADABLE), (("x" * 600, "y" * 600), Status.TRUNCATED), (("x" * 600, "?"), Status.UNREADABLE)],
)
def test_without_a_readable_vote_there_is_no_score(replies: tuple[str, str], status: Status) -> None:
    [(judgement,)] = make(saying(*replies), votes=2).judge([item("Step 1: 5")])

    assert (judgement.score, judgement.status) == (None, status)


def test_votes_are_drawn_apart_and_the_same_on_every_run() -> None:
    def coin(prompt: Prompt, rng: random.Random) -> str:
        return rng.choice(["[[yes]]", "[[no]]"])

    first, again = (make(coin, votes=8).judge([item("a", "b", "c")]) for _ in range(2))
    assert first == again
    assert any(0 < (judgement.score or 0) < 1 for judgement in first[0])


def test_pairwise_votes_compare_in_both_orders_each() -> None:
    def always_first(prompt: Prompt, rng: random.Random) -> str:
        return "[[A]]"

    [judged] = make(always_first, kind="pairwise", votes=3).judge([item("a", "b")])
    assert [judgement.score for judgement in judged] == [0.5, 0.5]


def test_a_voted_judge_has_the_scale_of_its_voters() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "[[A]]")

    assert VotedJudge(lambda e: PairwiseJudge(e, PROMPTS, sampling=WARM), engine, 2).scale == "relative"
    assert VotedJudge(lambda e: PointwiseJudge(e, PROMPTS, sampling=WARM), engine, 2).scale == "absolute"
    check_judge(VotedJudge(lambda e: PointwiseJudge(e, PROMPTS, sampling=WARM), engine, 2))


@pytest.mark.parametrize("kind", ["pointwise", "pairwise"])
def test_one_vote_is_the_plain_judge(kind: str) -> None:
    assert isinstance(make(lambda prompt, rng: "", kind=kind, votes=1), PointwiseJudge | PairwiseJudge)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "judge.temperature"),
        ({"verdict": "direct"}, "judge.verdict"),
        ({"options": {"nonsense": 1}}, "nonsense"),
        ({"options": {"engine": None}}, "engine cannot be set here"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(lambda prompt, rng: "[[yes]]", **settings)


def test_a_judge_of_the_old_signature_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    class Half:
        scale = "absolute"

        def __init__(self, **_: object) -> None:
            pass

        def judge(self, batch: list[Candidates]) -> list[tuple[Judgement, ...]]:
            return [tuple(Judgement(0.5) for _ in item.steps) for item in batch]

    monkeypatch.setattr(JUDGES, "_table", {**JUDGES._table})  # what is registered here is forgotten again
    JUDGES.register("half")(Half)
    assert make(saying(), kind="half", votes=1).judge([item("a")]) == [(Judgement(0.5),)]
