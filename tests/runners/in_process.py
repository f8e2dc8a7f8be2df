"""Runners in this process, through which nothing passes but bytes."""

import pickle
from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from presrm.runners.work import Done, Open, Work


class Next:
    """A runner in this process, through which nothing passes but bytes; some workers die before they are done."""

    def __init__(self, num: int = 1, deaths: int = 0) -> None:
        self.num, self.deaths = num, deaths
        self.done: list[Work] = []

    def map(self, worker: Open, work: Iterable[Work]) -> Iterator[Done]:
        with ExitStack() as stack:
            workers = [stack.enter_context(pickle.loads(pickle.dumps(worker))()) for _ in range(self.num)]
            for number, item in enumerate(work):
                for again in range(1 + self.deaths):
                    sent = pickle.loads(pickle.dumps(item))
                    done = pickle.loads(pickle.dumps(workers[(number + again) % self.num](sent)))
                self.done.append(item)
                yield done

    def close(self) -> None:
        pass


class Killed(BaseException):
    """As sudden as a signal."""


class Stopped(Next):
    """Dies with the process that started it, with the last of some groups."""

    def __init__(self, after: int = 2) -> None:
        super().__init__()
        self.after = after

    def map(self, worker: Open, work: Iterable[Work]) -> Iterator[Done]:
        for done in super().map(worker, work):
            if len(self.done) == self.after:
                raise Killed
            yield done
