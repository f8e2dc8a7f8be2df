"""Monte-Carlo tree search on trees worked by hand."""

import random
from collections.abc import Sequence
from typing import Literal

import pytest

from presrm.config import PairsConfig, SearchConfig
from presrm.credit.pairs import mine_pairs
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError
from presrm.prompts import Prompt, PromptSet
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.testing import check_searcher
from presrm.types import Candidates, Judgement, Problem, SearchTree, Status

# The whole of a small world: which steps may follow which, and how the judge scores them; "!" ends a solution.
NEXT = {"": ["a\n", "b\n"], "a\n": ["c!", "d!"], "b\n": ["e!", "f!"]}
SCORES: dict[str, float | None] = {"a\n": 0.9, "b\n": 0.6, "c!": 0.1, "d!": 0.2, "e!": 0.8, "f!": 0.3}


class ByText:
    """Scores a step by its text; of what is composed, the last step's score counts."""

    def __init__(self, scores: dict[str, float | None], composition: Literal["last", "product"] = "last") -> None:
        self.scale: Literal["absolute", "relative"] = "absolute"
        self.composition = composition
        self.scores = scores

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(self._one(self.scores[step.text]) for step in item.steps) for item in batch]

    def _one(self, score: float | None) -> Judgement:
        return Judgement(None, Status.UNREADABLE) if score is None else Judgement(score)


class World(ScriptedEngine):
    """Gives both steps that may follow, in turn."""

    def __init__(self) -> None:
        super().__init__(lambda prompt, rng: "")
        self.num = 0
        self._reply = self.write  # type: ignore[method-assign]

    def write(self, prompt: Prompt, rng: random.Random) -> str:
        options = NEXT["".join(step.text for step in prompt.reply)]
        self.num += 1
        text = options[self.num % 2 - 1]
        return f"{text}more" if text.endswith("\n") else text


def search(judge: ByText, **options: object) -> SearchTree:
    searcher = SEARCHERS.create(
        "mcts",
        prompts=PromptSet("compact"),
        splitter=SPLITTERS.create("newline"),
        settings=SearchConfig(num_candidates=2, group_size=1),
        seed=0,
        **options,
    )
    (tree,) = searcher.search([Problem("p", "?")], World(), judge)
    return tree


def worths(tree: SearchTree) -> dict[str, float]:
    return {c.step.text: round(c.worth or 0, 3) for made in tree.expansions for c in made.candidates}


def test_a_look_ahead_turns_what_the_judge_thought_of_the_first_step() -> None:
    """Descents, with exploration 1: the root is expanded (a 0.9, b 0.6, one visit each); a has more promise, is
    expanded and takes the better of c and d, 0.2: (0.9 + 0.2) / 2 = 0.55 on two visits. Now b, 0.6 + sqrt(3) / 2 =
    1.466, beats a, 0.55 + sqrt(3) / 3 = 1.127, is expanded, and takes 0.8 of e: (0.6 + 0.8) / 2 = 0.7.
    """
    tree = search(ByText(SCORES), num_descents=3)

    assert [tree.prefix(i).text for i in range(3)] == ["", "a\n", "b\n"]
    assert worths(tree) == {"a\n": 0.55, "b\n": 0.7, "c!": 0.1, "d!": 0.2, "e!": 0.8, "f!": 0.3}
    assert [one.text for one in tree.solution_trajectories()] == ["b\ne!"]


def test_pairs_come_from_worth_at_every_depth() -> None:
    tree = search(ByText(SCORES), num_descents=3)

    by_worth = mine_pairs([tree], PairsConfig(by="worth"))

    assert [(pair.chosen.text, pair.rejected.text, round(pair.margin, 3)) for pair in by_worth.pairs] == [
        ("b\n", "a\n", 0.15),
        ("e!", "f!", 0.5),
    ]
    assert by_worth.dropped == {"left": 1}
    assert mine_pairs([tree], PairsConfig()).dropped["tie"] == 1  # by score alone b is the lowest


def test_a_complete_candidate_ends_a_descent_and_its_value_counts_again() -> None:
    """The fourth descent goes by b (0.7 on two visits) to e, which is complete: b becomes (0.6 + 0.8 + 0.8) / 3."""
    tree = search(ByText(SCORES), num_descents=4)

    assert len(tree.expansions) == 3
    assert worths(tree)["b\n"] == round(2.2 / 3, 3)


@pytest.mark.parametrize("exploration", [0.0, 1.0, 50.0])
def test_it_ends_within_its_budget_whatever_the_exploration(exploration: float) -> None:
    tree = search(ByText(SCORES), num_descents=200, exploration=exploration)

    assert 2 <= len(tree.expansions) <= 3
    assert len(tree.solutions) == 1


def test_what_the_judge_cannot_read_is_neither_bad_nor_followed() -> None:
    tree = search(ByText({**SCORES, "a\n": None}), num_descents=8)

    assert [tree.prefix(i).text for i in range(len(tree.expansions))] == ["", "b\n"]
    assert tree.expansions[0].candidates[0].worth is None
    dead = search(ByText({**SCORES, "e!": None, "f!": None, "c!": None, "d!": None}), num_descents=8)
    assert len(dead.expansions) == 3
    assert dead.given_up == "no solution within search.options.num_descents"
    assert search(ByText(dict.fromkeys(SCORES))).given_up == "no judgement was readable"


def test_scores_that_multiply_compare_paths_of_different_lengths() -> None:
    """The value of two steps of 0.9 is 0.9, and not less than that of one."""
    scores: dict[str, float | None] = {**SCORES, "a\n": 0.9, "d!": 0.9}

    assert worths(search(ByText(scores, "product"), num_descents=2)) == {"a\n": 0.9, "b\n": 0.6, "c!": 0.3, "d!": 0.9}


def test_a_relative_judge_is_refused() -> None:
    judge = ByText(SCORES)
    judge.scale = "relative"

    with pytest.raises(ConfigError, match="absolute scale"):
        search(judge)


def test_the_laws_of_searchers_hold() -> None:
    def write(prompt: Prompt, rng: random.Random) -> str:
        return "".join(f"{rng.randint(1, 3)}\n" for _ in range(3 - len(prompt.reply))) + "#### 1"

    class Digit:
        scale: Literal["absolute", "relative"] = "absolute"

        def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
            return [tuple(Judgement(int(step.text[-2:].strip()) / 9) for step in item.steps) for item in batch]

    searcher = SEARCHERS.create(
        "mcts",
        prompts=PromptSet("compact"),
        splitter=SPLITTERS.create("newline"),
        settings=SearchConfig(num_candidates=3, group_size=2),
        seed=1,
        num_descents=6,
    )
    check_searcher(
        searcher, [Problem(str(n), f"{n} + 1?") for n in range(5)], ScriptedEngine(write), Digit(), group_size=2
    )
