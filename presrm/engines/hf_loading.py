"""Checkpoints -> a transformers model and its tokenizer.

Only data is read: safetensors or GGUF, never pickles, never code that comes with a model. What lies on this machine
is loaded without touching the network.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import HfApi
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from presrm.engines.hf_files import (
    BASE_FILE,
    EMBEDDED,
    KINDS,
    Source,
    find_base,
    locate,
    read_base,
    require_plain_weights,
)
from presrm.errors import ConfigError, EngineError, PresrmError, RequestError
from presrm.types import Checkpoint

if TYPE_CHECKING:
    from peft import PeftModel

logger = logging.getLogger(__name__)


def load_policy(
    checkpoint: Checkpoint, *, dtype: str = "auto", device: str = "auto", trainable: bool = False
) -> "tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]":
    """Load a policy, in evaluation mode, onto one device.

    Args:
        checkpoint: Hub id, folder, ``.gguf`` file (its weights are dequantised) or ``embedded``; perhaps an adapter.
        dtype: ``float32``, ``bfloat16``, ``float16``; ``auto``: bfloat16 on a GPU that has it, else float32.
        device: As torch names it; ``auto``: cuda, else mps, else cpu.
        trainable: Whether the adapter, if any, is to be trained on.

    Returns:
        The model (a `PeftModel` if there is an adapter) and its tokenizer, which has a pad token.

    Raises:
        RequestError: if there is nothing to load at the place given, or the adapter was trained on other weights.
        EngineError: if what is there cannot be loaded.
    """
    tokenizer = load_tokenizer(checkpoint.model)
    base = load_model(checkpoint.model, AutoModelForCausalLM, dtype=dtype, device=device)
    model = base if checkpoint.adapter is None else _add_adapter(base, checkpoint, trainable)
    model.eval()
    logger.info("policy %s (adapter: %s) on %s as %s", checkpoint.model, checkpoint.adapter, base.device, base.dtype)
    return model, tokenizer


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a policy alone, as `load_policy` would with its weights."""
    tokenizer: PreTrainedTokenizerBase = _from_pretrained(AutoTokenizer, locate(model))
    if not tokenizer.is_fast:
        raise EngineError(f"the tokenizer of {model!r} has no fast version (tokenizer.json)")
    if tokenizer.eos_token_id is None:
        raise EngineError(f"the tokenizer of {model!r} names no end token (eos_token)")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_tokenizer_beside(adapter: Path | None) -> PreTrainedTokenizerBase | None:
    """Load the tokenizer that was saved with an adapter; none where there is none."""
    if adapter is None or not (adapter / "tokenizer_config.json").is_file():
        return None
    tokenizer: PreTrainedTokenizerBase = _from_pretrained(AutoTokenizer, Source(str(adapter), str(adapter)))
    return tokenizer


def load_architectures(model: str) -> list[str]:
    """Read what a model's ``config.json`` says of its architecture."""
    return list(_from_pretrained(AutoConfig, locate(model)).architectures or [])


def load_positions(model: str) -> int:
    """Read how many tokens a model reads at most, without its weights."""
    return num_positions(_from_pretrained(AutoConfig, locate(model)))


def num_positions(config: PretrainedConfig) -> int:
    """How many tokens a model reads at most: the positions that it has, or was trained on."""
    return int(getattr(config.get_text_config(), "max_position_embeddings", None) or 2**31)


def load_model(
    model: str, loader: Any, *, dtype: str = "auto", device: str = "auto", new: tuple[str, ...] = ()
) -> PreTrainedModel:
    """Load weights, in evaluation mode, onto one device.

    Args:
        model: As `Checkpoint.model`.
        loader: The class of transformers, or an automatic one, whose ``from_pretrained`` makes the model.
        dtype: As for `load_policy`.
        device: The same.
        new: What the names of weights begin with that may be missing and are drawn then: those of a head to train.

    Raises:
        RequestError: if there is nothing to load.
        EngineError: if it cannot be loaded, or weights are missing.
    """
    source = locate(model)
    require_plain_weights(source)
    place = _resolve_device(device)
    number = _resolve_dtype(dtype, place)
    options: dict[str, Any] = {} if source.gguf_file else {"use_safetensors": True}
    loaded: PreTrainedModel
    loaded, found = _from_pretrained(loader, source, dtype=number, output_loading_info=True, **options)
    missing = sorted(name for name in found["missing_keys"] if not (new and name.startswith(new)))
    if missing:  # transformers would go on with random numbers in their place
        raise EngineError(f"model {model!r} lacks {len(missing)} of its weights, the first {missing[0]!r}")
    if source.gguf_file:
        logger.info("%s: GGUF weights are dequantised to %s in memory", model, number)
        _forget_quantisation(loaded)
    with plainly(f"model {model!r} on {place}"):
        loaded.to(place)  # type: ignore[arg-type]
    loaded.eval()  # type: ignore[no-untyped-call]
    return loaded


def set_threads(threads: int) -> None:
    """Give torch a fixed number of CPU threads."""
    torch.set_num_threads(threads)


def _forget_quantisation(model: PreTrainedModel) -> None:
    """Drop the marks of a GGUF model: its weights are plain by now, but a Trainer would refuse to train them."""
    model.is_quantized = False  # type: ignore[assignment,unused-ignore]
    model.hf_quantizer = None  # type: ignore[assignment,unused-ignore]
    for holder, name in ((model, "quantization_method"), (model.config, "quantization_config")):
        if hasattr(holder, name):
            delattr(holder, name)


def _from_pretrained(loader: Any, source: Source, **options: Any) -> Any:
    """Load from this machine; only what is not on it, from the Hub."""
    options |= {"trust_remote_code": False}
    if source.gguf_file:
        options["gguf_file"] = source.gguf_file
    with plainly(f"model {source.name!r}"):
        try:
            return loader.from_pretrained(source.where, local_files_only=True, **options)
        except OSError:
            if source.is_local:
                raise
        try:
            HfApi().model_info(source.where, timeout=10)  # fails at once where loading would retry for a minute
            return loader.from_pretrained(source.where, **options)
        except Exception as error:
            raise RequestError(
                f"no model {source.name!r}: no such folder, not in the Hub cache of this machine, "
                f"and not to be had from the Hub ({_first_line(error)}); {KINDS}"
            ) from error


def _add_adapter(model: PreTrainedModel, checkpoint: Checkpoint, trainable: bool) -> "PeftModel":
    adapter = checkpoint.adapter
    assert adapter is not None
    from peft import PeftModel  # half a second, of which a policy without an adapter has no need

    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (adapter / name).is_file():
            raise RequestError(f"no adapter in {str(adapter)!r}: it has no {name}")
    with plainly(f"adapter {str(adapter)!r}"):
        _check_base(checkpoint.model, adapter)
        # Not merged: in bfloat16 the small steps of an adapter would be rounded away.
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=trainable)


def write_base(model: str, adapter: Path) -> None:
    """Write beside an adapter what it was trained on; `load_policy` refuses it on other weights.

    A base on this machine is named by the way to it from the adapter's folder.
    """
    base, source = find_base(model), locate(model)
    if source.is_local and model != EMBEDDED:
        way = os.path.relpath(Path(source.where, source.gguf_file or "").resolve(), adapter.resolve())
        base = replace(base, model=way if way.startswith("..") else f"./{way}")
    (adapter / BASE_FILE).write_text(json.dumps(asdict(base), indent=1) + "\n", "utf-8")


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers from drawing on standard error."""
    were_on = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if were_on:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _check_base(model: str, adapter: Path) -> None:
    was, now = read_base(adapter), find_base(model)
    if was is None:
        return
    if None not in (was.sha256, now.sha256) and was.sha256 != now.sha256:
        raise RequestError(
            f"adapter {str(adapter)!r} was trained on {was.model!r} with weights of sha256 {was.sha256}, "
            f"but {now.model!r} has weights of sha256 {now.sha256}; give the base that it was trained on"
        )


@contextmanager
def plainly(what: str) -> Iterator[None]:
    """Say in one line what could not be loaded: damaged files fail in any way at all."""
    try:
        yield
    except PresrmError:
        raise
    except Exception as error:
        raise EngineError(f"could not load {what}: {type(error).__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason given")


def _resolve_device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"model.device: {name!r} is no device; give auto, cpu, cuda, cuda:1 or mps") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(f"model.device: {name!r} is not here; torch sees {torch.cuda.device_count()} CUDA devices")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("model.device: 'mps' is not here")
    return device


def _resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    if name == "auto":
        has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if has_bfloat16 else torch.float32
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if name not in known:
        raise ConfigError(f"model.dtype: {name!r} is unknown; give auto, {', '.join(known)}")
    return known[name]
