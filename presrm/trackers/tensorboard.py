"""TensorBoard: event files, to be read by ``tensorboard --logdir RUN/trackers/tensorboard``."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class TensorBoardTracker:
    """Writes event files, without TensorFlow and without torch.

    Args:
        folder: Gets them.
        name: Of the run; event files have no place for it.
        settings: Of the run, written as a text.
    """

    def __init__(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.plugins.text import metadata
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary, self._text = event_pb2.Event, summary_pb2.Summary, metadata
        self._writer = EventFileWriter(str(folder))
        self.text("settings", "\n".join(f"{key}: {value}" for key, value in settings.items()), 0)

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Write figures."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(self._summary(value=values), step)

    def text(self, name: str, text: str, step: int) -> None:
        """Write a text, which the board shows as it is."""
        from tensorboard.compat.proto import tensor_pb2, types_pb2

        indented = "\n".join(f"    {line}" for line in text.split("\n"))  # a block of code in Markdown
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[indented.encode("utf-8", "replace")])
        described = self._text.create_summary_metadata(display_name=name, description="")
        value = self._summary.Value(tag=name, tensor=tensor, metadata=described)
        self._add(self._summary(value=[value]), step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _add(self, summary: Any, step: int) -> None:
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))
