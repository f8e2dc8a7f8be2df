"""Weights & Biases, offline: ``wandb sync RUN/trackers/wandb/wandb/offline-run-*`` sends it, if somebody wants that."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any


class WandbTracker:
    """Writes an offline run; nothing is sent, and no account is needed.

    Args:
        folder: Gets it.
        name: Of the run.
        settings: Of the run.
    """

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        import wandb

        folder.mkdir(parents=True, exist_ok=True)
        quiet = wandb.Settings(silent=True, console="off")
        self._table = wandb.Table
        self._run = wandb.init(
            mode="offline", dir=str(folder), project="presrm", name=name, config=dict(settings), settings=quiet
        )

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write figures; their step stands among them, since those of training have steps of their own."""
        self._run.log({**metrics, "step": step})

    def text(self, name: str, text: str, step: int) -> None:
        """Write a text as a table of one cell: it is shown as text."""
        self._run.log({name: self._table(columns=["step", "text"], data=[[step, text]])})

    def close(self) -> None:
        """Write what is left."""
        self._run.finish()
