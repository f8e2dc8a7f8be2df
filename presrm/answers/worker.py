"""A worker process with a hard limit of time and memory, for work that only killing can stop.

`signal.alarm` would do neither: it works in the main thread alone, and not inside a long call to C. The process is a
plain child that imports this module alone. `multiprocessing` would load the caller's main module again, which fails in
a script without a guard and where the script comes from standard input.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from errno import ENOMEM
from importlib import import_module
from mmap import mmap
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from tempfile import TemporaryFile
from threading import Event, Lock
from typing import Any, NamedTuple, TypeVar
from weakref import finalize

from presrm.errors import WorkerError

T = TypeVar("T")
_MAX_MEMORY = 2 * 2**30  # bytes of address space
_LEAST_MEMORY = 2**28  # bytes that must be left once the modules are loaded
_SECONDS_TO_START = 120.0
_PATIENCE = 20  # seconds by the clock for one of the processor, before a worker counts as stuck
_NUM_TRIES = 3
# What kills a process from within: a stack that overflows, a C library that gets no memory.
_OWN_SIGNALS = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL})
_CODE = "import sys; sys.path[:] = sys.argv[3:]; from presrm.answers.worker import serve; serve(*sys.argv[1:3])"
_LOG = logging.getLogger(__name__)
_CHILDREN: set[subprocess.Popen[bytes]] = set()
_STOPPED = Event()


def stop_workers() -> None:
    """End all worker processes at once, as for an interrupt: calls that they are at raise."""
    _STOPPED.set()
    for child in list(_CHILDREN):
        child.kill()


def resume_workers() -> None:
    """Let worker processes start again after `stop_workers`."""
    _STOPPED.clear()


class _Process(NamedTuple):
    child: subprocess.Popen[bytes]
    connection: Connection
    owner: int  # the process that started it: a fork must not share the connection


class Worker:
    """Runs functions in one other process, started by the first call and used again; it ends with this object.

    Args:
        time_limit: Seconds of processor time for one call. A call that takes longer is killed, and the next has another
            process. Time by the clock would make a result depend on what else the machine does.
        modules: What the process loads before its clock runs.
    """

    def __init__(self, time_limit: float, *modules: str) -> None:
        self._time_limit = time_limit
        self._modules = modules
        self._lock = Lock()
        self._process: _Process | None = None

    def run(self, function: Callable[..., T], *arguments: Any) -> T | None:
        """Call ``function(*arguments)`` there; none if it passed a limit or raised.

        Libraries for symbolic mathematics raise errors of all kinds at text that they cannot take. A process that was
        killed from outside says nothing about the text: it is started again, and the call repeated.

        Args:
            function: One that a module defines, so that the process can import it.
            arguments: What can be pickled.

        Raises:
            WorkerError: if the process cannot start, or is killed from outside again and again.
        """
        with self._lock:
            for num_tried in range(1, _NUM_TRIES + 1):
                process = self._opened()
                try:
                    process.connection.send((function, arguments, self._time_limit))
                    if process.connection.poll(_PATIENCE * self._time_limit):
                        value, error = process.connection.recv()
                        if error:
                            _LOG.debug("%s: %s", function.__name__, error)
                        return value  # type: ignore[no-any-return]
                except (EOFError, ConnectionError):
                    pass
                code = self._closed(process)
                if _STOPPED.is_set():
                    raise WorkerError("the worker process was stopped")
                if code == -signal.SIGPROF or (-code in _OWN_SIGNALS and num_tried > 1):
                    _LOG.debug("%s: %s", function.__name__, _manner(code))
                    return None
                _LOG.warning("a worker process was lost (%s); its call is repeated in another", _manner(code))
        raise WorkerError(
            f"the worker process was lost {_NUM_TRIES} times in a row on one answer (last: {_manner(code)}), which "
            "leaves it ungraded: look for what kills processes on this machine, most often too little memory (a worker "
            f"may take {_MAX_MEMORY // 2**20} MiB), and run the same command again"
        )

    def _opened(self) -> _Process:
        if self._process is None or self._process.owner != os.getpid():
            self._process = _start(self._modules)
            self._end = finalize(self, _stop, self._process)
        return self._process

    def _closed(self, process: _Process) -> int:
        """Give what the process ended with; one that is stuck is killed."""
        self._process = None
        self._end.detach()
        try:
            code = process.child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            code = 0
        _stop(process)
        return code


def serve(descriptor: str, modules: str) -> None:
    """Answer calls until the caller hangs up: what the process does.

    Args:
        descriptor: The open connection to the caller.
        modules: What to load first, divided by commas.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # from the terminal, and meant for the caller
    connection = Connection(int(descriptor))
    _limit_memory()
    try:
        for module in filter(None, modules.split(",")):
            import_module(module)
        mmap(-1, _LEAST_MEMORY).close()  # address space, not memory
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError) and error.errno != ENOMEM:
            raise
        sys.exit(f"less than {_LEAST_MEMORY // 2**20} MiB are left of the memory limit (see ulimit -v)")
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns that the time limit is left to its caller
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - libraries print what they cannot read
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    connection.send(None)
    while True:
        try:
            function, arguments, time_limit = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, time_limit)  # its signal kills, also inside a call to C
        reply: tuple[Any, str]
        try:
            reply = function(*arguments), ""
        except Exception as error:  # noqa: BLE001 - of any kind, see `Worker.run`
            reply = None, type(error).__name__
        signal.setitimer(signal.ITIMER_PROF, 0)
        connection.send(reply)


def _limit_memory() -> None:
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = _MAX_MEMORY if hard == resource.RLIM_INFINITY else min(_MAX_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _start(modules: tuple[str, ...]) -> _Process:
    """Start a process and wait until it has loaded its modules.

    Raises:
        WorkerError: if it ends before; the message says why.
    """
    ours, theirs = Pipe()
    with TemporaryFile() as complaints, theirs:
        command = [sys.executable, "-c", _CODE, str(theirs.fileno()), ",".join(modules), *sys.path]
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            raise _cannot_start(str(error)) from error
        _CHILDREN.add(child)
        theirs.close()
        process = _Process(child, ours, os.getpid())
        try:
            if ours.poll(_SECONDS_TO_START):
                ours.recv()
                return process
            reason = f"not ready after {_SECONDS_TO_START:.0f} seconds"
        except (EOFError, ConnectionError):
            complaints.flush()
            complaints.seek(0)
            lines = complaints.read().decode(errors="replace").strip().splitlines()
            reason = lines[-1] if lines else _manner(child.wait())
        _stop(process)
    raise _cannot_start(reason)


def _cannot_start(reason: str) -> WorkerError:
    return WorkerError(
        f"the worker process that compares answers cannot start: {reason}; it runs {sys.executable!r} with math-verify "
        "installed and needs some 400 MiB of memory; the graders gsm8k, exact and countdown need no worker"
    )


def _manner(code: int) -> str:
    """Say how a process ended."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with {code}" if code else "no reply"


def _stop(process: _Process) -> None:
    process.connection.close()
    if process.owner == os.getpid():
        process.child.kill()
        process.child.wait()
        _CHILDREN.discard(process.child)
