from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.formats.solutions import read_solution
from presrm.judges.checker import CheckerJudge
from presrm.problems.arithmetic import load_arithmetic
from presrm.prompts import PromptSet
from presrm.splitters import SPLITTERS
from presrm.testing import check_judge
from presrm.types import Candidates, Problem, Status, Step, Trajectory


def test_right_steps_get_1_and_wrong_ones_0() -> None:
    for problem in load_arithmetic(num=5):
        prefix = Trajectory(problem)
        for text in (problem.solution or "").splitlines(keepends=True):
            wrong = Step(text.rstrip("\n") + "9\n")
            [judged] = CheckerJudge().judge([Candidates(prefix, (wrong, Step(text), wrong))])
            assert [judgement.score for judgement in judged] == [0.0, 1.0, 0.0]
            prefix = prefix.extend(Step(text))


def test_what_cannot_be_checked_has_no_score() -> None:
    unknown = Trajectory(Problem("gsm8k/1", "Why?"))
    judged = make_judge(JudgeConfig(kind="checker"), ScriptedEngine(lambda prompt, rng: ""), PromptSet("paper")).judge(
        [Candidates(unknown, (Step("a"), Step("b")))]
    )

    assert [(judgement.score, judgement.status) for judgement in judged[0]] == [(None, Status.UNREADABLE)] * 2


def test_the_laws_of_judges_hold() -> None:
    check_judge(CheckerJudge())


def test_a_row_says_what_kind_of_problem_it_is() -> None:
    row = {"id": "arithmetic:2+3", "kind": "arithmetic", "problem": "2 and 3?", "steps": [" 2 + 3 = 6\n", "#### 6"]}
    solution = read_solution(row, SPLITTERS.create("newline"))
    judged = CheckerJudge().judge(solution.candidates("row 1"))
    assert [one.score for (one,) in judged] == [0.0, 1.0]
    unknown = read_solution({**row, "kind": 7}, SPLITTERS.create("newline"))
    assert [one.status for (one,) in CheckerJudge().judge(unknown.candidates("row 1"))] == [Status.UNREADABLE] * 2
