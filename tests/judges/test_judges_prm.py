"""A process reward model as a judge: one pass a solution, its scores and reasons handed on."""

from collections.abc import Sequence

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines import hf_prm
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError
from presrm.judges.prm import PrmJudge
from presrm.judging.solutions import require_absolute
from presrm.prompts import PromptSet
from presrm.testing import check_judge
from presrm.types import Candidates, Problem, Status, Step, Trajectory, Verdict

PROBLEM = Problem("sum", "What is (2 + 3) * 4?")
STEPS = tuple(map(Step, ("2 + 3 = 5\n", "5 * 4 = 21\n", "So 21.")))


class FakeScorer:
    """Scores a step by its length; what holds "?" is unreadable."""

    made: list["FakeScorer"]

    def __init__(self, model: str, format: str | None, **settings: object) -> None:
        self.settings = {"model": model, "format": format, **settings}
        self.asked: list[list[tuple[str, tuple[str, ...]]]] = []
        FakeScorer.made.append(self)

    def score(self, solutions: Sequence[tuple[str, tuple[str, ...]]]) -> list[tuple[Verdict, ...]]:
        self.asked.append(list(solutions))
        unreadable = Verdict(None, Status.TRUNCATED, "cut off")
        return [
            tuple(unreadable if "?" in step else Verdict(1 / len(step), rationale="P") for step in steps)
            for _, steps in solutions
        ]


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[FakeScorer]:
    FakeScorer.made = []
    monkeypatch.setattr(hf_prm, "StepScorer", FakeScorer)
    return FakeScorer.made


def prefixes(steps: tuple[Step, ...] = STEPS) -> list[Candidates]:
    return [Candidates(Trajectory(PROBLEM, steps[:i]), (step,)) for i, step in enumerate(steps)]


def test_all_prefixes_of_a_solution_are_answered_by_one_pass(made: list[FakeScorer]) -> None:
    judged = PrmJudge(model="prm").judge(prefixes())

    assert [judgement.score for (judgement,) in judged] == [1 / len(step.text) for step in STEPS]
    (scorer,) = made
    assert scorer.asked == [[(PROBLEM.question, tuple(step.text for step in STEPS))]]


def test_candidates_after_one_prefix_are_solutions_of_their_own(made: list[FakeScorer]) -> None:
    item = Candidates(Trajectory(PROBLEM, STEPS[:1]), (Step("6"), Step("5?"), Step("6")))
    ((first, unreadable, again),) = PrmJudge(model="prm").judge([item])

    assert first == again
    assert first.score == 1.0
    assert (unreadable.score, unreadable.status, unreadable.rationale) == (None, Status.TRUNCATED, "cut off")
    assert len(made[0].asked[0]) == 2


def test_the_model_is_loaded_once_and_only_when_something_is_asked(made: list[FakeScorer]) -> None:
    judge = PrmJudge(model="prm")
    assert judge.judge([]) == []
    assert not made
    judge.judge(prefixes())
    judge.judge(prefixes())
    assert len(made) == 1


def test_settings_name_it_and_its_options(made: list[FakeScorer]) -> None:
    options = {"model": "DIR", "format": "token-classification", "separator": "\n\n", "device": "cpu"}
    settings = JudgeConfig(kind="prm", options=options)
    judge = make_judge(settings, ScriptedEngine(lambda prompt, rng: ""), PromptSet("compact"))
    require_absolute("prm", judge)
    check_judge(judge)

    assert made[0].settings == options | {"dtype": "auto", "batch_tokens": 16384}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "judge.options.model is missing"),
        (
            {"model": "x", "format": "qwen"},
            "options.format should be 'auto', 'token-classification'",
        ),
        ({"model": "x", "tag": "+"}, "unknown key 'judge.options.tag'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_judge(JudgeConfig(kind="prm", options=options), ScriptedEngine(lambda p, r: ""), PromptSet("compact"))


def test_it_draws_nothing_so_it_has_one_vote() -> None:
    settings = JudgeConfig(kind="prm", options={"model": "x"}, votes=3, temperature=1)
    with pytest.raises(ConfigError, match="draws nothing itself"):
        make_judge(settings, ScriptedEngine(lambda p, r: ""), PromptSet("compact"))
