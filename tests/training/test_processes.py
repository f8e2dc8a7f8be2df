"""Several processes train exactly what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

FIT = """
import json, os, sys
from pathlib import Path
import torch
from presrm.config import ModelConfig, TrainingConfig
from presrm.prompts import PromptSet
from presrm.training.preference import DPO
from presrm.training.trainer import PackedTrainer
from presrm.types import Checkpoint, Demonstration, PreferencePair, Problem, Step, Stop, Trajectory

torch.set_num_threads(1)
policy, out, kinds = sys.argv[1:]
lessons = []
for number in range(5):
    prefix = Trajectory(Problem(f"p{number}", f"What is {number} + 1?" * (1 + number % 2)))
    for depth in range(number % 3 + 1):
        right, wrong = Step(f"{number} + 1 = {number + 1}\\n"), Step(f"7\\n" * (1 + depth))
        lessons.append(PreferencePair(f"p{number}/{depth}", prefix, right, wrong, 1.0))
    if kinds == "mixed":
        reply = Step(f"[[{'AB'[number % 2]}]]" * (1 + number), stop=Stop.EOS)
        lessons.append(Demonstration(f"d{number}", Trajectory(Problem(f"d{number}", "Which?")), reply))
rows = []
kill_at = int(os.environ.get("KILL_AT", "-1"))

def log(row):
    rows.append(row)
    if row.get("optimiser_step") == kill_at:
        os.kill(os.getpid(), 9)

options = TrainingConfig(learning_rate=1e-3, batch_pairs=3, pack_tokens=200, epochs=2, checkpoint_seconds=0)
trainer = PackedTrainer(options, DPO(beta=0.5), ModelConfig(device="cpu"), PromptSet("compact"), seed=0, on_log=log)
trainer.fit(lessons, Checkpoint(policy), Path(out))
if os.environ.get("RANK", "0") == "0":
    Path(f"{out}.json").write_text(json.dumps(rows))
"""


LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]


def run_fit(script: Path, launch: list[str], policy: Path, out: Path, kinds: str, **environment: str) -> int:
    """Run the script by a launcher, and give the status that it ends with."""
    script.write_text(FIT)
    command = [sys.executable, *launch, str(script), str(policy), str(out), kinds]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, env=environment, timeout=300).returncode


@pytest.mark.slow
def test_two_processes_resume_from_the_checkpoint_that_both_can_read(tiny_policy: Path, tmp_path: Path) -> None:
    def fit(name: str, **environment: str) -> int:
        return run_fit(tmp_path / "fit.py", LAUNCHER, tiny_policy, tmp_path / name, "pairs", **environment)

    assert fit("whole") == 0
    assert fit("killed", KILL_AT="4") != 0
    (stored,) = (tmp_path / ".killed.checkpoint").iterdir()
    assert "-00000003-" in stored.name
    assert fit("killed") == 0

    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert weights[0] == weights[1]
    assert not stored.parent.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kinds", ["pairs", "mixed"])
def test_two_processes_give_the_weights_and_the_log_of_one(tiny_policy: Path, tmp_path: Path, kinds: str) -> None:
    for name, launch in (("one", list[str]()), ("two", LAUNCHER)):
        assert run_fit(tmp_path / "fit.py", launch, tiny_policy, tmp_path / name, kinds) == 0

    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        assert_close(two[name], weight, rtol=1e-3, atol=2e-5)
    rows = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two")]
    assert any("step/loss/imitation" in row for row in rows[0]) == (kinds == "mixed")
    for single, double in zip(*rows, strict=True):
        assert single.keys() == double.keys()
        for key in single.keys() & {
            "loss",
            "grad_norm",
            "rewards/margins",
            "logps/chosen",
            "logps/rejected",
            "step/lessons",
            "step/loss/dpo",
            "step/loss/imitation",
        }:
            assert double[key] == pytest.approx(single[key], rel=1e-3, abs=1e-4), key
