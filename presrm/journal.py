"""An output that grows by groups of rows, and from which the same request goes on.

A group counts once its rows are synced and the state beside the file says so: what a killed writer left behind that is
cut off again, so that the file comes out the same, interrupted or not.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from presrm.errors import RunConfigError, RunError
from presrm.jsonl import dump_row
from presrm.rundir import replace_file


class Journal:
    """A JSON Lines file and its state, ``<path>.state.json``.

    Args:
        path: The file; made if absent.
        request: What the rows depend on, as plain JSON values.

    Attributes:
        num_rows: Rows that are finished.
        totals: Sums over them of whatever `append` was told.
        is_done: Whether `finish` was called.

    Raises:
        RunConfigError: if the file was begun with another request.
        RunError: if state or file are damaged.
    """

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        self.path = path
        self._state_path = Path(f"{path}.state.json")
        self._request: dict[str, Any] = json.loads(json.dumps(request))
        self.num_rows = 0
        self.totals: dict[str, float] = {}
        self.is_done = False
        self._bytes = 0
        if self._state_path.exists():
            self._resume()
        elif path.exists():
            raise RunConfigError(f"{path} exists and is no unfinished output; remove it or choose another place")

    def append(self, rows: Sequence[Mapping[str, Any]], **totals: float) -> None:
        """Write a group of rows, sync them, and only then say so in the state."""
        if not self._state_path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._save()
        with self.path.open("ab") as file:
            if file.tell() < self._bytes:
                raise RunError(f"{self.path} is shorter than it was when its last group was finished; remove it")
            file.truncate(self._bytes)
            file.write(b"".join(dump_row(row) for row in rows))
            file.flush()
            os.fsync(file.fileno())
            self._bytes = file.tell()
        self.num_rows += len(rows)
        for name, value in totals.items():
            self.totals[name] = self.totals.get(name, 0) + value
        self._save()

    def finish(self) -> None:
        """Say that nothing is missing."""
        self.is_done = True
        self._save()

    def _resume(self) -> None:
        try:
            state = json.loads(self._state_path.read_text("utf-8"))
            old = state["request"]
            self.num_rows, self.totals, self._bytes = int(state["num_rows"]), dict(state["totals"]), int(state["bytes"])
            self.is_done = bool(state["is_done"])
            changes = [
                f"{key}: {old.get(key)!r:.60} -> {self._request.get(key)!r:.60}"
                for key in {**old, **self._request}
                if old.get(key) != self._request.get(key)
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{self._state_path} is damaged; remove it and {self.path} to begin anew") from error
        if changes:
            told = "; ".join(changes)
            raise RunConfigError(f"{self.path} was begun with another request ({told}); choose another place")

    def _save(self) -> None:
        state = {
            "request": self._request,
            "num_rows": self.num_rows,
            "totals": self.totals,
            "bytes": self._bytes,
            "is_done": self.is_done,
        }
        replace_file(self._state_path, json.dumps(state, indent=1) + "\n")
