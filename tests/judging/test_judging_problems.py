"""Problems whose solution is a judgement: their verdicts, their grader, their classes, their files."""

import json
from pathlib import Path

import pytest

from presrm.errors import ConfigError
from presrm.files.jsonl import dump
from presrm.graders import GRADERS
from presrm.judging.health import LabelledCandidates
from presrm.judging.problems import (
    KINDS,
    JudgementGrader,
    LabelledProblem,
    balance,
    count,
    hinted,
    judge_problems,
    load_judge,
    of_perturbed,
    of_steps,
    unhinted,
)
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.splitters import SPLITTERS
from presrm.types import Candidates, Grade, LabelledSolution, LabelledSteps, Problem, Step, Trajectory

PROMPTS = PromptSet("compact")
PREFIX = Trajectory(Problem("p", "2 + 3 - 1?", "4"), (Step("2 + 3 = 5\n"),))
RIGHT, WRONG, OTHER, ODD = Step("5 - 1 = 4\n"), Step("5 - 1 = 3\n"), Step("5 + 1 = 6\n"), Step("Hm.\n")
LABELLED = LabelledProblem(
    "p", (LabelledCandidates(Candidates(PREFIX, (WRONG, RIGHT, ODD, OTHER)), (False, True, None, False)),)
)


@pytest.mark.parametrize(
    ("reply", "answer", "grade"),
    [
        ("5 - 1 = 4\nSo [[A]]", "A", Grade.CORRECT),
        ("So [[B]].", "A", Grade.INCORRECT),
        ("So [[yes]]", "A", Grade.NO_ANSWER),
        ("A", "A", Grade.NO_ANSWER),
        ("[[ Yes ]]", "yes", Grade.CORRECT),
        ("[[no]], or is it?", "no", Grade.NO_ANSWER),
        ("[[3, 9, 2]]", "2 of 3", Grade.CORRECT),
        ("[[9, 9, 2]]", "2 of 3", Grade.INCORRECT),  # the best is to be strictly first (SPCT, 3.2)
        ("[[9, 3]]", "1 of 3", Grade.NO_ANSWER),
        ("[[3, 11, 2]]", "2 of 3", Grade.NO_ANSWER),
        (r"Paragraph 1 is wrong: \boxed{1}", "1", Grade.CORRECT),
        (r"\boxed{-1}", "1", Grade.INCORRECT),
        (r"\boxed{-1}", "-1", Grade.CORRECT),
        ("", "-1", Grade.NO_ANSWER),
    ],
)
def test_a_judgement_is_graded_by_the_verdict_that_it_ends_with(reply: str, answer: str, grade: Grade) -> None:
    assert JudgementGrader().grade(reply, answer) is grade


@pytest.mark.parametrize(
    ("reply", "extracted"),
    [("so [[B]]", "B"), ("[[no]]", "no"), ("[[3, 9]]", "3, 9"), (r"\boxed{0}", "0"), ("5", None)],
)
def test_a_verdict_of_any_kind_is_found(reply: str, extracted: str | None) -> None:
    assert GRADERS.create("judgement").extract(reply) == extracted


def test_each_kind_shows_one_right_step_and_what_is_not_known_is_not_shown() -> None:
    made = judge_problems([LABELLED], ["pairwise", "pointwise", "listwise"], seed=0)

    a, b, yes, no, many = made
    assert [problem.kind for problem in made] == ["pairwise", "pairwise", "pointwise", "pointwise", "listwise"]
    assert [problem.answer for problem in made[:4]] == ["A", "B", "yes", "no"]
    assert all(problem.shown is not None and problem.shown.prefix == PREFIX for problem in made)
    (good, bad) = a.shown.steps  # type: ignore[union-attr]
    assert good == RIGHT
    assert bad in (WRONG, OTHER)
    assert b.shown.steps == (bad, good)  # type: ignore[union-attr]
    assert (yes.shown.steps, no.shown.steps) == ((good,), (bad,))  # type: ignore[union-attr]
    shown = many.shown.steps  # type: ignore[union-attr]
    assert sorted(step.text for step in shown) == sorted(step.text for step in (RIGHT, WRONG, OTHER))
    assert many.answer == f"{shown.index(RIGHT) + 1} of 3"
    assert len({problem.id for problem in made}) == 5


def test_where_all_are_right_or_all_wrong_there_is_nothing_to_ask() -> None:
    candidates = Candidates(PREFIX, (RIGHT, OTHER))
    alike = [LabelledProblem("p", (LabelledCandidates(candidates, (label, label)),)) for label in (True, False)]
    assert judge_problems(alike, ["pairwise", "pointwise", "listwise"], seed=0) == []


def test_what_is_asked_is_what_the_judge_of_the_kind_asks() -> None:
    solution = Trajectory(PREFIX.problem, (*PREFIX.steps, WRONG))
    labelled = LabelledProblem("p", LABELLED.candidates, (LabelledSolution(solution, 1),))
    asked = {problem.kind: problem for problem in reversed(judge_problems([labelled], KINDS, seed=0))}
    steps = {kind: problem.shown.steps for kind, problem in asked.items()}  # type: ignore[union-attr]

    expected = {
        "pairwise": PROMPTS.pairwise(PREFIX, *steps["pairwise"]),
        "listwise": PROMPTS.listwise(PREFIX, steps["listwise"]),
        "first-error": PROMPTS.first_error(solution),
    }
    for kind, prompt in expected.items():
        assert PROMPTS.solve(Trajectory(asked[kind])) == prompt


def test_a_hint_tells_the_right_verdict_and_nothing_else_changes() -> None:
    problem = judge_problems([LABELLED], ["pairwise"], seed=0)[0]
    plain, told = (PROMPTS.solve(Trajectory(one)) for one in (problem, hinted(problem)))

    assert told.text == f"{plain.text}\nThe right verdict is known: A. Say why."
    assert told.tail[-2].is_content  # an answer from a file is no scaffold
    assert unhinted(hinted(problem)) == problem == unhinted(problem)


def test_a_solution_gives_its_steps_up_to_the_first_wrong_one_and_with_a_right_one_in_its_place_a_pair() -> None:
    solution = Trajectory(PREFIX.problem, (*PREFIX.steps, WRONG, Step("#### 3")))
    labelled = LabelledProblem("p", solutions=(LabelledSolution(solution, 1, right=RIGHT),))
    clean = LabelledProblem("q", solutions=(LabelledSolution(Trajectory(Problem("q", "?"), (RIGHT, OTHER)), -1),))

    made = judge_problems([labelled, clean], ["pairwise", "pointwise", "first-error"], seed=0)

    found = [(one.kind, one.answer, [step.text for step in one.shown.steps]) for one in made if one.shown]
    assert found == [
        ("first-error", "1", []),
        ("pairwise", "A", [RIGHT.text, WRONG.text]),
        ("pairwise", "B", [WRONG.text, RIGHT.text]),
        ("pointwise", "yes", [RIGHT.text]),
        ("pointwise", "no", [WRONG.text]),
        ("pointwise", "yes", [PREFIX.text]),
        ("first-error", "-1", []),
        ("pointwise", "yes", [RIGHT.text]),
        ("pointwise", "yes", [OTHER.text]),
    ]


def test_the_classes_of_a_kind_are_drawn_down_to_the_rarest() -> None:
    many = [Problem(f"y{i}", "?", "yes", kind="pointwise") for i in range(7)]
    few = [Problem(f"n{i}", "?", "no", kind="pointwise") for i in range(3)]
    errors = [Problem(f"e{i}", "?", str(i), kind="first-error") for i in range(4)]
    places = [Problem(f"l{i}", "?", f"{i + 1} of 5", kind="listwise") for i in range(5)]
    clean = Problem("c", "?", "-1", kind="first-error")
    balanced = balance([*many, *few, *errors, clean, *places], seed=0)

    assert count(balanced) == {"pointwise": 6, "first-error": 2, "listwise": 5}
    assert [one for one in balanced if one.answer == "no"] == few
    assert balance([*many], seed=0) == []  # of one class alone only that is learned


def test_the_other_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"additive.*known are pairwise"):
        judge_problems([LABELLED], ["additive"], seed=0)


def test_single_labelled_steps_are_put_together_to_solutions() -> None:
    problem = Problem("p", "?")
    first = LabelledSteps(Trajectory(problem), RIGHT, None)
    second = LabelledSteps(Trajectory(problem, (RIGHT,)), None, WRONG)
    both = LabelledSteps(Trajectory(Problem("q", "?")), RIGHT, WRONG)

    one, other = of_steps([first, second, both])

    assert one == LabelledProblem("p", (), (LabelledSolution(Trajectory(problem, (RIGHT, WRONG)), 1),))
    pair = Candidates(both.prefix, (RIGHT, WRONG))
    assert other == LabelledProblem("q", (LabelledCandidates(pair, (True, False)),))


def test_a_number_is_changed_in_the_midst_of_a_solution_that_goes_on() -> None:
    splitter = SPLITTERS.create("newline")
    problem = load_problems("arithmetic", split="train", num=1)[0]
    labelled = of_perturbed(problem, splitter, seed=0)

    slip, clean = labelled.solutions
    assert (clean.first_error, clean.solution.text) == (-1, problem.solution)
    changed = [a.text != b.text for a, b in zip(slip.solution.steps, clean.solution.steps, strict=True)]
    assert changed.index(True) == slip.first_error
    assert sum(changed) == 1


def test_the_problem_set_gives_the_same_ones_and_more(tmp_path: Path) -> None:
    options = {"kinds": ("pairwise", "first-error"), "of": "arithmetic"}
    few, more = (load_problems("judge", split="test", num=num, seed=3, **options) for num in (5, 12))
    assert len(few) == 5
    assert more[:5] == few

    path = tmp_path / "judge_problems.jsonl"
    path.write_text("".join(dump(problem) + "\n" for problem in more))
    assert load_problems(f"judge:{path}", split="test") == more


def test_the_problem_set_reads_rows_with_labels(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"prompt": "2 + 3 - 1?", "completions": ["2 + 3 = 5", "5 - 1 = 3"], "labels": [True, False]}
    path.write_text(json.dumps(row))

    made = load_judge(str(path), kinds=("pointwise", "first-error"))

    assert [(one.kind, one.answer) for one in made] == [("first-error", "1"), ("pointwise", "yes"), ("pointwise", "no")]
