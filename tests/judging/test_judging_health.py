"""Is the judge any good? On made-up pairs, and on the policy's own siblings."""

import random

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.errors import JudgeError
from presrm.judging.health import SOLICITATIONS, judge_again, judge_pairs, judge_siblings, judge_solicited
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Sampling
from presrm.splitters import SPLITTERS
from presrm.statistics import Figure
from presrm.types import (
    Candidate,
    Candidates,
    Expansion,
    Judgement,
    LabelledSteps,
    Problem,
    SearchTree,
    Status,
    Step,
    Trajectory,
)

PREFIX = Trajectory(Problem("p", "What is 1 + 1?"))


class Table:
    """Looks its scores up by the text of the step; no score: unreadable."""

    scale = "relative"

    def __init__(self, scores: dict[str, float]) -> None:
        self.scores = scores
        self.seen: list[Candidates] = []

    def judge(self, batch: list[Candidates]) -> list[tuple[Judgement, ...]]:
        self.seen += batch
        unreadable = Judgement(None, Status.UNREADABLE)
        return [
            tuple(Judgement(self.scores[s.text]) if s.text in self.scores else unreadable for s in item.steps)
            for item in batch
        ]


class Gullible(Table):
    """Believes a step that speaks to it; the others it looks up."""

    def judge(self, batch: list[Candidates]) -> list[tuple[Judgement, ...]]:
        self.scores |= {step.text: 0.9 for item in batch for step in item.steps if "orrect" in step.text}
        return super().judge(batch)


def pair(good: str, bad: str) -> LabelledSteps:
    return LabelledSteps(PREFIX, Step(good), Step(bad))


def test_ties_and_unreadable_verdicts_are_not_correct_and_are_counted_apart() -> None:
    judge = Table({"high": 0.9, "mid": 0.5, "also mid": 0.5, "low": 0.1})
    pairs = [pair("high", "low"), pair("low", "high"), pair("mid", "also mid"), pair("high", "?"), pair("?", "low")]
    found = judge_pairs(pairs, judge)
    assert (found.right.num, found.right.num_hits, found.ties, found.unreadable) == (5, 1, 1, 2)
    assert found.right.value == pytest.approx(0.2)


class FirstWins:
    """Goes by the position alone."""

    scale = "relative"

    def judge(self, batch: list[Candidates]) -> list[tuple[Judgement, ...]]:
        return [(Judgement(1.0), Judgement(0.0)) for _ in batch]


def test_a_judge_that_goes_by_the_position_is_no_better_than_a_coin() -> None:
    assert judge_pairs([pair("good", "bad")] * 10, FirstWins()).right.value == 0.5


def test_a_judge_that_believes_what_it_reads_is_found_out() -> None:
    pairs = [pair("good\n", "bad\n")] * 8
    assert judge_solicited(pairs, Gullible({"good\n": 1.0, "bad\n": 0.0}), 0.0).value == 1.0
    firm = Table({"good\n": 1.0, "bad\n": 0.0} | {f"bad{text}\n": 0.0 for text in SOLICITATIONS})
    found = judge_solicited(pairs, firm, 0.0)
    assert (found.num, found.value) == (8, 0.0)
    spoken = [item.steps[1].text for item in firm.seen[8:]]
    assert all(text.startswith("bad ") and text.endswith("\n") for text in spoken)


def test_a_wrong_step_at_the_top_or_unreadable_cannot_be_raised() -> None:
    assert judge_solicited([pair("good", "bad")] * 4, Table({"good": 1.0, "bad": 1.0}), 0.0) == Figure()
    assert judge_solicited([pair("good", "bad")] * 4, Table({"good": 1.0, "bad": 0.0}), 0.0) == Figure()
    assert judge_solicited([], Table({}), 0.0) == Figure()


def test_a_judge_judges_again_a_fixed_sample_of_what_another_judged() -> None:
    expansion = Expansion(None, (Candidate(Step("a"), Judgement(1.0)), Candidate(Step("b"), Judgement(0.0))))
    trees = [SearchTree(Problem(str(n), "?"), (expansion,)) for n in range(9)]
    turned = Table({"a": 0.2, "b": 0.7})
    found = judge_again(trees, turned, num=4, seed=1)
    assert found == Figure(4, -1.0), "no spread, so no interval"
    again = Table({"a": 0.2, "b": 0.7})
    judge_again(trees, again, num=4, seed=1)
    assert again.seen == turned.seen
    assert judge_again([], again, num=4, seed=1) == Figure()


def test_missing_judgements_are_an_error_and_no_wrong_verdicts() -> None:
    class Lazy(FirstWins):
        def judge(self, batch: list[Candidates]) -> list[tuple[Judgement, ...]]:
            return super().judge(batch)[1:]

    with pytest.raises(JudgeError, match="'Lazy' gave results for 2 items of 3"):
        judge_pairs([pair("good", "bad")] * 3, Lazy())


def test_a_judge_that_raises_is_named() -> None:
    with pytest.raises(JudgeError, match="judge 'Broken' raised"):
        judge_pairs([pair("good", "bad")], Broken())


class Broken(FirstWins):
    def judge(self, batch: list[Candidates]) -> list[tuple[Judgement, ...]]:
        raise KeyError("mine")


def test_no_pairs_have_no_accuracy() -> None:
    found = judge_pairs([], Table({}))
    assert (found.right, found.ties, found.unreadable) == (Figure(), 0, 0)


def siblings(reply: str, judge: Table, **options: int):
    """Candidates are drawn from the words of `reply`; a step is right if it is written in capitals."""

    def draw(prompt: Prompt, rng: random.Random) -> str:
        return rng.choice(reply.split()) + "\n" + ("more" if len(prompt.reply) < 2 else "")

    return judge_siblings(
        [Problem(str(n), f"question {n}") for n in range(5)],
        ScriptedEngine(draw),
        judge,
        PromptSet("compact"),
        SPLITTERS.create("newline"),
        lambda prefix, step: step.text.strip().isupper(),
        num=6,
        sampling=Sampling(1.0),
        seed=1,
        **{"max_steps": 2, **options},
    )


def test_only_siblings_of_which_exactly_one_is_right_are_judged() -> None:
    judge = Table({"A\n": 1.0, "B\n": 1.0, "x\n": 0.0})
    found = siblings("A B x", judge)
    assert found.num_expansions == 10
    assert {frozenset(s.text.strip().isupper() for s in item.steps) for item in judge.seen} == {
        frozenset({True, False})
    }
    assert found.accuracy.right.num == len(judge.seen)
    assert found.accuracy.right.value == 1.0


def test_expansions_without_such_a_pair_are_counted() -> None:
    found = siblings("A B", Table({}))
    assert (found.num_expansions, found.num_with_pair, found.accuracy.right.value) == (10, 0, None)


def test_a_path_is_followed_to_its_end_or_the_limit() -> None:
    judge = Table({"A\n": 1.0, "x\n": 0.0})
    siblings("A x", judge, max_steps=9)
    assert max(len(item.prefix.steps) for item in judge.seen) == 2


def test_equal_seeds_draw_equal_siblings() -> None:
    assert siblings("A B x", Table({"A\n": 1.0})) == siblings("A B x", Table({"A\n": 1.0}))
