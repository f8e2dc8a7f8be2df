import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from presrm.config import SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import JudgeError
from presrm.judges.pairwise import PairwiseJudge
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Judge, Request
from presrm.searchers import SEARCHERS
from presrm.searchers.greedy import GreedySearcher
from presrm.types import Candidates, Judgement, Problem, SearchTree, Status, Step, Stop

PROMPTS = PromptSet("compact")


@dataclass
class Lines:
    stop: Sequence[str] = ("\n",)

    def split(self, text: str) -> list[str]:
        return text.splitlines(keepends=True)


@dataclass
class ScoreJudge:
    """Scores a step by a function of its text; none is unreadable."""

    score: Callable[[str], float | None]
    scale: Literal["absolute", "relative"] = "relative"
    seen: list[list[list[str]]] = field(default_factory=list)

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        self.seen.append([[step.text for step in item.steps] for item in batch])
        return [tuple(self._one(step) for step in item.steps) for item in batch]

    def _one(self, step: Step) -> Judgement:
        score = self.score(step.text)
        return Judgement(None, Status.UNREADABLE) if score is None else Judgement(score)


class Script(ScriptedEngine):
    """Gives each expansion its candidates from a list: one list of replies an expansion, in order, of one problem."""

    def __init__(self, *expansions: list[str]) -> None:
        super().__init__(lambda prompt, rng: "")
        self._expansions = iter(expansions)
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.requests += requests
        return [
            [ScriptedEngine(lambda prompt, rng, text=text: text).generate([request])[0][0] for text in expansion]
            for request, expansion in zip(requests, self._expansions, strict=False)
        ]


def searcher(tie_tolerance: float = 0.0, seed: int = 0, **options: Any) -> GreedySearcher:
    own = {name: options.pop(name) for name in ("max_rollbacks", "unanimous") if name in options}
    settings = SearchConfig(**{"num_candidates": 2, **options})
    return GreedySearcher(PROMPTS, Lines(), settings, tie_tolerance=tie_tolerance, seed=seed, **own)


def search_one(engine: Script, judge: Judge, **options: Any) -> SearchTree:
    [tree] = searcher(**options).search([Problem("p", "?")], engine, judge)
    return tree


def by_digit(text: str) -> float:
    """The number that stands in a step, tenths."""
    return int("".join(filter(str.isdigit, text)) or "0") / 10


def test_the_best_candidate_continues_until_the_end_token() -> None:
    engine = Script(["a1\n.", "a3\n.", "a2\n."], ["b1", "b0\n."])

    tree = search_one(engine, ScoreJudge(by_digit))
    assert [expansion.kept for expansion in tree.expansions] == [(1,), (0,)]
    assert [expansion.parent for expansion in tree.expansions] == [None, (0, 1)]
    [solution] = tree.solution_trajectories()
    assert (solution.text, solution.stop) == ("a3\nb1", Stop.EOS)
    assert (tree.dropped, tree.given_up) == ((), None)


def test_the_prefix_of_the_next_request_is_the_kept_step_as_generated() -> None:
    engine = Script(["a1\n.", "a3\n."], ["b1", "b0"])

    search_one(engine, ScoreJudge(by_digit), temperature=0.7, top_p=0.9, max_step_tokens=11)
    first, second = engine.requests
    assert first.prompt.reply == ()
    assert second.prompt.reply == (Step("a3\n", tuple(map(ord, "a3\n"))),)
    sampling = (first.num, first.sampling.temperature, first.sampling.top_p, first.sampling.max_tokens)
    assert sampling == (2, 0.7, 0.9, 11)
    assert first.seed != second.seed


def test_a_tie_drops_the_step_before_and_its_pair_and_expands_there_anew() -> None:
    engine = Script(["a1\n.", "a3\n."], ["b1", "c1"], ["a2\n.", "a0\n."], ["b1", "b0"])

    tree = search_one(engine, ScoreJudge(by_digit))
    assert [expansion.kept for expansion in tree.expansions] == [(1,), (), (0,), (0,)]
    assert [expansion.parent for expansion in tree.expansions] == [None, (0, 1), None, (2, 0)]
    assert tree.dropped == (0,)
    assert [solution.text for solution in tree.solution_trajectories()] == ["a2\nb1"]
    assert len({request.seed for request in engine.requests}) == 4, "a new expansion is a new draw"


def test_a_tie_at_the_first_step_gives_the_problem_up() -> None:
    tree = search_one(Script(["a1\n", "b1\n"]), ScoreJudge(by_digit))

    assert (tree.solutions, tree.given_up) == ((), "a tie at the first step")
    assert tree.expansions[0].kept == ()


def test_roll_backs_are_bounded() -> None:
    step, tie = ["a1\n.", "a3\n."], ["b1", "c1"]

    tree = search_one(Script(step, tie, step, tie, step, tie), ScoreJudge(by_digit), max_rollbacks=2)
    assert (tree.dropped, tree.given_up) == ((0, 2), "a tie after 2 roll-backs")

    tree = search_one(Script(step, tie), ScoreJudge(by_digit), max_rollbacks=0)
    assert (tree.dropped, tree.given_up) == ((), "a tie after 0 roll-backs")


def test_scores_within_the_tolerance_tie() -> None:
    assert search_one(Script(["a1\n", "b3\n"]), ScoreJudge(by_digit), tie_tolerance=0.25).given_up is not None
    assert search_one(Script(["a1", "b3"]), ScoreJudge(by_digit), tie_tolerance=0.15).given_up is None


def test_of_several_best_candidates_the_first_sampled_continues() -> None:
    tree = search_one(Script(["a1", "c5", "b5"]), ScoreJudge(by_digit))

    assert tree.expansions[0].kept == (1,)


def test_duplicates_are_judged_once_and_share_the_judgement() -> None:
    judge = ScoreJudge(by_digit)

    tree = search_one(Script(["a1", "b2", "a1", "b2"]), judge)
    assert judge.seen == [[["a1", "b2"]]]
    assert [one.judgement.score for one in tree.expansions[0].candidates] == [0.1, 0.2, 0.1, 0.2]
    assert len(tree.expansions[0].candidates) == 4


def test_one_distinct_candidate_is_accepted_without_asking_the_judge() -> None:
    judge = ScoreJudge(by_digit)

    tree = search_one(Script(["a1", "a1"]), judge)
    assert (tree.expansions[0].kept, tree.given_up, judge.seen) == ((0,), None, [])
    assert [one.judgement.status for one in tree.expansions[0].candidates] == [Status.UNREADABLE] * 2


def test_or_it_rolls_back_as_the_papers_letter_would() -> None:
    engine = Script(["a1\n.", "a3\n."], ["b1", "b1"], ["a1\n.", "a3\n."], ["b1", "b0"])
    tree = search_one(engine, ScoreJudge(by_digit), unanimous="roll_back")
    assert (tree.dropped, tree.given_up) == ((0,), None)

    tree = search_one(Script(["a1", "a1"]), ScoreJudge(by_digit), unanimous="roll_back")
    assert tree.given_up == "one distinct candidate at the first step"


def test_a_candidate_that_was_cut_off_is_never_judged_and_never_kept() -> None:
    judge = ScoreJudge(by_digit)

    tree = search_one(Script(["a99999", "a1", "a2"]), judge, max_step_tokens=3)
    assert judge.seen == [[["a1", "a2"]]]
    assert tree.expansions[0].candidates[0].judgement.status is Status.TRUNCATED
    assert tree.expansions[0].kept == (2,)

    tree = search_one(Script(["a99999", "a1"]), judge, max_step_tokens=3)
    assert tree.expansions[0].kept == (1,), "the only whole candidate is accepted as unanimous"

    tree = search_one(Script(["a99999", "b99999"]), judge, max_step_tokens=3)
    assert (tree.expansions[0].kept, tree.given_up) == ((), "all candidates were cut off")


def test_without_any_readable_judgement_the_problem_is_given_up() -> None:
    tree = search_one(Script(["a1", "a2"]), ScoreJudge(lambda text: None))

    assert (tree.expansions[0].kept, tree.given_up) == ((), "no judgement was readable")


def test_with_one_readable_candidate_that_one_is_kept() -> None:
    tree = search_one(Script(["a1", "a2"]), ScoreJudge(lambda text: 0.0 if text == "a2" else None))

    assert (tree.expansions[0].kept, tree.given_up) == ((1,), None)


def test_an_answer_mark_ends_the_solution_without_an_end_token() -> None:
    tree = search_one(Script(["#### 5\nmore", "a0\n."]), ScoreJudge(by_digit), answer_marks=("####",))

    [solution] = tree.solution_trajectories()
    assert (solution.text, solution.stop) == ("#### 5\n", Stop.ANSWER)


def test_a_step_that_ends_by_its_end_token_says_so_even_with_an_answer_mark() -> None:
    tree = search_one(Script(["#### 5", "a0\n."]), ScoreJudge(by_digit), answer_marks=("####",))

    assert [one.step.stop for one in tree.expansions[0].candidates] == [Stop.EOS, None]


def test_the_last_step_that_is_allowed_ends_the_solution() -> None:
    step = ["a1\n.", "a2\n."]

    tree = search_one(Script(step, step, step), ScoreJudge(by_digit), max_steps=2)
    [solution] = tree.solution_trajectories()
    assert (solution.text, solution.stop) == ("a2\na2\n", Stop.MAX_STEPS)


def test_an_empty_candidate_ends_the_solution_like_any_other() -> None:
    tree = search_one(Script(["", "a0\n."]), ScoreJudge(lambda text: float(text == "")))

    assert tree.expansions[0].kept == (0,)
    [solution] = tree.solution_trajectories()
    assert (solution.steps[0].text, solution.stop) == ("", Stop.EOS)


class CountingEngine(ScriptedEngine):
    calls = 0

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.calls += 1
        return super().generate(requests)


def wander(prompt: Prompt, rng: random.Random) -> str:
    """Solutions of random length and steps, by the seed alone."""
    if len(prompt.reply) >= len(prompt.text) % 3 + 1:
        return f"end {rng.randrange(3)}"
    return f"step {rng.randrange(4)}\nnext"


MANY = [Problem(str(number), "?" * number) for number in range(7)]


def test_a_round_is_one_call_of_each_for_all_live_problems_of_a_group() -> None:
    engine, judge = CountingEngine(wander), ScoreJudge(by_digit)

    trees = list(searcher(group_size=7, num_candidates=3).search(MANY, engine, judge))
    assert [tree.problem for tree in trees] == MANY
    rounds = max(len(tree.expansions) for tree in trees)
    assert engine.calls == rounds
    assert len(judge.seen) <= rounds


def test_trees_come_when_their_group_is_finished() -> None:
    engine = CountingEngine(wander)
    trees = searcher(group_size=3).search(MANY, engine, ScoreJudge(by_digit))

    for _ in range(3):
        next(trees)
    calls = engine.calls
    next(trees)
    assert engine.calls > calls > 0


@pytest.mark.parametrize("start", [3, 6])
def test_a_group_gives_the_same_trees_whether_or_not_those_before_it_ran(start: int) -> None:
    def run(problems: Sequence[Problem], start: int, seed: int = 0) -> list[SearchTree]:
        found = searcher(group_size=3, seed=seed).search(problems, ScriptedEngine(wander), ScoreJudge(by_digit), start)
        return list(found)

    whole = run(MANY, 0)
    assert run(MANY[start:], start) == whole[start:]
    assert run(MANY, 0, seed=1) != whole


def test_a_judge_that_raises_is_named() -> None:
    def fail(text: str) -> float:
        raise ZeroDivisionError("no")

    with pytest.raises(JudgeError, match="judge 'ScoreJudge' raised ZeroDivisionError: no"):
        search_one(Script(["a", "b"]), ScoreJudge(fail))


@pytest.mark.parametrize("given", [[], [()], [(Judgement(1.0),)], [(Judgement(1.0),) * 3], [(1.0, 0.0)]])
def test_a_judge_that_gives_another_shape_is_refused(given: list[Any]) -> None:
    class Wrong(ScoreJudge):
        def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
            return given

    with pytest.raises(JudgeError, match="judge 'Wrong' gave "):
        search_one(Script(["a", "b"]), Wrong(by_digit))


def test_the_registered_searcher_runs_with_the_policy_as_its_own_judge() -> None:
    def policy(prompt: Prompt, rng: random.Random) -> str:
        shown = [part.text for part in prompt.tail if part.is_content]
        if shown:
            return "[[A]]" if by_digit(shown[0]) > by_digit(shown[1]) else "[[B]]"
        return "".join([f"{rng.randrange(9)}\n", f"{rng.randrange(9)}"][len(prompt.reply) :])

    engine = ScriptedEngine(policy)
    greedy = SEARCHERS.create(
        "greedy", prompts=PROMPTS, splitter=Lines(), settings=SearchConfig(), tie_tolerance=0.0, seed=0
    )
    [tree] = greedy.search([Problem("p", "Give two digits.")], engine, PairwiseJudge(engine, PROMPTS))

    best = [
        max((one.step for one in expansion.candidates), key=lambda step: by_digit(step.text))
        for expansion in tree.expansions
    ]
    [solution] = tree.solution_trajectories()
    assert [step.text for step in solution.steps] == [step.text for step in best]
