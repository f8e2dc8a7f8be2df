"""A run on disk: what is finished stands in the manifest, and resume trusts nothing else.

```
config.yaml      resolved settings
manifest.json    versions, what M1 ran on, hashes, finished artefacts; replacing it, synced, is the only commit point
metrics.jsonl    one row an event, with clocks
ledger.sqlite    every question to a judge and what came back, with clocks
iterations/1     M1: answers.jsonl scores.json siblings.jsonl health.json
iterations/<t>   M(t): problems.jsonl trees.jsonl pairs.jsonl policy/, then what M1 has
                 rounds/<r>: the same of each round before the last, where a method trains in rounds
report.md report.json report.html
```
"""

import errno
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from presrm.config import Config, changed_fixed, parse_config
from presrm.errors import RunConfigError, RunError
from presrm.files.content import hash_begin, hash_path, replace_file
from presrm.files.jsonl import dump, load_typed
from presrm.files.ledger import Ledger
from presrm.files.lock import Lock, refuse_link
from presrm.files.manifest import FORMAT, hash_manifest, read_manifest
from presrm.types import Checkpoint

if TYPE_CHECKING:
    from hashlib import _Hash as Digest

logger = logging.getLogger(__name__)

T = TypeVar("T")
LEDGER = "ledger.sqlite"
_LONGEST_LINE = 1 << 20
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


class RunDir:
    """An open run folder; a context manager that holds the run's lock.

    A finished run can be read where its folder may not be written.

    Args:
        path: The folder, made if absent.
        config: The settings of this start. They must agree with those the run was made with in every fixed field.
        versions: Package versions and the like, recorded in the manifest.
        inputs: What the settings name on disk, by key of the config, each with a hash of its content. That must not
            change either.

    Raises:
        RunError: if another process works on the run, the manifest is damaged, or the folder holds a symbolic link.
        RunConfigError: naming each fixed setting that was changed since the first artefact was made.
    """

    def __init__(
        self,
        path: Path,
        config: Config,
        versions: Mapping[str, str] | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self._lock = self._locked()
        try:
            self._open(config, versions or {}, inputs or {})
        except BaseException:
            self._release()
            raise

    def _locked(self) -> Lock | None:
        """Lock the folder; none for a run in a folder that may only be read."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            refuse_link(*self.path.rglob("*"))
            return Lock(self.path / ".lock", self.path)
        except OSError as error:
            if error.errno in _READ_ONLY and self._manifest_path.exists():
                return None
            raise

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _open(self, config: Config, versions: Mapping[str, str], inputs: Mapping[str, str]) -> None:
        self.manifest: dict[str, Any] = {"format": FORMAT, "versions": dict(versions), "artefacts": {}}
        if self._manifest_path.exists():
            self.manifest = read_manifest(self._manifest_path)
            self._check(config, inputs)
        elif any(child.name not in (".lock", ".manifest.json.tmp") for child in self.path.iterdir()):
            raise RunError(f"{self.path} is not empty and holds no run; choose another --out")
        settings = config.model_dump(mode="json")
        self.manifest.update(config=settings, inputs=dict(inputs))
        self.commit()
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        self.write("config.yaml", text)
        if self._lock is not None:
            _cut_torn_line(self.path / "metrics.jsonl")
            if (self.path / f"{LEDGER}-wal").exists():
                _ = self.ledger  # of a killed writer: closing it makes one file of it again

    def _check(self, config: Config, inputs: Mapping[str, str]) -> None:
        if not any(self.manifest["artefacts"].values()):
            return  # nothing has been made yet, so nothing binds
        old = parse_config(self.manifest["config"], str(self._manifest_path))
        changes = changed_fixed(old, config)
        before = self.manifest["inputs"]
        changes += [
            f"what {key} names has another content" for key in before if inputs.get(key, before[key]) != before[key]
        ]
        if changes:
            raise RunConfigError(
                f"{self.path} was begun with other settings or inputs ({'; '.join(changes)}); "
                "set them back to resume, or choose another --out"
            )

    def __enter__(self) -> "RunDir":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "ledger" in self.__dict__:
            self.ledger.close()
        self._release()

    @cached_property
    def ledger(self) -> Ledger:
        """The verdict ledger, opened when first asked for; no artefact: what resume trusts stands in the manifest."""
        path = self.path / LEDGER
        if not path.exists() and any(
            name.endswith("/trees.jsonl") and entry.get("rows") for name, entry in self.manifest["artefacts"].items()
        ):
            logger.warning("%s is gone: the verdicts until now cannot be explained; a new one begins here", path)
        return Ledger(path)

    @property
    def _manifest_path(self) -> Path:
        return self.path / "manifest.json"

    def commit(self) -> None:
        """Replace the manifest: from here on, what it lists is finished."""
        self.manifest["sha256"] = hash_manifest(self.manifest)
        text = json.dumps(self.manifest, indent=1, sort_keys=True) + "\n"
        if self._lock is not None:
            replace_file(self._manifest_path, text)
        elif text != self._manifest_path.read_text("utf-8"):
            raise RunError(f"{self.path} may not be written, and there is work left to do: make it writable")

    def remember(self, facts: Mapping[str, str]) -> None:
        """Keep facts about the policy; those of the first time stand, so that no later start changes a report."""
        if "policy" not in self.manifest:
            self.manifest["policy"] = dict(facts)
            self.commit()

    @property
    def facts(self) -> dict[str, str]:
        """What `remember` keeps."""
        return dict(self.manifest.get("policy", {}))

    def log(self, **row: Any) -> None:
        """Append a row to metrics.jsonl, with the time (seconds since the epoch)."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"time": round(time.time(), 3), **row}, sort_keys=True) + "\n")

    def write(self, name: str, content: str) -> None:
        """Write a file that is no artefact, such as a report; one that may only be read stays as it is."""
        if self._lock is not None:
            replace_file(self.path / name, content)

    def iteration(self, number: int) -> "IterationDir":
        """The folder that makes M(number)."""
        return IterationDir(self, number)


class IterationDir:
    """The artefacts of one iteration, or of a part of it: each is made once, then read.

    Args:
        run: Whose iteration it is.
        number: T of the M(T) that it makes.
        part: A folder inside the iteration's; none: the iteration's own.
    """

    def __init__(self, run: RunDir, number: int, part: str = "") -> None:
        self.run = run
        self.number = number
        self.part = part
        self.name = f"{number}/{part}" if part else str(number)
        self.path = run.path / "iterations" / self.name
        self.path.mkdir(parents=True, exist_ok=True)

    def inside(self, part: str) -> "IterationDir":
        """The artefacts of a part of this iteration, in a folder of its own."""
        return IterationDir(self.run, self.number, part)

    def discard(self, part: str) -> None:
        """Remove the folder of a part, and everything in it: the manifest forgets it first."""
        artefacts = self.run.manifest["artefacts"]
        if names := [name for name in artefacts if name.startswith(f"{self.name}/{part}/")]:
            for name in names:
                del artefacts[name]
            self.run.commit()
        shutil.rmtree(self.path / part, ignore_errors=True)

    def _entry(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.run.manifest["artefacts"].setdefault(f"{self.name}/{name}", {})
        return entry

    def is_done(self, name: str) -> bool:
        """Whether the manifest lists `name` as finished."""
        return "sha256" in self._entry(name)

    def rows(self, kind: type[T], name: str, make: Callable[[int], Iterable[list[T]]]) -> list[T]:
        """Read the JSON Lines artefact `name`, or go on making it.

        Args:
            kind: The type of a row.
            name: File name.
            make: Given the number of rows already there, yields the further ones in groups; each group is durable
                once it is written, and is never made again.
        """
        path, entry = self.path / name, self._entry(name)
        if self.is_done(name):
            self._verify(path, entry)
            return list(load_typed(kind, path)) if path.stat().st_size else []
        have: list[T] = []
        digest = self._begun(path, entry)
        with path.open("ab") as file:
            file.truncate(entry.get("bytes", 0))
            if entry.get("rows"):
                have = list(load_typed(kind, path))
            for group in make(len(have)):
                data = "".join(dump(row) + "\n" for row in group).encode()
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                have += group
                digest.update(data)
                entry.update(rows=len(have), bytes=file.tell(), sha256_begun=digest.hexdigest())
                self.run.commit()
        self._finish(name, rows=len(have))
        return have

    def _begun(self, path: Path, entry: dict[str, Any]) -> "Digest":
        """Hash what is there of an artefact that is not finished, if that is what was written."""
        if entry.get("bytes") and not path.exists():
            logger.warning("%s is gone, before it was finished: it is made anew", path)
            entry.clear()
        size = entry.get("bytes", 0)
        if not size:
            return sha256()
        digest = hash_begin(path, size)
        if digest.hexdigest() != entry.get("sha256_begun"):
            raise RunError(
                f"{path} is not what the run wrote so far (changed or cut off); restore it, or remove it to have it "
                "made anew"
            )
        return digest

    def group_size(self, name: str) -> int | None:
        """The size of the groups in which `name` is made, if it was set."""
        size: int | None = self._entry(name).get("group_size")
        return size

    def set_group_size(self, name: str, size: int | None) -> None:
        """Record the size of the groups in which `name` is made, with the next group that is finished."""
        if size is not None:
            self._entry(name)["group_size"] = size

    def value(self, name: str, make: Callable[[], Any]) -> Any:
        """Read the JSON artefact `name` as plain data, or make it (``make`` gives plain data)."""
        path = self.path / name
        if not self.is_done(name):
            replace_file(path, json.dumps(make(), indent=1, sort_keys=True, allow_nan=False) + "\n")
            self._finish(name)
        self._verify(path, self._entry(name))
        return json.loads(path.read_text("utf-8"))

    def policy(self, make: Callable[[Path], Checkpoint], name: str = "policy") -> Checkpoint:
        """Find the policy of this iteration, or another one in the folder `name`, or make it there."""
        folder = self.path / name
        if not self.is_done(name):
            checkpoint = make(folder)
            self._entry(name).update(
                model=None if checkpoint.model == str(folder) else checkpoint.model,
                adapter=checkpoint.adapter is not None,
            )
            self._finish(name)
        entry = self._entry(name)
        self._verify(folder, entry)
        policy = Checkpoint(entry.get("model") or str(folder), folder if entry.get("adapter") else None)
        if policy.is_remote:
            raise RunError(
                f"{self.run.path / 'manifest.json'} names an address as the policy of {self.path}; only a user may"
            )
        return policy

    def _finish(self, name: str, **facts: Any) -> None:
        self._entry(name).pop("sha256_begun", None)
        self._entry(name).update(sha256=hash_path(self.path / name), **facts)
        self.run.commit()

    def _verify(self, path: Path, entry: Mapping[str, Any]) -> None:
        if not path.exists() or hash_path(path) != entry["sha256"]:
            raise RunError(
                f"{path} is not what the run wrote (missing or changed); restore it, or choose another --out"
            )


def _cut_torn_line(path: Path) -> None:
    """Cut off a last line that a killed writer left without its end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST_LINE))
        tail = file.read()
        file.truncate(size - len(tail) + tail.rfind(b"\n") + 1)
