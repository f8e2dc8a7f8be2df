"""A fake server that misbehaves; what a real one does is tested in test_engines_vllm.py."""

import json
import logging
import math
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from random import Random

import pytest

pytest.importorskip("httpx2")

from presrm.assembly.engines import require_weights
from presrm.engines.hf_files import policy_at
from presrm.engines.hf_loading import load_tokenizer
from presrm.engines.server import ServerEngine
from presrm.engines.server_address import split_address
from presrm.errors import EngineError, RequestError
from presrm.judges.pointwise import PointwiseJudge
from presrm.judging.solutions import judge_file
from presrm.judging.verdicts import ask_direct, ask_explained
from presrm.prompts import Part, Prompt, PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Completion, Request, Sampling
from presrm.splitters.newline import NewlineSplitter
from presrm.testing import check_engine
from presrm.types import Checkpoint, Status, Step, Stop

ASK = Prompt((Part("1 + 1?"),))
BEGUN = Prompt((Part("1 + 1 = 2, is it?"),), forced="[[")


@pytest.fixture(scope="module")
def encoder():
    return PromptEncoder(load_tokenizer("embedded"))


def said(text, reason="stop", **more):
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "finish_reason": reason, "message": message, **more}]}


def weighed(**logps):
    top = [{"token": token, "logprob": logp} for token, logp in logps.items()]
    return said("A", logprobs={"content": [{**top[0], "top_logprobs": top}]})


# By chat


def test_a_reply_is_text_without_ids(serve):
    with ServerEngine(serve((200, said("2"))).model) as engine:
        assert engine.generate([Request(ASK)]) == [[Completion("2", None, Stop.EOS)]]


def test_answers_keep_the_order_of_the_requests_whatever_the_order_of_arrival(serve):
    def later_ones_first(path, body):
        text = body["messages"][0]["content"]
        time.sleep(0.1 * (4 - int(text)))
        return 200, said(text)

    with ServerEngine(serve(later_ones_first).model) as engine:
        found = engine.generate([Request(Prompt((Part(str(n)),))) for n in range(5)])
    assert [completion.text for (completion,) in found] == list("01234")


def test_no_more_requests_than_allowed_are_under_way(serve):
    now, most, lock = 0, 0, threading.Lock()

    def count(path, body):
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return 200, said("2")

    with ServerEngine(serve(count).model, concurrency=3) as engine:
        engine.generate([Request(ASK, num=12)])
    assert most == 3


def test_every_completion_has_a_seed_of_its_own_the_same_each_time(serve):
    server = serve((200, said("2")))
    with ServerEngine(server.model, concurrency=1) as engine:
        engine.generate([Request(ASK, num=2, seed=5)])
        engine.generate([Request(ASK, num=2, seed=5)])
    first, second, *again = [body["seed"] for _, body in server.asked]
    assert first != second
    assert again == [first, second]


def test_tokens_are_counted_as_the_server_counts_them(serve):
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    with ServerEngine(serve((200, said("2") | {"usage": usage})).model) as engine:
        engine.generate([Request(ASK, num=10)])
        assert (engine.tokens_read, engine.tokens_generated) == (70, 20)


def test_a_busy_server_is_asked_again(serve):
    with ServerEngine(serve((429, {}), (503, {}), (200, said("2", "length"))).model) as engine:
        assert engine.generate([Request(ASK)])[0][0].stop is Stop.MAX_TOKENS


def test_no_choice_is_an_empty_reply_and_an_unknown_verdict(serve):
    with ServerEngine(serve((200, {"choices": []})).model) as engine:
        assert engine.generate([Request(ASK)]) == [[Completion("", None, None)]]
        assert engine.logprobs([ASK], ("A", "B")) == [(-math.inf, -math.inf)]


def test_an_option_that_is_not_listed_is_not_guessed(serve):
    with ServerEngine(serve((200, weighed(A=-0.1, a=-3))).model) as engine:
        assert engine.logprobs([ASK], ("A", "B")) == [(-0.1, -math.inf)]


def test_a_verdict_with_neither_word_listed_is_unreadable(serve):
    with ServerEngine(serve((200, weighed(Sure=-0.1, a=-3))).model) as engine:
        (verdict,) = ask_direct(engine, [ASK], ("yes", "no"))
    assert (verdict.status, verdict.probability) == (Status.UNREADABLE, None)


def test_steps_are_not_cut_without_ids(serve):
    with ServerEngine(serve((200, said("2"))).model) as engine, pytest.raises(RequestError, match=r"model\.tokenizer"):
        engine.generate([Request(ASK, splitter=NewlineSplitter())])


# A begun reply


def counting(end, told, silent):
    """A server whose turns cost 3 tokens and `end`, a word 1; it continues a begun reply if told, or silently."""

    def answer(path, body):
        begun = body["messages"][1]["content"] if len(body["messages"]) > 1 else ""
        continues = silent or (told and body.get("continue_final_message", False))
        tokens = 10 + len(begun.split()) + (0 if continues or not begun else end)
        return 200, weighed(A=-0.5, B=-1) | {"usage": {"prompt_tokens": tokens}}

    return answer


@pytest.mark.parametrize(("told", "silent"), [(True, False), (False, True)])
def test_a_begun_reply_is_continued(serve, told, silent):
    server = serve(counting(5, told, silent))
    with ServerEngine(server.model) as engine:
        assert engine.logprobs([BEGUN] * 3, ("A", "B")) == [(-0.5, -1)] * 3
    probes = [body for _, body in server.asked if "top_logprobs" not in body]
    assert len(probes) == 4, "the server is probed once"
    assert server.asked[-1][1]["messages"][-1] == {"role": "assistant", "content": "[["}


@pytest.mark.parametrize("answer", [counting(5, False, False), (200, said("2")), (400, {"message": "unknown field"})])
def test_a_server_that_would_begin_another_reply_is_not_asked(serve, answer):
    with ServerEngine(serve(answer).model) as engine, pytest.raises(EngineError, match="does not continue a reply"):
        engine.logprobs([BEGUN], ("A", "B"))


# Misbehaviour


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, {}), "500"),
        ((401, {"error": {"message": "bad key"}}), "401.*bad key"),
        ((404, {"error": {"message": "no model tiny"}}), "no model tiny"),
        ((200, b'{"choices": ['), "JSON"),
        ((200, b""), "OpenAI-compatible"),
        ((200, b"<html>welcome</html>"), "OpenAI-compatible"),
        ((200, []), "OpenAI-compatible"),
        ((200, {}), "choices: .*OpenAI-compatible"),
        ((200, {"choices": [{"message": {"content": {"a": 1}}}]}), r"choices\.0\.message\.content"),
    ],
)
def test_what_goes_wrong_is_told_in_one_plain_line(serve, answer, told):
    with ServerEngine(serve(answer).model, retries=0) as engine, pytest.raises(EngineError, match=told) as caught:
        engine.generate([Request(ASK)])
    message = str(caught.value)
    assert message.startswith("http://127.0.0.1:")
    assert "\n" not in message
    assert len(message) < 500


def test_a_server_that_lists_no_probabilities_is_told(serve):
    with ServerEngine(serve((200, said("A"))).model) as engine, pytest.raises(EngineError, match="explained"):
        engine.logprobs([ASK], ("A", "B"))


def test_a_server_that_hangs_is_given_up_in_time(serve):
    hung = threading.Event()

    def hang(path, body):
        hung.wait(20)
        return 200, said("2")

    began = time.monotonic()
    with ServerEngine(serve(hang).model, deadline=0.3) as engine:
        with pytest.raises(EngineError, match=r"no answer within 0\.3 s"):
            engine.generate([Request(ASK, num=4)])
        assert time.monotonic() - began < 5
    hung.set()


def test_a_hung_attempt_is_tried_again(serve):
    hung, attempts = threading.Event(), []

    def hang_once(path, body):
        attempts.append(path)
        if len(attempts) == 1:
            hung.wait(20)
        return 200, said("2")

    with ServerEngine(serve(hang_once).model, timeout=0.3) as engine:
        assert engine.generate([Request(ASK)])[0][0].text == "2"
    hung.set()


def test_a_server_that_is_not_there_is_told():
    with (
        ServerEngine(Checkpoint("http://127.0.0.1:9/v1#tiny"), retries=0) as engine,
        pytest.raises(EngineError, match="Connection error"),
    ):
        engine.generate([Request(ASK)])


def test_a_closed_engine_says_so(serve):
    with ServerEngine(serve((200, said("2"))).model) as engine:
        pass
    with pytest.raises(EngineError, match="closed"):
        engine.generate([Request(ASK)])


# Prompts that are too long


TOO_LONG = [
    (400, {"message": "This model's maximum context length is 64 tokens. However, your prompt contains 99"}),  # vLLM
    (400, {"error": {"message": "Please reduce it", "code": "context_length_exceeded"}}),  # OpenAI
    (400, {"error": {"code": 400, "type": "exceed_context_size_error", "n_prompt_tokens": 99}}),  # llama.cpp
    (413, b"<html>too large</html>"),
]


OBJECTION = (400, {"error": {"message": "triggering a policy", "code": "content_filter"}})


def short_sighted(refusal):
    """A server that says yes to all in which no word `long` stands."""

    def answer(path, body):
        return refusal if "long" in body["messages"][0]["content"] else (200, said("[[yes]]"))

    return answer


@pytest.mark.parametrize("refusal", TOO_LONG)
def test_a_question_that_the_server_finds_too_long_is_refused_alone_and_none_is_asked_twice(serve, refusal):
    server = serve(short_sighted(refusal))
    asked = [Prompt((Part(text),)) for text in ("a", "a", "long", "b", "longer", "c")]
    with ServerEngine(server.model) as engine:
        verdicts = ask_explained(engine, asked, ("yes", "no"), Sampling())
        assert [verdict.status for verdict in verdicts] == [
            Status.REFUSED if "long" in prompt.text else Status.OK for prompt in asked
        ]
        assert len(server.asked) == len(asked)


def test_what_is_too_long_is_data_of_its_request_alone(serve, caplog):
    asked = [Request(Prompt((Part(text),)), num=2) for text in ("a", "long", "b")]
    with ServerEngine(serve(short_sighted(TOO_LONG[0])).model) as engine, caplog.at_level(logging.WARNING, "presrm"):
        found = engine.generate(asked)
    assert [[one.stop for one in completions] for completions in found] == [
        [Stop.EOS] * 2,
        [Stop.NO_ROOM] * 2,
        [Stop.EOS] * 2,
    ]
    (told,) = caplog.messages
    assert "maximum context length is 64 tokens" in told


@pytest.mark.parametrize(("refusal", "stop"), [(TOO_LONG[0], Stop.NO_ROOM), (OBJECTION, Stop.FILTERED)])
def test_what_is_refused_has_no_log_probabilities(serve, refusal, stop):
    def answer(path, body):
        return refusal if "long" in body["messages"][0]["content"] else (200, weighed(A=-0.1, B=-3))

    with ServerEngine(serve(answer).model) as engine:
        prompts = [Prompt((Part(text),)) for text in ("a", "long", "b")]
        assert engine.logprobs(prompts, ("A", "B")) == [(-0.1, -3), None, (-0.1, -3)]
        verdicts = ask_direct(engine, prompts, ("A", "B"))
    assert [verdict.status for verdict in verdicts] == [Status.OK, Status.REFUSED, Status.OK]


@pytest.mark.parametrize("answer", [said(None, "content_filter"), said("I see [[yes]]", "content_filter"), OBJECTION])
def test_a_verdict_that_is_withheld_is_refused(serve, answer):
    with ServerEngine(serve(answer if isinstance(answer, tuple) else (200, answer)).model) as engine:
        (verdict,) = ask_explained(engine, [ASK], ("yes", "no"), Sampling())
    assert (verdict.status, verdict.probability) == (Status.REFUSED, None)


def test_a_file_is_judged_around_a_step_that_is_too_long_for_the_server(serve, tmp_path):
    source, out = tmp_path / "solutions.jsonl", tmp_path / "judged.jsonl"
    rows = [{"problem": "1 + 1?", "steps": ["It is 2.\n", step]} for step in ("Done.", "And so long.", "Yes.")]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with ServerEngine(serve(short_sighted(TOO_LONG[0])).model) as engine:
        judge = PointwiseJudge(engine, PromptSet("compact"))
        silent = nullcontext(lambda num_done: None)
        judge_file(source, out, lambda: nullcontext(judge), NewlineSplitter(), {}, lambda *stage: silent)
    first, second, third = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["first_error"] for row in (first, second, third)] == [-1, None, -1]
    fine, refused = second["judged"]
    assert (fine["status"], refused["status"], refused["score"]) == ("ok", "refused", None)


# Keys


@pytest.mark.parametrize("status", [401, 500])
def test_an_echoed_key_is_masked_and_stands_in_no_log(serve, monkeypatch, caplog, status):
    monkeypatch.setenv("PRESRM_API_KEY", "sk-secret")
    server = serve((status, {"error": {"message": "bad key sk-secret\n\x1b[31m"}}))
    with (
        caplog.at_level(logging.DEBUG),
        ServerEngine(server.model, retries=1) as engine,
        pytest.raises(EngineError, match=r"bad key \*\*\*") as caught,
    ):
        engine.generate([Request(ASK)])
    assert server.keys == {"Bearer sk-secret"}
    told = str(caught.value)
    assert "\x1b" not in told
    sent_back = [record.getMessage() for record in caplog.records if record.name.startswith("presrm")]
    assert "sk-secret" not in told + repr(engine) + str(engine.describe()) + "".join(sent_back)


@pytest.mark.parametrize("name", ["PRESRM_API_KEY", "OPENAI_API_KEY"])
def test_white_space_around_a_key_is_none_of_it(serve, monkeypatch, name):
    monkeypatch.delenv("PRESRM_API_KEY", raising=False)
    monkeypatch.setenv(name, " sk-secret\r\n")
    server = serve((200, said("2")))
    with ServerEngine(server.model) as engine:
        engine.generate([Request(ASK)])
    assert server.keys == {"Bearer sk-secret"}


@pytest.mark.parametrize("key", ["sk-sec\nret", "sk-secr\u00e9t", "sk secret", "sk-\x1b[31msecret"])
def test_a_malformed_key_is_refused_and_not_shown(monkeypatch, caplog, key):
    monkeypatch.setenv("PRESRM_API_KEY", key)
    with caplog.at_level(logging.DEBUG), pytest.raises(RequestError, match="PRESRM_API_KEY") as caught:
        ServerEngine(Checkpoint("http://127.0.0.1:9/v1#tiny"))
    assert "sec" not in str(caught.value) + caplog.text


@pytest.mark.parametrize(
    "address",
    [
        "http://me:sk-secret@127.0.0.1:9/v1#tiny",
        "HTTP://me:sk-secret@127.0.0.1:9/v1#tiny",
        " Https://sk-secret@a/v1#tiny",
        "http:/me:sk-secret@a/v1#tiny",
        "htp://me:sk-secret@a/v1#tiny",
        "http://me:sk#-secret@a/v1#tiny",
        "http://a:sk-secret/v1#tiny",
        "http://[sk-secret/v1#tiny",
        "http://[::sk-secret]/v1#tiny",
        "http://a:99999/sk-secret#tiny",
        "http://a/v1?key=sk-secret#tiny",
        "http://a/sk-secret@b/v1#tiny",
    ],
)
def test_a_malformed_address_is_refused_and_shown_nowhere(address):
    assert Checkpoint(address).is_remote
    for use in (policy_at, require_weights, lambda model: ServerEngine(Checkpoint(model))):
        with pytest.raises(RequestError) as caught:
            use(address)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["höst_", "999.1.1.1"])
def test_a_host_that_cannot_be_is_refused(host):
    with pytest.raises(RequestError, match="malformed"):
        ServerEngine(Checkpoint(f"http://{host}/v1#tiny"))


@pytest.mark.parametrize("address", ["http://a/v1#@cf/meta/llama@2", "HTTPS://a-b.c:80#m", "http://[::1]:80/v1/#m"])
def test_an_address_is_taken_apart(address):
    [url], name = split_address(address)
    assert f"{url}#{name}" == address.replace("/#", "#")
    assert split_address(f"http://a:1/v1, http://b/v1/,{address}") == (["http://a:1/v1", "http://b/v1", url], name)


@pytest.mark.parametrize("model", ["embedded", "org/name", "C:\\models\\x", "runs/a:b/policy", "http", "x.gguf"])
def test_folders_and_hub_ids_are_no_addresses(model):
    assert not Checkpoint(model).is_remote


def test_a_model_must_be_named():
    with pytest.raises(RequestError, match="#name"):
        ServerEngine(Checkpoint("http://127.0.0.1:9/v1"))


# By ids


class FakeVLLM:
    """Writes `reply` behind any ids, as vLLM would: stop strings, end tokens, ids back."""

    def __init__(self, encoder, reply, gives_ids=True, tops=None):
        self.encoder = encoder
        self.reply = encoder.scaffold(reply)
        self.gives_ids = gives_ids
        self.tops = tops

    def __call__(self, path, body):
        assert path == "/v1/completions"
        asked = body["prompt"]
        drawn, reason, why = [], "length", None
        for token in self.write(body)[: body["max_tokens"]]:
            drawn.append(token)
            if token in body.get("stop_token_ids", ()):
                reason, why = "stop", token
            elif hints := [hint for hint in body.get("stop", ()) if hint in self.encoder.decode(drawn)]:
                reason, why = "stop", hints[0]
            if reason == "stop":
                break
        choice = {"text": self.encoder.decode(drawn), "finish_reason": reason, "stop_reason": why}
        if self.gives_ids:
            choice["token_ids"] = drawn
        if self.tops is not None and "logprobs" in body:
            choice["logprobs"] = {"top_logprobs": [self.tops(asked)]}
        usage = {"prompt_tokens": len(asked), "completion_tokens": len(drawn)}
        return 200, {"choices": [choice], "usage": usage}

    def write(self, body):
        """What of the reply stands not yet behind the prompt."""
        asked = body["prompt"]
        return self.reply[next(n for n in range(len(self.reply), -1, -1) if n == 0 or asked[-n:] == self.reply[:n]) :]


def test_what_is_sent_is_what_the_tokenizer_makes_of_the_prompt(serve, encoder):
    server = serve(FakeVLLM(encoder, "2 + 3 = 5<|end|>"))
    with ServerEngine(server.model, encoder=encoder) as engine:
        ((completion,),) = engine.generate([Request(ASK)])
    assert server.asked[-1][1]["prompt"] == encoder.encode(ASK)
    assert completion.text == encoder.decode(completion.tokens)


def test_a_completion_ends_at_the_end_token_or_with_its_tokens(serve, encoder):
    with ServerEngine(serve(FakeVLLM(encoder, "2 + 3 = 5<|end|>more")).model, encoder=encoder) as engine:
        whole, cut = (engine.generate([Request(ASK, sampling=Sampling(max_tokens=n))])[0][0] for n in (50, 3))
    assert whole == Completion("2 + 3 = 5", tuple(encoder.scaffold("2 + 3 = 5")), Stop.EOS)
    assert cut == Completion(encoder.decode(whole.tokens[:3]), whole.tokens[:3], Stop.MAX_TOKENS)


@dataclass
class Hintless:
    stop: Sequence[str] = ()

    def split(self, text):
        return text.splitlines(keepends=True)


@pytest.mark.parametrize("splitter", [NewlineSplitter(), Hintless()])
def test_a_step_is_cut_at_its_boundary_and_the_next_one_continues_it(serve, encoder, splitter):
    reply = "2 + 3 = 5\n\n5 * 4 = 20\nSo the answer to all of this is the number 20.\n#### 20<|end|>"
    server = serve(FakeVLLM(encoder, reply))
    steps, prompt = [], ASK
    with ServerEngine(server.model, encoder=encoder) as engine:
        while not steps or steps[-1].stop is None:
            ((completion,),) = engine.generate([Request(prompt, splitter=splitter)])
            steps.append(completion)
            prompt = replace(prompt, reply=(*prompt.reply, Step(completion.text, completion.tokens)))
    assert [step.text for step in steps] == splitter.split(reply.removesuffix("<|end|>"))
    assert [token for step in steps for token in step.tokens] == encoder.scaffold(reply)[:-1]
    assert steps[-1].stop is Stop.EOS


def test_a_step_that_is_never_over_has_its_tokens(serve, encoder):
    with ServerEngine(serve(FakeVLLM(encoder, "2 + 3 = 5\n\n" + "\n" * 40)).model, encoder=encoder) as engine:
        request = Request(ASK, splitter=NewlineSplitter(), sampling=Sampling(max_tokens=20))
        ((completion,),) = engine.generate([request])
    assert completion.stop is Stop.MAX_TOKENS
    assert len(completion.tokens) == 20


def test_without_ids_back_the_text_is_told_and_no_step_is_cut(serve, encoder):
    server = serve(FakeVLLM(encoder, "2 + 3 = 5<|end|>", gives_ids=False))
    with ServerEngine(server.model, encoder=encoder) as engine:
        ((completion,),) = engine.generate([Request(ASK)])
        assert completion.tokens is None
        with pytest.raises(RequestError, match="ids"):
            engine.generate([Request(ASK, splitter=NewlineSplitter())])


def test_no_more_is_asked_than_the_model_reads(serve, encoder):
    with ServerEngine(serve(FakeVLLM(encoder, "2 " * 90)).model, encoder=encoder) as engine:
        ((completion,),) = engine.generate([Request(ASK, sampling=Sampling(max_tokens=500))])
        assert len(encoder.encode(ASK)) + len(completion.tokens) == 64


def test_where_a_prompt_leaves_no_room_nothing_is_sent(serve, encoder):
    server = serve(FakeVLLM(encoder, "2", tops=lambda ids: {}))
    long, full = (Prompt((Part("1 + " * num),)) for num in (64, 1))
    while len(encoder.encode(full)) < 62:
        full = replace(full, trunk=(Part(full.text + "1"),))
    with ServerEngine(server.model, encoder=encoder) as engine:
        engine.generate([Request(ASK)])
        num_asked = len(server.asked)
        assert engine.generate([Request(long, num=2)]) == [[Completion("", (), Stop.NO_ROOM)] * 2]
        assert engine.logprobs([full], ("yes 1 2", "no")) == [None]
        assert len(server.asked) == num_asked
        assert [one.stop for (one,) in engine.generate([Request(prompt) for prompt in (ASK, long, full)])] == [
            Stop.MAX_TOKENS,
            Stop.NO_ROOM,
            Stop.MAX_TOKENS,
        ]
        assert all(row is not None for row in engine.logprobs([ASK, full], ("y", "n")))


def test_options_are_weighed_a_token_at_a_time(serve, encoder):
    yes, long = encoder.scaffold("yes")[0], encoder.scaffold("yes 1 2")
    behind = {tuple(encoder.encode(ASK)): {f"token_id:{yes}": -0.5}}
    for depth in range(1, len(long)):
        behind[(*encoder.encode(ASK), *long[:depth])] = {encoder.decode([long[depth]]): -0.25, "other": -9}
    server = serve(FakeVLLM(encoder, "no", tops=lambda ids: behind.get(tuple(ids), {"other": -9})))
    with ServerEngine(server.model, encoder=encoder) as engine:
        ((short, longer, missing),) = engine.logprobs([ASK], ("yes", "yes 1 2", "no"))
    assert short == pytest.approx(-0.5 - 0.25 * (len(encoder.scaffold("yes")) - 1))
    assert longer == pytest.approx(-0.5 - 0.25 * (len(long) - 1))
    assert missing == -math.inf


def test_a_wrong_tokenizer_is_found_out(serve, encoder):
    def other(path, body):
        status, reply = FakeVLLM(encoder, "2 + 3")(path, body)
        reply["choices"][0]["text"] = "un chat"
        return status, reply

    with (
        ServerEngine(serve(other).model, encoder=encoder) as engine,
        pytest.raises(EngineError, match="is not that of the model"),
    ):
        engine.generate([Request(ASK)])


@pytest.mark.parametrize("refusal", [(400, {"message": "prompt: a string is expected"}), (404, {})])
def test_where_ids_are_refused_the_same_messages_go_by_chat(serve, encoder, refusal):
    server = serve(lambda path, body: refusal if path == "/v1/completions" else (200, said("2")))
    with ServerEngine(server.model, encoder=encoder) as engine:
        assert engine.generate([Request(ASK)] * 2)[1] == [Completion("2", None, Stop.EOS)]
    assert [path for path, _ in server.asked].count("/v1/completions") == 1


def test_a_server_that_takes_ids_for_text_is_asked_by_chat(serve, encoder):
    by_text = {"choices": [{"text": "?"}], "usage": {"prompt_tokens": 99}}
    server = serve(lambda path, body: (200, by_text if path == "/v1/completions" else said("2")))
    with ServerEngine(server.model, encoder=encoder) as engine:
        assert engine.generate([Request(ASK)])[0][0].text == "2"


# The laws of an engine


class DrawingVLLM(FakeVLLM):
    """Draws from a policy of six words by the ids before each, the temperature and, if it honours it, the seed."""

    def __init__(self, encoder, honours_seeds=True):
        super().__init__(encoder, "2 + 3 = 5\n so <|end|>", tops=self.weigh)
        self.honours_seeds = honours_seeds
        self.num_drawn = 0

    def write(self, body):
        self.num_drawn += 1
        luck = Random(f"{body['prompt']} {body.get('seed') if self.honours_seeds else self.num_drawn}")
        if body["temperature"] == 0:
            return self.reply
        return luck.choices(self.reply, k=LONGEST - len(body["prompt"]))

    def weigh(self, ids):
        return {self.encoder.decode([token]): -len(str(ids)) / (9 + token) for token in range(len(ids) % 7, 384)}


LONGEST = 400


@pytest.mark.parametrize("honours_seeds", [True, False])
def test_the_laws_hold_as_far_as_the_server_honours_seeds(serve, encoder, honours_seeds):
    server = serve(DrawingVLLM(encoder, honours_seeds))
    server.longest = LONGEST
    too_long = Prompt((Part("1 + " * LONGEST),))
    outcome = nullcontext() if honours_seeds else pytest.raises(AssertionError, match="came out otherwise")
    with ServerEngine(server.model, encoder=encoder) as engine, outcome:
        check_engine(engine, too_long=too_long, splitter=NewlineSplitter(), decode=encoder.decode)
    assert all(body.get("n", 1) == 1 for _, body in server.asked)


@pytest.mark.parametrize("prompt", [ASK, Prompt((Part("Is 2 + 3 = 5?"),), forced="So ")])
def test_the_laws_hold_by_chat(serve, prompt):
    """The server continues begun replies, as vLLM, and reads as many words as it says."""

    def answer(path, body):
        text = "".join(message["content"] for message in body["messages"])
        num = len(text.split()) + 5 * (len(body["messages"]) > 1 and "continue_final_message" not in body)
        if num > LONGEST:
            return 400, {"message": f"This model's maximum context length is {LONGEST} tokens"}
        luck = Random(f"{text} {body.get('seed') if body['temperature'] else 0}" if "temperature" in body else text)
        reply = " ".join(luck.choices(("2", "+", "so"), k=body["max_tokens"]))
        top = [{"token": token, "logprob": -1 - len(text) / 1e3} for token in ("yes", "no")]
        listed = {"logprobs": {"content": [{**top[0], "top_logprobs": top}]}} if "logprobs" in body else {}
        return 200, said(reply, "length", **listed) | {"usage": {"prompt_tokens": num, "completion_tokens": 1}}

    server = serve(answer)
    with ServerEngine(server.model) as engine:
        check_engine(engine, prompts=[prompt], too_long=Prompt((Part("1 + " * LONGEST),)))
    assert all(body.get("n", 1) == 1 for _, body in server.asked)
