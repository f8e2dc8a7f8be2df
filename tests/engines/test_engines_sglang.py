"""SGLang's server as its documentation has it: its flags, its endpoints, and what it makes of a request."""

import json
import sys
import tempfile
import textwrap

import pytest

pytest.importorskip("httpx2")

from test_engines_vllm import ASK, adapter, is_gone, started, told

from presrm.assembly.engines import check_engine, open_engine
from presrm.config import ModelConfig
from presrm.engines.hf_loading import load_tokenizer
from presrm.engines.sglang import SGLangEngine
from presrm.errors import ConfigError, EngineError, RequestError
from presrm.prompts import Part, Prompt
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Request, Sampling
from presrm.splitters.newline import NewlineSplitter
from presrm.types import Checkpoint, Stop

FAKE = """
    import argparse, json, os, sys, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    here = Path(sys.argv[0]).parent

    def note(row):
        with (here / "told.jsonl").open("a") as told:
            print(json.dumps(row), file=told)

    assert sys.argv[1:3] == ["-m", "sglang.launch_server"]
    flags = argparse.ArgumentParser(prog="launch_server.py", allow_abbrev=False)
    flags.add_argument("--model-path", "--model", required=True)
    for flag in ("--served-model-name", "--host", "--log-level-http"):
        flags.add_argument(flag)
    for flag in ("--port", "--max-lora-rank", "--max-loras-per-batch", "--context-length", "--random-seed"):
        flags.add_argument(flag, type=int)
    flags.add_argument("--dtype", choices=["auto", "half", "float16", "bfloat16", "float", "float32"])
    flags.add_argument("--mem-fraction-static", type=float)
    flags.add_argument("--lora-target-modules", nargs="*")
    for flag in ("--enable-lora", "--enable-cache-report", "--enable-deterministic-inference"):
        flags.add_argument(flag, action="store_true")
    args = flags.parse_args(sys.argv[3:])
    if args.enable_lora and not (args.max_lora_rank and args.lora_target_modules):
        sys.exit("AssertionError: max_lora_rank and lora_target_modules are needed without lora_paths")
    note({"path": "start"})
    (here / "started.json").write_text(json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:]}))
    ready = time.monotonic() + 0.5
    writes = json.loads((here / "writes.json").read_text())  # what comes next, as (id, text), whatever was asked

    class Handler(BaseHTTPRequestHandler):
        adapters, tells_ids = {}, True

        def do_GET(self):
            if self.path == "/health":
                return self.give(200 if time.monotonic() > ready else 503, None)
            assert self.path == "/v1/models"
            base = {"id": args.served_model_name, "object": "model", "max_model_len": args.context_length or 1024}
            loras = [{"id": name, "parent": args.served_model_name} for name in self.adapters]
            self.give(200, {"object": "list", "data": [base, *loras]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            note({"path": self.path, **body})
            ways = {"/load_lora_adapter": self.load, "/unload_lora_adapter": self.unload}
            self.give(*(ways | {"/v1/completions": self.complete}).get(self.path, self.missing)(body))

        def missing(self, body):
            return 404, {"detail": "Not Found"}

        def load(self, body):
            name, path = body["lora_name"], body["lora_path"]
            if not args.enable_lora or name in self.adapters or not os.path.isabs(path):
                return 400, {"success": False, "error_message": f"Failed to load LoRA adapter {name}"}
            self.adapters[name] = path
            return 200, {"success": True, "error_message": "", "loaded_adapters": self.adapters}

        def unload(self, body):
            if self.adapters.pop(body["lora_name"], None) is None:
                return 400, {"success": False, "error_message": "it is not loaded"}
            return 200, {"success": True, "error_message": "", "loaded_adapters": self.adapters}

        def complete(self, body):
            base, _, lora = body["model"].partition(":")
            if lora and lora not in self.adapters:
                return 400, failed(f"Got LoRA adapter that has never been loaded: {lora}")
            ids, text, reason, matched = [], "", "length", None
            left = writes[len(body["prompt"]) - self.asked(body) :]
            for number, piece in left[: body["max_tokens"]]:
                ids, text = [*ids, number], text + piece
                stop = next((stop for stop in body.get("stop") or () if stop in text), None)
                if number in (body.get("stop_token_ids") or ()):
                    text, reason, matched = text.removesuffix(piece), "stop", number
                elif stop is not None:
                    text, reason, matched = text[: text.index(stop)], "stop", stop
                if reason == "stop":
                    break
            choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason, "matched_stop": matched}
            if body.get("logprobs") is not None:
                tops = {"1": -0.25, "2": -1.5, " 1": -2.0}
                choice["logprobs"] = {"text_offset": [], "token_logprobs": [-0.25], "tokens": ["1"]}
                choice["logprobs"]["top_logprobs"] = [dict(list(tops.items())[: body["logprobs"]])]
            if self.tells_ids and body.get("return_token_ids"):
                choice |= {"token_ids": ids, "prompt_token_ids": body["prompt"]}
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids), "reasoning_tokens": 0}
            usage["prompt_tokens_details"] = {"cached_tokens": 3} if args.enable_cache_report else None
            return 200, {"object": "text_completion", "model": base, "choices": [choice], "usage": usage}

        def asked(self, body):
            \"\"\"Tokens of the prompt that were not written here.\"\"\"
            ids = [number for number, _ in writes]
            most = min(len(ids), len(body["prompt"]))
            return len(body["prompt"]) - next(n for n in range(most, -1, -1) if body["prompt"][-n:] == ids[:n] or not n)

        def give(self, status, body):
            raw = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    def failed(message):
        return {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400}
"""
SERVES = "ThreadingHTTPServer((args.host, args.port), Handler).serve_forever()"


@pytest.fixture(scope="module")
def encoder():
    return PromptEncoder(load_tokenizer("embedded"))


@pytest.fixture(autouse=True)
def logs(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def fake(tmp_path, encoder):
    """An interpreter that is an SGLang; what it writes is a text, and the end."""

    def write(body=SERVES, text="1 + 1 = 2\n#### 2\n"):
        ids = encoder.scaffold(text)
        pieces = [(number, encoder.decode([number])) for number in ids]
        end = int(encoder.tokenizer.eos_token_id)
        (tmp_path / "writes.json").write_text(json.dumps([*pieces, (end, encoder.tokenizer.eos_token)]))
        path = tmp_path / "python"
        path.write_text(f"#!{sys.executable}\n{textwrap.dedent(FAKE)}\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return write


def test_a_server_lives_as_long_as_its_engine(fake, encoder, tmp_path):
    with SGLangEngine(Checkpoint("embedded"), encoder=encoder, python=fake()) as engine:
        [[completion]] = engine.generate([Request(ASK, sampling=Sampling(max_tokens=40))])
        assert (completion.text, completion.stop) == ("1 + 1 = 2\n#### 2\n", Stop.EOS)
        assert completion.tokens == tuple(encoder.scaffold(completion.text)), "the end token is left out"
        assert engine.describe()["engine"] == "sglang"
        assert engine.tokens_recalled == 6
        pid = started(tmp_path)["pid"]
    assert is_gone(pid)
    assert not list(tmp_path.glob("presrm-sglang-*")), "the log of a server without a fault is not kept"
    *_, asked = map(json.loads, (tmp_path / "told.jsonl").read_text().splitlines())
    assert (asked["model"], asked["top_k"], asked["skip_special_tokens"]) == ("base", -1, False)


def test_a_step_ends_at_its_boundary_and_the_next_goes_on_from_its_ids(fake, encoder):
    with SGLangEngine(Checkpoint("embedded"), encoder=encoder, python=fake()) as engine:
        [[first]] = engine.generate([Request(ASK, sampling=Sampling(max_tokens=40), splitter=NewlineSplitter())])
        assert (first.text, first.stop) == ("1 + 1 = 2\n", None)
        [[cut]] = engine.generate([Request(ASK, sampling=Sampling(max_tokens=2))])
        assert (len(cut.tokens), cut.stop) == (2, Stop.MAX_TOKENS)


def test_verdicts_are_weighed_by_the_most_probable_tokens(fake, encoder):
    with SGLangEngine(Checkpoint("embedded"), encoder=encoder, python=fake()) as engine:
        [weights] = engine.logprobs([ASK], ["1", "2", "3"])
    assert weights == (-0.25, -1.5, float("-inf"))


def test_a_server_that_tells_no_ids_can_judge_but_not_search(fake, encoder):
    old = fake(f"Handler.tells_ids = False; {SERVES}")
    with SGLangEngine(Checkpoint("embedded"), encoder=encoder, python=old) as engine:
        assert engine.logprobs([ASK], ["1", "2"]) == [(-0.25, -1.5)]
        with pytest.raises(RequestError, match=r"does not tell the ids .* SGLang since July 2026"):
            engine.generate([Request(ASK, splitter=NewlineSplitter())])


def test_one_server_serves_every_adapter_that_comes(fake, encoder, tmp_path):
    first, second = adapter(tmp_path / "1"), adapter(tmp_path / "2", content="other weights")
    with SGLangEngine(Checkpoint("embedded"), encoder=encoder, python=fake(), lora_rank=4) as engine:
        assert engine.can_adopt
        for policy in (first, second, Checkpoint("embedded")):
            assert engine.adopt(policy)
            [[too_long]] = engine.generate([Request(Prompt((Part("1 + " * 600),)))])
            assert too_long.stop is Stop.NO_ROOM, "an adapter reads as much as its base"
            engine.generate([Request(ASK)])
    arguments = " ".join(started(tmp_path)["arguments"])
    assert "--mem-fraction-static 0.5 --enable-lora --max-lora-rank 4 --lora-target-modules all" in arguments
    lines = [line.removeprefix("/") for line in told(tmp_path)]
    a, b = (line.split()[1] for line in lines if line.startswith("load"))
    assert a != b
    assert lines == [
        *("start", f"load {a} {first.adapter}", f"completions base:{a}"),
        *(f"unload {a}", f"load {b} {second.adapter}", f"completions base:{b}"),
        *(f"unload {b}", "completions base"),
    ]


def test_an_adapter_that_is_not_loaded_is_told_and_nothing_answers_in_its_place(fake, encoder, tmp_path):
    policy, other = adapter(tmp_path / "1"), adapter(tmp_path / "2", content="other weights")
    refuses = "lambda self, body: takes(self, body) if body['lora_path'].endswith('1') else (400, failed('bad rank'))"
    python = fake(f"takes = Handler.load; Handler.load = {refuses}; {SERVES}")
    with SGLangEngine(policy, encoder=encoder, python=python, lora_rank=4, retries=0) as engine:
        engine.generate([Request(ASK)])
        with pytest.raises(EngineError, match="400: bad rank"):
            engine.adopt(other)
        assert engine.checkpoint == policy
        with pytest.raises(EngineError, match="never been loaded"):
            engine.generate([Request(ASK)])


def test_a_server_that_fails_is_told_with_its_own_words(fake, encoder):
    policy = Checkpoint("embedded")
    with (
        pytest.raises(EngineError, match=r"SGLang on 'embedded' ended with status 2 .*arguments: --contxt-length"),
        SGLangEngine(policy, encoder=encoder, python=fake(), arguments=["--contxt-length", 512]),
    ):
        pass
    dies = f'Handler.do_POST = lambda self: (print("MemoryError: too much", flush=True), os._exit(3)); {SERVES}'
    with (
        pytest.raises(EngineError, match=r"SGLang .* ended with status 3; it said: MemoryError: too much"),
        SGLangEngine(policy, encoder=encoder, python=fake(dies), retries=1) as engine,
    ):
        engine.generate([Request(ASK)])


def test_the_settings_choose_it(fake, tmp_path):
    options = {"python": fake(), "arguments": ["--random-seed", 1, "--enable-deterministic-inference"]}
    model = ModelConfig(engine="sglang", dtype="bfloat16", engine_options=options)
    with open_engine(Checkpoint("embedded"), model) as engine:
        assert engine.describe()["engine"] == "sglang"
    assert "--dtype bfloat16 --random-seed 1" in " ".join(started(tmp_path)["arguments"])
    with pytest.raises(ConfigError, match=r"model\.engine_options\.concurency"):
        check_engine(ModelConfig(engine="sglang", engine_options={"concurency": 2}))
    with pytest.raises(ConfigError, match=r"concurrency should be a valid integer"):
        check_engine(ModelConfig(engine="sglang", engine_options={"concurrency": "many"}))
    with pytest.raises(RequestError, match="engine sglang serves folders of safetensors"):
        SGLangEngine(Checkpoint("model.gguf"), encoder=None)
