"""What a path is worth, by what the judge says of its scores: alone, in best of n and in beam search."""

import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig, SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.judges import JUDGES
from presrm.judges.jury import JuryJudge
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Composition, Judge, composition_of
from presrm.searchers import SEARCHERS
from presrm.searchers.worth import compose
from presrm.splitters import SPLITTERS
from presrm.testing import check_judge
from presrm.types import Candidates, Judgement, Problem, SearchTree, Status

REFUSED = Status.REFUSED


def judged(*scores: float | None) -> list[Judgement]:
    return [Judgement(None, REFUSED) if score is None else Judgement(score) for score in scores]


@pytest.mark.parametrize(
    ("scores", "product", "least", "last"),
    [
        ([0.5, 0.8, 0.9], 0.36, 0.5, 0.9),
        ([0.8], 0.8, 0.8, 0.8),
        ([1.0, 0.0, None], 0.0, 0.0, None),
        ([None, 0.0], 0.0, 0.0, 0.0),
        ([0.5, None, 0.9], None, None, 0.9),
        ([0.5, None], None, None, None),
        ([None, 0.5], None, None, 0.5),
        ([None], None, None, None),
    ],
)
def test_scores_compose_as_a_judge_says_and_zero_times_unknown_is_zero(
    scores: list[float | None], product: float | None, least: float | None, last: float | None
) -> None:
    ways: tuple[tuple[Composition, float | None], ...] = (("product", product), ("min", least), ("last", last))
    for way, worth in ways:
        found = compose(judged(*scores), way)
        assert found.score == (None if worth is None else pytest.approx(worth)), way
        assert found.status is (REFUSED if worth is None else Status.OK), way


def test_a_path_without_steps_is_unknown() -> None:
    assert compose([], "last") == compose([], "product") == Judgement(None, Status.UNREADABLE, "no steps")


def test_the_rationale_shows_every_step() -> None:
    assert compose(judged(1.0, 0.0, None), "min").rationale == "steps: 1.000 0.000 -"
    assert "0.500 -" in compose(judged(0.5, None), "product").rationale


KINDS: dict[str, tuple[dict[str, Any], Composition]] = {
    "additive": ({}, "last"),
    "callable": ({"options": {"function": "builtins:len"}}, "product"),
    "checker": ({}, "product"),
    "first-error": ({}, "min"),
    "inverse": ({}, "last"),
    "pointwise": ({}, "product"),
    "prm": ({"options": {"model": "nowhere"}}, "product"),
    "jury": ({"options": {"judges": ["additive", "additive"]}}, "last"),
}


def make(kind: str, reply: Callable[[Prompt, random.Random], str] = lambda prompt, rng: "", **settings: Any) -> Judge:
    return make_judge(JudgeConfig(kind=kind, **settings), ScriptedEngine(reply), PromptSet("paper"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_absolute_judge_says_how_its_scores_compose(kind: str) -> None:
    settings, composition = KINDS[kind]
    assert composition_of(make(kind, **settings)) == composition


def test_of_every_registered_judge_it_is_known() -> None:
    assert {*KINDS, "pairwise", "listwise", "noisy"} == set(JUDGES.names())


@pytest.mark.parametrize(("kind", "composition"), [("additive", "last"), ("pointwise", "product")])
def test_votes_compose_as_the_judge_that_is_voted_with(kind: str, composition: str) -> None:
    assert composition_of(make(kind, votes=3, temperature=0.7)) == composition


class Says:
    """A judge of a composition; without one it does not say."""

    scale: Literal["absolute", "relative"] = "absolute"

    def __init__(self, composition: str | None, score: Callable[[str], float | None] = lambda path: 0.5) -> None:
        self.score = score
        if composition is not None:
            self.composition = composition

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(judged(*(self.score(item.prefix.text + s.text) for s in item.steps))) for item in batch]


def test_a_judge_that_does_not_say_is_taken_for_a_product() -> None:
    assert composition_of(Says(None)) == "product"
    check_judge(Says(None))


def test_the_laws_of_judges_know_the_ways_to_compose() -> None:
    check_judge(Says("min"))
    with pytest.raises(AssertionError, match="composition must be one of 'product', 'last', 'min', not 'mean'"):
        check_judge(Says("mean"))


@pytest.mark.parametrize(
    ("members", "composition"),
    [(["last", "last"], "last"), ([None, "product"], "product"), (["last", "product"], "min"), (["min"], "min")],
)
def test_a_jury_composes_as_its_members_and_by_the_worst_step_where_they_differ(
    members: list[str | None], composition: str
) -> None:
    assert composition_of(JuryJudge({str(i): Says(member) for i, member in enumerate(members)})) == composition


def search(
    kind: str,
    judge: Judge,
    reply: Callable[[Prompt, random.Random], str],
    num: int,
    max_step_tokens: int = 256,
    **options: Any,
) -> SearchTree:
    searcher = SEARCHERS.create(
        kind,
        prompts=PromptSet("compact"),
        splitter=SPLITTERS.create("newline"),
        settings=SearchConfig(kind=kind, num_candidates=num, max_step_tokens=max_step_tokens),
        seed=0,
        **options,
    )
    (tree,) = searcher.search([Problem("p", "?")], ScriptedEngine(reply), judge)
    return tree


def worths(tree: SearchTree) -> dict[str, float | None]:
    return {one.step.text: one.judgement.score for one in tree.expansions[0].candidates}


def best_of(judge: Judge, *solutions: str) -> SearchTree:
    rest = iter(solutions)
    return search("best-of-n", judge, lambda prompt, rng: next(rest), len(solutions))


def test_best_of_n_does_not_favour_short_solutions_before_a_judge_of_the_whole() -> None:
    def points(prompt: Prompt, rng: random.Random) -> str:
        return "[[4]]" if "detailed" in prompt.text else "[[3]]"

    tree = best_of(make("additive", points), "short", "detailed\nand\nright")
    assert worths(tree) == {"short": 0.6, "detailed\nand\nright": 0.8}
    assert [path.text for path in tree.solution_trajectories()] == ["detailed\nand\nright"]


def test_best_of_n_rejects_a_solution_with_an_error_in_the_middle() -> None:
    def first_error(prompt: Prompt, rng: random.Random) -> str:
        return "\\boxed{1}" if "bad" in prompt.text else "\\boxed{-1}"

    tree = best_of(make("first-error", first_error), "a\nbad\nc\nd", "a\nb\nc")
    assert worths(tree) == {"a\nbad\nc\nd": 0.0, "a\nb\nc": 1.0}
    assert [path.text for path in tree.solution_trajectories()] == ["a\nb\nc"]


NEXT = {"": ["a\n", "b\n"], "a\n": ["x", "y"], "b\n": ["z", "w"]}
SCORES = {"a\n": 0.9, "b\n": 0.4, "a\nx": 0.3, "a\ny": 0.2, "b\nz": 0.7, "b\nw": 0.8}


@pytest.mark.parametrize(
    ("composition", "expected"),
    [
        ("product", {"a\nx": 0.27, "b\nw": 0.32, "b\nz": 0.28, "a\ny": 0.18}),
        ("last", {"a\nx": 0.3, "b\nw": 0.8, "b\nz": 0.7, "a\ny": 0.2}),
        ("min", {"a\nx": 0.3, "b\nw": 0.4, "b\nz": 0.4, "a\ny": 0.2}),
    ],
)
def test_a_beam_ranks_paths_as_the_scores_of_its_judge_compose(composition: str, expected: dict[str, float]) -> None:
    tree = search("beam", Says(composition, SCORES.get), in_turn(NEXT), 2, beam_width=3)

    places = [(n, i) for n in range(1, len(tree.expansions)) for i in range(2)]
    found = {tree.trajectory(place).text: tree.expansions[place[0]].candidates[place[1]].worth for place in places}
    assert found == {text: pytest.approx(worth) for text, worth in expected.items()}
    best = [path.text for path in tree.solution_trajectories()]
    assert best == sorted(expected, key=lambda text: -round(expected[text], 9))[:3] or composition == "min"
    assert set(best) == {"b\nw", "b\nz", "a\nx"}


def in_turn(steps: dict[str, list[str]]) -> Callable[[Prompt, random.Random], str]:
    counts: dict[str, int] = {}

    def reply(prompt: Prompt, rng: random.Random) -> str:
        path = "".join(step.text for step in prompt.reply)
        counts[path] = counts.get(path, -1) + 1
        step = steps[path][counts[path] % len(steps[path])]
        return step + "and so on" if step.endswith("\n") else step

    return reply


def test_a_beam_keeps_a_worthless_path_as_known_and_no_unknown_one() -> None:
    scores = {"a\n": 0.0, "b\n": 0.5, "a\nx": None, "a\ny": 0.5, "b\nz": None, "b\nw": 0.5}
    tree = search("beam", Says("product", scores.get), in_turn(NEXT), 2, beam_width=4)

    found = [one.worth for expansion in tree.expansions[1:] for one in expansion.candidates]
    assert sorted(found, key=str) == [0.0, 0.0, 0.25, None]
    assert next(tree.solution_trajectories()).text == "b\nw"


def test_a_candidate_that_was_cut_off_has_no_worth_even_behind_a_wrong_step() -> None:
    reply = in_turn({"": ["a\n"], "a\n": ["x" * 50, "y"]})
    tree = search("beam", Says("product", {"a\n": 0.0, "a\ny": 0.5}.get), reply, 2, beam_width=2, max_step_tokens=20)
    worth = {one.step.text[0]: one.worth for one in tree.expansions[-1].candidates}
    assert worth == {"x": None, "y": 0.0}
