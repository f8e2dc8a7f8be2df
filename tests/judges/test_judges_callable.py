import math
from typing import Any

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError, JudgeError
from presrm.judges.callable import CallableJudge
from presrm.prompts import PromptSet
from presrm.testing import check_judge
from presrm.types import Candidates, Judgement, Problem, Status, Step, Trajectory

BATCH = [Candidates(Trajectory(Problem("p", "2 + 3?"), (Step("Add.\n"),)), (Step("It is 5."), Step("It is 6.")))]


def first_is_longer(problem: str, steps_before: list[str], step: str) -> float | None:
    return float(len(problem) > len(step)) if steps_before else None


def test_the_function_sees_problem_steps_before_and_step() -> None:
    seen = []

    def note(problem: str, steps_before: list[str], step: str) -> float:
        seen.append((problem, steps_before, step))
        return 0.25

    assert CallableJudge(note).judge(BATCH) == [(Judgement(0.25), Judgement(0.25))]
    assert seen == [("2 + 3?", ["Add.\n"], "It is 5."), ("2 + 3?", ["Add.\n"], "It is 6.")]


def test_none_is_unreadable_not_zero() -> None:
    [(judgement, _)] = CallableJudge(lambda *_: None).judge(BATCH)

    assert (judgement.score, judgement.status) == (None, Status.UNREADABLE)


@pytest.mark.parametrize("score", [1.01, -0.5, math.nan, math.inf, "0.5", [1], 1j])
def test_what_is_no_score_is_refused_with_the_name_of_the_function(score: Any) -> None:
    def broken(*_: object) -> Any:
        return score

    with pytest.raises(JudgeError, match=r"broken' gave .*expected none or a number in \[0, 1\]"):
        CallableJudge(broken).judge(BATCH)


def test_a_function_that_raises_is_named() -> None:
    def broken(*_: object) -> float:
        return 1 / 0

    with pytest.raises(JudgeError, match=r"broken' raised ZeroDivisionError"):
        CallableJudge(broken).judge(BATCH)


def test_the_settings_name_a_function() -> None:
    def make(**settings: Any) -> Any:
        engine = ScriptedEngine(lambda prompt, rng: "")
        return make_judge(JudgeConfig(kind="callable", **settings), engine, PromptSet("paper"))

    options = {"function": f"{__name__}:first_is_longer"}
    assert [judgement.score for judgement in make(options=options).judge(BATCH)[0]] == [0.0, 0.0]

    for function, message in {
        "no_such_module:f": "no_such_module",
        "math:no_such_name": "no_such_name",
        "math:pi": "not a function",
        "not a name": "expected 'package.module:name'",
    }.items():
        with pytest.raises(ConfigError, match=message):
            make(options={"function": function})
    with pytest.raises(ConfigError, match="function is missing"):
        make()
    with pytest.raises(ConfigError, match="draws nothing itself"):
        make(options=options, votes=3, temperature=0.7)


def test_the_laws_of_judges_hold() -> None:
    check_judge(CallableJudge(lambda problem, steps_before, step: float(len(step) > 3)))
