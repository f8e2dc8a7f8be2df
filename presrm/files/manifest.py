"""The manifest of a run: what is finished, with hashes; and whether what is there is still that."""

import json
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from presrm.config.reading import read_yaml
from presrm.errors import RunError
from presrm.files.content import hash_begin, hash_path
from presrm.files.jsonl import BadRow, parse_row
from presrm.files.ledger import explain_damage
from presrm.files.lock import refuse_link

FORMAT = 3
_Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, Field(ge=0, strict=True)]


@dataclass(frozen=True, slots=True)
class _Entry:
    """An artefact: finished if it has a hash, else its groups so far with theirs."""

    sha256: _Hash | None = None
    sha256_begun: _Hash | None = None
    rows: _Count = 0
    bytes: _Count = 0
    model: str | None = None
    adapter: bool = False


@dataclass(frozen=True, slots=True)
class _Manifest:
    """What a manifest has to hold; it may hold more."""

    versions: dict[str, str]
    config: dict[str, Any]
    inputs: dict[str, str]
    artefacts: dict[str, _Entry]


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        RunError: if it is damaged, or of another version.
    """
    try:
        manifest: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise RunError(
                f"{path} was written by another version of presrm (format {manifest['format']!r:.20}, this one writes "
                f"{FORMAT}); choose another --out"
            )
        if manifest.get("sha256") != hash_manifest(manifest):
            raise ValueError("it is not what was written last")
        TypeAdapter(_Manifest).validate_python(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"{path} is damaged: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {error}; restore it, or choose another --out") from error
    return manifest


def hash_manifest(manifest: Mapping[str, Any]) -> str:
    """Hash what a manifest says besides."""
    said = {name: value for name, value in manifest.items() if name != "sha256"}
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def explain_settings(path: Path, settings: Mapping[str, Any]) -> str:
    """Say in a line that ``config.yaml`` of a run does not hold the settings of its manifest; nothing if it does."""
    config = path / "config.yaml"
    try:
        if read_yaml(config.read_text("utf-8")) == settings:
            return ""
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        pass
    return f"{config}: not the settings of the run; the next start writes it anew"


def check_run(path: Path) -> tuple[int, list[str]]:
    """Compare everything that a run has made with what its manifest says, without changing anything.

    Args:
        path: The run folder, finished or not.

    Returns:
        How many artefacts were compared, and of each that differs a line: what, where, and how to go on.

    Raises:
        RunError: if there is no run, or its manifest is damaged.
    """
    if not (path / "manifest.json").is_file():
        raise RunError(f"{path} holds no run: it has no manifest.json")
    refuse_link(*path.rglob("*"))
    manifest = read_manifest(path / "manifest.json")
    entries = {name: entry for name, entry in manifest["artefacts"].items() if entry}
    differences = []
    for name, entry in sorted(entries.items()):
        artefact = path / "iterations" / name
        if not _lies_inside(name):
            differences.append(f"{name}: the manifest names a file outside of the run")
        elif not artefact.exists():
            differences.append(f"{artefact}: missing; restore it")
        elif "sha256" in entry:
            if hash_path(artefact) != entry["sha256"]:
                differences.append(f"{artefact}: changed since it was finished; restore it")
        elif hash_begin(artefact, entry.get("bytes", 0)).hexdigest() != entry.get("sha256_begun", sha256().hexdigest()):
            differences.append(f"{artefact}: changed while unfinished; restore it, or remove it to have it made anew")
    differences += _unreadable(path)
    if told := explain_settings(path, manifest["config"]):
        differences.append(told)
    return len(entries), differences


def _unreadable(path: Path) -> Iterator[str]:
    """Say what cannot be read of that which stands in no manifest, because it has clocks."""
    ledger, metrics = path / "ledger.sqlite", path / "metrics.jsonl"
    if ledger.is_file() and (reason := explain_damage(ledger)):
        yield f"{ledger}: damaged ({reason}); restore it"
    with metrics.open("rb") if metrics.is_file() else nullcontext(()) as lines:
        for number, line in enumerate(lines, 1):
            is_torn = line.startswith(b"{") and not line.endswith(b"\n")  # by a kill: a resumed run cuts it off
            if not is_torn and isinstance(row := parse_row(number, line), BadRow):
                yield f"{metrics}, line {number}: {row.reason}; restore it"
                return


def _lies_inside(name: str) -> bool:
    return not Path(name).is_absolute() and ".." not in Path(name).parts
