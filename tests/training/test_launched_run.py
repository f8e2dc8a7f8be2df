"""`train` with its trainings launched on two processes: the policy of one process, killed or not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from presrm.assembly.runs import train
from presrm.config import load_config
from presrm.methods.parts import SilentProgress
from presrm.training.launch import LaunchedTrainer

TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
SETTINGS = {
    "problems.num_train": 6,
    "problems.num_held_out": 4,
    "search.num_candidates": 3,
    "evaluation.num_judge_problems": 0,
    "watch.num_problems": 0,
    "iterations": 1,
    "training.batch_pairs": 2,
    "training.checkpoint_seconds": 0,
    "model.device": "cpu",
    "threads": 1,
}


def settings(launch: list[str] | None) -> list[str]:
    return [f"{name}={json.dumps(value)}" for name, value in {**SETTINGS, "training.launch": launch}.items()]


def weights_of(run: Path) -> torch.Tensor:
    found = load_file(run / "iterations/2/policy/model.safetensors")
    return torch.cat([found[name].flatten().double() for name in sorted(found)])


def losses_of(run: Path) -> list[float]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if row["stage"] == "fit" and "loss" in row]


class Searched(BaseException):
    """All is there that a training needs."""


@pytest.mark.slow
def test_a_run_with_launched_trainings_makes_the_policy_of_one_process_killed_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one, two, killed = (tmp_path / name for name in ("one", "two", "killed"))

    def stop(*arguments: object, **options: object) -> None:
        raise Searched

    with monkeypatch.context() as patch:
        patch.setattr(LaunchedTrainer, "fit", stop)
        with pytest.raises(Searched):
            train(load_config("embedded", settings(TWO)), tmp_path / "searched", SilentProgress())
    for run in (one, two, killed):
        shutil.copytree(tmp_path / "searched", run)

    train(load_config("embedded", settings(None)), one, SilentProgress())
    train(load_config("embedded", settings(TWO)), two, SilentProgress())
    assert losses_of(two) == pytest.approx(losses_of(one), rel=1e-5, abs=1e-6)
    assert len(losses_of(one)) >= 2
    expected = weights_of(one)
    assert (weights_of(two) - expected).norm() <= 1e-5 * expected.norm()

    sets = [word for value in settings(TWO) for word in ("--set", value)]
    command = [sys.executable, "-m", "presrm", "train", "embedded", "--out", str(killed), *sets]
    driver = subprocess.Popen(command)
    checkpoints, deadline = killed / "iterations/2/.policy.checkpoint", time.monotonic() + 1200
    while not (checkpoints.is_dir() and any(checkpoints.iterdir())):
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)  # what it launched lives on, until the job is begun again
    driver.wait()
    train(load_config("embedded", settings(TWO)), killed, SilentProgress())
    assert torch.equal(weights_of(killed), weights_of(two))
