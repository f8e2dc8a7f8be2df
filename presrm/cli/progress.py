"""Progress of a long command: a live bar on a terminal, a line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from presrm.cli.show import one_line

_SECONDS_BETWEEN_LINES = 10.0


class RichProgress:
    """Shows stages, with rate and time left, on standard error.

    The first count of a stage is what an earlier start of the command had already done.

    Args:
        console: Where; none: standard error.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)

    def note(self, text: str) -> None:
        """Say something in one line."""
        self._console.print(Text(one_line(text)), soft_wrap=True)

    @contextmanager
    def stage(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """Show a stage of `total` units (none: unknown) while the block runs; call what it gives with units done."""
        with self._bar(name, total) if self._console.is_terminal else self._lines(name, total) as advance:
            yield advance

    @contextmanager
    def _bar(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        counted = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
        columns = (SpinnerColumn(), TextColumn("{task.description}"), *(counted if total is not None else ()))
        # What goes to a file by way of standard output must not be drawn above the bar instead.
        is_seen = sys.stdout.isatty()
        with Progress(*columns, console=self._console, transient=True, redirect_stdout=is_seen) as bar:
            task = bar.add_task(one_line(name), total=total, rate="")
            pace = _Pace(total)

            def advance(units: int) -> None:
                pace.add(units)
                bar.update(task, advance=units, rate=pace.rate_text)

            yield advance
        self.note(f"{name}: done, {pace.summary}")

    @contextmanager
    def _lines(self, name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        self.note(f"{name} ...")
        pace = _Pace(total)
        last = time.monotonic()

        def advance(units: int) -> None:
            nonlocal last
            pace.add(units)
            if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                self.note(f"{name}: {pace.text}")

        yield advance
        self.note(f"{name}: done, {pace.summary}")


class _Pace:
    """Counts units. The first count is what an earlier run had done: it starts the clock of the rate."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._before: int | None = None
        self._done = 0
        self._began = self._counting_since = time.monotonic()

    def add(self, units: int) -> None:
        if self._before is None:
            self._before = units
            self._counting_since = time.monotonic()
        self._done += units

    @property
    def _rate(self) -> float:
        return (self._done - (self._before or 0)) / max(time.monotonic() - self._counting_since, 1e-9)

    @property
    def rate_text(self) -> str:
        return f"{self._rate:.3g}/s"

    @property
    def text(self) -> str:
        if not self._total or not self._rate:
            return f"{self._done} done"
        left = (self._total - self._done) / self._rate
        return f"{self._done}/{self._total} ({self.rate_text}, {_duration(left)} left)"

    @property
    def summary(self) -> str:
        counted = f"{self._done} in " if self._done else ""
        return counted + _duration(time.monotonic() - self._began)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
