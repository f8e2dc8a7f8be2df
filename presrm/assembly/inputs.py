"""The files and folders that a config names, by content: a run is bound to what they hold, not to where they lie."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from presrm.config import Config
from presrm.engines.hf_files import locate, policy_at, policy_hash
from presrm.errors import RequestError, UnknownNameError
from presrm.files.content import hash_path
from presrm.problems import split_source
from presrm.registry import split_code
from presrm.types import Checkpoint


def hash_inputs(config: Config) -> dict[str, str]:
    """Hash everything on disk that a config names and that decides what a run makes, by the key that names it.

    Models go with tokenizer, chat template and settings; folders whole. What is not on this disk, such as a Hub id, is
    not bound.
    """
    return {key: hash_path(path) for key, path in _paths(config)} | hash_code(config)


def hash_code(config: Config) -> dict[str, str]:
    """Hash the files of code that a config names, by the key that names each: ``code of judge.kind``, and so on."""
    names = _texts("", config.model_dump(mode="json"))
    files = {
        key.removeprefix("."): Path(code[0].rpartition(":")[0]) for key, text in names if (code := split_code(text))
    }
    return {f"code of {key}": hash_path(path) for key, path in files.items() if path.suffix == ".py" and path.is_file()}


def hash_judging(config: Config, *, asks_policy: bool = True) -> dict[str, Any]:
    """Tell what judgements of steps depend on, besides prompts and seed; the policy only where it is asked."""
    return {
        "model": config.model.model_dump(mode="json", include={"id", "chat_template", "dtype"}),
        "model_sha256": policy_hash(policy_at(config.model.id)) if asks_policy else None,
        "judge": config.judge.kind,
        "judge_settings": config.judge.model_dump(mode="json", exclude={"kind", "tie_tolerance"}),
        "splitter": config.splitter,
        "splitter_options": config.splitter_options,
        **{f"{name}_sha256": found for name, found in (hash_code(config) | hash_judge(config)).items()},
    }


def hash_judge(config: Config) -> dict[str, str]:
    """Hash the models and files that options of the judge name, by the key that names each."""
    return {key: hash_path(path) for key, path in _paths(config) if key.startswith("judge.options.")}


def _paths(config: Config) -> Iterator[tuple[str, Path]]:
    model, problems, seed = config.model, config.problems, config.seed_stage
    yield from _model("model.id", model.id)
    if model.tokenizer is not None:
        yield from _model("model.tokenizer", model.tokenizer)
    named: dict[str, Any] = {
        "model.chat_template": model.chat_template,
        "prompts": config.prompts,
        "problems.train": None if problems.train == "self" else _path_of(problems.train),
        "problems.seeds": problems.seeds and _path_of(problems.seeds),
        "problems.seeds_options": problems.seeds_options,
        "problems.held_out": _path_of(problems.held_out),
        "problems.train_options": problems.train_options,
        "problems.held_out_options": problems.held_out_options,
        "splitter_options": config.splitter_options,
        "search.options": config.search.options,
        "judge.options": config.judge.options,
        "method.options": config.method.options,
        "judge_problems.path": config.judge_problems.path,
        "policies.replay_from": {source: _path_of(source) for source in config.policies.replayed_sources},
        "seed_stage.ift": seed and seed.ift and _path_of(seed.ift),
        "seed_stage.eft_path": seed and seed.eft_path,
    }
    for key, value in named.items():
        for where, text in _texts(key, value):
            if text and _exists(Path(text)):
                yield where, Path(text)


def _model(key: str, name: str) -> Iterator[tuple[str, Path]]:
    if Checkpoint(name).is_remote:
        return
    try:
        source = locate(name)
    except RequestError:
        return  # loading it says more
    if source.is_local:
        yield key, Path(source.where, source.gguf_file) if source.gguf_file else Path(source.where)


def _path_of(source: str) -> str | None:
    """The path in a problem source: ``name:PATH``, or a file by itself."""
    try:
        return split_source(source)[1]
    except UnknownNameError:
        return None  # loading it says more


def _texts(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Every text in the options of a part, with its key."""
    if isinstance(value, str | Path):
        yield key, str(value)
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(f"{key}.{name}", inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _texts(f"{key}.{number}", inner)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # longer than a name may be
        return False
