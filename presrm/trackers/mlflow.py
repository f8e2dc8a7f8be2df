"""MLflow, in files: ``MLFLOW_ALLOW_FILE_STORE=true mlflow ui --backend-store-uri RUN/trackers/mlflow`` shows it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MAX_PARAMETER = 500


class MlflowTracker:
    """Writes a run into a store of files.

    Args:
        folder: The store.
        name: Of the run.
        settings: Of the run.
    """

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        from mlflow.tracking import MlflowClient

        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a store of files needs no database
        self._client = MlflowClient(tracking_uri=folder.absolute().as_uri())
        found = self._client.get_experiment_by_name("presrm")
        experiment = found.experiment_id if found is not None else self._client.create_experiment("presrm")
        self._run = self._client.create_run(experiment, run_name=name).info.run_id
        for key, value in settings.items():
            self._client.log_param(self._run, key, str(value)[:_MAX_PARAMETER])

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write figures."""
        for name, value in metrics.items():
            self._client.log_metric(self._run, name, value, step=step)

    def text(self, name: str, text: str, step: int) -> None:
        """Write a text as a file of the run."""
        self._client.log_text(self._run, text, f"{name}-{step}.txt")

    def close(self) -> None:
        """Say that the run has ended."""
        self._client.set_terminated(self._run)
