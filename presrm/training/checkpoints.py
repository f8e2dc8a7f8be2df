"""The last checkpoint of a training: from there it resumes as if it had never been stopped.

One file, ``<what it belongs to>-<optimiser step>-<hash of itself>.safetensors``, in a hidden folder beside the policy
that is made: the weights that are trained, the moments of the optimiser, the schedule, the random generators of every
process, and the rows that were logged. It is written to its end, synced and named before the one before is removed; of
none other anything is believed. Nothing in it is code.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import peft
import torch
import transformers
from accelerate.utils import DistributedType, broadcast_object_list, gather_object
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer import TRAINER_STATE_NAME

from presrm.errors import RunError, boundary
from presrm.files.content import hash_path
from presrm.files.lock import refuse_link
from presrm.training.fitting import checkpoint_folder, hash_weights, sync

logger = logging.getLogger(__name__)
_SHORT = 16
_PAUSES = 9
"""Times as long as a checkpoint took, the next one waits: a tenth of the time is the most that they cost."""
_LARGEST_REST = 1 << 28
"""Bytes of a checkpoint that are neither weights nor moments: safetensors limits a header to 100 MB."""
_SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


class Checkpoints:
    """Writes the checkpoints of one training, and finds the last one.

    Sharded weights stand in no process as a whole: of those there are no checkpoints.

    Args:
        out: Where the policy is to stand.
        seconds: Between two checkpoints, or longer where writing one takes long; 0: after every optimiser step; none:
            there are none, and none is read.
        settings: What decides the result of the training, besides its lessons, their order and the starting weights.
    """

    def __init__(self, out: Path, seconds: float | None, settings: Mapping[str, Any]) -> None:
        self._folder = checkpoint_folder(out)
        self._seconds = seconds
        self._settings = settings
        self._belongs_to = ""
        self._due = monotonic() + (seconds or 0.0)
        self._found: Path | None = None

    @contextmanager
    def resumed(self, trainer: "ResumableTrainer") -> Iterator[str | None]:
        """Give the folder that a Trainer resumes from, with what it is to know; none: it starts at the beginning."""
        if self._seconds is None or trainer.accelerator.distributed_type in _SHARDED:
            self._seconds = None
            yield None
            return
        self._belongs_to = trainer.sha256_of(self._settings)[:_SHORT]
        found = self._find(trainer)
        names = gather_object([found and found.name])
        if found is None or len(set(names)) > 1:  # other machines may not see the file
            yield None
            return
        self._found = found
        with TemporaryDirectory() as folder, safe_open(found, "pt") as file:
            Path(folder, TRAINER_STATE_NAME).write_text(file.metadata()["state"], "utf-8")
            yield folder

    def restore(self, trainer: "ResumableTrainer") -> None:
        """Put a trainer that is about to make its first step where the checkpoint was written, if there is one."""
        if self._found is None:
            return
        with boundary(RunError, f"{self._found} is no checkpoint that presrm wrote (remove it to train anew): it"):
            self._restore(self._found, trainer)
        logger.info("training resumes behind optimiser step %d: %s", trainer.state.global_step, self._found)

    def _restore(self, found: Path, trainer: "ResumableTrainer") -> None:
        tensors = load_file(found)
        with safe_open(found, "pt") as file:
            told = {name: json.loads(text) for name, text in file.metadata().items()}
        with torch.no_grad():
            for name, weight in _trained(trainer).items():
                weight.copy_(tensors[f"weight/{name}"])
        moments: dict[int, dict[str, Tensor]] = {}
        for path, tensor in tensors.items():
            kind, _, name = path.partition("/")
            if kind == "optimiser":
                number, _, name = name.partition("/")
                moments.setdefault(int(number), {})[name] = tensor
        assert trainer.optimizer is not None
        assert trainer.lr_scheduler is not None
        trainer.optimizer.load_state_dict({"state": moments, "param_groups": told["groups"]})
        trainer.lr_scheduler.load_state_dict(told["schedule"])
        if trainer.accelerator.scaler is not None:
            trainer.accelerator.scaler.load_state_dict(told["scaler"])
        prefix = f"random/{trainer.accelerator.process_index}"
        if (state := tensors.get(f"{prefix}/cpu")) is not None:
            torch.set_rng_state(state)
        if torch.cuda.is_available() and (state := tensors.get(f"{prefix}/cuda")) is not None:
            torch.cuda.set_rng_state(state)

    def after_step(self, trainer: "ResumableTrainer") -> None:
        """Write a checkpoint, if it is time; the end of a training needs none."""
        if self._seconds is None or trainer.state.global_step >= trainer.state.max_steps:
            return
        is_due = [monotonic() >= self._due]
        broadcast_object_list(is_due)  # clocks differ
        if not is_due[0]:
            return
        began = monotonic()
        randoms = gather_object([_random_states()])
        if trainer.is_world_process_zero():
            try:
                self._write(trainer, randoms)
            except (OSError, SafetensorError) as error:
                logger.warning("no checkpoint of the training is kept in %s: %s", self._folder, error)
        pause = self._seconds and max(self._seconds, _PAUSES * (monotonic() - began))
        self._due = monotonic() + pause

    def _write(self, trainer: "ResumableTrainer", randoms: list[dict[str, Tensor]]) -> None:
        assert trainer.optimizer is not None
        assert trainer.lr_scheduler is not None
        optimiser = trainer.optimizer.state_dict()
        tensors = {f"weight/{name}": weight.detach() for name, weight in _trained(trainer).items()}
        for number, moments in optimiser["state"].items():
            tensors |= {f"optimiser/{number}/{name}": moment for name, moment in moments.items()}
        for rank, states in enumerate(randoms):
            tensors |= {f"random/{rank}/{device}": state for device, state in states.items()}
        scaler = trainer.accelerator.scaler
        told = {
            "state": asdict(trainer.state),
            "groups": optimiser["param_groups"],
            "schedule": trainer.lr_scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        written = self._folder / ".written"
        try:
            written.unlink(missing_ok=True)
            save_file(
                {name: tensor.contiguous() for name, tensor in tensors.items()},
                written,
                {name: json.dumps(value) for name, value in told.items()},
            )
            sync(written)
            name = f"{self._belongs_to}-{trainer.state.global_step:08d}-{hash_path(written)[:_SHORT]}.safetensors"
            before = set(self._folder.glob(f"{self._belongs_to}-*.safetensors"))
            written.rename(self._folder / name)
            sync(self._folder)
        finally:
            written.unlink(missing_ok=True)
        for path in before - {self._folder / name}:
            path.unlink()

    def _find(self, trainer: "ResumableTrainer") -> Path | None:
        """The last checkpoint that is what was written, of this training."""
        for path in sorted(self._folder.glob("*.safetensors"), reverse=True):
            refuse_link(path)
            if not path.name.startswith(f"{self._belongs_to}-"):
                logger.warning("%s is of another training, and is not used", path)
            elif not _is_of_size(path, trainer) or not _is_whole(path) or not _fits(path, trainer):
                logger.warning("%s is not what was written there, and is not used", path)
            else:
                return path
        return None


class ResumableTrainer(Trainer):
    """A Trainer of transformers that leaves `Checkpoints`, and resumes from the last one.

    Args:
        arguments: As for a Trainer.
        checkpoints: Writes checkpoints, and knows the last one; none: there are none.
        options: As for a Trainer.
    """

    def __init__(self, *arguments: Any, checkpoints: Checkpoints | None = None, **options: Any) -> None:
        self.checkpoints = checkpoints
        self._has_begun = False
        super().__init__(*arguments, **options)

    def what_decides(self) -> object:
        """Give what decides the result besides weights, settings and versions, as JSON: data and their order."""
        raise NotImplementedError

    @cached_property
    def start_sha256(self) -> str:
        """Of the weights that the training starts from; to be asked for before the first step."""
        return hash_weights(self.accelerator.unwrap_model(self.model))

    def sha256_of(self, settings: Mapping[str, Any]) -> str:
        """Hash what a checkpoint belongs to: all that decides what the training makes, rounding aside."""
        told = [
            settings,
            [torch.__version__, transformers.__version__, peft.__version__],
            [self.args.seed, self.args.bf16, self.args.fp16],
            self.start_sha256,
            self.what_decides(),
        ]
        return sha256(json.dumps(told).encode()).hexdigest()

    def train(self, *arguments: Any, **options: Any) -> Any:
        """Train, from the last checkpoint on if there is one."""
        if self.checkpoints is None:
            return super().train(*arguments, **options)
        with self.checkpoints.resumed(self) as folder:
            return super().train(folder, *arguments[1:], **options)

    def _load_from_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """Do nothing yet: the starting weights may have to be scored first, see `before_first_step`."""

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """Make an optimiser step."""
        self.begin(model)
        return super().training_step(model, inputs, num_items_in_batch)

    def begin(self, model: nn.Module) -> None:
        """Do what is to be done before the first step, once."""
        if not self._has_begun:
            self._has_begun = True
            self.before_first_step(model)

    def before_first_step(self, model: nn.Module) -> None:
        """Go where the last checkpoint was written, if there is one."""
        if self.checkpoints is not None:
            self.checkpoints.restore(self)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log a row; behind that of an optimiser step a checkpoint may be due."""
        super().log(logs, start_time)
        if "loss" in logs and self.checkpoints is not None:
            self.checkpoints.after_step(self)


def _trained(trainer: "ResumableTrainer") -> dict[str, torch.nn.Parameter]:
    model = trainer.accelerator.unwrap_model(trainer.model)
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def _is_of_size(path: Path, trainer: "ResumableTrainer") -> bool:
    """Whether this is a file that need not be read for long: weights, two moments of each, and a header."""
    weights = sum(weight.nbytes for weight in _trained(trainer).values())
    return path.is_file() and path.stat().st_size <= 4 * weights + _LARGEST_REST


def _is_whole(path: Path) -> bool:
    return path.stem.endswith(f"-{hash_path(path)[:_SHORT]}")


def _fits(path: Path, trainer: "ResumableTrainer") -> bool:
    """Whether a file holds these weights, and what else it has to."""
    try:
        with safe_open(path, "pt") as file:
            told = file.metadata() or {}
            shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError:
        return False
    wanted = {f"weight/{name}": list(weight.shape) for name, weight in _trained(trainer).items()}
    return told.keys() == {"state", "groups", "schedule", "scaler"} and wanted.items() <= shapes.items()


def _random_states() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    return states | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})
