"""What is too long for a policy is data, and a judge that does not answer for each candidate is named."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from presrm.asking import ask_fitting, ask_judge, generate_fitting
from presrm.config import SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import JudgeError, PromptTooLongError
from presrm.evaluation.answers import evaluate
from presrm.evaluation.samples import sample_solutions, summarize
from presrm.graders import GRADERS
from presrm.judges.pointwise import PointwiseJudge
from presrm.prompts import Part, Prompt, PromptSet
from presrm.protocols import Completion, Request, Sampling
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.types import Candidates, Grade, Judgement, Problem, Status, Step, Stop, Trajectory

LONGEST = 1000
PROMPTS = PromptSet("compact")
GIANT = Problem("giant", "x" * 2 * LONGEST, "2")
PROBLEMS = [Problem("first", "1+1?", "2"), GIANT, Problem("last", "2+0?", "2")]


class ShortSighted(ScriptedEngine):
    """Reads 1,000 characters of question and steps."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        lengths = [len(r.prompt.text) + sum(len(step.text) for step in r.prompt.reply) for r in requests]
        if too_long := {place: length for place, length in enumerate(lengths) if length > LONGEST}:
            raise PromptTooLongError.of_lengths(too_long, LONGEST)
        return super().generate(requests)


def policy(reply: str = "So it is.\n#### 2") -> ShortSighted:
    return ShortSighted(lambda prompt, rng: "[[yes]]" if "[[" in prompt.text else reply)


def test_what_is_refused_stands_in_its_place() -> None:
    def double(numbers: Sequence[int]) -> list[int]:
        if too_long := {place: number for place, number in enumerate(numbers) if number > 9}:
            raise PromptTooLongError.of_lengths(too_long, 9)
        return [2 * number for number in numbers]

    assert ask_fitting(double, [1, 10, 3, 11], lambda number, reason: f"{number}: {reason}") == [
        2,
        "10: the prompt has 10 tokens, the model reads 9",
        6,
        "11: the prompt has 11 tokens, the model reads 9",
    ]
    assert ask_fitting(double, [], lambda number, reason: reason) == []


def test_as_many_completions_as_were_asked_for_are_empty_and_cut_off() -> None:
    requests = [Request(Prompt((Part(text),)), num=3) for text in ("a" * 2 * LONGEST, "b")]
    refused, drawn = generate_fitting(policy(), requests)
    assert refused == [Completion("", (), Stop.MAX_TOKENS)] * 3
    assert [one.stop for one in drawn] == [Stop.EOS] * 3


@pytest.mark.parametrize("num", [1, 4])
def test_evaluation_counts_it_as_cut_off_and_without_an_answer(num: int) -> None:
    grader, sampling = GRADERS.create("gsm8k"), Sampling(1.0)
    (items,) = sample_solutions(PROBLEMS, policy(), PROMPTS, grader, num=num, sampling=sampling, group_size=8, seed=0)
    found = summarize(items)
    assert found["accuracy" if num == 1 else "pass@1"].value == pytest.approx(2 / 3)
    assert found["cut off"].value == found["no answer"].value == pytest.approx(1 / 3)


def test_so_does_the_assessment_of_an_iteration() -> None:
    newline = SPLITTERS.create("newline")
    found = list(
        evaluate(
            PROBLEMS,
            policy(),
            PROMPTS,
            GRADERS.create("gsm8k"),
            sampling=Sampling(),
            splitter=newline,
            group_size=8,
        )
    )
    assert [answer.grade for answer in found] == [Grade.CORRECT, Grade.NO_ANSWER, Grade.CORRECT]
    assert (found[1].stop, found[1].num_steps) == (Stop.MAX_TOKENS, 0)


@pytest.mark.parametrize("kind", ["greedy", "beam", "best-of-n"])
def test_a_search_gives_it_up_and_goes_on_with_the_others(kind: str) -> None:
    options = SearchConfig(kind=kind, num_candidates=2, temperature=1.0)
    searcher = SEARCHERS.create(
        kind, prompts=PROMPTS, splitter=SPLITTERS.create("newline"), options=options, tie_tolerance=0.0, seed=0
    )
    engine = policy()
    first, giant, last = searcher.search(PROBLEMS, engine, PointwiseJudge(engine, PROMPTS))
    assert first.solutions
    assert last.solutions
    assert not giant.solutions
    assert giant.given_up


def test_a_path_that_grows_too_long_ends_there() -> None:
    engine = policy("a step of a hundred characters ".ljust(99) + "\n" + "and on\n" * 3)
    options = SearchConfig(num_candidates=2, max_steps=50)
    searcher = SEARCHERS.create(
        "greedy", prompts=PROMPTS, splitter=SPLITTERS.create("newline"), options=options, tie_tolerance=0.0, seed=0
    )
    (tree,) = searcher.search(PROBLEMS[:1], engine, PointwiseJudge(engine, PROMPTS))
    assert tree.given_up == "all candidates were cut off"
    assert 5 < len(tree.expansions) < 20


class Replays:
    """A judge that gives what it was made with, whatever it is asked, and counts the calls."""

    scale: Literal["absolute", "relative"] = "absolute"

    def __init__(self, judged: Any) -> None:
        self.judged = judged
        self.num_calls = 0

    def judge(self, batch: Sequence[Candidates]) -> Any:
        self.num_calls += 1
        if isinstance(self.judged, Exception):
            raise self.judged
        return self.judged


YES, UNKNOWN = Judgement(1.0), Judgement(None, Status.UNREADABLE)
ITEMS = [Candidates(Trajectory(PROBLEMS[0]), tuple(map(Step, texts))) for texts in ("ab", "c")]


@pytest.mark.parametrize("judged", [[(YES, UNKNOWN), (YES,)], [[YES, UNKNOWN], [YES]], iter([(YES, UNKNOWN), (YES,)])])
def test_a_judge_gives_one_judgement_for_each_candidate(judged: Any) -> None:
    assert ask_judge(Replays(judged), ITEMS) == [(YES, UNKNOWN), (YES,)]


def test_a_judge_is_not_called_for_nothing() -> None:
    judge = Replays([])
    assert (ask_judge(judge, []), judge.num_calls) == ([], 0)


@pytest.mark.parametrize(
    ("judged", "message"),
    [
        ([(YES, UNKNOWN)], "gave results for 1 items of 2"),
        ([(YES, UNKNOWN), (YES,), (YES,)], "gave results for 3 items of 2"),
        ([(YES,), (YES,)], r"for the 2 candidates of item 1 of 2: expected one Judgement each"),
        ([(YES, UNKNOWN), (YES, YES)], r"for the 1 candidates of item 2 of 2"),
        ([(1.0, 0.0), (1.0,)], r"gave \(1.0, 0.0\) for the 2 candidates of item 1"),
        ([None, None], "raised"),
        (ValueError("mine"), "raised ValueError: mine"),
    ],
)
def test_a_judge_that_does_not_is_named(judged: Any, message: str) -> None:
    for name in ("Replays", "2 additive"):
        with pytest.raises(JudgeError, match=f"judge '{name}' .*{message}"):
            ask_judge(Replays(judged), ITEMS, None if name == "Replays" else name)
