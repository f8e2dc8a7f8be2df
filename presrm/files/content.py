"""What files hold: replaced as a whole, and hashed."""

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash as Digest


def replace_file(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)  # of a writer that was killed, or a link that leads elsewhere
    try:
        with temporary.open("xb") as file:
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


def hash_begin(path: Path, size: int) -> "Digest":
    """Hash (SHA-256) the first bytes of a file; what is missing of them is left out."""
    digest = sha256()
    with path.open("rb") as file:
        while size and (block := file.read(min(size, 1 << 20))):
            digest.update(block)
            size -= len(block)
    return digest
