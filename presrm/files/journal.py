"""An output that grows by groups of rows, and from which the same request goes on.

A group counts once its rows are synced and the state beside the file says so, with a hash of all that is finished: what
a killed writer left behind that is cut off again, so that the files come out the same, interrupted or not.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

from pydantic import TypeAdapter

from presrm.errors import RunConfigError, RunError
from presrm.files.content import replace_file
from presrm.files.jsonl import BadRow, dump_row
from presrm.files.lock import Lock, lock_beside, refuse_link

_FORMAT = 4
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
    sha256: str
    sha256_rejected: str
    is_done: bool


class Journal:
    """A JSON Lines file, the rows set aside, ``<path>.rejected.jsonl``, and their state, ``<path>.state.json``.

    A group is synced as it is appended. Inside of ``with journal:`` cheap groups share that: they are synced at least
    every second, and however the block is left. Until it is finished, discarded or left, nobody else can open it.

    Args:
        path: The file; made if absent.
        request: What the rows depend on, as plain JSON values. Of a change of ``<name>_sha256`` only the name is told.

    Attributes:
        rejected: Where rows set aside go, each as its line and the reason; there only if there are any.

    Raises:
        RunConfigError: if the file was begun with another request or by another version.
        RunError: if another process writes it, or state or files are damaged, changed or symbolic links.
    """

    def __init__(self, path: Path, request: Mapping[str, Any]) -> None:
        self.path, self.rejected = path, Path(f"{path}.rejected.jsonl")
        self._state_path = Path(f"{path}.state.json")
        nothing = sha256().hexdigest()
        self._state = _State(_FORMAT, json.loads(json.dumps(request)), 0, {}, {}, 0, 0, nothing, nothing, is_done=False)
        self._digests = {path: sha256(), self.rejected: sha256()}
        self._synced = time.monotonic()
        self._is_shared = self._is_pending = False
        self._lock: Lock | None = None
        if _is_finished(self._state_path):  # to be read, perhaps where nothing may be written
            self._state = self._read()
            return
        self._lock = lock_beside(path)
        try:
            refuse_link(path, self.rejected, self._state_path)
            if self._state_path.exists():
                self._state = self._read()
            elif path.exists():
                raise RunConfigError(f"{path} exists and is no unfinished output; remove it or choose another --out")
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

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
        self._release()

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
            self._save()
        old = self._state
        self._is_pending = True
        set_aside = [{"line": row.line, "reason": row.reason} for row in rejected]
        self._state = replace(
            old,
            num_rows=old.num_rows + len(rows),
            totals=old.totals | {name: old.totals.get(name, 0) + value for name, value in totals.items()},
            notes=old.notes | dict(notes or {}),
            bytes=self._write(self.path, old.bytes, rows),
            bytes_rejected=self._write(self.rejected, old.bytes_rejected, set_aside),
            sha256=self._digests[self.path].hexdigest(),
            sha256_rejected=self._digests[self.rejected].hexdigest(),
        )
        if not self._is_shared or time.monotonic() - self._synced >= _SECONDS_BETWEEN_SYNCS:
            self._sync()

    def finish(self) -> None:
        """Say that nothing is missing."""
        self._state = replace(self._state, is_done=True)
        self._sync()
        self._release()

    def discard(self) -> None:
        """Take the rows back, so that another request may follow; what was set aside stays, to be read."""
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)
        self._release()

    def _read(self) -> _State:
        anew = f"remove it and {self._state_path} to begin anew"
        try:
            told = json.loads(self._state_path.read_bytes())
            if told["format"] != _FORMAT:
                raise RunConfigError(f"{self.path} is of another version of presrm; choose another --out, or {anew}")
            if told.pop("sha256_state", None) != _hash(told):
                raise ValueError("it is not what was written last")
            state = TypeAdapter(_State).validate_python(told)
        except RunConfigError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise RunError(
                f"{self._state_path} is damaged; restore it, or remove it and {self.path} to begin anew"
            ) from error
        if changes := _changes(state.request, self._state.request):
            raise RunConfigError(
                f"{self.path} was begun with another request ({'; '.join(changes)}); choose another --out, or {anew}"
            )
        self._verify(self.path, state.bytes, state.sha256, is_whole=state.is_done)
        self._verify(self.rejected, state.bytes_rejected, state.sha256_rejected, is_whole=state.is_done)
        return state

    def _verify(self, path: Path, size: int, expected: str, *, is_whole: bool) -> None:
        """Hash what is finished of a file, and refuse it if it is not what was written."""
        digest, left, rest = self._digests[path], size, b""
        if path.exists():
            with path.open("rb") as file:
                while left and (block := file.read(min(left, 1 << 20))):
                    digest.update(block)
                    left -= len(block)
                rest = file.read(1) if is_whole else b""
        if digest.hexdigest() != expected or rest:
            raise RunError(
                f"{path} is not what was written there (changed, cut off or removed); restore it, or remove "
                f"{self.path} and {self._state_path} to begin anew"
            )

    def _write(self, path: Path, size: int, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write rows behind the first `size` bytes of a file, all that is finished of it; give its size with them."""
        if path == self.rejected and not rows and not size:
            path.unlink(missing_ok=True)
            return 0
        data = b"".join(map(dump_row, rows))
        with path.open("ab") as file:
            file.truncate(size)
            file.write(data)
        self._digests[path].update(data)
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
        state = asdict(self._state)
        replace_file(self._state_path, json.dumps(state | {"sha256_state": _hash(state)}, indent=1) + "\n")


def _hash(state: Mapping[str, Any]) -> str:
    return sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def _is_finished(state_path: Path) -> bool:
    try:
        return json.loads(state_path.read_bytes())["is_done"] is True
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_request(path: Path) -> Mapping[str, Any]:
    """Read what the rows of an output depend on; nothing where there is no readable state beside it."""
    try:
        request = json.loads(Path(f"{path}.state.json").read_bytes())["request"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return request if isinstance(request, dict) else {}


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], within: str = "") -> list[str]:
    """Say what differs, of settings within settings those that do."""
    found = []
    for key in {**old, **new}:
        before, now = old.get(key), new.get(key)
        if before == now:
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            found += _changes(before, now, f"{within}{key}.")
        elif key.endswith("_sha256"):
            found.append(f"the {key.removesuffix('_sha256')} has changed")
        else:
            found.append(f"{within}{key}: {before!r:.60} -> {now!r:.60}")
    return found
