import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("openai")

from presrm.engines.server import ServerEngine
from presrm.errors import EngineError, RequestError
from presrm.prompts import Part, Prompt
from presrm.protocols import Completion, Request
from presrm.types import Checkpoint, Stop


@pytest.fixture
def serve():
    """Start a server that gives the queued (status, body) answers in turn, the last one for ever."""
    servers = []

    def start(*answers):
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                status, body = left.pop(0) if len(left) > 1 else left[0]
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return Checkpoint(f"http://127.0.0.1:{server.server_port}/v1#tiny")

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def said(text, reason="stop", **more):
    message = {"role": "assistant", "content": text}
    return {"choices": [{"index": 0, "finish_reason": reason, "message": message, **more}]}


ASK = Prompt((Part("1 + 1?"),))


def test_a_reply_is_text_without_ids(serve):
    with ServerEngine(serve((200, said("2")))) as engine:
        assert engine.generate([Request(ASK)]) == [[Completion("2", (), Stop.EOS)]]


def test_a_busy_server_is_asked_again(serve):
    with ServerEngine(serve((429, {}), (200, said("2", "length")))) as engine:
        assert engine.generate([Request(ASK)])[0][0].stop is Stop.MAX_TOKENS


def test_no_choice_is_an_empty_reply(serve):
    with ServerEngine(serve((200, {"choices": []}))) as engine:
        assert engine.generate([Request(ASK)]) == [[Completion("", (), None)]]


@pytest.mark.parametrize("answer", [(500, {}), (200, b'{"choices": [')])
def test_a_broken_server_is_an_engine_error_without_the_key(serve, monkeypatch, answer):
    monkeypatch.setenv("PRESRM_API_KEY", "sk-secret")
    with ServerEngine(serve(answer), retries=0) as engine, pytest.raises(EngineError) as caught:
        engine.generate([Request(ASK)])
    assert "sk-secret" not in str(caught.value) + repr(engine) + str(engine.describe())


def test_an_echoed_key_is_masked(serve, monkeypatch):
    monkeypatch.setenv("PRESRM_API_KEY", "sk-secret")
    with (
        ServerEngine(serve((401, {"error": {"message": "bad key sk-secret"}}))) as engine,
        pytest.raises(EngineError, match=r"bad key \*\*\*"),
    ):
        engine.generate([Request(ASK)])


def test_an_option_that_is_not_listed_is_not_guessed(serve):
    top = {"token": "A", "logprob": -0.1, "top_logprobs": [{"token": "A", "logprob": -0.1}]}
    with ServerEngine(serve((200, said("A", logprobs={"content": [top]})))) as engine:
        assert engine.logprobs([ASK], ("A", "B")) == [(-0.1, -math.inf)]


def test_a_model_must_be_named():
    with pytest.raises(RequestError, match="#name"):
        ServerEngine(Checkpoint("http://127.0.0.1:9/v1"))
