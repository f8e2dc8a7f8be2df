"""Every question of every kind of judge is found in the ledger, with what the judge read."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.files.ledger import Call, Ledger, short_hash
from presrm.judging.recording import RecordingEngine
from presrm.prompts import Part, Prompt, PromptSet
from presrm.protocols import Completion, Engine, Request, Sampling
from presrm.types import Candidates, Problem, Status, Step, Stop, Trajectory

PROMPTS = PromptSet("paper")
PREFIX = Trajectory(Problem("p", "What is (2 + 3) * 4?"), (Step("2 + 3 = 5\n"),))
A, B = Step("5 * 4 = 20\n"), Step("5 * 4 = 21\n")
ITEM = Candidates(PREFIX, (B, A))


@contextmanager
def recorded(path: Path, engine: Engine, **where: Any) -> Iterator[tuple[RecordingEngine, Callable[[], list[Call]]]]:
    """Give the engine that records, and what reads what it recorded."""
    with Ledger(path / "ledger.sqlite") as ledger:
        where = {"policy": "M1", "stage": "search", "template_hash": PROMPTS.hash, "iteration": 2, **where}
        with RecordingEngine(engine, ledger, **where) as recording:
            yield recording, lambda: list(ledger.calls())


def ask(tmp_path: Path, engine: Engine, item: Candidates = ITEM, **settings: Any) -> list[Call]:
    """Have one item judged, and give what was recorded."""
    with recorded(tmp_path, engine) as (recording, calls):
        make_judge(JudgeConfig(**{"verdict": "explained", **settings}), recording, PROMPTS).judge([item])
        return calls()


def says(text: str) -> ScriptedEngine:
    return ScriptedEngine(lambda prompt, rng: text)


def read(calls: Sequence[Call]) -> list[tuple[str, float | None, Status | None]]:
    return [(call.verdict, call.value, call.status) for call in calls]


def test_pairwise_leaves_a_call_for_each_order(tmp_path: Path) -> None:
    calls = ask(tmp_path, says("The first. [[A]]"), kind="pairwise")

    assert [call.shown for call in calls] == [
        (short_hash(A.text), short_hash(B.text)),
        (short_hash(B.text), short_hash(A.text)),
    ]
    assert read(calls) == [("A", 1.0, Status.OK)] * 2
    for call in calls:
        assert (call.template, call.template_hash, call.policy, call.iteration) == ("pairwise", PROMPTS.hash, "M1", 2)
        assert (call.stage, call.problem, call.prefix) == ("search", "p", short_hash(PREFIX.text))
        assert call.reply == "The first. [[A]]"
        assert json.loads(call.sampling)["max_tokens"] == JudgeConfig().max_tokens
        assert call.tokens_generated == len(call.reply)
        assert call.seconds >= 0


def test_a_direct_verdict_leaves_its_probabilities(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda prompt, rng: "", lambda prompt, options: (0.6, 0.2))
    first, _ = ask(tmp_path, engine, kind="pairwise", verdict="direct")

    assert (first.verdict, first.value, first.status) == ("A", pytest.approx(0.75), Status.OK)
    assert json.loads(first.sampling) == {"options": ["A", "B"]}
    assert json.loads(first.reply) == {"A": pytest.approx(-0.5108, abs=1e-4), "B": pytest.approx(-1.6094, abs=1e-4)}
    assert (first.seed, first.tokens_generated) == (0, 0)


@pytest.mark.parametrize(("weights", "verdict"), [((0.3, 0.2), "A"), ((0.2, 0.3), "B"), ((0.25, 0.25), "A or B")])
def test_a_direct_verdict_is_the_likelier_word(tmp_path: Path, weights: tuple[float, float], verdict: str) -> None:
    engine = ScriptedEngine(lambda prompt, rng: "", lambda prompt, options: weights)

    assert {call.verdict for call in ask(tmp_path, engine, kind="pairwise", verdict="direct")} == {verdict}


@pytest.mark.parametrize(
    ("kind", "reply", "verdict", "value"),
    [
        ("pointwise", "Right. [[yes]]", "yes", 1.0),
        ("pointwise", "Wrong. [[no]]", "no", 0.0),
        ("additive", "Fine. [[4]]", "4", 0.8),
        ("listwise", "[[7, 3]]", "7, 3", None),
        ("first-error", "\\boxed{1}", "1", None),
        ("first-error", "\\boxed{-1}", "-1", None),
    ],
)
def test_every_kind_tells_what_it_read(
    tmp_path: Path, kind: str, reply: str, verdict: str, value: float | None
) -> None:
    calls = ask(tmp_path, says(reply), kind=kind)

    assert calls
    assert read(calls) == [(verdict, value, Status.OK)] * len(calls)
    assert all(call.problem == "p" for call in calls)


@pytest.mark.parametrize("kind", ["pairwise", "pointwise", "additive", "listwise", "first-error"])
@pytest.mark.parametrize(("reply", "status"), [("Hm.", Status.UNREADABLE), ("x" * 5000, Status.TRUNCATED)])
def test_what_cannot_be_read_has_no_value(tmp_path: Path, kind: str, reply: str, status: Status) -> None:
    calls = ask(tmp_path, says(reply), kind=kind)

    assert calls
    assert read(calls) == [("", None, status)] * len(calls)
    assert all(reply.startswith(call.reply) for call in calls)


class Withholding(ScriptedEngine):
    """A content filter keeps every reply."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return [[Completion("", None, Stop.FILTERED)] * request.num for request in requests]


@pytest.mark.parametrize("kind", ["pairwise", "pointwise", "additive", "listwise", "first-error"])
def test_what_is_withheld_is_refused_and_its_tokens_are_unknown(tmp_path: Path, kind: str) -> None:
    calls = ask(tmp_path, Withholding(lambda prompt, rng: ""), kind=kind)

    assert calls
    assert read(calls) == [("", None, Status.REFUSED)] * len(calls)
    assert {call.tokens_generated for call in calls} == {None}


@pytest.mark.parametrize("kind", ["pointwise", "first-error", "listwise"])
def test_every_vote_is_a_call_of_its_own(tmp_path: Path, kind: str) -> None:
    item = Candidates(PREFIX, (A,)) if kind != "listwise" else ITEM

    def coin(prompt: Prompt, rng: random.Random) -> str:
        return rng.choice(
            [{"pointwise": "[[yes]]", "first_error": "\\boxed{0}"}.get(prompt.template, "[[7, 7]]"), "hm"]
        )

    calls = ask(tmp_path, ScriptedEngine(coin), item, kind=kind, votes=6, temperature=0.7)
    assert len({call.key for call in calls}) == len(calls) == 6
    assert {call.status for call in calls} == {Status.OK, Status.UNREADABLE}


def by_kind(prompt: Prompt, rng: random.Random) -> str:
    return "[[yes]]" if prompt.template == "pointwise" else "[[3]]"


def test_the_members_of_a_jury_are_recorded_each(tmp_path: Path) -> None:
    options = {"judges": ["pointwise", "additive"]}
    calls = ask(tmp_path, ScriptedEngine(by_kind), Candidates(PREFIX, (A,)), kind="jury", options=options)

    assert [(call.template, call.verdict) for call in calls] == [("pointwise", "yes"), ("additive", "3")]


def test_asking_again_replaces_what_was_recorded(tmp_path: Path) -> None:
    first = ask(tmp_path, says("[[A]]"), kind="pairwise")
    again = ask(tmp_path, says("[[B]]"), kind="pairwise")

    assert [call.verdict for call in again] == ["B", "B"]
    assert [call.key for call in again] == [call.key for call in first]


def test_a_judge_that_does_not_tell_leaves_calls_without_a_status(tmp_path: Path) -> None:
    with recorded(tmp_path, says("It is fine.")) as (recording, calls):
        for question in ("one?", "two?"):
            recording.generate([Request(Prompt((Part(question),)), sampling=Sampling(max_tokens=99))])
        assert len(calls()) == 1
        make_judge(JudgeConfig(kind="pointwise", verdict="explained"), recording, PROMPTS).judge([])
        recording.__exit__()
        assert read(calls()) == [("", None, None)] * 2


def test_tokens_and_time_are_shared_among_what_was_asked_at_once(tmp_path: Path) -> None:
    class Counting(ScriptedEngine):
        tokens_read = 0

        def generate(self, requests: Sequence[Request]) -> Any:
            self.tokens_read += 5
            return super().generate(requests)

    calls = ask(tmp_path, Counting(lambda prompt, rng: "[[A]]"), kind="pairwise")
    assert [call.tokens_read for call in calls] == [2, 3]
    assert calls[0].seconds == calls[1].seconds
    assert [call.tokens_read for call in ask(tmp_path, says("[[B]]"), kind="pairwise")] == [None, None]


def test_the_judge_scores_the_same_recorded_or_not(tmp_path: Path) -> None:
    def coin(prompt: Prompt, rng: random.Random) -> str:
        return rng.choice(["[[A]]", "[[B]]", "hm"])

    config = JudgeConfig(kind="pairwise", verdict="explained", votes=4, temperature=0.7)
    plain = make_judge(config, ScriptedEngine(coin), PROMPTS).judge([ITEM])
    with recorded(tmp_path, ScriptedEngine(coin)) as (recording, _):
        assert make_judge(config, recording, PROMPTS).judge([ITEM]) == plain
