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

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import yaml

from presrm.config import Config, changed_fixed, parse_config
from presrm.errors import RunConfigError, RunError
from presrm.files.jsonl import dump, load_typed
from presrm.files.ledger import Ledger
from presrm.types import Checkpoint

T = TypeVar("T")
LEDGER = "ledger.sqlite"
_FORMAT = 2


class RunDir:
    """An open run folder; a context manager that holds the run's lock.

    Args:
        path: The folder, made if absent.
        config: The settings of this start. They must agree with those the run was made with in every fixed field.
        versions: Package versions and the like, recorded in the manifest.
        inputs: What the settings name on disk, by key of the config, each with a hash of its content. That must not
            change either.

    Raises:
        RunError: if another process works on the run, or the manifest is damaged.
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
        path.mkdir(parents=True, exist_ok=True)
        self._lock = (path / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise RunError(f"another process is working on {path}; wait for it, or choose another --out") from error
        try:
            self._open(config, versions or {}, inputs or {})
        except BaseException:
            self._lock.close()
            raise

    def _open(self, config: Config, versions: Mapping[str, str], inputs: Mapping[str, str]) -> None:
        self.manifest: dict[str, Any] = {
            "format": _FORMAT,
            "versions": dict(versions),
            "inputs": {},
            "artefacts": {},
            "finished": False,
        }
        if self._manifest_path.exists():
            self.manifest = _read_manifest(self._manifest_path)
            self._check(config, inputs)
        elif any(child.name != ".lock" for child in self.path.iterdir()):
            raise RunError(f"{self.path} is not empty and holds no run; choose another --out")
        self.manifest["inputs"] = dict(inputs)
        settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        replace_file(self.path / "config.yaml", settings)
        self.commit()

    def _check(self, config: Config, inputs: Mapping[str, str]) -> None:
        if not any(self.manifest["artefacts"].values()):
            return  # nothing has been made yet, so nothing binds
        where = self.path / "config.yaml"
        old = parse_config(yaml.safe_load(where.read_text("utf-8")), str(where))
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
        self._lock.close()

    @cached_property
    def ledger(self) -> Ledger:
        """The verdict ledger, opened when first asked for; no artefact: what resume trusts stands in the manifest."""
        return Ledger(self.path / LEDGER)

    @property
    def _manifest_path(self) -> Path:
        return self.path / "manifest.json"

    def commit(self) -> None:
        """Replace the manifest: from here on, what it lists is finished."""
        replace_file(self._manifest_path, json.dumps(self.manifest, indent=1, sort_keys=True) + "\n")

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
            return list(load_typed(kind, path)) if entry["rows"] else []
        have: list[T] = []
        with path.open("ab") as file:
            file.truncate(entry.get("bytes", 0))
            if entry.get("rows"):
                have = list(load_typed(kind, path))
            for group in make(len(have)):
                file.write("".join(dump(row) + "\n" for row in group).encode())
                file.flush()
                os.fsync(file.fileno())
                have += group
                entry.update(rows=len(have), bytes=file.tell())
                self.run.commit()
        self._finish(name, rows=len(have))
        return have

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
        policy = Checkpoint(entry["model"] or str(folder), folder if entry["adapter"] else None)
        if policy.is_remote:
            raise RunError(
                f"{self.run.path / 'manifest.json'} names an address as the policy of {self.path}; only a user may"
            )
        return policy

    def _finish(self, name: str, **facts: Any) -> None:
        self._entry(name).update(sha256=hash_path(self.path / name), **facts)
        self.run.commit()

    def _verify(self, path: Path, entry: Mapping[str, Any]) -> None:
        if not path.exists() or hash_path(path) != entry["sha256"]:
            raise RunError(
                f"{path} is not what the run wrote (missing or changed); restore it, or choose another --out"
            )


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def hash_path(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files under a folder, in hexadecimal."""
    digest = sha256()
    for file in _files(path):
        if path.is_dir():
            digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        with file.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    return iter(sorted(file for file in path.rglob("*") if file.is_file())) if path.is_dir() else iter((path,))


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(path.read_text("utf-8"))
        if manifest["format"] != _FORMAT:
            raise RunError(
                f"{path} was written by another version of presrm (format {manifest['format']}, this one writes "
                f"{_FORMAT}); choose another --out"
            )
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return dict(manifest)
