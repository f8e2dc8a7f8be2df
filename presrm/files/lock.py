"""One writer at a time: a lock that says whose it is, and outlives nobody."""

import fcntl
import json
import os
import socket
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from weakref import finalize

from presrm.errors import RunError


class Lock:
    """The lock on an output, held until `release`, or the end of the block or of the process.

    The system takes it back however its owner ends; the file only says who that is.

    Args:
        path: The lock file, made here and removed with the lock.
        what: What it guards, for messages.

    Raises:
        RunError: naming the owner, if there is another.
        OSError: if the file cannot be made, as in a folder that may not be written.
    """

    def __init__(self, path: Path, what: Path) -> None:
        refuse_link(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.release = finalize(self, _release, _take(path, what), path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_beside(path: Path) -> Lock:
    """Lock a file or folder by a hidden file beside it."""
    return Lock(path.with_name(f".{path.name}.lock"), path)


def find_owner(path: Path) -> str | None:
    """Say who holds the lock at `path`, if that process of this machine is there; takes no lock."""
    try:
        text = path.read_bytes()[:1000]
        told = json.loads(text)
        is_held = told["host"] == socket.gethostname() and _is_alive(int(told["process"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return _owner(text) if is_held else None


def refuse_link(*paths: Path) -> None:
    """Refuse to write through a symbolic link: in a folder from elsewhere it may lead anywhere.

    Raises:
        RunError: naming it.
    """
    for path in paths:
        if path.is_symlink():
            raise RunError(
                f"{path} is a symbolic link, and nothing is written through one; put what it leads to in its place"
            )


def _take(path: Path, what: Path) -> int:
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = _owner(os.read(number, 1000))
            os.close(number)
            raise RunError(f"{owner} is working on {what}; wait for it, or choose another --out") from error
        except BaseException:
            os.close(number)
            raise
        with suppress(FileNotFoundError):
            if os.path.samestat(path.stat(follow_symlinks=False), os.fstat(number)):
                break
        os.close(number)  # the owner before removed it between the two calls
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    os.ftruncate(number, 0)
    os.write(number, json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": since}).encode())
    return number


def _release(number: int, path: Path) -> None:
    with suppress(OSError):
        path.unlink()  # before it is given back, so that nobody else's is removed
    os.close(number)


def _owner(text: bytes) -> str:
    """Say who holds a lock, and whether that process is still there."""
    try:
        told: dict[str, Any] = json.loads(text)
        process, host, since = int(told["process"]), str(told["host"])[:80], str(told["since"])[:40]
    except (ValueError, KeyError, TypeError):
        return "another process"
    name = f"process {process} on {host} (since {since})"
    return name if host != socket.gethostname() or _is_alive(process) else f"something that {name} left behind"


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return process > 0
