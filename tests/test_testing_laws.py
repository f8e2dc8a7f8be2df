"""The laws of searchers, graders and checkers: held by every registered one, and broken ones are named."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from presrm.checkers import CHECKERS
from presrm.config import SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.graders import GRADERS
from presrm.problems import load_problems
from presrm.problems.arithmetic import load_arithmetic
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Generator, Judge
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.testing import check_checker, check_grader, check_searcher
from presrm.types import Candidates, Grade, Judgement, Problem, SearchTree, Trajectory

PROBLEMS = [Problem(f"p{n}", f"What is {n} + 1?") for n in range(7)]


class LengthJudge:
    """Longer is better."""

    scale = "absolute"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(Judgement(len(step.text) / 99) for step in item.steps) for item in batch]


def policy(prompt: Prompt, rng: random.Random) -> str:
    left = 3 - len(prompt.reply)
    return "".join(f"step {'x' * rng.randint(1, 9)}\n" for _ in range(left)) + "#### 1"


def searcher(kind: str) -> object:
    offered = {"prompts": PromptSet("compact"), "splitter": SPLITTERS.create("newline"), "seed": 5}
    offered |= {"tie_tolerance": 0.0} if kind == "greedy" else {}
    return SEARCHERS.create(kind, settings=SearchConfig(num_candidates=3, group_size=3), **offered)


@pytest.mark.parametrize("kind", SEARCHERS.names())
def test_every_searcher_holds_the_laws(kind: str) -> None:
    check_searcher(searcher(kind), PROBLEMS, ScriptedEngine(policy), LengthJudge(), 3)


class Broken:
    """A greedy search, and what is done to its trees."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.searcher = searcher("greedy")

    def search(
        self, problems: Sequence[Problem], generator: Generator, judge: Judge, start: int = 0
    ) -> Iterator[SearchTree]:
        trees = list(self.searcher.search(problems, generator, judge, 0 if self.fault == "resume" else start))
        if self.fault == "order":
            trees.reverse()
        if self.fault == "kept":
            trees = [replace(t, expansions=(replace(t.expansions[0], kept=(9,)), *t.expansions[1:])) for t in trees]
        if self.fault == "parent":
            trees = [replace(t, expansions=(replace(t.expansions[0], parent=(1, 0)), *t.expansions[1:])) for t in trees]
        if self.fault == "silent":
            trees = [replace(t, solutions=()) for t in trees]
        if self.fault == "partial":
            trees = [replace(t, solutions=((0, t.expansions[0].kept[0]),)) for t in trees]
        return iter(trees)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("order", "one tree a problem"),
        ("kept", "keeps"),
        ("parent", "kept candidate of an earlier"),
        ("silent", "why it was given up"),
        ("partial", "say why it ended"),
        ("resume", "from the second group on"),
    ],
)
def test_a_searcher_that_breaks_a_law_is_named(fault: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_searcher(Broken(fault), PROBLEMS, ScriptedEngine(policy), LengthJudge(), 3)


GRADED = {
    "auto": [("#### 12", "12", Grade.CORRECT), ("#### 13", "12", Grade.INCORRECT)],
    "exact": [("12", "12", Grade.CORRECT), ("13", "12", Grade.INCORRECT)],
    "gsm8k": [("So it is.\n#### 12", "12", Grade.CORRECT), ("I do not know.", "12", Grade.NO_ANSWER)],
    "math": [(r"\boxed{\frac{1}{2}}", "0.5", Grade.CORRECT), (r"\boxed{2}", "0.5", Grade.INCORRECT)],
}


@pytest.mark.parametrize("kind", sorted(GRADED))
def test_graders_hold_the_laws(kind: str) -> None:
    check_grader(GRADERS.create(kind), GRADED[kind])


def test_a_grader_that_takes_silence_for_an_answer_is_named() -> None:
    class Generous:
        def extract(self, solution: str) -> str | None:
            return None

        def grade(self, solution: str, answer: str) -> Grade:
            return Grade.CORRECT

    with pytest.raises(AssertionError, match="blank solution"):
        check_grader(Generous(), [])
    with pytest.raises(AssertionError, match="no answer was extracted"):
        check_grader(Generous(), [("12", "12", Grade.CORRECT)])


@pytest.mark.parametrize("kind", CHECKERS.names())
def test_every_checker_holds_the_laws(kind: str) -> None:
    check_checker(CHECKERS.create(kind), problems_of(kind), SPLITTERS.create("newline"))


def problems_of(kind: str) -> list[Problem]:
    """Those of the problem set of that name; operations have none, and those of arithmetic over few numbers will do."""
    if kind != "operations":
        return load_problems(kind, split="train", num=20, seed=3)
    made = [replace(one, kind=kind) for one in load_arithmetic(num=40, seed=3)]
    return [one for one in made if one.solution and len(one.solution.splitlines()) <= 4]


@pytest.mark.parametrize(("label", "message"), [(False, "right solution"), (None, "right solution"), (True, "unknown")])
def test_a_checker_that_breaks_a_law_is_named(label: bool | None, message: str) -> None:
    class Constant:
        def check(self, items: Sequence[Trajectory]) -> list[list[bool | None]]:
            return [[label] * len(item.steps) for item in items]

    with pytest.raises(AssertionError, match=message):
        check_checker(Constant(), load_arithmetic(num=3, seed=3), SPLITTERS.create("newline"))
