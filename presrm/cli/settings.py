"""The settings that a policy is used with when no config is named, and the options that several verbs share."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from presrm.config import Config, JudgeConfig, ModelConfig, load_config
from presrm.errors import RequestError
from presrm.types import Checkpoint

EMBEDDED = "embedded"

ModelOption = Annotated[
    str, typer.Option("--model", metavar="M", help="Hub id, folder, .gguf file, http://host/v1#name or 'embedded'.")
]
SettingsOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", help="Change any setting (see 'presrm config schema'). May be repeated."),
]
JudgeOption = Annotated[
    str | None,
    typer.Option("--judge", metavar="J", help="A registered judge, or a class of yours, for example my.py:MyJudge."),
]
SplitterOption = Annotated[
    str | None,
    typer.Option(
        "--splitter", metavar="S", help="A registered splitter, or one of yours, for example my.py:MySplitter."
    ),
]
SearcherOption = Annotated[
    str | None,
    typer.Option("--searcher", "--search", metavar="S", help="Searcher: greedy, beam, best-of-n, or one of yours."),
]
EngineOption = Annotated[
    str | None,
    typer.Option("--engine", metavar="E", help="What runs the model: hf, vllm, sglang, or an engine of yours. [hf]"),
]


def as_overrides(flags: Mapping[str, Any], settings: Sequence[str] | None) -> list[str]:
    """Give flags, by the key that each sets, and ``--set`` as overrides; flags that are not given set nothing."""
    return [*(f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None), *(settings or [])]


def settings_to_judge(flags: Mapping[str, Any], settings: Sequence[str] | None) -> Config:
    """Choose the settings to judge steps with, as `settings_for` does.

    Raises:
        RequestError: if the scores of the judge compare candidates alone.
    """
    from presrm.judges import JUDGES
    from presrm.judging.solutions import require_absolute

    config = settings_for([flags["model.id"] or ""], as_overrides(flags, settings))
    require_absolute(config.judge.kind, JUDGES.factory(config.judge.kind))
    return config


# What the settings of a run may say of the use of its policies: prompts, steps and numbers. Never what runs them
# (engine, device, program, address), nor what runs code or loads a model of its own (judge.options).
_TRUSTED = ("name", "seed", "splitter", "splitter_options", "prompts", "search", "evaluation")
_TRUSTED_JUDGES = ("pairwise", "pointwise", "first-error", "additive", "inverse", "listwise")


def settings_for(models: Sequence[str], overrides: Sequence[str]) -> Config:
    """Choose the settings: those of the run that made the policies, the shipped config, or the defaults.

    A policy of a run (``RUN/iterations/3/policy``) was trained on that run's prompts and steps, and is used with them;
    so is the embedded policy. Of several policies the first decides. A run may come from someone else: its settings
    choose prompts, templates, steps and numbers, and nothing that loads or runs.
    """
    if models[0] == EMBEDDED:
        return load_config(EMBEDDED, overrides)
    found = _config_of(models[0])
    return load_config(None, overrides, {} if found is None else _trusted(load_config(found, is_typed=False)))


def settings_of_run(run: Path, config: str | None, overrides: Sequence[str]) -> Config:
    """Give the settings that a run is to be continued with: those of `config`, or those that stand in its folder.

    Args:
        run: The run folder.
        config: What the user named, or none.
        overrides: Of single keys.

    Raises:
        RequestError: if there is no run, or its own settings name what runs code, starts a program or reaches an
            address: the run may be somebody else's, so only a user may name that.
    """
    own = run / "config.yaml"
    if not (run / "manifest.json").is_file():
        raise RequestError(f"{run} holds no run: it has no manifest.json")
    if config is not None:
        return load_config(config, overrides)
    if not own.is_file():
        raise RequestError(f"{own} is missing: name the settings of the run with --config")
    found = load_config(own, is_typed=False)
    plain = ModelConfig(id=found.model.id)
    runs = found.model.engine != plain.engine or bool(found.model.engine_options) or Checkpoint(plain.id).is_remote
    others = (found.watch.shadow, found.pairs.second_judge)
    if runs or found.judge.kind not in _TRUSTED_JUDGES or any(isinstance(other, JudgeConfig) for other in others):
        raise RequestError(
            f"{own} names an engine, an address or a judge that loads or runs something besides the policy, and a run "
            f"may come from someone else: to use it, add --config {own}"
        )
    return load_config(own, overrides, is_typed=False)


def _trusted(config: Config) -> dict[str, Any]:
    """Pick what may be taken from the settings of a run that may be somebody else's."""
    values = config.model_dump(mode="json")
    judge = {name: value for name, value in values["judge"].items() if name != "options"}
    return {
        **{name: values[name] for name in _TRUSTED},
        "model": {"chat_template": config.model.chat_template},
        "judge": judge if config.judge.kind in _TRUSTED_JUDGES else {},
    }


def _config_of(model: str) -> Path | None:
    folder = Path(model).resolve()
    run = folder.parents[2] if len(folder.parents) > 2 else folder
    is_of_run = folder.name == "policy" and folder.parents[1].name == "iterations"
    return run / "config.yaml" if is_of_run and (run / "config.yaml").is_file() else None
