"""Training as a launch of its own: the fit stage in as many processes as `accelerate launch`, or the like, starts.

What is to be done stands in a folder beside the policy that is made; the processes read it, the main one writes
metrics there, and what it cannot do it says there. Nothing of torch is imported here.
"""

import json
import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter

from presrm import errors
from presrm.config import Config
from presrm.errors import PresrmError, RunnerError
from presrm.files.jsonl import dump
from presrm.protocols import Stage, silent_stage
from presrm.registry import allowed_code
from presrm.types import Attempt, Checkpoint, Demonstration, Lesson, PreferencePair

logger = logging.getLogger(__name__)

LESSONS: Mapping[str, type[Lesson]] = {kind.__name__: kind for kind in (PreferencePair, Demonstration, Attempt)}
JOB, ROWS, METRICS, FAILURE, LOG = "job.json", "lessons.jsonl", "metrics.jsonl", "failure.json", "log.txt"
_LOOK = 1.0
"""Seconds between two looks at the metrics of a launch."""


def command_of(launch: Sequence[str] | str) -> list[str]:
    """The words before ``-m module``: those given, or `accelerate launch` with a config that presrm ships."""
    if not isinstance(launch, str):
        return list(launch)
    shipped = resources.files("presrm") / "configs" / "launch" / f"{launch}.yaml"
    return [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(shipped)]


class LaunchedTrainer:
    """Makes a policy from lessons in other processes; a `presrm.protocols.Trainer`.

    Args:
        config: The settings; ``training.launch`` says how to start the processes.
        seed: As for `presrm.training.trainer.PackedTrainer`.
        on_log: The same.
        facts: The same.
        stage: Where to tell what is going on.
    """

    def __init__(
        self,
        config: Config,
        *,
        seed: int,
        on_log: Callable[[dict[str, float]], None] = lambda row: None,
        facts: Mapping[str, str] = MappingProxyType({}),
        stage: Stage = silent_stage,
    ) -> None:
        assert config.training.launch is not None
        self._command = command_of(config.training.launch)
        self._config = config
        self._seed = seed
        self._on_log = on_log
        self._facts = facts
        self._stage = stage

    def fit(
        self, lessons: Sequence[Lesson], policy: Checkpoint, out: Path, *, reference: Checkpoint | None = None
    ) -> Checkpoint:
        """Train `policy` on `lessons` and save the result under `out`, which is whole or absent.

        Raises:
            PresrmError: what the training raised.
            RunnerError: if the command cannot be started, or ends without a policy.
        """
        folder = out.with_name(f".{out.name}.launch")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        rows = ({"kind": type(lesson).__name__, "lesson": json.loads(dump(lesson))} for lesson in lessons)
        (folder / ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        job = {
            "config": self._config.model_dump(mode="json"),
            "seed": self._seed,
            "facts": dict(self._facts),
            "policy": _plain(policy),
            "reference": None if reference is None else _plain(reference),
            "out": str(out),
            "code": sorted(allowed_code()),
            "begun": time.time_ns(),  # tells it from the same job, begun again
        }
        (folder / JOB).write_text(json.dumps(job, indent=1) + "\n", "utf-8")
        with self._stage("training in a launch of its own", None):
            self._launch(folder)
        made = json.loads((folder / JOB).read_text("utf-8")).get("made")
        if made is None:
            raise self._failure(folder, "made no policy")
        shutil.rmtree(folder)
        return TypeAdapter(Checkpoint).validate_python(made)

    def _launch(self, folder: Path) -> None:
        """Run the command to its end, and hand on its metrics as they come."""
        command = [*self._command, "-m", "presrm.training.launched", str(folder)]
        logger.info("training by %s; its log: %s", " ".join(command), folder / LOG)
        told = _Told(folder / METRICS)
        with (folder / LOG).open("wb") as log:
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            except OSError as error:
                raise RunnerError(f"training.launch: {command[0]!r} cannot be started: {error.strerror}") from error
            try:
                while process.poll() is None:
                    try:
                        process.wait(_LOOK)
                    except subprocess.TimeoutExpired:
                        told.each(self._on_log)
            except BaseException:
                process.terminate()
                process.wait()
                raise
        told.each(self._on_log)
        if process.returncode:
            raise self._failure(folder, f"ended with status {process.returncode}")

    def _failure(self, folder: Path, what: str) -> PresrmError:
        """What the main process said that it could not do, as it raised it; else the end of the log."""
        path = folder / FAILURE
        if path.is_file():
            failure = json.loads(path.read_text("utf-8"))
            kind = getattr(errors, str(failure["kind"]), None)
            if isinstance(kind, type) and issubclass(kind, PresrmError):
                return kind(str(failure["message"]))
        lines = [line.strip() for line in (folder / LOG).read_text("utf-8", "replace").splitlines() if line.strip()]
        cause = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "nothing")
        return RunnerError(f"the launch of the training {what}; it said: {cause:.300}; its log: {folder / LOG}")


class _Told:
    """Rows of a file that grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0

    def each(self, on_row: Callable[[dict[str, float]], None]) -> None:
        """Hand on the whole lines that are new."""
        for line in self._new():
            on_row(json.loads(line))

    def _new(self) -> Iterator[bytes]:
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._place)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._place += len(line)
                yield line


def _plain(checkpoint: Checkpoint) -> dict[str, Any]:
    return {name: None if value is None else str(value) for name, value in asdict(checkpoint).items()}
