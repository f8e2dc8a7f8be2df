"""trackio, local: ``TRACKIO_DIR=RUN/trackers/trackio trackio show`` opens the dashboard."""

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from presrm.errors import RequestError

_ELSEWHERE = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class TrackioTracker:
    """Writes a local database; nothing is sent, wherever the environment says that figures should go.

    Args:
        folder: Gets it.
        name: Of the run; a resumed run goes on in the same one.
        settings: Of the run.

    Raises:
        RequestError: trackio, which writes to one folder a process, was imported for another one.
    """

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["TRACKIO_DIR"] = str(folder.resolve())  # read when trackio is imported
        import trackio
        from trackio.utils import TRACKIO_DIR

        if Path(TRACKIO_DIR).resolve() != folder.resolve():
            raise RequestError(f"trackio writes to {TRACKIO_DIR} in this process: start a new one for {folder}")
        self._trackio: Any = trackio
        for variable in _ELSEWHERE:
            os.environ.pop(variable, None)
        options: dict[str, Any] = {"resume": "allow", "embed": False, "auto_log_gpu": False, "auto_log_cpu": False}
        with redirect_stdout(io.StringIO()):
            self._run = trackio.init("presrm", name, config=dict(settings), **options)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write figures at a step: of the loop, or of training."""
        self._run.log(dict(metrics), step)

    def text(self, name: str, text: str, step: int) -> None:
        """Write a text as a table of one cell."""
        self._run.log({name: self._trackio.Table(columns=["text"], data=[[text]])}, step)

    def close(self) -> None:
        """Write what is left."""
        with redirect_stdout(io.StringIO()):
            self._trackio.finish()
