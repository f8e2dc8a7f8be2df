"""What surrounds a transformers Trainer: settings, the policy to train, and a folder that is whole or absent."""

import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from accelerate import PartialState
from peft import LoraConfig as PeftLoraConfig
from peft import PeftModel, TaskType, get_peft_model
from torch import nn
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.trainer_callback import PrinterCallback

from presrm.config import LoraConfig, ModelConfig
from presrm.engines.hf_loading import load_policy, quietly
from presrm.errors import ConfigError, DivergedError
from presrm.files.lock import lock_beside, refuse_link
from presrm.types import Checkpoint

A = TypeVar("A", bound=TrainingArguments)
OnLog = Callable[[dict[str, float]], None]


def make_arguments(
    kind: type[A], model: ModelConfig, *, seed: int, out: Path, checkpointing: bool = False, **options: Any
) -> A:
    """Settings of a Trainer: no network, no noise, every optimiser step logged as it is, nothing saved midway.

    The precision of the forward pass follows ``model.dtype``; see `load_trainable` for that of the weights. One process
    trains on one device: several are for ``accelerate launch``.

    Args:
        kind: Class of the settings.
        model: Device and dtype.
        seed: Of what is random in training.
        out: Where the policy will stand.
        checkpointing: Trade time for memory.
        options: Further settings of `kind`.

    Raises:
        ConfigError: for a CUDA device other than the first, which a Trainer cannot choose.
    """
    if model.device.startswith("cuda:") and model.device != "cuda:0":
        raise ConfigError(
            f"model.device: training takes the first visible GPU; set CUDA_VISIBLE_DEVICES={model.device[5:]}"
        )
    dtype = compute_dtype(model)
    renamed = "activation_checkpointing" in {field.name for field in fields(kind)}  # since transformers 5.2x
    options["activation_checkpointing" if renamed else "gradient_checkpointing"] = checkpointing
    arguments = kind(
        output_dir=str(partial_folder(out)),
        seed=trainer_seed(seed),
        use_cpu=_has_cpu_only(model),
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        weight_decay=0.0,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        ddp_find_unused_parameters=False,
        **options,
    )
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def compute_dtype(model: ModelConfig) -> str:
    """The type of the forward pass: ``auto`` is bfloat16 on a CUDA GPU that has it, else float32."""
    if model.dtype != "auto":
        return model.dtype
    has_gpu = not _has_cpu_only(model) and torch.cuda.is_available()
    return "bfloat16" if has_gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def _has_cpu_only(model: ModelConfig) -> bool:
    return model.device == "cpu" or not (torch.cuda.is_available() or torch.backends.mps.is_available())


def trainer_seed(seed: int) -> int:
    """Fold a seed into the 32 bits that numpy's global generator takes."""
    return seed % 2**32


def load_trainable(
    policy: Checkpoint, model: ModelConfig, lora: LoraConfig | None, seed: int
) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Load a policy to be trained, on the CPU: the Trainer moves or shards it.

    Full training keeps float32 weights: a step of 5e-7 on a weight of 0.02 is lost to rounding in bfloat16. With LoRA
    the base has the type of the forward pass; an adapter that the policy already has is trained on.

    Raises:
        ConfigError: if the adapter at hand has another rank or scale than `lora`.
        DivergedError: if its weights are not finite.
    """
    dtype = "float32" if lora is None else compute_dtype(model)
    with quietly():
        loaded, tokenizer = load_policy(policy, dtype=dtype, device="cpu", trainable=True)
    _require_finite(loaded, f"the policy {_name(policy)}")
    if lora is None:
        whole = loaded.merge_and_unload() if isinstance(loaded, PeftModel) else loaded
        return whole.requires_grad_(True), tokenizer
    if isinstance(loaded, PeftModel):
        have = cast(PeftLoraConfig, loaded.peft_config["default"])
        if (have.r, have.lora_alpha) != (lora.r, lora.alpha):
            raise ConfigError(
                f"training.lora wants r={lora.r}, alpha={lora.alpha}, "
                f"but the adapter in {policy.adapter} has r={have.r}, alpha={have.lora_alpha}"
            )
        return loaded, tokenizer
    set_seed(trainer_seed(seed))
    adapter = PeftLoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type=TaskType.CAUSAL_LM,
    )
    return get_peft_model(loaded, adapter), tokenizer


def load_frozen(policy: Checkpoint, model: ModelConfig, lora: LoraConfig | None) -> PreTrainedModel | PeftModel:
    """Load a policy to be compared with, on the CPU, as `load_trainable` would load it."""
    with quietly():
        loaded, _ = load_policy(policy, dtype="float32" if lora is None else compute_dtype(model), device="cpu")
    _require_finite(loaded, f"the policy {_name(policy)}")
    return loaded


def _name(policy: Checkpoint) -> str:
    return repr(str(policy.adapter or policy.model))


def _require_finite(model: nn.Module, what: str) -> None:
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise DivergedError(
                f"{what} holds weights that are not finite, the first {name!r}: a training at too high a rate ruined "
                "it; go on from an earlier policy with a lower learning_rate"
            )


def hash_weights(model: nn.Module) -> str:
    """SHA-256 over the names and bytes of all weights, in hexadecimal."""
    digest = sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


class LogTo(TrainerCallback):
    """Hands every log row of the main process to a function; stops at the first with a number that is not finite."""

    def __init__(self, on_log: OnLog) -> None:
        self._on_log = on_log

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Pass on the rows of the steps behind which the training resumes, so that none is missing."""
        if state.is_world_process_zero:
            for row in state.log_history:
                self._on_log({"optimiser_step": row["step"], **{name: row[name] for name in row if name != "step"}})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Pass the row on, with the number of the optimiser step.

        Raises:
            DivergedError: in all processes, which have the same row.
        """
        if not logs:
            return
        if odd := [name for name, value in logs.items() if not math.isfinite(value)]:
            dtype = "bfloat16" if args.bf16 else "float16" if args.fp16 else "float32"
            raise DivergedError(
                f"training diverged at optimiser step {state.global_step} of {state.max_steps}: {', '.join(odd)} not "
                f"finite at learning rate {logs.get('learning_rate', args.learning_rate):.3g} in {dtype}; nothing is "
                "written: lower the learning_rate" + ("" if dtype == "float32" else ", or set model.dtype=float32")
            )
        if state.is_world_process_zero:
            self._on_log({"optimiser_step": state.global_step, **logs})


def run_training(trainer: Trainer) -> None:
    """Train.

    Raises:
        DivergedError: if the weights are not finite.
    """
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    _require_finite(trainer.accelerator.unwrap_model(trainer.model), "the policy that was trained")


def partial_folder(out: Path) -> Path:
    """Where `whole_folder` has what is to become `out` written: a hidden sibling."""
    return out.with_name(f".{out.name}.partial")


def checkpoint_folder(out: Path) -> Path:
    """Where the checkpoints of the training that makes `out` stand (`presrm.training.checkpoints`)."""
    return out.with_name(f".{out.name}.checkpoint")


@contextmanager
def whole_folder(out: Path, state: PartialState) -> Iterator[Path]:
    """Give a folder to write to, which becomes `out` only if the block ends well.

    A killed block leaves a hidden sibling that the next one clears away, never something that looks finished. Once
    `out` is there, checkpoints of its training go.

    Args:
        out: What is to be made; replaced if it is there.
        state: The processes that train together; the main one moves the folder.

    Raises:
        RunError: if another process makes it, or it is a symbolic link.
    """
    partial = partial_folder(out)
    refuse_link(out, partial, checkpoint_folder(out))
    lock = lock_beside(out) if state.is_main_process else None
    try:
        if state.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        state.wait_for_everyone()
        yield partial
        state.wait_for_everyone()
        if state.is_main_process:
            for path in [*partial.rglob("*"), partial]:
                sync(path)
            if out.exists():
                shutil.rmtree(out)
            partial.rename(out)
            shutil.rmtree(checkpoint_folder(out), ignore_errors=True)
            sync(out.parent)
        state.wait_for_everyone()
    finally:
        if lock is not None:
            shutil.rmtree(partial, ignore_errors=True)
            lock.release()


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
