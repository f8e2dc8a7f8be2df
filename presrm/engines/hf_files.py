"""Where the files of a model are, and the hash of its weights. Loads no torch."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import file_digest, sha256
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from presrm.engines.server_address import split_address
from presrm.errors import EngineError, RequestError
from presrm.types import Checkpoint

KINDS = "give a Hub id, a folder with config.json and safetensors, a .gguf file, or 'embedded'"
BASE_FILE = "base.json"
EMBEDDED = "embedded"
_SETTINGS = ("*.json", "*.jinja", "*.model", "*.txt")
_WEIGHTS = re.compile(r"[^/\\]+\.safetensors(\.index\.json)?")
_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's files are: a folder (perhaps of one GGUF file that counts), or a Hub id."""

    name: str
    where: str
    is_local: bool = True
    gguf_file: str | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """What an adapter is trained on.

    Attributes:
        model: As `Checkpoint.model` named it; in the file of an adapter a base that is no Hub id by its way from there.
        sha256: Of its weights, in hexadecimal: that of the file or, of several, that of what ``sha256sum
            *.safetensors`` prints, by name. None where the weights are not on this machine.
    """

    model: str
    sha256: str | None


def locate(name: str) -> Source:
    """Find a model by its name, as `Checkpoint.model`.

    Raises:
        RequestError: if there is none.
    """
    if name == EMBEDDED:
        return _folder(name, Path(str(resources.files("presrm") / "embedded")))
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(name, path)
    if path.suffix.lower() == ".gguf":
        return _gguf(name, path)
    if not _HUB_ID.fullmatch(name):
        shown = "by this name (it is not shown: it may hold a password)" if "@" in name else repr(name)
        raise RequestError(f"no model {shown}: no such folder, and no Hub id; {KINDS}")
    return Source(name, name, is_local=False)


def policy_at(model: str) -> Checkpoint:
    """Find a policy: a model by whatever name, or the folder of an adapter that says what it was trained on.

    Raises:
        RequestError: if it is an address and malformed; a password in it would be told with what is named by it. Or if
            it is a run, which holds several.
    """
    if Checkpoint(model).is_remote:
        split_address(model)
        return Checkpoint(model)
    base = read_base(Path(model))
    if base is not None:
        return Checkpoint(base.model, Path(model))
    if policies := sorted(Path(model).glob("iterations/[0-9]*/policy"), key=lambda path: int(path.parent.name)):
        raise RequestError(f"{model!r} is a run, not a model: its last policy is {policies[-1]}")
    return Checkpoint(model)


def weights_hash(checkpoint: Checkpoint) -> str | None:
    """Hash the weights of a policy: by it are two told apart that were trained to the same place.

    Returns:
        SHA-256 in hexadecimal, as `Base.sha256` has it, over the files of the model and then those of the adapter. None
        where there are no such files: of a Hub id, even one in the cache, which may be filled between two starts; of a
        server; of what cannot be read, about which loading it says more.
    """
    try:
        source = locate(checkpoint.model)
        files = _weight_files(source) if source.is_local else []
        return _hash_files([*files, *(_safetensors(checkpoint.adapter) if checkpoint.adapter else ())])
    except (RequestError, OSError):
        return None


def policy_hash(checkpoint: Checkpoint) -> str | None:
    """Hash all that decides what a policy says: the weights, the tokenizer, the chat template and the settings.

    Returns:
        SHA-256 in hexadecimal, or none where `weights_hash` is none.
    """
    weights = weights_hash(checkpoint)
    if weights is None:
        return None
    source = locate(checkpoint.model)
    folders = [] if source.gguf_file else [Path(source.where)]
    folders += [checkpoint.adapter] if checkpoint.adapter else []
    small = [path for folder in folders for pattern in _SETTINGS for path in sorted(folder.glob(pattern))]
    return sha256("\n".join([weights, *(f"{path.name} {_hash_files([path])}" for path in small)]).encode()).hexdigest()


def read_base(adapter: Path) -> Base | None:
    """Read what an adapter was trained on; none where the folder does not say.

    Raises:
        EngineError: if what it says cannot be read, or is an address: following it would send questions and key there.
    """
    path = adapter / BASE_FILE
    if not path.is_file():
        return None
    try:
        base = TypeAdapter(Base).validate_json(path.read_bytes())
    except ValidationError as error:
        raise EngineError(f"could not load adapter {str(adapter)!r}: {BASE_FILE} is damaged") from error
    if Checkpoint(base.model).is_remote:
        raise EngineError(
            f"could not load adapter {str(adapter)!r}: {BASE_FILE} names an address as its base; only a user may"
        )
    if base.model.startswith(("./", "../")):
        base = replace(base, model=str((adapter / base.model).resolve()))
    return base


def find_base(model: str) -> Base:
    """Hash the weights of a model as they are on this machine, the cache of the Hub included."""
    return Base(model, _hash_files(_weight_files(locate(model))))


def _folder(name: str, folder: Path) -> Source:
    if not (folder / "config.json").is_file():
        raise RequestError(f"no model in {name!r}: {folder} has no config.json; {KINDS}")
    return Source(name, str(folder))


def require_plain_weights(source: Source) -> None:
    """Refuse a folder whose files name weights elsewhere, or of another kind: those may hold a program.

    Raises:
        EngineError: naming the file and what it names.
    """
    folder = Path(source.where)
    if source.gguf_file or not source.is_local:
        return
    named = [(folder / "config.json", "transformers_weights", _read_object(folder / "config.json"))]
    named += [(path, "weight_map", _read_object(path)) for path in sorted(folder.glob("*.safetensors.index.json"))]
    for path, field, told in named:
        value = told.get(field)
        names = value.values() if isinstance(value, dict) else [] if value is None else [value]
        for name in names:
            if not (isinstance(name, str) and _WEIGHTS.fullmatch(name)):
                raise EngineError(
                    f"could not load model {source.name!r}: {path.name} names {name!r:.80} as weights; only "
                    ".safetensors files of the same folder are read"
                )


def _read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; what is none is for loading to tell."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _gguf(name: str, path: Path) -> Source:
    if not path.is_file():
        raise RequestError(f"no model {name!r}: there is no such file; {KINDS}")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise RequestError(f"model {name!r} is not a GGUF file (it does not begin with 'GGUF'); {KINDS}")
    return Source(name, str(path.parent), gguf_file=path.name)


def _weight_files(source: Source) -> list[Path]:
    """The files that hold a model's weights; none where it is not on this machine."""
    folder = Path(source.where)
    if source.gguf_file:
        return [folder / source.gguf_file]
    if not source.is_local:
        from huggingface_hub import try_to_load_from_cache  # takes a while to import

        cached = try_to_load_from_cache(source.where, "config.json")
        if not isinstance(cached, str):
            return []
        folder = Path(cached).parent
    return _safetensors(folder)


def _safetensors(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def _hash_files(files: Sequence[Path]) -> str | None:
    hashes = [_hash_file(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    if len(files) > 1:
        lines = (f"{found}  {file.name}\n" for found, file in zip(hashes, files, strict=True))
        return sha256("".join(lines).encode()).hexdigest()
    return hashes[0] if hashes else None


@lru_cache
def _hash_file(path: Path, size: int, changed: int) -> str:
    """SHA-256 of a file; `size` and `changed` (nanoseconds) tell when it has to be read again."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
