"""The recipe of benchmarks/word_problems: what is pure in it."""

import doctest
import json
import math
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from presrm.checkers.operations import Finding, Operation, read_operation
from presrm.judging.verdicts import BRACKETS, read_end, word_of
from presrm.protocols import Completion
from presrm.training.seed import Example
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Status, Step, Stop, Trajectory

RECIPE = Path(__file__).parents[2] / "benchmarks" / "word_problems"
PROBLEM = Problem("p", "Tom has 15 red cups and 8 blue ones. How many cups?", "23", "15 + 8 = 23\n#### 23")


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(str(RECIPE))
    return {
        name: import_module(name)
        for name in ("split", "explain", "siblings", "card", "loops", "again", "packing", "together")
    }


def test_parts_share_no_problem_and_the_loop_knows_no_answer(recipe: dict[str, ModuleType]) -> None:
    rows = [
        {"id": f"r{n}", "question": f"Ann number {n} buys {n} pens.", "answer": "1", "solution": "0 + 1 = 1\n#### 1"}
        for n in range(40)
    ]
    twin = " ".join(f"word{n}" for n in range(13))
    rows.append({"id": "twin", "question": f"{twin}, how many?", "answer": "1", "solution": "0 + 1 = 1\n#### 1"})
    svamp = [{"id": "s", "question": f"Again {twin}?", "answer": "3", "equation": "( 1 + 2 )"}]
    halves = []
    for seed in (0, 1):
        parts, causes = recipe["split"].split(rows, svamp, seed=seed, num_held_out=8, num_seed=20)
        names = [{row["id"] for row in parts[name]} for name in ("seed", "loop", "held_out")]
        assert sum(map(len, names)) == len(set.union(*names))
        assert "twin" not in names[0] | names[1]
        assert causes["shared_run"] == ("twin" not in names[2])
        assert all(row.keys() == {"id", "question"} for row in parts["loop"])
        assert [row["id"] for row in parts["loop"]] == [row["id"] for row in parts["loop_answers"]]
        assert all(row["kind"] == "operations" for row in parts["seed"] + parts["held_out"])
        halves.append(names[0])
    assert halves[0] != halves[1]


def test_the_trial_measures_on_what_its_loop_and_the_seeds_do_not_hold(
    recipe: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"id": f"r{n}", "question": f"Ann {n} buys {n} pens.", "answer": "1", "solution": "1"} for n in range(40)]
    parts, _ = recipe["split"].split(rows, [], seed=0, num_held_out=8, num_seed=20)
    monkeypatch.setattr(recipe["split"], "NUM_TRIAL", 5)
    taken = recipe["split"].trial(parts)
    ids = {name: {row["id"] for row in taken[name]} for name in taken}
    assert len(ids["held_out"]) == 5
    assert ids["measured"] == ids["held_out"] | {row["id"] for row in parts["held_out"]}
    assert len(taken["measured"]) == 13
    assert not ids["measured"] & (ids["loop"] | ids["seed"])
    assert ids["loop"] == ids["loop_answers"] == {row["id"] for row in parts["loop"]} - ids["held_out"]


def test_explanations_are_as_the_page_shows(recipe: dict[str, ModuleType]) -> None:
    result = doctest.testmod(recipe["explain"])
    assert result.attempted > 5
    assert result.failed == 0


@pytest.mark.parametrize("operator", "+-*/")
@pytest.mark.parametrize(("one", "other"), [(7, 5), (90, 63), (999, 1), (27, 16), (105, 40), (2.5, 0.75), (0.05, 300)])
def test_a_check_comes_to_the_right_verdict(
    recipe: dict[str, ModuleType], operator: str, one: float, other: float
) -> None:
    left, right = Fraction(str(one)), Fraction(str(other))
    if operator == "/":
        left *= right
    result = {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[operator]
    for off in (Fraction(0), Fraction(1), Fraction(-1, 10)):
        check = recipe["explain"].check_sum(Operation(left, operator, right, result + off))
        assert ("Is" in check) is (off == 0)
        assert ("Not" in check) is (off != 0)


def test_every_column_of_a_check_is_right(recipe: dict[str, ModuleType]) -> None:
    check = recipe["explain"].check_sum(read_operation("287 * 46 = 13202"))
    columns = [part for part in check.replace(",", "").split() if "=" in part]
    assert len(columns) > 6
    for column in columns:
        sums, result = column.split("=")
        products = (math.prod(map(int, term.split("*"))) for term in sums.split("+"))
        assert sum(products) == int(result)


@pytest.mark.parametrize("finding", list(Finding))
@pytest.mark.parametrize("step", ["15 + 8 = 23", "#### 23"])
def test_every_explanation_ends_with_the_verdict_that_a_judge_reads(
    recipe: dict[str, ModuleType], finding: Finding, step: str
) -> None:
    reply = recipe["explain"].explain(PROBLEM.question, ["15 + 8 = 23"], step, finding)
    verdict, _ = read_end(Completion(reply, None, Stop.EOS), BRACKETS, word_of(("yes", "no")))
    assert verdict == ("yes" if finding is Finding.RIGHT else "no")


def test_as_many_judgements_say_yes_as_no(recipe: dict[str, ModuleType]) -> None:
    problem = Problem(PROBLEM.id, PROBLEM.question, PROBLEM.answer, PROBLEM.solution, "operations")
    wrong = [(Step(f"15 + 8 = {n}\n"), Finding.SUM) for n in (24, 33)] + [(Step("15 - 8 = 7\n"), Finding.OPERATION)]
    labelled = [(Trajectory(problem), [(Step("8 + 15 = 23\n"), Finding.RIGHT), *wrong])] * 3

    made = recipe["siblings"].judgements(labelled, num_right=1, num_wrong=2, seed=0)

    assert [row.answer for row in made] == ["yes"] * 3 + ["no"] * 3
    assert len({row.id for row in made}) == 6
    assert all(row.kind == "pointwise" and row.shown.prefix.problem.answer is None for row in made)
    assert {row.shown.steps[0].text for row in made if row.answer == "no"} <= {"15 + 8 = 24\n", "15 - 8 = 7\n"}


def test_where_no_candidate_is_right_the_reference_step_is_judged(recipe: dict[str, ModuleType]) -> None:
    problem = Problem(PROBLEM.id, PROBLEM.question, PROBLEM.answer, PROBLEM.solution, "operations")
    labelled = [(Trajectory(problem), [(Step("15 - 8 = 7\n"), Finding.OPERATION)])]

    made = recipe["siblings"].judgements(labelled, num_right=1, num_wrong=2, seed=0)

    assert [(row.shown.steps[0].text, row.answer) for row in made] == [("15 + 8 = 23\n", "yes"), ("15 - 8 = 7\n", "no")]


def test_every_place_where_one_could_stop_too_early_is_judged(recipe: dict[str, ModuleType]) -> None:
    solution = "15 + 8 = 23\n23 - 3 = 20\n#### 20"
    problem = Problem("q", "Tom has 15 red cups and 8 blue ones. 3 break. How many cups?", "20", solution, "operations")
    first, second = Step("15 + 8 = 23\n"), Step("23 - 3 = 20\n")
    labelled = [
        (Trajectory(problem), [(first, Finding.RIGHT), (Step("15 - 8 = 7\n"), Finding.OPERATION)]),
        (Trajectory(problem, (first,)), [(second, Finding.RIGHT), (Step("23 + 3 = 26\n"), Finding.OPERATION)]),
        (Trajectory(problem, (first, second)), [(Step("#### 20"), Finding.RIGHT)]),
    ]

    made = recipe["siblings"].judgements(labelled, num_right=1, num_wrong=2, seed=0)

    ends = [(row.shown.steps[0].text, row.answer) for row in made if row.shown.steps[0].text.startswith("####")]
    assert ends == [("#### 20", "yes"), ("#### 23", "no")]
    assert [row.answer for row in made].count("yes") == 3 == len(made) / 2


def test_another_iteration_takes_exact_labels_and_counts_verdicts(recipe: dict[str, ModuleType]) -> None:
    problem = Problem("q", PROBLEM.question, PROBLEM.answer, PROBLEM.solution, "operations")
    steps = [Step("15 + 8 = 23\n"), Step("15 + 8 = 24\n"), Step("15 - 8 = 7\n")]
    judged = tuple(Candidate(step, Judgement(score), score) for step, score in zip(steps, (0.0, 1.0, 1.0), strict=True))
    tree = SearchTree(Problem("q", PROBLEM.question), (Expansion(None, judged),), (), "")

    exact = recipe["again"].relabel(tree, {"q": problem})

    assert [(one.judgement.score, one.worth) for one in exact.expansions[0].candidates] == [
        (1.0, None),
        (0.0, None),
        (0.0, None),
    ]
    assert recipe["again"].verdicts([tree], {"q": problem}) == {
        ("operation", "right", 0.0): 1,
        ("operation", "sum", 1.0): 1,
        ("operation", "operation", 1.0): 1,
    }


def test_a_card_tells_kinds_of_mistakes_apart(recipe: dict[str, ModuleType]) -> None:
    problem = Problem(PROBLEM.id, PROBLEM.question, PROBLEM.answer, PROBLEM.solution, "operations")
    steps = [Step(text) for text in ("15 + 8 = 23\n", "15 + 8 = 24\n", "15 - 8 = 7\n")]
    first = (Trajectory(problem), list(zip(steps, (Finding.RIGHT, Finding.SUM, Finding.OPERATION), strict=True)))
    then = (Trajectory(problem, (steps[0],)), [(Step("#### 23"), Finding.RIGHT)])
    unreadable = Judgement(None, Status.UNREADABLE)

    made = recipe["card"].card([first, then], [[Judgement(1.0), Judgement(0.0), Judgement(1.0)], [unreadable]])

    assert (made["right"]["share"], made["right"]["of"]) == (0.5, 2)
    assert (made["sum"]["share"], made["operation"]["share"]) == (1.0, 0.0)
    assert made["end"] == {"share": None, "interval": None, "of": 0}
    assert (made["depth 0"]["of"], made["depth 1"]["share"]) == (3, 0.0)
    assert made["pairs"] == {"right": 1, "sum: right": 1, "tied": 1, "operation: tied": 1}
    assert (made["expansions"], made["with right and wrong"], made["unreadable"]) == (2, 1, 1)


def test_packs_compute_no_more_than_rows_and_rows_no_more_than_padded_ones(recipe: dict[str, ModuleType]) -> None:
    steps = [[Example("ift", "p", (1, 2, 3), (4,) * n) for n in (9, 1, 8, 2)], [Example("ift", "q", (5, 6), (7,))]]

    made = recipe["packing"].count(steps, batch=2, pack_tokens=100)

    assert made == {
        "padded": 12 * 2 + 11 * 2 + 3,
        "sorted": 5 * 2 + 12 * 2 + 3,
        "rows": 35,
        "packed": 15,
        "replies": 21,
    }
    assert recipe["packing"].padded([3, 5, 2, 9], 2) == 28


@pytest.mark.parametrize(
    ("way", "judge"), [("self", "pointwise"), ("checker", "checker"), ("noisy 20", "noisy"), ("random", "noisy")]
)
def test_only_the_controls_that_check_exactly_know_answers(recipe: dict[str, ModuleType], way: str, judge: str) -> None:
    config = recipe["loops"].settings(way, 101, Path("m1"), Path("words"), ["iterations=2"])

    knows = judge in ("checker", "noisy")
    assert config.problems.train == str(Path("words") / ("loop_answers.jsonl" if knows else "loop.jsonl"))
    assert (config.seed_stage, config.model.id, config.seed, config.iterations) == (None, "m1", 101, 2)
    assert config.judge.kind == judge


def test_every_way_has_a_config(recipe: dict[str, ModuleType]) -> None:
    for way in recipe["loops"].WAYS:
        recipe["loops"].settings(way, 1, Path("m1"), Path("words"), [])


def test_a_policy_is_compared_with_m1_problem_by_problem(recipe: dict[str, ModuleType]) -> None:
    before, after = {"a": True, "b": False, "c": False}, {"a": True, "b": True, "c": True}

    assert recipe["loops"].against(before, after) == {"points": 66.7, "p": 0.5, "gained": 2, "lost": 0}


def test_what_a_way_solved_is_found_seed_by_seed(recipe: dict[str, ModuleType], tmp_path: Path) -> None:
    """Of a loop in its iterations, of passes over the seed solutions in a run each; what is not there is left out."""
    folders = {
        "self-101-x/iterations/4": [True, True],
        "self-202-x/iterations/4": [True, False],
        "self-303-x/iterations/2": [True, True],
        "self-101-y/iterations/4": [False, False],
        "self-rewarding-101-x/iterations/4": [False, False],
        "seed-solutions-101-x/M4/iterations/1": [False, True],
    }
    for folder, solved in folders.items():
        (tmp_path / folder).mkdir(parents=True)
        rows = ({"doc": {"id": str(n)}, "exact_match": int(right)} for n, right in enumerate(solved))
        (tmp_path / folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answered = recipe["together"].answered

    assert answered(tmp_path, "self", "x", 4) == [{"0": True, "1": True}, {"0": True, "1": False}]
    assert answered(tmp_path, "seed solutions", "x", 4) == [{"0": False, "1": True}]
    assert answered(tmp_path, "random", "x", 4) == []
