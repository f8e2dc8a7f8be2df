"""Every written kind of judge before every way in which a reply can end, through an engine in process and a server."""

import json
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.engines.server import ServerEngine
from presrm.files.ledger import Ledger
from presrm.judging.recording import RecordingEngine
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Engine, Request
from presrm.types import Candidates, Checkpoint, Judgement, Problem, Status, Step, Stop, Trajectory


@dataclass(frozen=True)
class Kind:
    """A kind of judge: a verdict as it writes it, another one, and the score of the first candidate by the first."""

    settings: dict[str, Any]
    verdict: str
    other: str
    score: float


DRAWN = {"votes": 2, "temperature": 0.7}
KINDS = {
    "pointwise": Kind({"kind": "pointwise"}, "[[no]]", "[[yes]]", 0.0),
    "pointwise, votes": Kind({"kind": "pointwise", **DRAWN}, "[[yes]]", "[[no]]", 1.0),
    "pairwise": Kind({"kind": "pairwise"}, "[[A]]", "[[B]]", 0.5),  # the one shown first, in both orders
    "additive": Kind({"kind": "additive"}, "[[4]]", "[[5]]", 0.8),
    "listwise": Kind({"kind": "listwise"}, "[[3, 3]]", "[[9, 10]]", 0.3),
    "listwise, meta": Kind({"kind": "listwise", **DRAWN, "options": {"meta": True}}, "[[3, 3]]", "[[9, 10]]", 0.3),
    "first-error": Kind({"kind": "first-error"}, "\\boxed{1}", "\\boxed{-1}", 0.0),
    "first-error, votes": Kind({"kind": "first-error", **DRAWN}, "\\boxed{-1}", "\\boxed{0}", 1.0),
    "jury": Kind({"kind": "jury", "options": {"judges": ["pointwise", "pointwise"]}}, "[[no]]", "[[yes]]", 0.0),
}
ENDS, CUT = Stop.EOS, Stop.MAX_TOKENS
ENDINGS = {
    "plain": ("The step is right. {v}", ENDS, Status.OK),
    "closed thoughts": ("<think>\nI must end with {v} or {o}. So {o}\n</think>\n\nAfter all: {v}", ENDS, Status.OK),
    "closed thoughts, opened in the prompt": ("Is it {v} or {o}? I say {o}\n</think>\n{v}", ENDS, Status.OK),
    "closed thoughts, cut right behind the verdict": ("<thinking>{o}</thinking>\n**{v}**", CUT, Status.OK),
    "closed thoughts alone": ("<think>\nIt is {v}\n</think>\n\nThe step computes 33 + 50.", ENDS, Status.UNREADABLE),
    "closed thoughts, then cut": ("[THINK]It is {v}[/THINK]The step computes 33 +", CUT, Status.TRUNCATED),
    "open thoughts": ("<think>\nThe reply must be {v} or {o}. It is {v}", ENDS, Status.UNREADABLE),
    "open thoughts, cut": ("<think>\nThe reply must be {v} or {o}. Let me recompute 33 +", CUT, Status.TRUNCATED),
    "open thoughts, cut right behind a verdict": ("<think>\nLet me recompute. {v}", CUT, Status.TRUNCATED),
    "quoted order": ("The reply must be {v} or {o}.", ENDS, Status.UNREADABLE),
    "quoted order of one": ("I have to end with {v}.", ENDS, Status.UNREADABLE),
    "example": ("Example: {v}", ENDS, Status.UNREADABLE),
    "words of the solution": ("It contains the text {v}", ENDS, Status.UNREADABLE),
    "quoted order, cut": ("I have to end with {v} if right, {o} if wrong. Let me see: 33 +", CUT, Status.TRUNCATED),
    "quoted order, cut right behind": ("The reply must be {v} or {o}", CUT, Status.TRUNCATED),
    "side by side": ("The verdict: {v} or {o}", ENDS, Status.UNREADABLE),
    "side by side, a stroke between": ("{v}/{o}", ENDS, Status.UNREADABLE),
    "side by side, by line": ("{o}\n{v}\n", ENDS, Status.UNREADABLE),
    "cut before": ("Were all right I would say {v}. Paragraph 0 computes", CUT, Status.TRUNCATED),
    "cut right behind the verdict": ("The step is right. {v}", CUT, Status.OK),
    "further words": ("I lean to {v} but this needs another look", ENDS, Status.UNREADABLE),
    "quoted order, then the verdict": ("The reply must be {v} or {o}.\n\n{v}", ENDS, Status.OK),
    "taken back": ("At first sight {o}. But the sum is right: {v}", ENDS, Status.OK),
}
BATCH = [Candidates(Trajectory(Problem("p", "33 + 50?"), (Step("33 + 50\n"),)), (Step("= 83\n"), Step("= 84\n")))]


class Chat(ThreadingHTTPServer):
    """A chat server that always gives one reply."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ChatHandler)
        self.reply = ""
        self.finish_reason = ""
        self.model = Checkpoint(f"http://127.0.0.1:{self.server_port}/v1#tiny")
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


class ChatHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Chat

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.server.finish_reason}
        choice["message"] = {"role": "assistant", "content": self.server.reply}
        body = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def chat() -> Iterator[tuple[Chat, ServerEngine]]:
    server = Chat()
    with ServerEngine(server.model) as engine:
        yield server, engine
    server.shutdown()
    server.server_close()


def judge_first(kind: Kind, engine: Engine, max_tokens: int) -> Judgement:
    config = JudgeConfig(**kind.settings, max_tokens=max_tokens)
    return make_judge(config, engine, PromptSet("paper")).judge(BATCH)[0][0]


def written(kind: str, ending: str) -> tuple[str, Stop, Status, float | None]:
    text, stop, status = ENDINGS[ending]
    reply = text.replace("{v}", KINDS[kind].verdict).replace("{o}", KINDS[kind].other)
    return reply, stop, status, KINDS[kind].score if status is Status.OK else None


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_verdict_is_what_a_reply_ends_with(kind: str, ending: str) -> None:
    reply, stop, status, score = written(kind, ending)
    more = " and on" if stop is CUT else ""
    engine = ScriptedEngine(lambda prompt, rng: reply + more, lambda prompt, words: [0.5 for _ in words])

    judgement = judge_first(KINDS[kind], engine, len(reply) if more else 10_000)
    assert (judgement.status, judgement.score) == (status, score), reply
    assert reply in judgement.rationale


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "meta" not in kind])  # that one reads probabilities, too
def test_so_it_is_from_a_server(kind: str, ending: str, chat: tuple[Chat, ServerEngine]) -> None:
    server, engine = chat
    server.reply, stop, status, score = written(kind, ending)
    server.finish_reason = "length" if stop is CUT else "stop"

    judgement = judge_first(KINDS[kind], engine, 512)
    assert (judgement.status, judgement.score) == (status, score), server.reply


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if "votes" in kind.settings])
def test_votes_without_a_verdict_have_no_say(kind: str) -> None:
    good, _, _, score = written(kind, "plain")
    bad, _, _, _ = written(kind, "open thoughts")
    replies = [good, bad]
    engine = ScriptedEngine(lambda prompt, rng: replies.pop(0), lambda prompt, words: [0.5 for _ in words])
    item = BATCH[0] if "listwise" in kind else Candidates(BATCH[0].prefix, BATCH[0].steps[:1])

    judge = make_judge(JudgeConfig(**KINDS[kind].settings, max_tokens=10_000), engine, PromptSet("paper"))
    assert (judge.judge([item])[0][0].score, replies) == (score, [])


class Filtering(ScriptedEngine):
    """A policy whose server withholds whatever it writes."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        return [[replace(one, stop=Stop.FILTERED) for one in replies] for replies in super().generate(requests)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_that_a_content_filter_withholds_is_refused_and_recorded(kind: str, tmp_path: Path) -> None:
    engine = Filtering(lambda prompt, rng: KINDS[kind].verdict)
    with (
        Ledger(tmp_path / "ledger.sqlite") as ledger,
        RecordingEngine(engine, ledger, policy="M1", stage="judge-steps", template_hash="") as recording,
    ):
        judgement = judge_first(KINDS[kind], recording, 512)
        assert (judgement.status, judgement.score) == (Status.REFUSED, None)
        assert "withheld by the content filter" in judgement.rationale
        assert {call.status for call in ledger.calls()} == {Status.REFUSED}


@pytest.mark.parametrize("prompt_set", ["paper", "compact", "plain"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_that_repeats_its_question_gives_no_verdict(kind: str, prompt_set: str) -> None:
    def sentences(prompt: Prompt) -> list[str]:
        """The question, what follows its last line break, and each of its sentences behind that."""
        last = prompt.text.rstrip().rsplit("\n", 1)[-1]
        return [prompt.text, last, *(last[at.end() :] for at in re.finditer(r"[.:,] ", last))]

    prompts, config = PromptSet(prompt_set), JudgeConfig(**KINDS[kind].settings, max_tokens=100_000)
    for number in range(12):
        engine = ScriptedEngine(
            lambda prompt, rng, number=number: sentences(prompt)[number % len(sentences(prompt))],
            lambda prompt, words: [0.5 for _ in words],
        )
        judged = make_judge(config, engine, prompts).judge(BATCH)
        assert {one.status for one in judged[0]} == {Status.UNREADABLE}, judged[0][0].rationale
