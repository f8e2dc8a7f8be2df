"""Progress of a long command: a live view on a terminal, a line every few seconds elsewhere.

What is shown moves between two finished problems, too: an engine counts what it reads and writes while it works, and a
thread looks at that. So work that is alive looks different from work that hangs.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Event, Thread

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from presrm.cli.show import one_line
from presrm.files.live import end_live, write_live
from presrm.protocols import Worker

_SECONDS_BETWEEN_LINES = 3.0
_SLOW = 10.0
"""Seconds from which on one unit, worked alone, says how long many together take."""
_WRITTEN = 4
"""Tokens that are read in the time that one is written, about."""
_WINDOW = 20.0
"""Seconds over which tokens a second are counted."""
_BUSY, _IDLE = 0.5, 0.02
"""Shares of a processor from which on a process is busy, and below which it does nothing but show its progress."""
_COUNTED = {"steps": "steps written", "solutions": "solutions written", "questions": "questions judged"}


class RichProgress:
    """Shows stages, what was done in them, tokens a second and the time left, on standard error.

    The first count of a stage is what an earlier start of the command had already done.

    Args:
        console: Where; none: standard error.
        is_brief: Say nothing of a stage that is over within seconds.

    Attributes:
        run: A run folder in which it is written, too, what is being done, for ``presrm status``; or none.
    """

    def __init__(self, console: Console | None = None, *, is_brief: bool = False) -> None:
        self._console = console or Console(stderr=True)
        self._is_brief = is_brief
        self.run: Path | None = None
        self._worker: Worker | None = None
        self._stages: list[_Stage] = []
        self._told = time.monotonic()

    def note(self, text: str) -> None:
        """Say something in one line."""
        self._told = time.monotonic()
        self._console.print(Text(one_line(text)), soft_wrap=True)

    def watch(self, worker: object) -> None:
        """Show, from now on, what `worker` counts while it works, if it does."""
        self._worker = worker if isinstance(worker, Worker) else None
        for stage in self._stages:
            stage.count_anew()

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a stage of `total` units (none: unknown) while the block runs; call what it gives with units done.

        A stage inside of another one is shown with it.
        """
        stage = _Stage(one_line(name), total, self._work)
        self._stages.append(stage)
        try:
            advance = self._advance(stage)
            if len(self._stages) > 1:
                yield advance
            else:
                with self._live() if self._console.is_terminal else nullcontext(), self._ticking():
                    yield advance
        finally:
            self._stages.remove(stage)
        if not self._is_brief or stage.age > _SECONDS_BETWEEN_LINES:
            self.note(f"{stage.name}: done, {stage.summary}")

    def _work(self) -> Mapping[str, int]:
        return {} if self._worker is None else self._worker.work()

    def _advance(self, stage: "_Stage") -> Callable[[int], None]:
        if not self._console.is_terminal and not self._is_brief:
            self.note(f"{stage.name} ...")

        def advance(units: int) -> None:
            if stage.add(units) and (left := stage.seconds_left or 0.0) > _SECONDS_BETWEEN_LINES:
                done = f"{stage.num_units} took {duration(stage.seconds)}"
                self.note(f"{stage.name}: {done}; about {duration(left)} for the rest at this pace")

        return advance

    @contextmanager
    def _live(self) -> Iterator[None]:
        # What goes to a file by way of standard output must not be drawn above the view instead.
        is_seen = sys.stdout.isatty()
        with Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=is_seen,
        ):
            yield

    def _draw(self) -> RenderableType:
        return Group(*(stage.draw() for stage in list(self._stages)))

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Tell every few seconds what is being done: in a line where there is no terminal, and in the run folder.

        The seconds are those since the last line, so that several short stages are not silent together.
        """
        is_over = Event()

        def tell() -> None:
            while not is_over.wait(max(0.0, self._told + _SECONDS_BETWEEN_LINES - time.monotonic())):
                self._told = time.monotonic()
                if stages := list(self._stages):
                    text = stages[-1].text
                    if not self._console.is_terminal:
                        self.note(f"{stages[-1].name}: {text}")
                    if self.run is not None:
                        write_live(self.run, stages[-1].name, text)

        thread = Thread(target=tell, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
            if self.run is not None:
                end_live(self.run)


class _Stage:
    """Counts the units of a stage, and what is done in it. The first count is what an earlier start had done.

    Args:
        name: Of the stage.
        total: Units; none: unknown.
        work: Says what was done so far, by anything.
    """

    def __init__(self, name: str, total: int | None, work: Callable[[], Mapping[str, int]]) -> None:
        self.name = name
        self._total = total
        self._work = work
        self._before: int | None = None
        self._done = 0
        self._is_known = False
        self._began = time.monotonic()
        self._spinner = Spinner("dots")
        self.count_anew()

    def count_anew(self) -> None:
        """Count what is done from now on; the clock starts, too, as long as no unit is done: a policy was loaded."""
        if not self.num_units:
            self._counting_since = time.monotonic()
        self._at_start = dict(self._work())
        self._work_at_unit = 0.0
        self._alone: tuple[float, float] | None = None
        self._seen: deque[tuple[float, float, int, int]] = deque()
        self._changed = time.monotonic()

    def add(self, units: int) -> bool:
        """Count units; say whether they are the first ones of this start that tell how long the rest takes."""
        if self._before is None:
            self._before = self._done = units
            self._counting_since = time.monotonic()
            self.count_anew()
            return False
        was_known = self._is_known
        if units == 1 and not self.num_units:
            self._alone = time.monotonic(), self.seconds
        self._done += units
        self._work_at_unit = self._work_done
        self._is_known = was_known or self.seconds_left is not None
        return self._is_known and not was_known

    @property
    def seconds(self) -> float:
        """Since units are counted."""
        return max(time.monotonic() - self._counting_since, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far, units that are begun included by their tokens; none where that cannot be told.

        A first unit is worked alone, and many together are faster: its own time counts only as long as nothing else is
        known, and only if it is long.
        """
        if self._total is None or not self.num_units:
            return None
        left, begun = self._total - self._done, 0.0
        at_unit, alone = self._work_at_unit, self._alone  # the thread that works may count anew meanwhile
        if at_unit:
            begun = min(left, max(0.0, self.num_units * (self._work_done / at_unit - 1)))
        done, seconds = self.num_units + begun, self.seconds
        if alone is not None:
            ended, took = alone
            if done > 1 and time.monotonic() - ended >= _SECONDS_BETWEEN_LINES / 2:
                done, seconds = done - 1, time.monotonic() - ended
            elif took < _SLOW:
                return None
        return (left - begun) * seconds / done

    @property
    def text(self) -> str:
        """All of it in one line, but the name."""
        return ", ".join([self._count, *self._details] if self._count else self._details)

    @property
    def summary(self) -> str:
        """What was done in all, and how long it took."""
        counted = f"{self._done} in " if self._done else ""
        return counted + duration(self.age)

    def draw(self) -> RenderableType:
        """Draw it as a line of a live view."""
        cells: list[RenderableType] = [self._spinner, Text(self.name, "bold")]
        if self._total:
            cells.append(ProgressBar(self._total, self._done, width=20))
        grid = Table.grid(padding=(0, 1))
        grid.add_row(*cells, Text(self.text))
        return grid

    @property
    def num_units(self) -> int:
        """Units done in this start."""
        return self._done - (self._before or 0)

    @property
    def age(self) -> float:
        """Seconds since the stage began."""
        return time.monotonic() - self._began

    @property
    def _count(self) -> str:
        return f"{self._done}/{self._total}" if self._total is not None else f"{self._done} done" if self._done else ""

    @property
    def _details(self) -> list[str]:
        left, now = self.seconds_left, self._since_start()
        told = [f"{duration(left)} left"] if left else []
        told += [f"{now[name]:,} {what}" for name, what in _COUNTED.items() if now.get(name)]
        return [*told, *self._speed()] or [f"{duration(self.age)} so far"]

    def _since_start(self) -> dict[str, int]:
        return {name: num - self._at_start.get(name, 0) for name, num in self._work().items()}

    @property
    def _tokens(self) -> tuple[int, int]:
        """Tokens written and read since the stage began."""
        now = self._since_start()
        return now.get("tokens written", 0), now.get("tokens read", 0)

    @property
    def _work_done(self) -> float:
        """Tokens since the stage began, by the time that they take."""
        written, read = self._tokens
        return _WRITTEN * written + read

    def _speed(self) -> list[str]:
        """Tokens a second; where none came for a while, for how long, and how much the process worked of late."""
        (written, read), clock = self._tokens, time.monotonic()
        if not written + read:
            return []
        seen, used = self._seen, time.process_time()  # the thread that works may count anew meanwhile
        if not seen or seen[-1][2:] != (written, read):
            self._changed = clock
        seen.append((clock, used, written, read))
        while len(seen) > 2 and seen[1][0] <= clock - _WINDOW:
            seen.popleft()
        quiet = clock - self._changed
        if quiet > _SECONDS_BETWEEN_LINES:
            since, before = next(then[:2] for then in list(seen) if then[2:] == (written, read))
            return [f"no new token for {duration(quiet)}: {_activity((used - before) / max(clock - since, 1e-9))}"]
        began, _, before_written, before_read = seen[0]
        seconds = clock - began
        if seconds <= 0:
            return []
        kind, num = ("written", written - before_written) if written > before_written else ("read", read - before_read)
        return [f"{num / seconds:,.0f} tokens/s {kind}"]


def _activity(share: float) -> str:
    """Say what a process does that has used so much of a processor."""
    if share >= _BUSY:
        return "busy"
    return f"slow, with {share:.0%} of a processor" if share >= _IDLE else "idle, it waits or hangs"


def duration(seconds: float) -> str:
    """Write a time as people say it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
