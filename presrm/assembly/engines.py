"""Config -> engine: the policy that a checkpoint names, on this machine or behind an address."""

import gc
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from presrm.assembly.options import arguments_of, takes
from presrm.config import ModelConfig
from presrm.engines import ENGINES
from presrm.engines.checked import CheckedEngine
from presrm.errors import EngineError, RequestError, UnknownNameError
from presrm.prompts.encoding import PromptEncoder
from presrm.protocols import Engine
from presrm.registry import blame, is_ours, nearest
from presrm.types import Checkpoint

_VERSIONED = ("presrm", "torch", "transformers", "peft", "accelerate", "tokenizers", "numpy")
_OFFERED = ("chat_template", "dtype", "device", "batch_tokens", "cache_tokens")  # to an engine that takes them


def open_engine(policy: Checkpoint, model: ModelConfig, *, lora_rank: int | None = None) -> Engine:
    """Load `policy` as the settings say, start a server of it, or reach the one that its address names.

    A registered engine gets those of ``checkpoint``, ``encoder``, ``chat_template``, ``dtype``, ``device``,
    ``batch_tokens``, ``cache_tokens`` and ``lora_rank`` that its factory takes, and ``model.engine_options``.

    Args:
        policy: The policy.
        model: The settings.
        lora_rank: Of the adapters that are going to be trained on `policy`, or none.

    Raises:
        ConfigError: if it does not take the options.
        EngineError: if code of users makes none, or raises.
    """
    kind = _kind(policy, model)
    factory = _factory(kind)
    offered: dict[str, Any] = {"checkpoint": policy, "encoder": None, "lora_rank": lora_rank}
    offered |= {name: getattr(model, name) for name in _OFFERED}
    tokenizer = model.tokenizer if kind == "server" else policy.model
    if tokenizer is not None and takes(factory, "encoder"):
        offered["encoder"] = open_encoder(tokenizer, model.chat_template)
    arguments = arguments_of(factory, model.engine_options, offered, "model.engine_options")
    with blame(factory, EngineError, f"engine {kind!r}"):
        engine = factory(**arguments)
    return engine if is_ours(engine) else CheckedEngine(engine, kind)


@contextmanager
def importing() -> Iterator[None]:
    """Import what runs policies, without looking for garbage meanwhile or ever among what was imported.

    The collector would go through the many objects that stay, again and again. Where transformers is there already a
    policy may be, too, and that has to be freed.
    """
    if "transformers" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if "transformers" in sys.modules:
            gc.freeze()
        gc.enable()


def _factory(kind: str) -> Callable[..., Engine]:
    with importing():
        return ENGINES.factory(kind)


def _kind(policy: Checkpoint, model: ModelConfig) -> str:
    """Name the registered engine of a policy."""
    kind = "server" if policy.is_remote else model.engine
    if kind in ("server", "sglang", "vllm") and find_spec("httpx2") is None:
        raise RequestError(f"engine {kind!r} needs: pip install 'presrm[server]'")
    return kind


def check_engine(model: ModelConfig) -> None:
    """Refuse an engine that is not registered, and options that it does not take; import it only for its options.

    Raises:
        ConfigError: naming each wrong option and the nearest valid one.
        UnknownNameError: naming the nearest engine.
    """
    if model.engine not in ENGINES:
        raise UnknownNameError(f"unknown engine {model.engine!r}; {nearest(model.engine, ENGINES.names())}")
    if model.engine_options:
        offered = dict.fromkeys(("checkpoint", "encoder", "lora_rank", *_OFFERED))
        factory = ENGINES.factory(_kind(Checkpoint(model.id), model))
        arguments_of(factory, model.engine_options, offered, "model.engine_options")


def require_weights(model: str) -> None:
    """Refuse an address where weights are needed.

    Raises:
        RequestError: if `model` is one.
    """
    if Checkpoint(model).is_remote:
        # The address is not told: it may hold a password.
        raise RequestError("a model behind http can judge (presrm judge-steps), but its weights cannot be trained")


def open_encoder(model: str, chat_template: str | None) -> PromptEncoder:
    """Load the tokenizer of `model`, and no weights."""
    from presrm.engines.hf_loading import load_tokenizer

    return PromptEncoder(load_tokenizer(model), chat_template)


def limit_threads(threads: int | None, model: ModelConfig | None = None) -> None:
    """Give torch a fixed number of CPU threads.

    Args:
        threads: How many; none: as many as torch takes.
        model: Settings of the engine that is about to be opened; torch is not imported for one that does without.
            None: for training.
    """
    if threads is None:
        return
    if model is not None:
        _factory(_kind(Checkpoint(model.id), model))  # imports torch if it needs it
    if model is None or "torch" in sys.modules:
        from presrm.engines.hf_loading import set_threads

        set_threads(threads)


def _commit() -> str | None:
    """The commit of the checkout that runs, or that was installed; none where that is not known."""
    try:
        origin = json.loads(distribution("presrm").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        origin = {}
    if commit := origin.get("vcs_info", {}).get("commit_id"):
        return str(commit)
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide a run's bytes, and the commit of ours."""
    found = {"python": platform.python_version()}
    if commit := _commit():
        found["commit"] = commit
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
