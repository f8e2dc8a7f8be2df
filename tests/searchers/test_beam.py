import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pytest

from presrm.config import SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import RequestError
from presrm.prompts import Prompt, PromptSet
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.types import Candidates, Judgement, Problem, SearchTree, Status, Stop


@dataclass
class ScoreJudge:
    """Scores a step by a function of the path that it ends; none is unreadable."""

    score: Callable[[str], float | None]
    scale: Literal["absolute", "relative"] = "absolute"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(self._one(item.prefix.text + step.text) for step in item.steps) for item in batch]

    def _one(self, path: str) -> Judgement:
        score = self.score(path)
        return Judgement(score) if score is not None else Judgement(None, Status.UNREADABLE)


def search(
    steps: dict[str, list[str]], score: Callable[[str], float | None], beam_width: int = 4, **options: object
) -> SearchTree:
    """Search one problem whose next steps are a table: path -> candidates; a step without line end ends it."""

    counts: dict[str, int] = {}

    def next_step(prompt: Prompt, rng: random.Random) -> str:
        path = "".join(step.text for step in prompt.reply)
        counts[path] = counts.get(path, -1) + 1
        step = steps[path][counts[path] % len(steps[path])]
        return step + "and so on" if step.endswith("\n") else step

    settings = SearchConfig(kind="beam", num_candidates=2, **options)
    beam = SEARCHERS.create(
        "beam",
        prompts=PromptSet("compact"),
        splitter=SPLITTERS.create("newline"),
        settings=settings,
        seed=0,
        beam_width=beam_width,
    )
    (tree,) = beam.search([Problem("p", "?")], ScriptedEngine(next_step), ScoreJudge(score))
    return tree


TREE = {"": ["a\n", "b\n"], "a\n": ["x", "y"], "b\n": ["z", "w"]}
WORTH = {"a\n": 0.6, "b\n": 0.5, "a\nx": 0.2, "a\ny": 0.1, "b\nz": 0.9, "b\nw": 0.3}


def texts(tree: SearchTree) -> list[str]:
    return [path.text for path in tree.solution_trajectories()]


def test_the_path_with_the_largest_product_comes_first_though_its_first_step_was_not_the_best() -> None:
    assert texts(search(TREE, WORTH.get, beam_width=2)) == ["b\nz", "b\nw"]


def test_a_beam_of_one_follows_the_best_step() -> None:
    assert texts(search(TREE, WORTH.get, beam_width=1)) == ["a\nx"]


def test_an_ended_path_holds_its_place_against_longer_ones() -> None:
    tree = search(
        {"": ["done", "b\n"], "b\n": ["z", "w"]}, {"done": 0.5, "b\n": 0.5, "b\nz": 0.9, "b\nw": 0.1}.get, beam_width=2
    )
    assert texts(tree) == ["done", "b\nz"]


def test_what_cannot_be_read_is_not_kept() -> None:
    tree = search(TREE, {**WORTH, "b\n": None}.get, beam_width=2)
    assert texts(tree) == ["a\nx", "a\ny"]
    assert search(TREE, lambda path: None).given_up == "no candidate had a readable score"


def test_a_path_stops_at_the_last_step_allowed() -> None:
    tree = search(TREE, WORTH.get, beam_width=2, max_steps=1)
    assert {path.stop for path in tree.solution_trajectories()} == {Stop.MAX_STEPS}


def test_every_candidate_that_goes_on_is_marked_as_kept() -> None:
    tree = search(TREE, WORTH.get, beam_width=2)
    assert [expansion.kept for expansion in tree.expansions] == [(0, 1), (), (0, 1)]


def test_a_relative_judge_is_refused() -> None:
    beam = SEARCHERS.create(
        "beam",
        prompts=PromptSet("compact"),
        splitter=SPLITTERS.create("newline"),
        settings=SearchConfig(),
        seed=0,
    )
    with pytest.raises(RequestError, match="relative"):
        list(beam.search([Problem("p", "?")], ScriptedEngine(lambda p, r: ""), ScoreJudge(WORTH.get, "relative")))
