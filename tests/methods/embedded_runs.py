"""Small runs of the embedded policy, by every method, here and by workers: what is killed and damaged."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import presrm.engines.hf
import presrm.training.trainer  # noqa: F401 (both here, so that no start has to import torch)
from presrm.assembly import runs
from presrm.config import Config, load_config
from presrm.methods.parts import SilentProgress

METHODS = {
    "presrm": ["embedded"],
    "self-rewarding": ["embedded-self-rewarding"],
    "rlsr": ["embedded-rlsr"],
    "spct": ["embedded-spct", "iterations=2"],  # M2 is made from demonstrations, M3 from attempts
}
RUNNERS = {"here": [], "two-workers": ["runner={kind: ray, options: {workers: 2}}"]}
_SMALL = [
    "iterations=1",
    "threads=1",
    "problems.num_train=6",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=2",
    "evaluation.group_size=2",
    "search.group_size=2",
    "watch.num_problems=2",
    "training.checkpoint_seconds=0",
    "training.batch_pairs=1",
    "training.shuffle=pairs",  # a step a lesson: kills find checkpoints in every training
]
_STAGE_WIDTH = 200


def config_of(method: str, runner: str = "here") -> Config:
    """The settings of a small run."""
    shipped, *settings = METHODS[method]
    return load_config(shipped, [*_SMALL, *settings, *RUNNERS[runner]])


class Events(SilentProgress):
    """Counts stages, and what is done in them, where another process sees it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("fork")
        self.count: Any = context.Value("i", 0)
        self._stage: Any = context.Array("c", _STAGE_WIDTH)

    @property
    def stage_now(self) -> str:
        return bytes(self._stage.value).decode("utf-8", "replace")

    def _tick(self, _: object = None) -> None:
        with self.count.get_lock():
            self.count.value += 1

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        self._stage.value = name.encode()[: _STAGE_WIDTH - 1]
        self._tick()
        yield self._tick
        self._tick()


@dataclass(frozen=True)
class Kill:
    """When and whom.

    Attributes:
        after: So many events, and a little longer,
        patience: in seconds;
        half_made: or as soon as this artefact is begun and not finished;
        training: or as soon as a training has a checkpoint.
        worker: One of the workers is killed, and not the run.
    """

    after: int | None = None
    patience: float = 0.0
    half_made: str | None = None
    training: bool = False
    worker: bool = False

    def is_due(self, num_events: int, out: Path) -> bool:
        if self.after is not None:
            return num_events >= self.after
        if self.training:
            return bool(checkpoints_in(out))
        try:
            entry = json.loads((out / "manifest.json").read_bytes())["artefacts"].get(self.half_made, {})
        except OSError:
            return False
        return bool(entry.get("rows")) and "sha256" not in entry


def checkpoints_in(out: Path) -> list[Path]:
    """The checkpoints of a training that is not finished."""
    return sorted((out / "iterations").glob("**/.policy.checkpoint/*.safetensors"))


@dataclass(frozen=True)
class Ended:
    """How a start ended."""

    num_events: int
    stage: str
    was_killed: bool
    num_killed: int


def start(config: Config, out: Path, kill: Kill | None = None) -> Ended:
    """Run in a process of its own, which `kill` may end, or one of its workers; all of them end with it."""
    events = Events()
    process = multiprocessing.get_context("fork").Process(target=runs.train, args=(config, out, events))
    process.start()
    assert process.pid is not None
    num_killed = 0
    while process.is_alive() and not (kill and kill.is_due(events.count.value, out)):
        time.sleep(0.002)
    children = _below(process.pid)
    if kill is not None and process.is_alive():
        time.sleep(kill.patience)
        workers = [child for child, command in children.items() if "_Worker" in command]
        if kill.worker and workers:
            os.kill(workers[0], signal.SIGKILL)
            num_killed = 1
        else:
            process.kill()
    process.join()
    if was_killed := process.exitcode == -signal.SIGKILL:
        num_killed = 1
    else:
        assert process.exitcode == 0
    _wait_for_the_end_of(children)
    return Ended(events.count.value, events.stage_now, was_killed, num_killed)


def _below(parent: int) -> dict[int, str]:
    """Processes that a process started, they and theirs, each with its command."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                told = (folder / "stat").read_text().rpartition(")")[2].split()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            parents[int(folder.name)] = int(told[1]), command
    found: dict[int, str] = {}
    for process in parents:
        above = process
        while above in parents and above != parent:
            above = parents[above][0]
        if above == parent and process != parent:
            found[process] = parents[process][1]
    return found


def _wait_for_the_end_of(processes: dict[int, str]) -> None:
    """Nothing that a run started outlives it."""
    until = time.monotonic() + 300
    while left := [number for number, command in processes.items() if _is_still(number, command)]:
        assert time.monotonic() < until, [processes[number] for number in left]
        time.sleep(0.05)


def _is_still(number: int, command: str) -> bool:
    try:
        now = Path(f"/proc/{number}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return False
    return bool(now) and now.split()[:1] == command.split()[:1]
