"""Trained meta-judges: which votes count, worked out by hand."""

import random
from collections.abc import Sequence

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines import hf_prm
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError
from presrm.judging.verdicts import Reading
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Judge
from presrm.testing import check_judge
from presrm.types import Candidates, Problem, Status, Step, Trajectory, Verdict

PROMPTS = PromptSet("paper")
PREFIX = Trajectory(Problem("p", "What is 2 + 3?\n"), (Step("Step 1: add.\n"),))
ABOUT = "What is 2 + 3?\nStep 1: add."
RATED: dict[str, float | None] = {"good": 0.9, "fair": 0.6, "bad": 0.2, "poor": 0.2, "long": None}


class Head:
    """Gives each judgement the P(right) of its first word in `RATED`, or none; notes what it is asked."""

    made: list["Head"]

    def __init__(self, model: str, format: str) -> None:
        assert format == "token-classification"
        self.model = model
        self.asked: list[tuple[str, tuple[str, ...]]] = []
        Head.made.append(self)

    def score(self, solutions: Sequence[tuple[str, tuple[str, ...]]]) -> list[tuple[Verdict, ...]]:
        self.asked += solutions
        found = [RATED[reply.split()[0]] for _, (reply,) in solutions]
        return [(Verdict(right, Status.OK if right else Status.TRUNCATED),) for right in found]


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[Head]:
    Head.made = []
    monkeypatch.setattr(hf_prm, "StepScorer", Head)
    return Head.made


def item(*texts: str) -> Candidates:
    return Candidates(PREFIX, tuple(Step(text) for text in texts))


def judge(kind: str, votes: int, engine: ScriptedEngine) -> Judge:
    settings = JudgeConfig(kind=kind, votes=votes, temperature=0.5, options={"meta": "DIR"})
    return make_judge(settings, engine, PROMPTS)


def saying(*replies: str) -> ScriptedEngine:
    """Gives the replies in turn."""
    turns = iter(replies)
    return ScriptedEngine(lambda prompt, rng: next(turns))


@pytest.mark.parametrize(
    ("replies", "score"),
    [
        (("bad [[1, 1]]", "good [[9, 9]]", "fair [[7, 7]]", "poor [[3, 3]]"), 0.8),  # 9 and 7
        (("bad [[1, 1]]", "good [[9, 9]]", "fair [[7, 7]]"), 0.8),  # of three the better two
        (("bad [[1, 1]]", "poor [[3, 3]]"), 0.1),  # rated alike: the first drawn
        (("poor [[3, 3]]", "bad [[1, 1]]"), 0.3),
        (("Hm.", "Hm.", "bad [[1, 1]]", "good [[9, 9]]"), 0.9),  # half of those that can be read
        (("long [[10, 10]]", "bad [[1, 1]]"), 0.1),  # what is not rated comes last
        (("long [[10, 10]]", "long [[6, 6]]"), 0.8),  # none is rated: all count
    ],
)
def test_of_listwise_votes_the_better_half_counts(replies: tuple[str, ...], score: float) -> None:
    [judged] = judge("listwise", len(replies), saying(*replies)).judge([item("b", "a")])
    assert [judgement.score for judgement in judged] == pytest.approx([score, score])


@pytest.mark.parametrize(
    ("replies", "score", "told"),
    [
        (
            ("bad [[no]]", "good [[yes]]", "fair [[yes]]", "poor [[no]]"),
            1.0,
            "4 of 4 votes readable, 2 of them counted",
        ),
        (("bad [[no]]", "good [[yes]]", "fair [[no]]"), 0.5, "3 of 3 votes readable, 2 of them counted"),
        (("Hm.", "bad [[no]]", "Hm.", "good [[yes]]"), 1.0, "2 of 4 votes readable, 1 of them counted"),
        (("bad [[no]]", "poor [[yes]]"), 0.0, "2 of 2 votes readable, 1 of them counted"),
        (("long [[no]]", "bad [[yes]]"), 1.0, "2 of 2 votes readable, 1 of them counted"),
        (("long [[no]]", "long [[yes]]"), 0.5, "2 of 2 votes readable\n"),
    ],
)
def test_of_pointwise_votes_the_better_half_counts(replies: tuple[str, ...], score: float, told: str) -> None:
    [[judgement]] = judge("pointwise", len(replies), saying(*replies)).judge([item("a")])

    assert judgement.score == score
    assert judgement.rationale.startswith(told)


def test_without_a_readable_vote_nothing_is_rated(made: list[Head]) -> None:
    [[judgement]] = judge("pointwise", 2, saying("Hm.", "")).judge([item("a")])

    assert (judgement.score, judgement.status, made) == (None, Status.UNREADABLE, [])


def test_of_pairwise_votes_the_better_half_of_each_order_counts() -> None:
    # Shown as (a, b): A counts twice, b's win does not. As (b, a): one says A, one says B.
    first = ("good [[A]]", "bad [[B]]", "fair [[A]]", "poor [[B]]")
    second = ("fair [[A]]", "poor [[A]]", "bad [[A]]", "good [[B]]")
    [judged] = judge("pairwise", 4, saying(*first, *second)).judge([item("b", "a")])

    assert [judgement.score for judgement in judged] == [0.25, 0.75]  # a: (1 + 1/2) / 2


def test_what_was_shown_is_read_in_its_order_and_each_judgement_once(made: list[Head]) -> None:
    judge("pairwise", 8, ScriptedEngine(lambda prompt, rng: "bad [[A]]")).judge([item("b\n", "a")])
    judge("listwise", 9, ScriptedEngine(lambda prompt, rng: "bad [[1, 1]]")).judge([item("b\n", "a")])

    assert [head.model for head in made] == ["DIR", "DIR"]
    both = f"{ABOUT}\n1: a\n2: b", f"{ABOUT}\n1: b\n2: a"
    assert sorted(made[0].asked) == [(shown, ("bad [[A]]",)) for shown in both]
    assert sorted(made[1].asked) == [(shown, ("bad [[1, 1]]",)) for shown in both]


@pytest.mark.parametrize(("kind", "ends"), [("listwise", "1, 9"), ("pairwise", "A"), ("pointwise", "yes")])
def test_which_votes_count_does_not_depend_on_the_batch(kind: str, ends: str) -> None:
    def reply(prompt: Prompt, rng: random.Random) -> str:
        return f"{rng.choice(list(RATED))} [[{rng.choice([ends, ends, '5, 5', 'B', 'no'])}]]"

    items = [item("a", "b"), item("b", "c"), item("a", "a"), item("d", "a")]
    asked = judge(kind, 5, ScriptedEngine(reply))
    assert asked.judge(items) == [asked.judge([one])[0] for one in items]
    check_judge(asked)


def test_what_every_vote_says_is_told_though_half_counts() -> None:
    class Listening(ScriptedEngine):
        def tell(self, readings: Sequence[Reading]) -> None:
            told.extend(reading.verdict for reading in readings)

    told: list[str] = []
    replies = iter(["bad [[no]]", "good [[yes]]", "Hm."])
    judge("pointwise", 3, Listening(lambda prompt, rng: next(replies))).judge([item("a")])
    assert told == ["no", "yes", ""]


@pytest.mark.parametrize("kind", ["listwise", "pairwise", "pointwise"])
def test_a_meta_judge_needs_votes_to_choose_from(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"judge\.votes above 1"):
        judge(kind, 1, saying())


def test_only_some_judges_have_a_meta_judge() -> None:
    with pytest.raises(ConfigError, match="meta"):
        judge("additive", 4, saying())
