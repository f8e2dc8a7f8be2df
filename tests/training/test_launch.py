"""Training in a launch of its own: what one process gives, what it says when it fails, and no shards that are none."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from presrm.config import Config, ModelConfig, TrainingConfig, load_config, shipped_configs
from presrm.errors import DivergedError, NoLessonsError, RequestError, RunnerError
from presrm.training.launch import LESSONS, LaunchedTrainer, command_of
from presrm.training.launched import check_launch, read_lessons, require_sharding
from presrm.types import Attempt, Checkpoint, Demonstration, PreferencePair, Problem, Step, Stop, Trajectory

ONE = (sys.executable,)
TWO = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")


def lessons() -> list:
    found = []
    for number in range(4):
        prefix = Trajectory(Problem(f"p{number}", f"What is {number} + 1?"))
        right, wrong = Step(f"{number} + 1 = {number + 1}\n"), Step("7\n" * (1 + number))
        found.append(PreferencePair(f"p{number}", prefix, right, wrong, 1.0))
    found.insert(2, Demonstration("d", prefix, Step("4", tokens=(5, 6), stop=Stop.EOS)))
    return found


def config_of(launch: tuple[str, ...] | str, **training: object) -> Config:
    options = TrainingConfig(learning_rate=1e-3, batch_pairs=2, epochs=2, launch=launch, **training)
    return Config(prompts="compact", model=ModelConfig(device="cpu"), training=options, threads=1)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.slow
def test_two_processes_make_the_policy_of_one_and_metrics_come_through(tiny_policy: Path, tmp_path: Path) -> None:
    rows: dict[str, list[dict[str, float]]] = {}
    for name, launch in (("one", ONE), ("two", TWO)):
        rows[name] = []
        trainer = LaunchedTrainer(config_of(launch), seed=3, on_log=rows[name].append, facts={"run": "x"})
        made = trainer.fit(lessons(), Checkpoint(str(tiny_policy)), tmp_path / name)
        assert made == Checkpoint(str(tmp_path / name))
        assert not list(tmp_path.glob(f".{name}*")), "nothing is left beside it"
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in rows)
    for name, weight in one.items():
        assert_close(two[name], weight, rtol=1e-3, atol=2e-5)
    for single, double in zip(rows["one"], rows["two"], strict=True):
        assert single.keys() == double.keys()
        for key in single.keys() & {"loss", "grad_norm"}:
            assert double[key] == pytest.approx(single[key], rel=1e-5, abs=1e-6)
    assert any("loss" in row for row in rows["one"])


@pytest.mark.slow
def test_what_a_training_raises_is_raised_here(tiny_policy: Path, tmp_path: Path) -> None:
    policy, out = Checkpoint(str(tiny_policy)), tmp_path / "out"
    with pytest.raises(NoLessonsError, match="no lessons to train on"):
        LaunchedTrainer(config_of(ONE, max_tokens=2), seed=3).fit(lessons(), policy, out)
    assert not out.exists()


def test_a_command_that_is_no_command_and_one_that_makes_nothing_are_told(tmp_path: Path) -> None:
    policy, out = Checkpoint("embedded"), tmp_path / "out"
    with pytest.raises(RunnerError, match=r"training\.launch: '/no/such' cannot be started: No such file"):
        LaunchedTrainer(config_of(("/no/such",)), seed=3).fit(lessons(), policy, out)
    fails = (sys.executable, "-c", "import sys; print('x'); sys.exit('ValueError: no room')")
    with pytest.raises(RunnerError, match=r"ended with status 1; it said: ValueError: no room; its log: .*log\.txt"):
        LaunchedTrainer(config_of(fails), seed=3).fit(lessons(), policy, out)
    with pytest.raises(RunnerError, match="made no policy"):
        LaunchedTrainer(config_of((sys.executable, "-c", "pass")), seed=3).fit(lessons(), policy, out)


def test_a_failure_and_metrics_that_the_main_process_wrote_are_handed_on(tmp_path: Path) -> None:
    body = (
        "import json, sys, pathlib; folder = pathlib.Path(sys.argv[-1]);"
        "(folder / 'metrics.jsonl').write_text(json.dumps({'loss': 1.5}) + chr(10));"
        "failure = {'kind': 'DivergedError', 'message': 'training diverged'};"
        "(folder / 'failure.json').write_text(json.dumps(failure)); sys.exit(1)"
    )
    rows: list[dict[str, float]] = []
    trainer = LaunchedTrainer(config_of((sys.executable, "-c", body)), seed=3, on_log=rows.append)
    with pytest.raises(DivergedError, match="training diverged"):
        trainer.fit(lessons(), Checkpoint("embedded"), tmp_path / "out")
    assert rows == [{"loss": 1.5}]


def test_lessons_are_read_as_they_were_written(tmp_path: Path) -> None:
    body = (
        "import sys, pathlib, shutil; folder = pathlib.Path(sys.argv[-1]); shutil.copy(folder / 'lessons.jsonl', {!r})"
    )
    copy = tmp_path / "copy.jsonl"
    with pytest.raises(RunnerError):
        LaunchedTrainer(config_of((sys.executable, "-c", body.format(str(copy)))), seed=3).fit(
            lessons(), Checkpoint("embedded"), tmp_path / "out"
        )
    assert read_lessons(copy) == lessons()
    assert LESSONS.keys() == {kind.__name__ for kind in (PreferencePair, Demonstration, Attempt)}


@pytest.mark.parametrize(("name", "told"), [("FSDP", "FSDP"), ("DEEPSPEED", "DeepSpeed")])
def test_shards_that_accelerate_does_not_make_are_refused(
    name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_sharding("cpu")
    monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
    require_sharding("cuda")
    with pytest.raises(RequestError, match=f"asks for {told}, but accelerate does not shard on a processor"):
        require_sharding("cpu")


@pytest.mark.parametrize("name", ["fsdp2", "zero3"])
def test_a_shipped_launch_is_refused_before_any_work_where_nothing_can_be_sharded(name: str) -> None:
    check_launch(config_of(TWO))
    with pytest.raises(RequestError, match=f"asks for {name}, but accelerate does not shard on a processor"):
        check_launch(config_of(name))


@pytest.mark.parametrize("name", ["fsdp2", "zero3"])
def test_the_launches_that_are_shipped_are_configs_of_accelerate(name: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    *_, path = command_of(name)
    found = load_config_from_file(path)
    assert found.distributed_type.value == {"fsdp2": "FSDP", "zero3": "DEEPSPEED"}[name]
    assert name not in shipped_configs()
    assert load_config("embedded", [f"training.launch={name}"]).training.launch == name


SHARDED = """
import os, sys
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM
from presrm.packing.forward import accept_packs
from presrm.packing.layout import Scored, pack

torch.set_num_threads(1)
sequences = [Scored(tuple(range(2, 20)) + tail, 18) for tail in ((30, 31), (32, 33, 34), (30, 40), (50,))]
sequences += [Scored(tuple(range(60, 75)) + tail, 15) for tail in ((5, 6), (7,))]
shares = [sequences[:4], sequences[4:]]

def loss_of(model, share):
    return -model(pack(share)).sum() / len(sequences)

whole = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
assert accept_packs(whole)
loss = sum(loss_of(whole, share) for share in shares)
loss.backward()
expected = {name: parameter.grad for name, parameter in whole.named_parameters()}

dist.init_process_group("gloo")
rank, world = dist.get_rank(), dist.get_world_size()
mesh = init_device_mesh("cpu", (world,))
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
assert accept_packs(model)
for layer in model.model.layers:
    fully_shard(layer, mesh=mesh)
fully_shard(model, mesh=mesh)
part = loss_of(model, shares[rank])
(part * world).backward()
total = part.detach().clone()
dist.all_reduce(total)
assert abs(total - loss.detach()) <= 1e-5 * abs(loss.detach()), (total, loss)
off, norm = 0.0, 0.0
for name, parameter in model.named_parameters():
    assert parameter.to_local().numel() < parameter.numel() or parameter.numel() < world, name
    gradient = parameter.grad.full_tensor()
    off += float((gradient - expected[name]).square().sum())
    norm += float(expected[name].square().sum())
assert off**0.5 <= 1e-5 * norm**0.5, (off, norm)
if rank == 0:
    print("sharded gradients are off by", (off / norm) ** 0.5)
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_shards_give_the_loss_and_the_gradients_of_one_process(tiny_policy: Path, tmp_path: Path) -> None:
    """torch's fully_shard, over gloo: what FSDP2 does on GPUs."""
    script = tmp_path / "sharded.py"
    script.write_text(SHARDED)
    ended = subprocess.run([*TWO, str(script), str(tiny_policy)], capture_output=True, text=True, timeout=600)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert "sharded gradients are off by" in ended.stdout
