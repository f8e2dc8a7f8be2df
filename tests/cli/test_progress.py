"""Progress: a live view on a terminal, lines elsewhere, and both move within a unit of work."""

import sys
import time
from collections import deque
from io import StringIO

import pytest
from rich.console import Console

from presrm.cli import progress
from presrm.cli.progress import RichProgress
from presrm.files.live import read_live


def wait_until(is_so, most=60.0):
    """Give a thread time, as much as a busy machine takes."""
    until = time.perf_counter() + most
    while not is_so() and time.perf_counter() < until:
        time.sleep(0.01)
    assert is_so()


def lines(**options):
    return Console(file=StringIO(), width=200, **options)


def test_a_stage_tells_its_beginning_and_end():
    console = lines()
    with RichProgress(console).stage("M2: search", 10) as advance:
        advance(0)
        advance(10)
    began, ended = console.file.getvalue().splitlines()
    assert began == "M2: search ..."
    assert ended.startswith("M2: search: done, 10 in ")


class Clock:
    """Time that passes when told to."""

    def __init__(self, monkeypatch):
        self.now = self.busy = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(progress.time, "process_time", lambda: self.busy)


class Worker:
    """Counts what it is told to."""

    def __init__(self):
        self.counts = {"tokens read": 0, "tokens written": 0}

    def work(self):
        return self.counts

    def do(self, **counts):
        for name, num in counts.items():
            key = name.replace("_", " ")
            self.counts[key] = self.counts.get(key, 0) + num


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def begun(total, worker=None):
    stage = progress._Stage("search", total, (worker or Worker()).work)
    stage.add(0)
    return stage


def test_time_left_counts_only_what_this_run_did(clock):
    stage = progress._Stage("search", 100, dict)
    clock.now = 100.0
    stage.add(50)
    clock.now = 110.0
    stage.add(10)
    assert stage.text == "60/100, 40.0 s left"


def test_what_is_begun_of_the_next_units_shortens_the_time_left(clock):
    worker = Worker()
    stage = begun(3, worker)
    clock.now = 10.0
    worker.do(tokens_written=100)
    stage.add(1)
    assert stage.seconds_left == 20.0
    clock.now = 15.0
    worker.do(tokens_written=50)
    assert stage.seconds_left == 15.0
    worker.do(tokens_written=1000)
    assert stage.seconds_left == 0.0, "longer than the first ones: never below zero"


def test_what_is_done_within_a_unit_is_told(clock):
    worker = Worker()
    worker.do(tokens_written=7, steps=9)
    stage = begun(64, worker)
    assert stage.text == "0/64, 0.0 s so far"
    worker.do(tokens_written=10, tokens_read=900, steps=12, questions=1200)
    stage._speed()
    clock.now = 4.0
    worker.do(tokens_written=80)
    assert stage.text == "0/64, 12 steps written, 1,200 questions judged, 20 tokens/s written"


def test_alive_and_hung_look_different(clock):
    worker = Worker()
    stage = begun(64, worker)
    worker.do(tokens_read=1000)
    assert "no new token" not in stage.text
    clock.now, clock.busy = 30.0, 20.0
    assert stage.text.endswith("no new token for 30.0 s: busy")
    clock.now, clock.busy = 60.0, 20.1
    assert stage.text.endswith("no new token for 1 min 00 s: idle, it waits or hangs"), "however busy it was before"
    worker.do(tokens_read=10)
    assert "no new token" not in stage.text


@pytest.mark.parametrize("seconds", [6.0, 30.0, 300.0])
def test_slow_for_want_of_a_processor_is_not_called_idle(clock, seconds):
    worker = Worker()
    stage = begun(64, worker)
    worker.do(tokens_read=1000)
    stage._speed()
    clock.now, clock.busy = seconds, 0.07 * seconds
    assert stage.text.endswith(f"no new token for {progress.duration(seconds)}: slow, with 7% of a processor")


def test_what_is_told_stands_while_another_thread_counts_anew(clock):
    worker = Worker()
    stage = begun(64, worker)
    worker.do(tokens_read=1000)
    stage._speed()

    class Now(float):
        def __sub__(self, other):
            stage._seen = deque()
            return float(self) - other

    clock.now = Now(4.0)
    worker.do(tokens_read=80)
    assert stage.text.endswith("20 tokens/s read")


def test_the_time_left_stands_while_another_thread_counts_anew(clock):
    class Anew(Worker):
        def work(self):
            if stages and not anew:
                anew.append(True)
                stages[0].count_anew()
            return super().work()

    stages, anew, worker = [], [], Anew()
    stage = begun(10, worker)
    clock.now = 12.0
    worker.do(tokens_written=10)
    stage.add(1)
    stages.append(stage)
    assert stage.seconds_left is not None
    assert anew


def test_another_worker_is_counted_from_when_it_is_watched():
    watching, first, second = RichProgress(lines()), Worker(), Worker()
    first.do(steps=500)
    watching.watch(first)
    with watching.stage("search", 2):
        first.do(steps=3)
        assert "3 steps written" in watching._stages[0].text
        watching.watch(second)
        second.do(steps=2)
        assert "2 steps written" in watching._stages[0].text
        watching.watch(object())
        assert "steps" not in watching._stages[0].text


def test_the_first_unit_gives_an_estimate(clock):
    console = lines()
    with RichProgress(console).stage("judge steps", 5) as advance:
        advance(1)
        clock.now = 12.0
        advance(1)
        clock.now = 24.0
        advance(1)
    told = [line for line in console.file.getvalue().splitlines() if "at this pace" in line]
    assert told == ["judge steps: 1 took 12.0 s; about 36.0 s for the rest at this pace"]


def test_loading_a_policy_is_no_work_on_the_first_unit(clock):
    watching, console = RichProgress(lines()), lines()
    watching._console = console
    with watching.stage("judge steps", 5) as advance:
        advance(0)
        clock.now = 60.0
        watching.watch(Worker())
        clock.now = 72.0
        advance(1)
    told = [line for line in console.file.getvalue().splitlines() if "at this pace" in line]
    assert told == ["judge steps: 1 took 12.0 s; about 48.0 s for the rest at this pace"]


def test_a_first_unit_that_is_worked_alone_says_nothing_of_batches(clock):
    console, worker = lines(), Worker()
    watching = RichProgress(console)
    watching.watch(worker)
    with watching.stage("judge steps", 401) as advance:
        advance(0)
        clock.now = 6.0
        worker.do(tokens_read=1000)
        advance(1)
        (stage,) = watching._stages
        assert stage.seconds_left is None, "400 times 6 s would be far too much"
        clock.now = 11.0
        worker.do(tokens_read=50_000)
        assert stage.seconds_left == pytest.approx(35.0), "of 400 units 50 are begun, in 5 s"
        clock.now = 16.0
        worker.do(tokens_read=50_000)
        advance(100)
        clock.now = 26.0
        worker.do(tokens_read=100_000)
        advance(100)
        assert stage.seconds_left == pytest.approx(20.0), "what the first one took does not count"
    told = [line for line in console.file.getvalue().splitlines() if "at this pace" in line]
    assert told == ["judge steps: 101 took 16.0 s; about 30.0 s for the rest at this pace"]


def test_without_a_terminal_a_line_comes_every_few_seconds_while_nothing_is_counted(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    console = lines()
    with RichProgress(console).stage("load the policy", None):
        wait_until(lambda: console.file.getvalue().count("\n") > 3)
    told = console.file.getvalue().splitlines()
    assert all(line.startswith("load the policy") for line in told)
    assert "so far" in told[1]


def test_a_stage_inside_another_is_told_by_its_own_name(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    console = lines()
    watching = RichProgress(console)
    with watching.stage("M2: train", None), watching.stage("optimiser steps", 8) as advance:
        advance(0)
        advance(4)
        wait_until(lambda: "optimiser steps: 4/8" in console.file.getvalue())
    assert console.file.getvalue().splitlines()[-1].startswith("M2: train: done")


def test_where_brief_only_what_takes_long_is_told(clock, monkeypatch):
    console = lines()
    watching = RichProgress(console, is_brief=True)
    with watching.stage("load the policy", None):
        clock.now = 2.0
    assert console.file.getvalue() == ""
    with watching.stage("search", None):
        clock.now = 8.0
    assert console.file.getvalue() == "search: done, 6.0 s\n"
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    with watching.stage("search", None):
        wait_until(lambda: "search: 0.0 s so far" in console.file.getvalue())  # while it takes long


def test_short_stages_are_not_silent_together(clock):
    console = lines()
    watching = RichProgress(console, is_brief=True)
    with watching.stage("load the policy", None):
        clock.now = 2.9
    assert console.file.getvalue() == ""
    clock.now = 3.1
    with watching.stage("search", None):
        wait_until(lambda: console.file.getvalue() == "search: 0.0 s so far\n")  # at once


def test_a_stage_that_fails_is_not_called_done():
    console = lines()
    with pytest.raises(ZeroDivisionError), RichProgress(console).stage("search", 2):
        1 / 0  # noqa: B018
    assert "done" not in console.file.getvalue()


def test_a_terminal_gets_a_bar_and_markup_is_text():
    console = lines(force_terminal=True)
    with RichProgress(console).stage("M2: [search]", 3) as advance:
        advance(3)
    assert "[search]" in console.file.getvalue()


def test_rows_on_standard_output_pass_by_a_bar(capsys):
    console = lines(force_terminal=True)
    with RichProgress(console).stage("segment", 1):
        sys.stdout.write('{"id": 1}\n')
    assert capsys.readouterr().out == '{"id": 1}\n'
    assert "id" not in console.file.getvalue()


def test_a_stage_of_unknown_length_has_no_count():
    console = lines()
    with RichProgress(console).stage("train", None):
        pass
    assert console.file.getvalue().splitlines()[1].startswith("train: done, 0.")


def test_what_is_being_done_is_written_into_the_run_while_it_is_done(monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    watching = RichProgress(lines())
    watching.run = tmp_path
    with watching.stage("M2: search", 7) as advance:
        advance(0)
        advance(3)
        wait_until(lambda: (told := read_live(tmp_path)) is not None and told.text.startswith("3/7"))
        assert read_live(tmp_path).stage == "M2: search"
    assert list(tmp_path.iterdir()) == []
