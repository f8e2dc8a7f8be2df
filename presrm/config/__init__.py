"""Settings of a run: one strict model, from a YAML file and ``--set a.b=c``."""

import types
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from presrm.config.reading import read_yaml
from presrm.config.sections import (
    FREE,
    Config,
    EvaluationConfig,
    JudgeConfig,
    JudgeProblemsConfig,
    LoraConfig,
    MethodConfig,
    ModelConfig,
    ObjectiveConfig,
    PairsConfig,
    PoliciesConfig,
    ProblemsConfig,
    RunnerConfig,
    SearchConfig,
    Section,
    SeedConfig,
    TrainingConfig,
    WatchConfig,
)
from presrm.errors import ConfigError
from presrm.registry import allow_code, nearest

__all__ = [
    "FREE",
    "Config",
    "EvaluationConfig",
    "JudgeConfig",
    "JudgeProblemsConfig",
    "LoraConfig",
    "MethodConfig",
    "ModelConfig",
    "ObjectiveConfig",
    "PairsConfig",
    "PoliciesConfig",
    "ProblemsConfig",
    "RunnerConfig",
    "SearchConfig",
    "Section",
    "SeedConfig",
    "TrainingConfig",
    "WatchConfig",
    "changed_fixed",
    "explain_invalid",
    "fields",
    "load_config",
    "parse_config",
    "section_of",
    "shipped_configs",
]

# The options that belong to the part which each of these keys names.
_OPTIONS_OF = {
    "kind": "options",
    "engine": "engine_options",
    "splitter": "splitter_options",
    "train": "train_options",
    "seeds": "seeds_options",
    "held_out": "held_out_options",
}
_SOURCES = ("train", "held_out")


def shipped_configs() -> dict[str, str]:
    """Names and texts of the configs that come with the package."""
    folder = resources.files("presrm") / "configs"
    return {entry.name[:-5]: entry.read_text("utf-8") for entry in folder.iterdir() if entry.name.endswith(".yaml")}


def load_config(
    source: str | Path | None = "embedded",
    overrides: Sequence[str] = (),
    defaults: Mapping[str, Any] = MappingProxyType({}),
    *,
    is_typed: bool = True,
) -> Config:
    """Read a config by path or shipped name (none: `defaults`) and apply ``a.b=c`` overrides (values are YAML).

    An override that chooses another part (a searcher, a judge, a splitter, ...) drops the options of the part before.
    Overrides, and a file that the user named, may name code where a part is expected (`presrm.registry.allow_code`).

    Args:
        source: A path, a shipped name, or none.
        overrides: Of single keys.
        defaults: Values where there is no source.
        is_typed: Whether the user named the file; one that was found, in the folder of a run, names no code.

    Raises:
        ConfigError: naming the file, the key and what was expected.
    """
    path = Path(source or "custom")
    shipped = shipped_configs()
    if source is None:
        text, where = "", "config"
    elif path.is_file():
        text, where = _read(path), str(path)
    elif str(source) in shipped:
        text, where = shipped[str(source)], f"config {source!s}"
    else:
        raise ConfigError(f"{str(source)!r} is neither a file nor a shipped config; {nearest(str(source), shipped)}")
    try:
        values = read_yaml(text) or dict(defaults)
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not valid YAML: {_explain_yaml(error)}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must hold keys and values such as 'seed: 0', found {values!r:.80}")
    values.setdefault("name", path.stem)
    values, chosen = deepcopy(values), deepcopy(values)
    for override in overrides:
        _override(chosen, override)
    _forget_options(values, chosen, Config)
    typed: dict[str, Any] = {}
    for override in overrides:
        _override(values, override)
        _override(typed, override)
    allow_code(_strings(values if is_typed and source is not None else typed))
    return parse_config(values, where)


def parse_config(values: Mapping[str, Any], where: str) -> Config:
    """Validate settings.

    Raises:
        ConfigError: one line for each wrong key, with the nearest valid one.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain_invalid(error, Config)}") from error


def explain_invalid(error: ValidationError, section: type[BaseModel], where: str = "") -> str:
    """Say in one line what is wrong with settings: of an unknown key, the nearest one of its section and all others.

    Args:
        error: What pydantic found.
        section: What was validated.
        where: The key of `section` in the config; none: the config itself.
    """
    return "; ".join(_explain(details, section, where) for details in error.errors())


def _explain(details: Any, section: type[BaseModel], where: str) -> str:
    if not details["loc"]:
        return str(details["msg"]).removeprefix("Value error, ")
    *sections, last = [str(part) for part in details["loc"]]
    key = ".".join([*([where] if where else []), *sections, last])
    if details["type"] == "missing":
        return f"{key} is missing"
    if details["type"] in ("model_type", "model_attributes_type"):
        return f"{key} is a section of keys and values, found {details.get('input')!r:.80}"
    if details["type"] != "extra_forbidden":
        reason = str(details["msg"]).removeprefix("Value error, ").replace("Input should", "should", 1)
        return f"{key}{' ' if reason.startswith('should') else ': '}{reason}, found {details.get('input')!r:.80}"
    inner: type[BaseModel] | None = section
    for name in sections:
        inner = section_of(inner.model_fields[name].annotation) if inner and name in inner.model_fields else None
    names = list(inner.model_fields) if inner else []
    prefix = key[: -len(last)]
    close = get_close_matches(last, names, n=1)
    meant = f"did you mean {prefix + close[0]!r}? " if close else ""
    parts = f"; options of the chosen kind belong under {prefix}options" if {"kind", "options"} <= {*names} else ""
    parent = prefix.rstrip(".") or "the config"
    known = f"the keys of {parent} are {', '.join(names)}" if names else f"{parent} has no keys here"
    return f"unknown key {key!r}; {meant}{known}{parts}"


def fields(section: type[BaseModel] = Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walk every setting as (dotted key, pydantic field), sections included."""
    for name, field in section.model_fields.items():
        yield prefix + name, field
        inner = section_of(field.annotation)
        if inner is not None:
            yield from fields(inner, f"{prefix}{name}.")


def changed_fixed(old: Config, new: Config) -> list[str]:
    """Describe every fixed setting in which two configs differ, as ``key: old -> new``."""

    def value(config: Config, key: str) -> Any:
        node: Any = config
        for part in key.split("."):
            node = getattr(node, part, None)
        return node

    leaves = [key for key, field in fields() if (field.json_schema_extra or {}) != FREE]
    changes: list[str] = []
    for key in leaves:
        before, after = value(old, key), value(new, key)
        if isinstance(before, Section) and isinstance(after, Section):
            continue
        if before != after and not any(change.startswith(key.rsplit(".", 1)[0] + ":") for change in changes):
            changes.append(f"{key}: {before!r} -> {after!r}")
    return changes


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Give the section that a field holds, or may hold; none for a plain value."""
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    return next((option for option in options if isinstance(option, type) and issubclass(option, BaseModel)), None)


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: expected key=value, for example search.num_candidates=4")
    node = values
    *sections, last = key.strip().split(".")
    for section in sections:
        inner = node.get(section)
        node[section] = node = dict(inner) if isinstance(inner, dict) else {}
    try:
        node[last] = read_yaml(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {key}: {text!r} is not valid YAML: {_explain_yaml(error)}") from error


def _forget_options(values: dict[str, Any], chosen: Mapping[str, Any], section: type[BaseModel]) -> None:
    """Drop the options of parts that are not `chosen` any more; another file of the same problem set keeps them."""
    for name, field in section.model_fields.items():
        inner, before, after = section_of(field.annotation), values.get(name), chosen.get(name)
        if inner and isinstance(before, dict):
            _forget_options(before, after if isinstance(after, dict) else {}, inner)
        elif name in _OPTIONS_OF:
            old, new = (str(field.default if value is None else value) for value in (before, after))
            if name in _SOURCES:
                old, new = old.partition(":")[0], new.partition(":")[0]
            if old != new:
                values.pop(_OPTIONS_OF[name], None)


def _strings(value: Any) -> Iterator[str]:
    """Every text in nested values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _strings(inner)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not a text file in UTF-8") from error


def _explain_yaml(error: yaml.YAMLError) -> str:
    """Say in one line what is wrong, and where if the parser knows."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{error.problem} in line {mark.line + 1}, column {mark.column + 1}"
    return " ".join(str(error).split())
