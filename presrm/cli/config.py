"""``presrm config``: the shipped configs, and every setting."""

import json
from typing import Annotated

import typer
from rich.console import Console

from presrm.cli.show import print_table
from presrm.config import Config, shipped_configs
from presrm.errors import UnknownNameError
from presrm.registry import nearest


def list_configs() -> None:
    """List the shipped configs; presrm train NAME runs one."""
    rows = [(name, _headline(text)) for name, text in sorted(shipped_configs().items())]
    print_table(Console(), ("config", "what it is"), rows)


def show_config(name: Annotated[str, typer.Argument(metavar="NAME", help="Name of a shipped config.")]) -> None:
    """Print a shipped config.

    Save and edit it for a config of your own: presrm config show embedded > mine.yaml
    """
    shipped = shipped_configs()
    if name not in shipped:
        raise UnknownNameError(f"no shipped config {name!r}; {nearest(name, shipped)}")
    print(shipped[name], end="")


def show_schema() -> None:
    """Describe every key of a config, as a JSON schema."""
    print(json.dumps(Config.model_json_schema(), indent=2))


def _headline(text: str) -> str:
    first = text.lstrip().partition("\n")[0]
    return first.lstrip("# ") if first.startswith("#") else ""
