"""What each process of a launch runs: ``python -m presrm.training.launched FOLDER`` (`presrm.training.launch`)."""

import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from pydantic import TypeAdapter

from presrm.config import Config
from presrm.engines.hf_loading import set_threads
from presrm.errors import PresrmError, RequestError
from presrm.prompts import PromptSet
from presrm.registry import allow_code
from presrm.training.launch import FAILURE, JOB, LESSONS, METRICS, ROWS
from presrm.training.objectives import make_objective
from presrm.training.trainer import PackedTrainer
from presrm.types import Checkpoint, Lesson

_SHARDING = {"ACCELERATE_USE_FSDP": "FSDP", "ACCELERATE_USE_DEEPSPEED": "DeepSpeed"}
_REFUSAL = (
    "training.launch asks for {}, but accelerate does not shard on a processor: every process would hold the whole "
    "policy; choose a launch without it, or a machine with GPUs"
)


def main(folder: Path) -> None:
    """Train as the folder says, together with the other processes.

    Raises:
        PresrmError: as the training; the main process also writes it to the folder.
    """
    job = json.loads((folder / JOB).read_text("utf-8"))
    Thread(target=_leave_with, args=(folder, job["begun"]), daemon=True).start()
    # Asked of the launcher: accelerate's own state would be fixed before the trainer says on which device it trains.
    is_main = os.environ.get("RANK", "0") == "0"
    try:
        made = fit(folder, job, is_main)
    except PresrmError as error:
        if is_main:
            failure = {"kind": type(error).__name__, "message": str(error)}
            (folder / FAILURE).write_text(json.dumps(failure), "utf-8")
        raise
    if is_main:
        told = {"model": made.model, "adapter": None if made.adapter is None else str(made.adapter)}
        (folder / JOB).write_text(json.dumps({**job, "made": told}, indent=1) + "\n", "utf-8")


def _leave_with(folder: Path, begun: int) -> None:
    """End this process once its job is gone or was begun again: launchers leave it behind where a run is killed."""
    while True:
        with suppress(ValueError):  # it is just being written
            try:
                if json.loads((folder / JOB).read_text("utf-8"))["begun"] != begun:
                    os._exit(1)
            except FileNotFoundError:
                os._exit(1)
        time.sleep(1)


def fit(folder: Path, job: dict[str, Any], is_main: bool) -> Checkpoint:
    """Train in this process."""
    allow_code(job["code"])
    config = Config.model_validate(job["config"])
    require_sharding(_device(config))
    if config.threads is not None:
        set_threads(config.threads)

    def log(row: dict[str, float]) -> None:
        if is_main:
            with (folder / METRICS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    trainer = PackedTrainer(
        config.training,
        make_objective(config.objective),
        config.model,
        PromptSet(config.prompts),
        seed=job["seed"],
        on_log=log,
        facts=job["facts"],
    )
    read = TypeAdapter(Checkpoint).validate_python
    reference = None if job["reference"] is None else read(job["reference"])
    return trainer.fit(read_lessons(folder / ROWS), read(job["policy"]), Path(job["out"]), reference=reference)


def check_launch(config: Config) -> None:
    """Refuse a launch that presrm ships where it could not shard: before any work, not when it is started.

    Raises:
        RequestError: if there is no GPU to shard on.
    """
    if isinstance(config.training.launch, str) and _device(config) == "cpu":
        raise RequestError(_REFUSAL.format(config.training.launch))


def require_sharding(device: str) -> None:
    """Refuse to train whole copies where shards were asked for: accelerate does not shard on a processor.

    Raises:
        RequestError: if the launch asks for FSDP or DeepSpeed, and would not get it.
    """
    for name, wanted in _SHARDING.items():
        if os.environ.get(name, "").lower() == "true" and device == "cpu":
            raise RequestError(_REFUSAL.format(wanted))


def _device(config: Config) -> str:
    return "cuda" if torch.cuda.is_available() and config.model.device != "cpu" else "cpu"


def read_lessons(path: Path) -> list[Lesson]:
    """Read lessons of all kinds, in their order."""
    adapters = {name: TypeAdapter(kind) for name, kind in LESSONS.items()}
    rows = (json.loads(line) for line in path.read_text("utf-8").splitlines())
    return [adapters[row["kind"]].validate_python(row["lesson"]) for row in rows]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
