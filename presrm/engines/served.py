"""The engine on a server of its own: starts one of the policy on this machine, asks it by token ids, and stops it.

The server may live in an environment of its own; nothing of it is imported. It listens on a free loopback port, in a
session and process group of its own, so that an interrupt at the keyboard does not hit it in the middle of a batch; it
is stopped when the engine is left, and also when this process dies, even if it is killed.

A LoRA adapter is served beside its base, not merged: it is loaded by a name of its own, and that name is asked. So one
server of a base serves, one after the other, all adapters that are trained on it.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from importlib import resources
from pathlib import Path
from typing import Any

from presrm.engines.server import ServerEngine
from presrm.errors import EngineError, RequestError, boundary
from presrm.files.content import hash_path
from presrm.prompts import Prompt
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Completion, Request
from presrm.types import Checkpoint

logger = logging.getLogger(__name__)

BASE = "base"
"""What the server calls the model without an adapter."""
_SHARED_MEMORY = "0.5"
"""The share of a GPU that a server takes beside training, where its arguments say nothing else."""
_GRACE = 20
"""Seconds that a server has to end in order."""
_GRACE_OF_START = 1
"""The same while it starts: then it has nothing to end in order, and mostly does not hear."""
_HEALTH = 20
"""Seconds to say that it is ready: SGLang writes a token first."""
_WATCHED = """
grace=$1; shift
exec 3<&0
"$@" 3<&- </dev/null &
pid=$!
{
    cat <&3
    kill $pid
    for second in $(seq $grace); do kill -0 $pid || break; sleep 1; done
    kill -9 0
} >/dev/null 2>&1 &
wait $pid
"""
"""A command that is told to end when its standard input ends, which is when the process that started it does.

vLLM does not hear that while it starts: what is left of the process group when the grace is over is killed.
"""


@dataclass(frozen=True, slots=True)
class Program:
    """What is started, and how it is told what every such server can do.

    Attributes:
        name: As `model.engine` has it.
        title: As people call it.
        command: Behind the interpreter.
        model: The flag of the model.
        memory: The flag of the share of a GPU that it takes.
        arguments: Those that it is always given.
        lora: Those that make room for an adapter of a rank.
        root: Where adapters are loaded, relative to the server's address.
        name_of: What is asked for an adapter that is loaded under a name.
        environment: Variables.
        lora_environment: More of them where adapters are loaded.
    """

    name: str
    title: str
    command: tuple[str, ...]
    model: str
    memory: str
    arguments: tuple[str, ...]
    lora: Callable[[int], Sequence[str]]
    root: str = "/v1"
    name_of: Callable[[str], str] = str
    environment: Mapping[str, str] = field(default_factory=dict)
    lora_environment: Mapping[str, str] = field(default_factory=dict)


class ServedEngine:
    """Runs a policy with a server. A context manager: entering it starts the server, leaving it stops it.

    Args:
        program: What is started.
        checkpoint: The policy: a folder, a Hub id or ``embedded``; perhaps an adapter.
        encoder: Of its tokenizer.
        lora_rank: Of the adapters that are going to be trained on its base, or none.
        stay: Whether the server stays while adapters are trained; else the whole GPU is free for that.
        dtype: As the server knows it; ``auto`` is half precision for weights in float32, too.
        python: The interpreter of the environment that the server is installed in; none: ours.
        arguments: More arguments of the server, for example of vLLM ``["--max-model-len", 4096]``.
        concurrency: Requests under way at once.
        deadline: Seconds after which a request is given up, all attempts together.
        retries: Attempts after the first.
        patience: Seconds that the server has to come up.

    Raises:
        RequestError: if there is nothing that could be served at the place given.
    """

    def __init__(
        self,
        program: Program,
        checkpoint: Checkpoint,
        *,
        encoder: PromptEncoder,
        lora_rank: int | None = None,
        stay: bool = True,
        dtype: str = "auto",
        python: str | None = None,
        arguments: Sequence[str | int | float] = (),
        concurrency: int = 64,
        deadline: float = 1800.0,
        retries: int = 2,
        patience: float = 900.0,
    ) -> None:
        self.checkpoint = checkpoint
        self._program = program
        self._encoder = encoder
        self._options: dict[str, Any] = {
            "concurrency": concurrency,
            "timeout": deadline,
            "deadline": deadline,
            "retries": retries,
        }
        self._patience = patience
        self._python = str(Path(python or sys.executable).expanduser())
        self._model = _what_to_serve(checkpoint.model, program)
        coming = lora_rank if stay and lora_rank else 0
        self._stays = bool(coming)
        self._rank = max(coming, 0 if checkpoint.adapter is None else _rank(checkpoint.adapter))
        # Of an argument that is given twice the last one counts.
        self._arguments = [program.model, self._model, "--served-model-name", BASE, "--dtype", dtype]
        self._arguments += [program.memory, _SHARED_MEMORY] if self._stays else []
        self._arguments += program.lora(self._rank) if self._rank else []
        self._arguments += map(str, arguments)
        self._server: ServerEngine | None = None
        self._adapter: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path()
        self._is_log_named = False

    def __enter__(self) -> "ServedEngine":
        """Start the server and wait until it is ready.

        Raises:
            EngineError: if it does not come up.
        """
        port = _free_port()
        self._process, self._server = self._start(port), None
        try:
            self._wait_for(port)
            here = Checkpoint(f"http://127.0.0.1:{port}/v1#{BASE}")
            self._server = ServerEngine(here, encoder=self._encoder, **self._options)
            self._load(self.checkpoint.adapter)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._server is not None:
            self._server.__exit__(*exception)
        self._stop(_GRACE_OF_START if self._server is None else _GRACE)
        if not self._is_log_named:
            self._log.unlink(missing_ok=True)

    @property
    def can_adopt(self) -> bool:
        """Whether it stays while the next policy is trained, because that is another adapter of its base."""
        return self._stays

    def adopt(self, policy: Checkpoint) -> bool:
        """Serve `policy` from now on, if it is the base of the server or an adapter that there is room for.

        Raises:
            EngineError: if the server fails, or does not load the adapter.
        """
        adapter = policy.adapter
        if not self._stays or _what_to_serve(policy.model, self._program) != self._model:
            return False
        if adapter is not None and _rank(adapter) > self._rank:
            return False
        self._load(adapter)
        self.checkpoint = policy
        return True

    @property
    def tokens_read(self) -> int | None:
        """Prompt tokens read so far, without what the server had in its cache."""
        return self._server.tokens_read if self._server is not None else 0

    @property
    def tokens_generated(self) -> int | None:
        """Tokens drawn so far, the dropped ends of steps included."""
        return self._server.tokens_generated if self._server is not None else 0

    @property
    def tokens_recalled(self) -> int | None:
        """Prompt tokens that the server had in its cache."""
        return self._server.tokens_recalled if self._server is not None else None

    def describe(self) -> dict[str, Any]:
        """Say what runs where."""
        model, adapter = self.checkpoint.model, self.checkpoint.adapter
        told = self._server.describe() if self._server is not None else {}
        return {**told, "engine": self._program.name, "model": model, "adapter": str(adapter) if adapter else None}

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request: one list of ``request.num`` completions each, in order.

        Raises:
            EngineError: if the server fails.
            SplitterError: if a splitter raises or breaks its law.
        """
        with self._running() as server:
            return server.generate(requests)

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give, for each prompt, the log-probability (nats) that its reply goes on with each option.

        Raises:
            ValueError: if an option is empty.
            EngineError: as `generate`.
        """
        with self._running() as server:
            return server.logprobs(prompts, options)

    @contextmanager
    def _running(self) -> Iterator[ServerEngine]:
        """The server; if it fails, its log is kept and named, and if it is gone, its own last words are told."""
        if self._server is None or self._process is None:
            raise EngineError(f"the engine {self._program.name} runs only within its with statement")
        try:
            yield self._server
        except EngineError as error:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(1)  # a server that is gone is missed by its shell a moment later
            if self._process.returncode is None:
                self._is_log_named = True
                raise EngineError(f"{error}; the log of {self._program.title}: {self._log}") from error
            raise self._failure(f"ended with status {self._process.returncode}") from error

    def _load(self, adapter: Path | None) -> None:
        """Have the next requests answered by `adapter`, or by the base.

        The one before is unloaded first, because there is room for one. The name tells the content: what the server has
        cached of one adapter is never read for another. It is asked for once it is loaded, so that nothing else answers
        in its place.
        """
        program, asked = self._program, BASE
        with self._running() as server:
            client = server.client
            root = client.url.removesuffix("/v1") + program.root
            if self._adapter is not None:
                client.run(client.tell(f"{root}/unload_lora_adapter", {"lora_name": self._adapter}))
                self._adapter = None
            if adapter is not None:
                name = f"adapter-{hash_path(adapter)[:16]}"
                where = {"lora_name": name, "lora_path": str(adapter.resolve())}
                client.run(client.tell(f"{root}/load_lora_adapter", where))
                logger.info("%s has loaded the adapter %s as %s", program.title, adapter, name)
                self._adapter, asked = name, program.name_of(name)
            client.name = asked

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        program = self._program
        command = [self._python, *program.command, *self._arguments]
        command += ["--host", "127.0.0.1", "--port", str(port), *program.arguments]
        # Our folder must not shadow what the server imports.
        env = {**os.environ, "PYTHONSAFEPATH": "1", **program.environment}
        env |= program.lora_environment if self._rank else {}
        with tempfile.NamedTemporaryFile(prefix=f"presrm-{program.name}-", suffix=".log", delete=False) as log:
            self._log = Path(log.name)
            logger.info("starting %s on %s, port %d; its log: %s", program.title, self._model, port, self._log)
            return subprocess.Popen(
                ["sh", "-c", _WATCHED, "sh", str(_GRACE), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )

    def _wait_for(self, port: int) -> None:
        assert self._process is not None
        began = told = time.monotonic()
        while not _is_healthy(port):
            now = time.monotonic()
            if self._process.poll() is not None:
                raise self._failure(f"ended with status {self._process.returncode} before it was ready")
            if now - began > self._patience:
                raise self._failure(f"was not ready after {self._patience:g} s")
            if now - told > 30:
                told = now
                logger.info(
                    "%s is not ready yet, after %.0f s; its log: %s", self._program.title, now - began, self._log
                )
            time.sleep(0.25)
        logger.info("%s is ready after %.0f s", self._program.title, time.monotonic() - began)

    def _failure(self, what: str) -> EngineError:
        """Log the end of the server's log, which is kept, and name what is probably the cause."""
        self._is_log_named = True
        lines = [_printable(line) for line in self._log.read_text("utf-8", "replace").splitlines() if line.strip()]
        logger.error("the end of the log of %s:\n%s", self._program.title, "\n".join(lines[-30:]))
        cause = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "nothing")
        return EngineError(
            f"{self._program.title} on {self.checkpoint.model!r} {what}; it said: {cause.strip():.300}; "
            f"its log: {self._log}"
        )

    def _stop(self, grace: int) -> None:
        """Ask the server to end, by the end of its standard input, then end what is left of its process group."""
        process = self._process
        if process is None:
            return
        self._process = None
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            logger.warning("%s did not end in %d s, so it is killed", self._program.title, grace)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _what_to_serve(model: str, program: Program) -> str:
    """The model as a server is told it: a whole path where it is a folder."""
    if model == "embedded":
        model = str(resources.files("presrm") / "embedded")
    if model.lower().endswith(".gguf"):
        raise RequestError(
            f"engine {program.name} serves folders of safetensors, not {model!r}; choose model.engine: hf, or write a "
            "folder with transformers: from_pretrained(..., gguf_file=...).save_pretrained(...)"
        )
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _rank(adapter: Path) -> int:
    with boundary(RequestError, f"adapter {str(adapter)!r}"):
        return int(json.loads((adapter / "adapter_config.json").read_text("utf-8"))["r"])


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _is_healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=_HEALTH)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line)
