"""How a command begins and ends: streams that take any character, and signals that all stop it in the same way."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from presrm.answers.worker import resume_workers, stop_workers
from presrm.errors import RequestError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def prepare_streams() -> None:
    """Let streams take any character, spelt out where they have no letter for it.

    The numbers of closed ones are taken, so that no file gets them and is written to as if it were a stream.

    Raises:
        RequestError: if standard output is closed: what a command is to print would be lost after its work.
    """
    for number, (stream, mode) in enumerate(((sys.stdin, "r"), (sys.stdout, "w"), (sys.stderr, "w"))):
        if stream is None:
            opened = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            if opened != number:
                os.dup2(opened, number)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - lives as long as the process
    if sys.stdout is None:
        raise RequestError("standard output is closed; redirect it, for example to /dev/null")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM do inside the block what Ctrl-C does, and both end worker processes at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        stop_workers()
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        resume_workers()
