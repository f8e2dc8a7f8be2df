"""The life of a server: a fake vLLM here; the real one, with `make test-servers`, in PRESRM_TEST_VLLM's environment."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

pytest.importorskip("openai")

from presrm.encoding import PromptEncoder
from presrm.engines.hf_loading import load_tokenizer
from presrm.engines.vllm import VLLMEngine
from presrm.errors import EngineError, RequestError
from presrm.prompts import Part, Prompt
from presrm.protocols import Request
from presrm.types import Checkpoint, Stop

ASK = Prompt((Part("1 + 1?"),))
FAKE = """
    import json, os, sys, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.give({"data": [{"id": "base", "max_model_len": 1024}, {"id": "policy", "parent": "base"}]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            choice = {"text": "", "token_ids": [0], "finish_reason": "stop", "stop_reason": None}
            self.give({"choices": [choice], "usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}})

        def give(self, body):
            raw = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    here = Path(sys.argv[0]).parent
    (here / "started.json").write_text(json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:]}))
"""
SERVES = 'ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()'
FAILS = 'print("INFO loading"); sys.exit("ValueError: no room for the\\x1b[31m weights")'
SLEEPS = "time.sleep(600)"


@pytest.fixture(scope="module")
def encoder():
    return PromptEncoder(load_tokenizer("embedded"))


@pytest.fixture
def fake(tmp_path):
    """An interpreter that is a vLLM whatever it is told to run."""

    def write(body):
        path = tmp_path / "python"
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(FAKE)}\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return write


def started(folder):
    """What the fake was started with, once it runs."""
    path = folder / "started.json"
    deadline = time.monotonic() + 30
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return json.loads(path.read_text())


def is_gone(pid, patience=10.0):
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_a_server_lives_as_long_as_its_engine(fake, encoder, tmp_path):
    with VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(SERVES)) as engine:
        ((completion,),) = engine.generate([Request(ASK)])
        assert (completion.text, completion.stop) == ("", Stop.EOS)
        pid = started(tmp_path)["pid"]
        assert os.getpgid(pid) != os.getpgid(0)
        assert engine.tokens_generated == 2  # one of them to see whether ids are taken
    assert is_gone(pid)
    with pytest.raises(EngineError, match="with statement"):
        VLLMEngine(Checkpoint("embedded"), encoder=encoder).generate([Request(ASK)])


def test_an_interrupt_stops_the_server(fake, encoder, tmp_path):
    with (
        pytest.raises(KeyboardInterrupt),
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(SERVES)),
    ):
        raise KeyboardInterrupt
    assert is_gone(started(tmp_path)["pid"])


def test_a_server_does_not_outlive_a_killed_run(fake, tmp_path):
    run = f"""
        from presrm.engines.vllm import VLLMEngine
        from presrm.types import Checkpoint
        VLLMEngine(Checkpoint("embedded"), encoder=None, python={fake(SERVES)!r}).__enter__()
        open({str(tmp_path / "ready")!r}, "w").close()
        input()
    """
    root = Path(__file__).parent.parent.parent
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(run)], stdin=subprocess.PIPE, cwd=root)
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = started(tmp_path)["pid"]
    assert not is_gone(pid, 0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert is_gone(pid)


def test_a_server_that_fails_is_told_with_its_own_words(fake, encoder, caplog):
    with (
        pytest.raises(EngineError, match=r"ended with status 1 .*ValueError: no room for the.* weights") as caught,
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(FAILS)),
    ):
        pass
    message = str(caught.value)
    assert "\x1b" not in message + caplog.text
    assert "INFO loading" in caplog.text
    log = Path(message.rpartition("its log: ")[2])
    assert "no room" in log.read_text()
    log.unlink()


def test_a_server_that_never_is_ready_is_given_up(fake, encoder, tmp_path):
    with (
        pytest.raises(EngineError, match=r"was not ready after 1 s"),
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(SLEEPS), patience=1),
    ):
        pass
    assert is_gone(started(tmp_path)["pid"])


def test_an_environment_without_vllm_is_told(encoder):
    with (
        pytest.raises(EngineError, match="not found"),
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python="/nowhere/python"),
    ):
        pass


def test_an_adapter_is_served_on_its_base_unmerged(fake, encoder, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 24}')
    policy = Checkpoint("embedded", adapter)
    with (
        VLLMEngine(policy, encoder=encoder, python=fake(SERVES), arguments=["--seed", 1]) as engine,
        pytest.raises(EngineError, match="reads at most 1024"),  # as its base does
    ):
        engine.generate([Request(Prompt((Part("1 + " * 600),)))])
    told = " ".join(started(tmp_path)["arguments"])
    assert f"--max-lora-rank 32 --lora-modules policy={adapter}" in told
    assert "--seed 1" in told


def test_what_vllm_cannot_serve_is_refused(encoder, tmp_path):
    with pytest.raises(RequestError, match="safetensors"):
        VLLMEngine(Checkpoint("model.gguf"), encoder=encoder)
    with pytest.raises(RequestError, match="adapter_config"):
        VLLMEngine(Checkpoint("embedded", tmp_path), encoder=encoder)
