"""A training that is killed resumes from its last checkpoint and makes what it would have made."""

import logging
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from presrm.config import JudgeConfig, LoraConfig, ModelConfig, ObjectiveConfig, SeedConfig, TrainingConfig
from presrm.errors import RunError
from presrm.prompts import PromptSet
from presrm.splitters.newline import NewlineSplitter
from presrm.training import checkpoints
from presrm.training.checkpoints import ResumableTrainer
from presrm.training.objectives import make_objective
from presrm.training.packed import LessonTrainer
from presrm.training.prm import LabelledText, _PrmTrainer, fit_prm
from presrm.training.seed import SeedStage
from presrm.training.trainer import PackedTrainer
from presrm.types import Attempt, Checkpoint, Demonstration, Lesson, PreferencePair, Problem, Step, Stop, Trajectory

CPU = ModelConfig(device="cpu", dtype="float32")
PROMPTS = PromptSet("compact")
Row = dict[str, float]
OnLog = Callable[[Row], None]
Fit = Callable[[Path, OnLog], object]
KILLED_AT = 5


def lessons_of(kind: str) -> list[Lesson]:
    lessons: list[Lesson] = []
    for number in range(8):
        prefix = Trajectory(Problem(f"p{number}", f"What is {number} + 1?"))
        right, wrong = (Step(f"{number} + 1 = {value}", stop=Stop.EOS) for value in (number + 1, "7" * (number + 1)))
        if kind == "dpo":
            lessons.append(PreferencePair(f"p{number}/0", prefix, right, wrong, 1.0))
        elif kind == "imitation":
            lessons.append(Demonstration(f"p{number}", prefix, right))
        else:
            lessons += [
                Attempt(f"p{number}/{reward}", prefix, step, reward, f"p{number}")
                for reward, step in ((1.0, right), (0.0, wrong))
            ]
    return lessons


def fit_of(kind: str, policy: Path, lora: LoraConfig | None = None, **options: Any) -> Fit:
    """A training of eight optimiser steps or more, with a schedule that shows where it is."""
    settings = TrainingConfig.model_validate(
        {"learning_rate": 3e-3, "batch_pairs": 2, "epochs": 2, "schedule": "cosine", "warmup": 0.2, "lora": lora}
        | {"checkpoint_seconds": 0, **options}
    )

    def fit(out: Path, on_log: OnLog) -> object:
        objective = make_objective(ObjectiveConfig(kind=kind))
        trainer = PackedTrainer(settings, objective, CPU, PROMPTS, seed=0, on_log=on_log)
        return trainer.fit(lessons_of(kind), Checkpoint(str(policy)), out)

    return fit


def seed_of(policy: Path, lora: LoraConfig | None = None) -> Fit:
    problems = [Problem(f"s{i}", f"What is {i} + 2?", str(i + 2), f"{i} + 2 = {i + 2}\n#### {i + 2}") for i in range(9)]

    def fit(out: Path, on_log: OnLog) -> object:
        stage = SeedStage(
            SeedConfig(ift="arithmetic", num_eft=4, batch_size=1, learning_rate=3e-3),
            CPU,
            PROMPTS,
            NewlineSplitter(),
            lora=lora,
            pack_tokens=1000,
            checkpoint_seconds=0,
            judge=JudgeConfig(verdict="direct"),
            seed=0,
            on_log=on_log,
        )
        return stage.fit(Checkpoint(str(policy)), problems, out)

    return fit


def prm_of(policy: Path) -> Fit:
    """A process reward model; three epochs of three batches, drawn by lot."""
    texts = [
        LabelledText(f"What is {i} + 2?", (f"{i} + 2 = {i + 2 + i % 2}\n",), (float(1 - i % 2),)) for i in range(9)
    ]
    training = TrainingConfig(learning_rate=3e-3, batch_pairs=4, epochs=3, checkpoint_seconds=0)

    def fit(out: Path, on_log: OnLog) -> object:
        model = CPU.model_copy(update={"id": str(policy)})
        return fit_prm(texts, model, training, out, seed=0, on_log=on_log)

    return fit


def kill(fit: Fit, out: Path, step: int = KILLED_AT) -> None:
    """Kill a training as it tells of an optimiser step: the last checkpoint is of the one before."""

    def on_log(row: Row) -> None:
        if row.get("optimiser_step") == step:
            os.kill(os.getpid(), signal.SIGKILL)

    process = multiprocessing.get_context("fork").Process(target=fit, args=(out, on_log))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def told(rows: Sequence[Row]) -> list[Row]:
    """Rows without clocks, and without sums over one start."""
    clocks = {"train_runtime", "train_samples_per_second", "train_steps_per_second", "train_loss", "total_flos"}
    return [{name: value for name, value in row.items() if name not in clocks} for row in rows]


def steps_made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The optimiser steps that are made from now on, by number from 0."""
    made: list[int] = []

    def counted(training_step: Callable[..., Any]) -> Callable[..., Any]:
        def counting(trainer: ResumableTrainer, *arguments: Any, **options: Any) -> Any:
            made.append(trainer.state.global_step)
            return training_step(trainer, *arguments, **options)

        return counting

    for trainer in (LessonTrainer, _PrmTrainer):
        monkeypatch.setattr(trainer, "training_step", counted(trainer.training_step))
    return made


LORA = LoraConfig(r=2, alpha=4, dropout=0.2)


@pytest.mark.parametrize(
    ("kind", "lora"),
    [*product(["dpo", "imitation", "policy-gradient", "seed"], [None, LORA]), ("prm", None)],
    ids=lambda value: "full" if value is None else value if isinstance(value, str) else "lora",
)
def test_a_training_that_is_killed_resumes_to_the_same_bytes(
    tiny_policy: Path, tmp_path: Path, kind: str, lora: LoraConfig | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    special = {"seed": lambda: seed_of(tiny_policy, lora), "prm": lambda: prm_of(tiny_policy)}
    fit = special[kind]() if kind in special else fit_of(kind, tiny_policy, lora)
    whole: list[Row] = []
    fit(tmp_path / "whole", whole.append)
    out, rows = tmp_path / "killed", list[Row]()
    kill(fit, out)
    assert len(list((tmp_path / ".killed.checkpoint").iterdir())) == 1
    made = steps_made(monkeypatch)

    fit(out, rows.append)

    assert made == list(range(KILLED_AT - 1, int(max(row.get("optimiser_step", 0) for row in whole))))
    assert len(made) > 2
    assert hashes(out) == hashes(tmp_path / "whole")
    assert told(rows) == told(whole)
    assert not (tmp_path / ".killed.checkpoint").exists()


def test_a_training_may_be_killed_again_and_again(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fit_of("dpo", tiny_policy)
    fit(tmp_path / "whole", lambda row: None)
    for step in (2, 4, 8):
        kill(fit, tmp_path / "killed", step)
    made = steps_made(monkeypatch)

    fit(tmp_path / "killed", lambda row: None)

    assert made == [7]
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["flipped", "torn", "empty", "large", "folder", "of-another-shape", "without-rows"])
def test_a_checkpoint_that_was_changed_is_not_believed(
    tiny_policy: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = fit_of("dpo", tiny_policy)
    fit(tmp_path / "whole", lambda row: None)
    kill(fit, tmp_path / "killed")
    (stored,) = (tmp_path / ".killed.checkpoint").iterdir()
    data = stored.read_bytes()
    if damage in ("of-another-shape", "without-rows"):
        tensors = load_file(stored)
        name = next(name for name in tensors if name.startswith("weight/"))
        save_file(tensors if damage == "without-rows" else tensors | {name: tensors[name][:1].clone()}, stored)
        digest = sha256(stored.read_bytes()).hexdigest()[:16]
        stored = stored.rename(stored.with_name(f"{stored.stem.rpartition('-')[0]}-{digest}.safetensors"))
    elif damage == "large":
        os.truncate(stored, 1 << 40)
    elif damage == "folder":
        stored.unlink()
        stored.mkdir()
    else:
        changed = {"flipped": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:], "torn": data[:-9], "empty": b""}
        stored.write_bytes(changed[damage])
    made = steps_made(monkeypatch)

    fit(tmp_path / "killed", lambda row: None)

    assert f"{stored} is not what was written there, and is not used" in caplog.text
    assert made == list(range(8))
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


@pytest.mark.parametrize("change", ["text", "groups", "moment"])
def test_a_checkpoint_that_somebody_made_is_refused_in_a_line(tiny_policy: Path, tmp_path: Path, change: str) -> None:
    fit = fit_of("dpo", tiny_policy)
    kill(fit, tmp_path / "killed")
    (stored,) = (tmp_path / ".killed.checkpoint").iterdir()
    tensors = load_file(stored)
    with safe_open(stored, "pt") as file:
        told = file.metadata()
    if change == "moment":
        tensors["optimiser/x/exp_avg"] = tensors["optimiser/0/exp_avg"].clone()
    else:
        told = {**told, "groups": "[" if change == "text" else "[]"}
    save_file(tensors, stored, told)
    digest = sha256(stored.read_bytes()).hexdigest()[:16]
    made = stored.rename(stored.with_name(f"{stored.stem.rpartition('-')[0]}-{digest}.safetensors"))

    with pytest.raises(RunError, match=rf"^{made} is no checkpoint that presrm wrote \(remove it to train anew\)"):
        fit(tmp_path / "killed", lambda row: None)

    made.unlink()
    fit(tmp_path / "killed", lambda row: None)


@pytest.mark.parametrize("other", [{"learning_rate": 1e-3}, {"epochs": 3}, {"max_grad_norm": 0.1}], ids=str)
def test_a_checkpoint_of_another_training_is_not_used(
    tiny_policy: Path, tmp_path: Path, other: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    kill(fit_of("dpo", tiny_policy), tmp_path / "killed")
    (stored,) = (tmp_path / ".killed.checkpoint").iterdir()
    fit = fit_of("dpo", tiny_policy, **other)
    fit(tmp_path / "whole", lambda row: None)

    fit(tmp_path / "killed", lambda row: None)

    assert f"{stored} is of another training, and is not used" in caplog.text
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


def test_of_two_checkpoints_the_later_is_used_and_the_other_if_that_is_damaged(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the writing of one and the removal of the one before leaves both."""
    fit, folder = fit_of("dpo", tiny_policy), tmp_path / ".killed.checkpoint"
    fit(tmp_path / "whole", lambda row: None)
    kill(fit, tmp_path / "killed", 3)
    (earlier,) = folder.iterdir()
    shutil.copy(earlier, tmp_path)
    kill(fit, tmp_path / "killed", 6)
    (later,) = folder.iterdir()
    shutil.copy(tmp_path / earlier.name, folder)
    both = [path.read_bytes() for path in (earlier, later)]
    made = steps_made(monkeypatch)
    fit(tmp_path / "killed", lambda row: None)
    assert made == [5, 6, 7]

    shutil.rmtree(tmp_path / "killed")
    folder.mkdir()
    earlier.write_bytes(both[0])
    later.write_bytes(both[1][:-1])
    made.clear()
    fit(tmp_path / "killed", lambda row: None)

    assert made == [2, 3, 4, 5, 6, 7]
    assert hashes(tmp_path / "killed") == hashes(tmp_path / "whole")


def test_no_checkpoint_is_read_through_a_link(tiny_policy: Path, tmp_path: Path) -> None:
    fit = fit_of("dpo", tiny_policy)
    kill(fit, tmp_path / "killed")
    (stored,) = (tmp_path / ".killed.checkpoint").iterdir()
    stored.rename(tmp_path / "elsewhere")
    stored.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(RunError, match="is a symbolic link"):
        fit(tmp_path / "killed", lambda row: None)

    shutil.rmtree(stored.parent)
    stored.parent.symlink_to(tmp_path)
    with pytest.raises(RunError, match="is a symbolic link"):
        fit(tmp_path / "killed", lambda row: None)


def test_a_training_goes_on_where_no_checkpoint_can_be_written(
    tiny_policy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any) -> None:
        Path(arguments[1]).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    fit_of("dpo", tiny_policy)(tmp_path / "out", lambda row: None)

    assert "no checkpoint of the training is kept" in caplog.text
    assert "No space left on device" in caplog.text
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize(("seconds", "took", "every"), [(60.0, 1.0, 61.0), (60.0, 20.0, 200.0), (5.0, 1.0, 10.0)])
def test_checkpoints_cost_a_tenth_of_the_time_at_most(
    tiny_policy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    took: float,
    every: float,
) -> None:
    now, began, write = [0.0], list[float](), checkpoints.Checkpoints._write

    def written(self: Any, *arguments: Any) -> None:
        began.append(now[0])
        write(self, *arguments)
        now[0] += took

    def tick(row: Row) -> None:
        now[0] += 5.0

    monkeypatch.setattr(checkpoints.Checkpoints, "_write", written)
    monkeypatch.setattr(checkpoints, "monotonic", lambda: now[0])
    fit_of("dpo", tiny_policy, epochs=25, checkpoint_seconds=seconds)(tmp_path / "out", tick)

    assert began[0] == pytest.approx(seconds, abs=6)
    assert all(b - a == pytest.approx(every, abs=6) for a, b in pairwise(began))
    assert len(began) > 1


def test_without_a_number_of_seconds_nothing_is_written_and_nothing_read(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(fit_of("dpo", tiny_policy), tmp_path / "killed")
    monkeypatch.setattr(checkpoints.Checkpoints, "_write", lambda *_: pytest.fail("written"))
    made = steps_made(monkeypatch)

    fit_of("dpo", tiny_policy, checkpoint_seconds=None)(tmp_path / "killed", lambda row: None)

    assert made == list(range(8))


def test_what_is_resumed_is_said(tiny_policy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fit = fit_of("dpo", tiny_policy)
    kill(fit, tmp_path / "killed")
    caplog.set_level(logging.INFO, "presrm")

    fit(tmp_path / "killed", lambda row: None)

    assert f"training resumes behind optimiser step {KILLED_AT - 1}" in caplog.text
