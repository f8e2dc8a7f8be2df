"""A run of the embedded policy, killed with SIGKILL again and again, comes out as if it had never been stopped.

Four kills of each method; ``PRESRM_KILLS=60`` makes it sixty. Kills come in all stages, training included: a start is
killed after so many events of its progress, and a little time that is drawn.
"""

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest
from scripted_run import bytes_of

from presrm.assembly import runs
from presrm.config import Config, load_config
from presrm.files.run import check_run
from presrm.methods.stages import SilentProgress

pytestmark = pytest.mark.slow
NUM_KILLS = int(os.environ.get("PRESRM_KILLS", "4"))
SMALL = [
    "iterations=1",
    "threads=1",
    "problems.num_train=6",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=2",
    "evaluation.group_size=2",
    "search.group_size=2",
    "watch.num_problems=2",
]
CONFIGS = {"presrm": "embedded", "self-rewarding": "embedded-self-rewarding", "rlsr": "embedded-rlsr"}


class Counting(SilentProgress):
    """Counts stages, and what is done in them."""

    def __init__(self, count: "Synchronized[int]") -> None:
        self.count = count

    def _tick(self, _: object = None) -> None:
        with self.count.get_lock():
            self.count.value += 1

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        self._tick()
        yield self._tick
        self._tick()


def start(config: Config, out: Path, kill_after: int | None, patience: float = 0.0) -> int | None:
    """Run in a process of its own; give the number of events, or none if it was killed after so many of them."""
    context = multiprocessing.get_context("fork")
    count: Synchronized[int] = context.Value("i", 0)
    process = context.Process(target=runs.train, args=(config, out, Counting(count)))
    process.start()
    while process.is_alive() and (kill_after is None or count.value < kill_after):
        time.sleep(0.002)
    if process.is_alive() and kill_after is not None:
        time.sleep(patience)
        process.kill()
    process.join()
    if process.exitcode == -9:
        return None
    assert process.exitcode == 0
    return count.value


@pytest.mark.parametrize("method", CONFIGS)
def test_a_run_that_is_killed_again_and_again_comes_out_the_same(method: str, tmp_path: Path) -> None:
    config, rng = load_config(CONFIGS[method], SMALL), random.Random(method)
    num_events = start(config, tmp_path / "whole", None)
    assert num_events is not None
    assert num_events > 10
    expected = bytes_of(tmp_path / "whole")
    assert any(name.endswith("policy/model.safetensors") for name in expected)

    killed, folder = 0, 0
    while killed < NUM_KILLS:
        out = tmp_path / f"killed-{folder}"
        if start(config, out, rng.randint(1, max(2, 2 * num_events // NUM_KILLS)), rng.random() / 20) is None:
            killed += 1
        else:
            assert bytes_of(out) == expected
            folder += 1
    assert start(config, tmp_path / f"killed-{folder}", None) is not None
    assert bytes_of(tmp_path / f"killed-{folder}") == expected
    assert check_run(tmp_path / f"killed-{folder}")[1] == []
