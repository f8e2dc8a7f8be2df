import random

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.judges.additive import AdditiveJudge
from presrm.prompts import Prompt, PromptSet
from presrm.testing import check_judge
from presrm.types import Candidates, Problem, Status, Step, Trajectory

PROMPTS = PromptSet("paper")
PREFIX = Trajectory(Problem("p", "What is 2 + 3?"), (Step("Step 1: add.\n"),))


def item(*texts: str) -> Candidates:
    return Candidates(PREFIX, tuple(Step(text) for text in texts))


@pytest.mark.parametrize(
    ("reply", "score", "status"),
    [
        ("On topic, mostly right: [[3]]", 0.6, Status.OK),
        ("[[0]]", 0.0, Status.OK),
        ("[[ 5 ]]", 1.0, Status.OK),
        ("Is it [[5]]? No: [[2]]", 0.4, Status.OK),
        ("[[4]], or on a scale of ten [[8]]", None, Status.UNREADABLE),
        ("[[6]]", None, Status.UNREADABLE),
        ("[[-1]]", None, Status.UNREADABLE),
        ("[[4.5]]", None, Status.UNREADABLE),
        ("[[points]]", None, Status.UNREADABLE),
        ("Score: 4", None, Status.UNREADABLE),
        (f"[[{'9' * 500}]]", None, Status.UNREADABLE),
        ("", None, Status.UNREADABLE),
        ("word " * 200, None, Status.TRUNCATED),
    ],
)
def test_the_score_is_the_share_of_five_points(reply: str, score: float | None, status: Status) -> None:
    judge = AdditiveJudge(ScriptedEngine(lambda prompt, rng: reply), PROMPTS)

    [(judgement,)] = judge.judge([item("Step 2: [[5]] points for me")])
    assert (judgement.score, judgement.status) == (score, status)


def test_a_candidate_is_judged_by_the_solution_that_ends_with_it_and_once() -> None:
    asked = []

    def note(prompt: Prompt, rng: random.Random) -> str:
        asked.append([part.text for part in (*prompt.trunk, *prompt.tail) if part.is_content])
        return "[[1]]"

    judged = AdditiveJudge(ScriptedEngine(note), PROMPTS).judge([item("b", "a", "b"), item()])

    assert asked == [["What is 2 + 3?", "Step 1: add.\n", text] for text in ("a", "b")]
    assert [len(judgements) for judgements in judged] == [3, 0]


def test_votes_are_averaged_over_the_readable_ones() -> None:
    replies = iter(["[[5]]", "Hm.", "[[2]]"])
    settings = JudgeConfig(kind="additive", votes=3, temperature=0.7)
    judge = make_judge(settings, ScriptedEngine(lambda prompt, rng: next(replies)), PROMPTS)

    [(judgement,)] = judge.judge([item("Step 2: 5")])
    assert judgement.score == pytest.approx(0.7)
    assert judgement.rationale.startswith("2 of 3 votes readable")


def test_the_laws_of_judges_hold() -> None:
    check_judge(AdditiveJudge(ScriptedEngine(lambda prompt, rng: rng.choice(["[[3]]", "?"])), PROMPTS))
