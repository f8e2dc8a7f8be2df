"""Groups of problems over Ray: on the cores or GPUs of this machine, or of a cluster."""

import logging
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any

import ray
from pydantic import Field
from ray.exceptions import ActorDiedError, ActorUnavailableError, ObjectLostError, RayTaskError

from presrm.errors import PresrmError, RunnerError
from presrm.runners.work import Done, Open, Work

logger = logging.getLogger(__name__)

_MOST_DEATHS = 3  # on one piece of work: then it is the work that kills
_AHEAD = 2  # results for each worker that may wait for an earlier one
_PATIENCE = 60.0  # seconds without any worker until that is told
_GONE = (ActorDiedError, ActorUnavailableError, ObjectLostError)  # the last: what it gave went with its machine


class RayRunner:
    """Has groups worked by actors, each of which holds a loaded policy until another one is wanted.

    An actor is given work once it is up, so that one for which a cluster has no room, or no room any more, holds up
    nothing. One that dies is replaced, and its group is done again. Results are handed on in order; while an early
    group is late, no more than a few later ones for each worker are begun.

    Args:
        address: ``local``: Ray is started on this machine, and ends with the command. ``auto``: the cluster that this
            machine belongs to. Else that of a cluster, as ``ray://host:10001``.
        workers: Actors.
        resources: Of each actor, as Ray names them: ``num_cpus``, ``num_gpus``, or one of the cluster's own. An actor
            that is given one processor runs one thread.
    """

    def __init__(
        self,
        *,
        address: str = "local",
        workers: Annotated[int, Field(gt=0)] = 1,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self._address = address
        self._num = workers
        self._resources = {"num_cpus": 1.0, **(resources or {})}
        self._has_begun = False
        self._worker: Open | None = None
        self._actors: list[Any] = []
        self._coming: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._num_failed = 0

    def map(self, worker: Open, work: Iterable[Work]) -> Iterator[Done]:
        """Do work by actors; see `presrm.runners.work.Runner`."""
        self._begin()
        self._hold(worker)
        todo, rest = deque[tuple[int, Work, int]](), enumerate(work)
        running: dict[Any, tuple[tuple[int, Work, int], Any]] = {}
        finished: dict[int, Done] = {}
        given, is_over = 0, False
        try:
            while True:
                while self._idle and not (is_over and not todo):
                    if not todo:
                        number, item = next(rest, (-1, None))
                        if item is None:
                            is_over = True
                            break
                        todo.append((number, item, 0))
                    if todo[0][0] >= given + self._num * _AHEAD:
                        break
                    piece, actor = todo.popleft(), self._idle.pop()
                    running[actor.work.remote(piece[1])] = piece, actor
                if given in finished:
                    yield finished.pop(given)
                    given += 1
                elif running or todo or not is_over:
                    self._take_one(running, todo, finished)
                else:
                    return
        finally:
            if running:  # nobody waits for these any more
                self._release()

    def _take_one(
        self,
        running: dict[Any, tuple[tuple[int, Work, int], Any]],
        todo: deque[tuple[int, Work, int]],
        finished: dict[int, Done],
    ) -> None:
        """Wait until an actor is up, or one piece is done, or its actor has died."""
        while not (done := ray.wait([*running, *self._coming], num_returns=1, timeout=_PATIENCE)[0]):
            if not running:
                logger.warning("no worker is up yet; each of them takes %s of the cluster", self._resources)
        [reference] = done
        if reference in self._coming:
            self._welcome(reference)
            return
        (number, item, num_deaths), actor = running.pop(reference)
        try:
            finished[number] = ray.get(reference)
        except _GONE as error:
            if num_deaths + 1 == _MOST_DEATHS:
                raise RunnerError(
                    f"{_MOST_DEATHS} workers died on the same group ({item.stage}, from problem {item.start} on): "
                    f"{_first_line(error)}"
                ) from error
            logger.warning("a worker died (%s): its group is done again", _first_line(error))
            todo.appendleft((number, item, num_deaths + 1))
            self._replace(actor)
        except RayTaskError as error:
            self._idle.append(actor)
            cause = error.cause
            if isinstance(cause, PresrmError):
                raise cause from None
            raise RunnerError(f"a worker failed: {type(cause).__name__}: {_first_line(cause)}") from error
        else:
            self._idle.append(actor)

    def _welcome(self, reference: Any) -> None:
        """Take an actor that is up, or make another one in place of one that died before it was."""
        actor = self._coming.pop(reference)
        try:
            ray.get(reference)
        except _GONE as error:
            self._num_failed += 1
            if self._num_failed == _MOST_DEATHS:
                raise RunnerError(f"{_MOST_DEATHS} workers died before they were up: {_first_line(error)}") from error
            self._replace(actor)
        else:
            self._num_failed = 0
            self._idle.append(actor)

    def _replace(self, actor: Any) -> None:
        ray.kill(actor)
        self._actors.remove(actor)
        self._add_actor()

    def close(self) -> None:
        """End the actors, and Ray where it was begun here."""
        self._release()
        if self._has_begun:
            ray.shutdown()
            self._has_begun = False

    def _begin(self) -> None:
        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        options: dict[str, Any] = {}
        if self._address == "local":  # as many actors as were asked for, on however few cores
            most = max(os.cpu_count() or 1, math.ceil(self._num * self._resources["num_cpus"]))
            options = {"num_cpus": most, "include_dashboard": False}
        try:
            ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise RunnerError(f"runner.options.address: no Ray at {self._address!r}: {_first_line(error)}") from error
        self._has_begun = True

    def _hold(self, worker: Open) -> None:
        """Have actors that hold `worker`, and no other one."""
        if worker != self._worker:
            self._release()
            self._worker = worker
            for _ in range(self._num):
                self._add_actor()

    def _add_actor(self) -> None:
        known = {name: self._resources[name] for name in ("num_cpus", "num_gpus") if name in self._resources}
        own = {name: amount for name, amount in self._resources.items() if name not in known}
        actor: Any = ray.remote(_Worker).options(**known, resources=own or None, max_restarts=0).remote(self._worker)
        self._actors.append(actor)
        self._coming[actor.is_up.remote()] = actor

    def _release(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._actors, self._coming, self._idle, self._worker, self._num_failed = [], {}, [], None, 0


class _Worker:
    """What runs in an actor's process; it is opened with the first work, so that what that raises is told."""

    def __init__(self, worker: Open) -> None:
        self._open = worker
        self._do: Callable[[Work], Done] | None = None

    def is_up(self) -> None:
        """Come back once the process runs."""

    def work(self, work: Work) -> Done:
        if self._do is None:
            self._opened = self._open()
            self._do = self._opened.__enter__()
        return self._do(work)


def _first_line(error: BaseException | None) -> str:
    return next(iter(str(error).strip().splitlines()), "no reason given")
