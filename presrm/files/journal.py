"""An output that grows by groups of rows, and from which the same request goes on.

A group counts once its rows are synced and the state beside the file says so: what a killed writer left behind that is
cut off again, so that the files come out the same, interrupted or not.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from presrm.errors import RunConfigError, RunError
from presrm.files.jsonl import BadRow, dump_row
from presrm.files.run import replace_file

_FORMAT = 3
_SECONDS_BETWEEN_SYNCS = 1.0


@dataclass(frozen=True, slots=True)
class _State:
    """What is finished: all that a further start trusts. Replaced as a whole, an interrupt finds no half of a group."""

    format: int
    request: dict[str, Any]
    num_rows: int
    totals: dict[str, int | float]
    notes: dict[str, Any]
    bytes: int
    bytes_rejected: int
    is_done: bool


class Journal:
    """A JSON Lines file, the rows set aside, ``<path>.rejected.jsonl``, and their state, ``<path>.state.json``.

    A group is synced as it is appended. Inside of ``with journal:`` cheap groups share that: they are synced at least
    every second, and however the block is left.

    Args:
        path: The file; made if absent.
        request: What the rows depend on, as plain JSON values. Of a change of ``<name>_sha256`` only the name is told.

    Attributes:
        rejected: Where rows set aside go, each as its line and the reason; there only if there are any.

    Raises:
        RunConfigError: if the file was begun with another request or by another version.
        RunError: if state or files are damaged.
    """

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        self.path, self.rejected = path, Path(f"{path}.rejected.jsonl")
        self._state_path = Path(f"{path}.state.json")
        self._state = _State(_FORMAT, json.loads(json.dumps(request)), 0, {}, {}, 0, 0, is_done=False)
        self._synced = time.monotonic()
        self._is_shared = self._is_pending = False
        if self._state_path.exists():
            self._state = self._read()
        elif path.exists():
            raise RunConfigError(f"{path} exists and is no unfinished output; remove it or choose another --out")

    @property
    def num_rows(self) -> int:
        """Rows that are finished."""
        return self._state.num_rows

    @property
    def totals(self) -> Mapping[str, float]:
        """Sums over groups of whatever `append` was told."""
        return self._state.totals

    @property
    def notes(self) -> Mapping[str, Any]:
        """What `append` was told last to keep for the next start."""
        return self._state.notes

    @property
    def is_done(self) -> bool:
        """Whether `finish` was called."""
        return self._state.is_done

    def __enter__(self) -> Self:
        self._is_shared = True
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_shared = False
        if self._is_pending:
            self._sync()

    def append(
        self,
        rows: Sequence[Mapping[str, Any]],
        rejected: Sequence[BadRow] = (),
        notes: Mapping[str, Any] | None = None,
        /,
        **totals: float,
    ) -> None:
        """Write a group of rows, and those of it that are set aside."""
        if not self._state_path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._save()
        old = self._state
        self._is_pending = True
        self._state = replace(
            old,
            num_rows=old.num_rows + len(rows),
            totals=old.totals | {name: old.totals.get(name, 0) + value for name, value in totals.items()},
            notes=old.notes | dict(notes or {}),
            bytes=self._write(self.path, old.bytes, rows),
            bytes_rejected=self._write(
                self.rejected, old.bytes_rejected, [{"line": row.line, "reason": row.reason} for row in rejected]
            ),
        )
        if not self._is_shared or time.monotonic() - self._synced >= _SECONDS_BETWEEN_SYNCS:
            self._sync()

    def finish(self) -> None:
        """Say that nothing is missing."""
        self._state = replace(self._state, is_done=True)
        self._sync()

    def discard(self) -> None:
        """Take the rows back, so that another request may follow; what was set aside stays, to be read."""
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def _read(self) -> _State:
        try:
            state = TypeAdapter(_State).validate_json(self._state_path.read_bytes())
        except ValueError as error:
            raise RunError(
                f"{self._state_path} is damaged, or of an earlier version of presrm; remove it and {self.path} to "
                "begin anew"
            ) from error
        changes = _changes(state.request, self._state.request)
        if state.format != _FORMAT:
            changes.insert(0, "it is of another version of presrm")
        if changes:
            raise RunConfigError(
                f"{self.path} was begun with another request ({'; '.join(changes)}); choose another --out, or remove "
                f"it and {self._state_path}"
            )
        return state

    def _write(self, path: Path, size: int, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write rows behind the first `size` bytes of a file, all that is finished of it; give its size with them."""
        if path == self.rejected and not rows and not size:
            path.unlink(missing_ok=True)
            return 0
        data = b"".join(map(dump_row, rows))
        with path.open("ab") as file:
            if file.tell() < size:
                raise RunError(
                    f"{path} is shorter than it was when its last group was finished; remove it and "
                    f"{self._state_path} to begin anew"
                )
            file.truncate(size)
            file.write(data)
        return size + len(data)

    def _sync(self) -> None:
        """Make durable what was appended, and only then say so in the state."""
        for path in (self.path, self.rejected):
            if path.exists():
                with path.open("ab") as file:
                    os.fsync(file.fileno())
        self._save()
        self._synced, self._is_pending = time.monotonic(), False

    def _save(self) -> None:
        replace_file(self._state_path, json.dumps(asdict(self._state), indent=1) + "\n")


def read_request(path: Path) -> Mapping[str, Any]:
    """Read what the rows of an output depend on; nothing where there is no readable state beside it."""
    try:
        request = json.loads(Path(f"{path}.state.json").read_bytes())["request"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return request if isinstance(request, dict) else {}


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Say what differs."""
    return [
        f"the {key.removesuffix('_sha256')} has changed"
        if key.endswith("_sha256")
        else f"{key}: {old.get(key)!r:.60} -> {new.get(key)!r:.60}"
        for key in {**old, **new}
        if old.get(key) != new.get(key)
    ]
