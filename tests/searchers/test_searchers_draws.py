"""What every searcher asks of an engine: a draw belongs to the place in a problem's tree that it is made for."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from presrm.config import SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Request, Searcher
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.types import Candidates, Judgement, Problem, SearchTree, Status, Stop

KINDS = SEARCHERS.names()
SAME = [Problem(str(number), "What is it?") for number in range(7)]  # only their places tell them apart


class Recording(ScriptedEngine):
    """Remembers what was asked, one list a call."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.calls: list[list[Request]] = []

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.calls.append(list(requests))
        return super().generate(requests)

    @property
    def seeds(self) -> list[int]:
        return [request.seed for call in self.calls for request in call]


@dataclass
class DigitJudge:
    """A step is worth the number in it, in thousandths."""

    scale: Literal["absolute", "relative"] = "absolute"
    seen: list[Candidates] = field(default_factory=list)

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        self.seen += batch
        return [tuple(Judgement(self.worth(step.text)) for step in item.steps) for item in batch]

    @staticmethod
    def worth(text: str) -> float:
        return int("".join(filter(str.isdigit, text))) / 1000


def wander(prompt: Prompt, rng: random.Random) -> str:
    """Some of up to three steps, by the seed alone."""
    rest = [f"step {rng.randrange(1000)}\n" for _ in range(3 - len(prompt.reply))]
    return "".join(rest) + f"end {rng.randrange(1000)}"


def make(kind: str, seed: int = 0, **settings: Any) -> Searcher:
    return SEARCHERS.create(
        kind,
        prompts=PromptSet("compact"),
        splitter=SPLITTERS.create("newline"),
        settings=SearchConfig(kind=kind, **{"num_candidates": 3, "group_size": 3} | settings),
        seed=seed,
        **{"tie_tolerance": 0.0} if kind == "greedy" else {},
    )


def search(
    kind: str, problems: Sequence[Problem] = SAME, start: int = 0, engine: ScriptedEngine | None = None, **options: Any
) -> list[SearchTree]:
    return list(make(kind, **options).search(problems, engine or Recording(wander), DigitJudge(), start))


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_requests_of_a_search_share_their_draws(kind: str) -> None:
    engine = Recording(wander)
    trees = search(kind, engine=engine)

    assert len(engine.seeds) >= len(SAME)
    assert len(set(engine.seeds)) == len(engine.seeds), "nor do equal problems, nor the paths of one"
    assert len({trajectory.text for tree in trees for trajectory in tree.solution_trajectories()}) >= len(SAME)


@pytest.mark.parametrize("kind", KINDS)
def test_with_another_seed_everything_is_drawn_anew(kind: str) -> None:
    one, other = Recording(wander), Recording(wander)
    assert search(kind, engine=one, seed=1) != search(kind, engine=other, seed=2)
    assert not set(one.seeds) & set(other.seeds)


@pytest.mark.parametrize("start", [3, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_a_search_that_begins_in_the_middle_gives_the_trees_of_the_whole_one(kind: str, start: int) -> None:
    whole = search(kind)
    assert search(kind, SAME[start:], start) == whole[start:]
    assert search(kind, SAME, 3)[0].expansions != whole[0].expansions


@pytest.mark.parametrize("kind", KINDS)
def test_unless_told_the_first_problem_given_is_the_first_of_all(kind: str) -> None:
    assert list(make(kind).search(SAME, Recording(wander), DigitJudge())) == search(kind, start=0)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_begin_with_the_first_problem_given(kind: str) -> None:
    engine = Recording(wander)
    trees = make(kind).search(SAME[:5], engine, DigitJudge(), 2)

    next(trees)  # numbers 2, 3 and 4 are the first group
    assert len(engine.calls[0]) == 3
    before = len(engine.calls)
    next(trees)
    next(trees)
    assert len(engine.calls) == before
    next(trees)
    assert len(engine.calls[before]) == 2, "then come numbers 5 and 6 together"


@pytest.mark.parametrize(("kind", "num_tokens"), [("beam", 11), ("best-of-n", 44), ("greedy", 11)])
def test_settings_of_the_search_are_what_is_asked_for(kind: str, num_tokens: int) -> None:
    engine = Recording(wander)
    search(kind, engine=engine, temperature=0.7, top_p=0.9, max_step_tokens=11, max_steps=4, num_candidates=5)

    for request in (request for call in engine.calls for request in call):
        sampling = request.sampling
        assert (request.num, sampling.temperature, sampling.top_p) == (5, 0.7, 0.9)
        assert sampling.max_tokens == num_tokens, "a whole solution may be as long as all of its steps"


@pytest.mark.parametrize("kind", ["beam", "greedy"])
def test_each_step_is_asked_for_behind_those_of_its_path(kind: str) -> None:
    engine = Recording(wander)
    trees = search(kind, SAME[:1], engine=engine)

    asked = [tuple(step.text for step in request.prompt.reply) for call in engine.calls for request in call]
    made = [tuple(step.text for step in trees[0].prefix(number).steps) for number in range(len(trees[0].expansions))]
    assert asked == made
    assert max(map(len, asked)) == 3


@pytest.mark.parametrize(
    ("stop", "reason", "status"),
    [
        (Stop.MAX_TOKENS, "all candidates were cut off", Status.TRUNCATED),
        (Stop.NO_ROOM, "no room for a reply", Status.REFUSED),
        (Stop.FILTERED, "all candidates were withheld", Status.REFUSED),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_where_no_candidate_is_whole_the_problem_is_given_up_and_nothing_is_judged(
    kind: str, stop: Stop, reason: str, status: Status
) -> None:
    class Stops(ScriptedEngine):
        def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
            return [[Completion(f"half {number}", (1,), stop) for number in range(one.num)] for one in requests]

    judge = DigitJudge()
    (tree,) = make(kind).search(SAME[:1], Stops(wander), judge)
    assert (tree.solutions, tree.given_up, judge.seen) == ((), reason, [])
    judgements = [candidate.judgement for candidate in tree.expansions[0].candidates]
    assert [(one.score, one.status) for one in judgements] == [(None, status)] * 3


@pytest.mark.parametrize("kind", KINDS)
def test_one_withheld_candidate_among_whole_ones_is_never_kept(kind: str) -> None:
    class Withholds(ScriptedEngine):
        def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
            return [
                [Completion("9", (), Stop.FILTERED), Completion("3", (3,), Stop.EOS), Completion("4", (4,), Stop.EOS)]
                for _ in requests
            ]

    judge = DigitJudge()
    (tree,) = make(kind).search(SAME[:1], Withholds(wander), judge)
    assert {step.text for item in judge.seen for step in item.steps} == {"3", "4"}
    assert next(tree.solution_trajectories()).text == "4"
    first = tree.expansions[0]
    assert (first.candidates[0].judgement.status, 0 in first.kept) == (Status.REFUSED, False)


@pytest.mark.parametrize(("kind", "is_judged"), [("beam", True), ("greedy", False), ("best-of-n", True)])
def test_a_single_distinct_candidate_is_judged_where_paths_are_compared_by_score(kind: str, is_judged: bool) -> None:
    judge = DigitJudge()
    (tree,) = make(kind).search(SAME[:1], ScriptedEngine(lambda prompt, rng: "4"), judge)

    assert bool(judge.seen) is is_judged
    assert [path.text for path in tree.solution_trajectories()] == ["4"]
    assert {one.judgement.score for one in tree.expansions[0].candidates} == ({0.004} if is_judged else {None})


def test_best_of_n_asks_a_relative_judge_nothing_of_a_single_distinct_solution_and_all_of_the_others() -> None:
    replies = iter(["7", "7", "7", "1", "8", "3"])
    judge = DigitJudge("relative")
    alone, several = make("best-of-n").search(SAME[:2], ScriptedEngine(lambda prompt, rng: next(replies)), judge)

    assert [[step.text for step in item.steps] for item in judge.seen] == [["1", "8", "3"]]
    assert [path.text for tree in (alone, several) for path in tree.solution_trajectories()] == ["7", "8"]
    assert {one.judgement.score for one in alone.expansions[0].candidates} == {None}


@pytest.mark.parametrize("kind", ["beam", "greedy"])
def test_where_a_search_is_given_up_later_on_the_reason_is_that_of_its_last_step(kind: str) -> None:
    def reply(prompt: Prompt, rng: random.Random) -> str:
        return "too long to be a step" if prompt.reply else f"{rng.randrange(1000)}\nso"

    (tree,) = search(kind, SAME[:1], engine=ScriptedEngine(reply), max_step_tokens=10)
    assert (tree.solutions, tree.given_up) == ((), "all candidates were cut off")


@pytest.mark.parametrize("kind", ["beam", "greedy"])
def test_the_limit_of_steps_ends_what_nothing_else_ends(kind: str) -> None:
    class Ends(ScriptedEngine):
        def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
            ends = {"5": None, "6": Stop.EOS, "7 #### 7": None, "8": Stop.MAX_TOKENS}
            return [[Completion(text, (1,), stop) for text, stop in ends.items()] for _ in requests]

    options = {"max_steps": 1, "num_candidates": 4, "answer_marks": ("####",)}
    (tree,) = make(kind, **options).search(SAME[:1], Ends(wander), DigitJudge())
    stops = [candidate.step.stop for candidate in tree.expansions[0].candidates]
    assert stops == [Stop.MAX_STEPS, Stop.EOS, Stop.ANSWER, Stop.MAX_TOKENS]
