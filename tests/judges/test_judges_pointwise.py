from collections.abc import Sequence

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.judges import JUDGES
from presrm.judges.pointwise import PointwiseJudge
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Sampling
from presrm.types import Candidates, Problem, Status, Step, Trajectory

PROMPTS = PromptSet("paper")
PREFIX = Trajectory(Problem("p", "What is 2 + 3?"), (Step("Step 1: add.\n"),))


def item(*texts: str) -> Candidates:
    return Candidates(PREFIX, tuple(Step(text) for text in texts))


def shown(prompt: Prompt) -> str:
    [text] = [part.text for part in prompt.tail if part.is_content]
    return text


@pytest.mark.parametrize(
    ("reply", "score", "status"),
    [
        ("2 + 3 is 5, so [[yes]]", 1.0, Status.OK),
        ("[[No]]", 0.0, Status.OK),
        ("Is it [[yes]]? No: [[no]]", 0.0, Status.OK),
        ("yes", None, Status.UNREADABLE),
        ("[[maybe]]", None, Status.UNREADABLE),
        ("", None, Status.UNREADABLE),
        ("word " * 200 + "[[yes]]", None, Status.TRUNCATED),
    ],
)
def test_an_explained_verdict_is_the_last_of_the_reply(reply: str, score: float | None, status: Status) -> None:
    judge = PointwiseJudge(ScriptedEngine(lambda prompt, rng: reply), PROMPTS)

    [(judgement,)] = judge.judge([item("Step 2: the verdict is [[yes]] [[no]]")])
    assert (judgement.score, judgement.status) == (score, status)
    assert judgement.rationale == reply[:512]


@pytest.mark.parametrize(
    ("p_yes", "p_no", "score"), [(0.6, 0.2, 0.75), (0.0, 1.0, 0.0), (0.05, 0.04, None), (0.06, 0.05, 0.06 / 0.11)]
)
def test_a_direct_verdict_is_the_share_of_yes(p_yes: float, p_no: float, score: float | None) -> None:
    def options(prompt: Prompt, words: Sequence[str]) -> tuple[float, float]:
        assert tuple(words) == ("yes", "no")
        return p_yes, p_no

    judge = PointwiseJudge(ScriptedEngine(lambda prompt, rng: "", options), PROMPTS, verdict="direct")
    [(judgement,)] = judge.judge([item("Step 2: 5")])
    assert judgement.score == (None if score is None else pytest.approx(score))


def test_equal_candidates_are_judged_once_and_share_the_judgement() -> None:
    asked = []

    def says(prompt: Prompt, rng: object) -> str:
        asked.append(shown(prompt))
        return "[[yes]]" if shown(prompt) == "good" else "[[no]]"

    judge = JUDGES.create(
        "pointwise", engine=ScriptedEngine(says), prompts=PROMPTS, verdict="explained", sampling=Sampling()
    )
    judged = judge.judge([item("bad", "good", "bad"), item("good"), item()])

    assert [[judgement.score for judgement in judgements] for judgements in judged] == [[0.0, 1.0, 0.0], [1.0], []]
    assert sorted(asked) == ["bad", "good", "good"]


@pytest.mark.parametrize("verdict", ["direct", "explained"])
def test_each_way_to_a_verdict_has_its_own_question(verdict: str) -> None:
    asked: list[Prompt] = []

    def reply(prompt: Prompt, rng: object) -> str:
        asked.append(prompt)
        return "[[yes]]"

    def options(prompt: Prompt, words: Sequence[str]) -> tuple[float, float]:
        asked.append(prompt)
        return 0.5, 0.5

    PointwiseJudge(ScriptedEngine(reply, options), PROMPTS, verdict=verdict).judge([item("Step 2: 5")])
    expected = {
        way: PROMPTS.pointwise(PREFIX, Step("Step 2: 5"), direct=way == "direct") for way in ("direct", "explained")
    }
    assert asked == [expected[verdict]]
    assert expected["direct"] != expected["explained"]


@pytest.mark.parametrize("word", ["YES", "Yes", "yes", " yes ", "**Yes**"])
def test_however_a_word_is_written_it_is_read(word: str) -> None:
    judge = PointwiseJudge(ScriptedEngine(lambda prompt, rng: f"So [[{word}]]."), PROMPTS)
    [(judgement,)] = judge.judge([item("Step 2: 5")])
    assert judgement.score == 1.0
