import random
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError, JudgeError
from presrm.judges.jury import JuryJudge
from presrm.prompts import Prompt, PromptSet
from presrm.testing import check_judge
from presrm.types import Candidates, Judgement, Problem, Status, Step, Trajectory

BATCH = [Candidates(Trajectory(Problem("p", "?")), (Step("a"),))]


class Member:
    def __init__(self, said: float | Status, scale: Literal["absolute", "relative"] = "absolute") -> None:
        self.scale: Literal["absolute", "relative"] = scale
        self._said = Judgement(None, said) if isinstance(said, Status) else Judgement(said, rationale="so I say")

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [(self._said,) * len(item.steps) for item in batch]


def jury(*said: float | Status, rule: Any = "mean") -> JuryJudge:
    return JuryJudge({f"m{i}": Member(score) for i, score in enumerate(said)}, rule=rule)


@pytest.mark.parametrize(
    ("said", "mean", "majority"),
    [
        ((1.0, 0.6, 0.2), 0.6, 1.0),
        ((0.9, 0.4, 0.4), 17 / 30, 0.0),
        ((1.0, 0.0), 0.5, 0.5),
        ((0.5, 0.5, 0.6), 16 / 30, 1.0),
        ((Status.UNREADABLE, 0.3), 0.3, 0.0),
    ],
)
def test_mean_and_majority_of_the_readable_scores(
    said: tuple[float | Status, ...], mean: float, majority: float
) -> None:
    for rule, score in {"mean": mean, "majority": majority}.items():
        [(judgement,)] = jury(*said, rule=rule).judge(BATCH)
        assert judgement.score == pytest.approx(score)


def test_the_rationale_tells_how_far_the_members_are_apart() -> None:
    [(judgement,)] = jury(0.75, Status.TRUNCATED, 0.5).judge(BATCH)

    assert judgement.rationale == (
        "2 of 3 judges readable, 0.25 apart\n\nm0, 0.75:\nso I say\n\nm1, truncated:\n\n\nm2, 0.5:\nso I say"
    )


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ((Status.REFUSED, Status.REFUSED), Status.REFUSED),
        ((Status.REFUSED, Status.TRUNCATED), Status.UNREADABLE),
    ],
)
def test_a_jury_without_a_readable_member_has_no_score(said: tuple[Status, ...], status: Status) -> None:
    [(judgement,)] = jury(*said).judge(BATCH)

    assert (judgement.score, judgement.status) == (None, status)


def test_one_relative_member_makes_a_jury_relative() -> None:
    assert jury(0.1, 0.2).scale == "absolute"
    assert JuryJudge({"a": Member(0.1), "b": Member(0.2, "relative")}).scale == "relative"


def test_a_member_that_raises_is_named() -> None:
    class Broken(Member):
        def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
            raise ValueError("no")

    with pytest.raises(JudgeError, match="judge 'b' raised ValueError: no"):
        JuryJudge({"a": Member(1.0), "b": Broken(1.0)}).judge(BATCH)


def always_5(problem: str, steps_before: list[str], step: str) -> float:
    return 0.5


def say(prompt: Prompt, rng: random.Random) -> str:
    return "[[yes]]" if "[[yes]]" in prompt.text else "[[4]]"


def make(**options: Any) -> Any:
    return make_judge(JudgeConfig(kind="jury", options=options), ScriptedEngine(say), PromptSet("paper"))


def test_the_settings_name_the_members_with_their_own_options_and_votes() -> None:
    function = {"kind": "callable", "options": {"function": f"{__name__}:always_5"}}
    judge = make(judges=["pointwise", {"kind": "additive", "votes": 2, "temperature": 0.7}, function])

    [(judgement,)] = judge.judge(BATCH)
    assert judgement.score == pytest.approx((1.0 + 0.8 + 0.5) / 3)
    assert "2 additive, 0.8:\n2 of 2 votes readable" in judgement.rationale
    assert make(judges=["pointwise", "pairwise"], rule="majority").scale == "relative"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "judge.options.judges is missing"),
        ({"judges": []}, "a jury needs a judge"),
        ({"judges": "pointwise"}, "expected a list of kinds"),
        ({"judges": [3]}, "expected a list of kinds"),
        ({"judges": ["pointwise"], "rule": "loudest"}, "should be 'mean' or 'majority'"),
        ({"judges": [{"kind": "pointwise", "vote": 3}]}, "number 1: unknown key 'judge.vote'; did you mean"),
        ({"judges": [{"kind": "pointwise", "votes": 3}]}, "judge.temperature"),
    ],
)
def test_wrong_settings_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(**options)


def test_the_laws_of_judges_hold() -> None:
    check_judge(jury(0.2, Status.UNREADABLE))
