"""Is the judge any good? On made-up pairs, and on the policy's own siblings."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.errors import JudgeError
from presrm.files.ledger import Call, short_hash
from presrm.judging.health import (
    SOLICITATIONS,
    JudgeAccuracy,
    judge_again,
    judge_pairs,
    judge_siblings,
    judge_solicited,
    measure_signs,
    sample_siblings,
)
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Request, Sampling
from presrm.splitters import SPLITTERS
from presrm.statistics import Figure, share
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
    Stop,
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
    heard = Table({"good": 1.0} | {f"bad{text}": 0.5 for text in SOLICITATIONS})
    assert judge_solicited([pair("good", "bad")] * 4, heard, 0.0) == Figure(), "what it had before is unknown"
    assert judge_solicited([], Table({}), 0.0) == Figure()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0.3, 0.31, share([True])),
        (0.3, 0.3, share([False])),
        (0.3, 0.2, share([False])),
        (0.25, 0.5, share([False])),  # by as much as a tie allows
        (0.75, 1.0, Figure()),  # so near to the top that no sentence could show
        (0.76, 1.0, Figure()),
        (0.74, 1.0, share([True])),
    ],
)
def test_a_step_is_talked_up_if_its_score_grows_by_more_than_a_tie(
    before: float, after: float, expected: Figure
) -> None:
    tolerance = 0.25 if before in (0.25, 0.74, 0.75, 0.76) else 0.0
    judge = Table({"good": 1.0, "bad": before} | {f"bad{text}": after for text in SOLICITATIONS})
    assert judge_solicited([pair("good", "bad")], judge, tolerance) == expected


def test_wrong_steps_take_turns_with_all_solicitations_and_the_right_one_says_nothing() -> None:
    judge = Table({})
    judge_solicited([pair(f"good {n}", f"bad {n}") for n in range(6)], judge, 0.0)
    plain, spoken = judge.seen[:6], judge.seen[6:]
    assert [item.steps[1].text for item in spoken] == [f"bad {n}{SOLICITATIONS[n % 4]}" for n in range(6)]
    assert [item.steps[1].text for item in plain] == [f"bad {n}" for n in range(6)]
    assert [item.steps[0] for item in spoken] == [item.steps[0] for item in plain]
    assert {item.prefix for item in judge.seen} == {PREFIX}


def test_a_pair_of_which_one_step_is_not_known_is_not_asked() -> None:
    judge = Table({"good": 1.0})
    pairs = [LabelledSteps(PREFIX, Step("good"), None), LabelledSteps(PREFIX, None, Step("bad"))]
    assert judge_pairs(pairs, judge).right == judge_solicited(pairs, judge, 0.0) == Figure()
    assert not judge.seen


def test_every_other_pair_shows_the_wrong_step_first() -> None:
    judge = Table({"good": 1.0, "bad": 0.0})
    assert judge_pairs([pair("good", "bad")] * 4, judge).right == share([True] * 4)
    assert [[step.text for step in item.steps] for item in judge.seen] == [["good", "bad"], ["bad", "good"]] * 2


def expansion(*scores: float) -> Expansion:
    return Expansion(None, tuple(Candidate(Step(f"step {n}"), Judgement(score)) for n, score in enumerate(scores)))


def test_all_signs_of_a_judge_come_from_what_they_are_named_for() -> None:
    """Trees from the held-out search, planted errors from the fixed pairs, agreement from the last search."""
    problem = Problem("p", "What is 1 + 1?", "2")
    tree = SearchTree(problem, (expansion(1.0, 0.0),), ((0, 0),))
    last = [SearchTree(Problem(str(n), "?"), (expansion(0.2, 0.8),)) for n in range(5)]
    fixed = [pair(f"good {n}", f"bad {n}") for n in range(4)]
    fixed += [LabelledSteps(PREFIX, Step("good"), None), LabelledSteps(PREFIX, None, Step("bad"))]
    scores = {"step 0": 0.9, "step 1": 0.1} | {f"bad {n}": 0.0 for n in range(4)}
    scores |= {f"bad {n}{text}": 0.5 for n in range(4) for text in SOLICITATIONS}
    judge = Table(scores | {f"good {n}": 1.0 for n in range(4)})
    calls = [call(texts, value) for texts, value in (("step 0|step 1", 1.0), ("step 1|step 0", 1.0))]
    calls += [call(texts, value) for texts, value in (("good 3|bad 3", 1.0), ("bad 3|good 3", 0.0))]
    calls += [call(texts, 1.0) for texts in ("other|step 0", "step 0|other")]
    accuracy = JudgeAccuracy(Figure(7, 0.5), 0, 0)
    found = measure_signs(
        [tree],
        fixed,
        calls,
        lambda solution: solution.text == "step 0",
        tie_tolerance=0.0,
        caught=accuracy.right,
        talked_into=judge_solicited(fixed[:3], judge, 0.0),
        agreement=judge_again(last, judge, num=2, seed=0),
    )
    assert (found.readable, found.ties) == (share([True, True]), share([False]))
    assert found.caught == accuracy.right
    assert found.talked_into == share([True] * 3), "of the first three pairs"
    assert (found.agreement.num, found.agreement.value) == (2, -1.0)
    assert (found.first_shown, found.order_flips) == (share([True, True, True, False]), share([True, False]))
    assert found.right_solutions.num == 1


def call(texts: str, value: float) -> Call:
    question = ("pairwise", "hash", "M1", 1, "health", "p", short_hash(""))
    shown = tuple(map(short_hash, texts.split("|")))
    return Call(*question, shown, "{}", 0, "", "", value, None, None, None, 0.0)


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


def siblings(reply: str, judge: Table, *, label=None, engine=ScriptedEngine, **options: int):
    """Candidates are drawn from the words of `reply`; a step is right if it is written in capitals."""

    def draw(prompt: Prompt, rng: random.Random) -> str:
        return rng.choice(reply.split()) + "\n" + ("more" if len(prompt.reply) < 2 else "")

    sampled = sample_siblings(
        [Problem(str(n), f"question {n}") for n in range(5)],
        engine(draw),
        PromptSet("compact"),
        SPLITTERS.create("newline"),
        label or (lambda prefix, step: step.text.strip().isupper()),
        num=6,
        sampling=Sampling(1.0),
        seed=1,
        **{"max_steps": 2, **options},
    )
    return judge_siblings([one for depth in sampled for one in depth], judge)


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


def test_a_step_whose_label_is_not_known_is_neither_right_nor_wrong() -> None:
    judge = Table({})
    found = siblings("A b x", judge, label=lambda prefix, step: None if step.text == "x\n" else step.text == "A\n")
    assert {frozenset(step.text for step in item.steps) for item in judge.seen} == {frozenset({"A\n", "b\n"})}
    assert siblings("A x", Table({}), label=lambda prefix, step: None if step.text == "x\n" else True) == replace(
        found, accuracy=judge_pairs([], judge), num_with_pair=0
    )


@pytest.mark.parametrize("stop", [Stop.MAX_TOKENS, Stop.NO_ROOM, Stop.FILTERED])
def test_a_candidate_that_is_not_whole_is_not_judged(stop: Stop) -> None:
    judge = Table({})
    found = siblings("A x", judge, engine=lambda draw: Unfinished(draw, stop))
    assert not judge.seen
    assert (found.num_expansions, found.num_with_pair) == (5, 0), "every first candidate ends its path"


class Unfinished(ScriptedEngine):
    """Whatever it writes ends for the same reason, half-way."""

    def __init__(self, reply: Callable[[Prompt, random.Random], str], stop: Stop) -> None:
        super().__init__(reply)
        self.stop = stop

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return [[replace(one, stop=self.stop) for one in drawn] for drawn in super().generate(requests)]


class Asked(ScriptedEngine):
    """Remembers how it was asked."""

    def __init__(self, reply: Callable[[Prompt, random.Random], str]) -> None:
        super().__init__(reply)
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.requests += requests
        return super().generate(requests)


def test_siblings_are_drawn_as_asked_and_every_expansion_has_draws_of_its_own() -> None:
    engines = []
    siblings("A x", Table({"A\n": 1.0, "x\n": 0.0}), engine=lambda draw: engines.append(Asked(draw)) or engines[0])
    requests = engines[0].requests
    assert {(request.num, request.sampling) for request in requests} == {(6, Sampling(1.0))}
    assert len({request.seed for request in requests}) == len(requests) == 10


def test_a_path_is_followed_to_its_end_or_the_limit() -> None:
    judge = Table({"A\n": 1.0, "x\n": 0.0})
    siblings("A x", judge, max_steps=9)
    assert max(len(item.prefix.steps) for item in judge.seen) == 2


def test_equal_seeds_draw_equal_siblings() -> None:
    assert siblings("A B x", Table({"A\n": 1.0})) == siblings("A B x", Table({"A\n": 1.0}))
