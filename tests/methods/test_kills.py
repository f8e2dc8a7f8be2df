"""A run of the embedded policy, killed with SIGKILL again and again, comes out as if it had never been stopped.

Four kills of each method, here and with two workers; ``PRESRM_KILLS=60`` makes it sixty. Kills come in all stages: a
start is killed after a number of events of its progress, and a little time, that are drawn. Every fifth one comes a
little after a training has its first checkpoint, of which it has one after every lesson. With workers every other kill
takes one of them, and the run has to go on by itself.
"""

import logging
import os
import random
from collections import Counter
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from embedded_runs import METHODS, RUNNERS, Kill, config_of, start
from scripted_run import bytes_of

from presrm.files.manifest import check_run

logger = logging.getLogger(__name__)
pytestmark = pytest.mark.slow
NUM_KILLS = int(os.environ.get("PRESRM_KILLS", "4"))
_MANY = 40


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a run that nobody stopped, and the number of its events."""

    @cache
    def make(method: str, runner: str) -> tuple[dict[str, bytes], int]:
        out = tmp_path_factory.mktemp("whole") / "run"
        num_events = start(config_of(method, runner), out).num_events
        return bytes_of(out), num_events

    return make


def made(files: dict[str, bytes]) -> dict[str, bytes]:
    """What does not tell who made it."""
    return {name: content for name, content in files.items() if name.startswith("iterations/")}


@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_is_killed_again_and_again_comes_out_the_same(
    method: str, runner: str, whole, tmp_path: Path
) -> None:
    if runner != "here" and find_spec("ray") is None:
        pytest.skip("Ray is not installed")
    config, rng = config_of(method, runner), random.Random(method)
    expected, num_events = whole(method, runner)
    assert num_events > 10
    assert any(name.endswith("policy/model.safetensors") for name in expected)
    assert made(expected) == made(whole(method, "here")[0])

    stages: Counter[str] = Counter()
    folder = 0
    while stages.total() < NUM_KILLS:
        out = tmp_path / f"killed-{folder}"
        worker = runner != "here" and stages.total() % 2 == 1
        in_training = stages.total() % 5 == 3
        drawn = Kill(rng.randint(1, num_events), rng.random() / 20, worker=worker)
        ended = start(config, out, Kill(training=True, patience=rng.random()) if in_training else drawn)
        stages[ended.stage if ended.was_killed else "a worker"] += ended.num_killed
        if not ended.was_killed:
            assert bytes_of(out) == expected
            folder += 1
    assert start(config, tmp_path / f"killed-{folder}").was_killed is False
    assert bytes_of(tmp_path / f"killed-{folder}") == expected
    assert check_run(tmp_path / f"killed-{folder}")[1] == []
    logger.info("kills: %s", dict(stages))
    if NUM_KILLS >= _MANY:
        assert any("lessons" in stage for stage in stages), stages
        assert len(stages) > 4, stages
