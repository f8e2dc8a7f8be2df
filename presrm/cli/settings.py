"""What settings a policy is used with, where no config is named, and the options that several verbs share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from presrm.config import Config, load_config

EMBEDDED = "embedded"

ModelOption = Annotated[
    str, typer.Option("--model", metavar="M", help="Hub id, folder, .gguf file, http://host/v1#name or 'embedded'.")
]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="a.b=c", help="Change any setting; may be repeated.")
]


def settings_for(models: Sequence[str], overrides: Sequence[str]) -> Config:
    """Settle the settings: those of the run that made the policies, of the shipped config, or the defaults.

    A policy of a run (``RUN/iterations/3/policy``) was trained on that run's prompts and steps, and is used with them;
    so is the embedded policy. Of several policies the first decides.
    """
    return load_config(_config_of(models[0]), overrides)


def _config_of(model: str) -> str | None:
    if model == EMBEDDED:
        return EMBEDDED
    folder = Path(model).resolve()
    run = folder.parents[2] if len(folder.parents) > 2 else folder
    is_of_run = folder.name == "policy" and folder.parents[1].name == "iterations"
    return str(run / "config.yaml") if is_of_run and (run / "config.yaml").is_file() else None
