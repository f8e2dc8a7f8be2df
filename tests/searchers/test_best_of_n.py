import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest

from presrm.config import SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.prompts import Prompt, PromptSet
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.types import Candidates, Judgement, Problem, SearchTree, Status


@dataclass
class ScoreJudge:
    """Scores a step by a function of its text; none is unreadable."""

    score: Callable[[str], float | None]
    scale: Literal["absolute", "relative"] = "absolute"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(self._one(step.text) for step in item.steps) for item in batch]

    def _one(self, text: str) -> Judgement:
        score = self.score(text)
        return Judgement(score) if score is not None else Judgement(None, Status.UNREADABLE)


def search(
    solutions: list[str], judge: ScoreJudge, unit: Literal["step", "solution"] = "step", kind: str = "best-of-n"
) -> SearchTree:
    rest = iter(solutions)

    def write(prompt: Prompt, rng: random.Random) -> str:
        return next(rest)

    searcher = SEARCHERS.create(
        kind,
        prompts=PromptSet("compact"),
        splitter=SPLITTERS.create("newline"),
        settings=SearchConfig(num_candidates=len(solutions), unit=unit),
        seed=0,
        **({"tie_tolerance": 0.0} if kind == "greedy" else {}),
    )
    (tree,) = searcher.search([Problem("p", "?")], ScriptedEngine(write), judge)
    return tree


def best(tree: SearchTree) -> list[str]:
    return [path.text for path in tree.solution_trajectories()]


def test_an_absolute_judge_scores_the_steps_and_a_solution_is_worth_their_product() -> None:
    worth = {"a\n": 0.9, "b": 0.1, "c\n": 0.5, "d": 0.5}
    tree = search(["a\nb", "c\nd", "a\nb"], ScoreJudge(worth.get))
    assert best(tree) == ["c\nd"]
    assert [round(one.judgement.score or 0, 3) for one in tree.expansions[0].candidates] == [0.09, 0.25, 0.09]


def test_a_relative_judge_compares_whole_solutions() -> None:
    assert best(search(["a\nb", "c\nd"], ScoreJudge({"a\nb": 0.2, "c\nd": 0.8}.get, "relative"))) == ["c\nd"]


def test_an_unreadable_step_makes_the_solution_unknown_not_bad() -> None:
    tree = search(["a\nb", "c"], ScoreJudge({"a\n": 1.0, "b": None, "c": 0.01}.get))
    assert best(tree) == ["c"]
    assert tree.expansions[0].candidates[0].judgement.status is Status.UNREADABLE


def test_with_nothing_readable_it_gives_up_unless_all_solutions_are_equal() -> None:
    assert search(["a", "b"], ScoreJudge(lambda text: None)).given_up == "no solution had a readable score"
    assert best(search(["a", "a"], ScoreJudge(lambda text: None))) == ["a"]


def test_no_steps_is_no_score() -> None:
    tree = search(["", "b"], ScoreJudge({"b": 0.3}.get))
    assert best(tree) == ["b"]
    assert tree.expansions[0].candidates[0].judgement.score is None


def test_by_solutions_an_absolute_judge_is_asked_once_of_each() -> None:
    asked: list[str] = []

    def score(text: str) -> float:
        asked.append(text)
        return {"a\nb": 0.2, "c\nd": 0.8, "e\nf": 1.0}[text]

    assert best(search(["a\nb", "c\nd", "a\nb"], ScoreJudge(score), unit="solution")) == ["c\nd"]
    assert asked == ["a\nb", "c\nd"]
    single = search(["e\nf", "e\nf"], ScoreJudge(score), unit="solution")
    assert [one.judgement.score for one in single.expansions[0].candidates] == [1.0, 1.0]


@pytest.mark.parametrize("kind", ["greedy", "beam"])
def test_a_search_by_solutions_takes_whole_ones_for_candidates(kind: str) -> None:
    tree = search(["a\nb", "c\nd", "e"], ScoreJudge(lambda text: len(text) / 9), unit="solution", kind=kind)

    (expansion,) = tree.expansions
    assert [one.step.text for one in expansion.candidates] == ["a\nb", "c\nd", "e"]
    assert best(tree)[0] == "a\nb"
