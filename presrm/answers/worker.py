"""A worker process with a hard limit of time and memory, for work that only killing can stop.

`signal.alarm` would do neither: it works in the main thread alone, and not inside a long call to C.
"""

import logging
import sys
from collections.abc import Callable
from importlib import import_module
from multiprocessing import get_context
from threading import Lock
from typing import Any, TypeVar
from weakref import finalize

from pebble import ProcessPool

T = TypeVar("T")
_MAX_MEMORY = 4 * 2**30  # bytes
_LOG = logging.getLogger(__name__)


class Worker:
    """Runs functions of a module in one other process, started by the first call and used again; it ends with this one.

    In a script, guard the entry point by ``if __name__ == "__main__"``, as for every use of `multiprocessing`.

    Args:
        time_limit: Seconds for one call; a call that takes longer is killed, and the next has another process.
        modules: What the process loads before its clock runs.
    """

    def __init__(self, time_limit: float, *modules: str) -> None:
        self._time_limit = time_limit
        self._modules = modules
        self._lock = Lock()
        self._pool: ProcessPool | None = None

    def run(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Call ``function(*arguments)`` there; none if it passed a limit or raised.

        Libraries for symbolic mathematics raise errors of all kinds at text that they cannot take.
        """
        call = self._opened().schedule(function, arguments, timeout=self._time_limit)
        if error := call.exception():
            _LOG.debug("%s: %s", function.__name__, type(error).__name__)
            return None
        return call.result()

    def _opened(self) -> ProcessPool:
        with self._lock:
            if self._pool is None:
                # Spawned: a fork would copy locks that threads of this process hold, and the memory of its device.
                self._pool = ProcessPool(
                    max_workers=1, initializer=_prepare, initargs=[self._modules], context=get_context("spawn")
                )
                finalize(self, _stop, self._pool)
            return self._pool


def _stop(pool: ProcessPool) -> None:
    pool.stop()  # type: ignore[no-untyped-call]
    pool.join()


def _prepare(modules: tuple[str, ...]) -> None:
    """Load what takes long outside the time limit, and bound the memory."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
    for module in modules:
        import_module(module)
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns that the time limit is left to its caller
