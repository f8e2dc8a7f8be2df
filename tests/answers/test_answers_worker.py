import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from presrm.answers.worker import Worker
from presrm.errors import WorkerError
from presrm.graders.math import MathGrader
from presrm.types import Grade

ROOT = Path(__file__).parents[2]
SCRIPT = r"""
from presrm.graders import GRADERS
print(GRADERS.create("math").grade(r"\boxed{\sqrt{16}}", "4").value)
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

# What follows is run in the worker: functions of this module.


def double(number: int) -> int:
    return 2 * number


def process_number() -> int:
    return os.getpid()


def spin() -> None:
    while True:
        pass


def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


def spin_in_c() -> int:
    return len(str(9 ** (9**9)))


def take_memory() -> int:
    return len(bytes(8 * 2**30))


def refuse() -> None:
    raise RuntimeError("of any kind")


def end(signal_number: int) -> None:
    os.kill(os.getpid(), signal_number)


def end_until(path: str, num: int) -> str:
    with open(path, "a") as file:  # noqa: PTH123
        file.write("x")
    if os.path.getsize(path) <= num:  # noqa: PTH202
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker(0.5)


def test_one_process_answers_all_calls(worker: Worker) -> None:
    assert worker.run(double, 4) == 8
    first = worker.run(process_number)
    assert first == worker.run(process_number) != os.getpid()


@pytest.mark.parametrize("function", [spin, spin_in_c, take_memory, refuse])
def test_what_passes_a_limit_or_raises_is_none_and_the_next_call_is_answered(worker: Worker, function: object) -> None:
    began = time.monotonic()
    assert worker.run(function) is None  # type: ignore[arg-type]
    assert time.monotonic() - began < 20
    assert worker.run(double, 4) == 8


def test_the_limit_is_of_processor_time_so_that_a_pause_costs_nothing() -> None:
    worker = Worker(0.2)
    assert worker.run(nap, 0.6) == "rested"


@pytest.mark.parametrize("num_kills", [1, 2])
def test_a_killed_worker_is_started_again_and_its_call_repeated(tmp_path: Path, num_kills: int) -> None:
    assert Worker(5).run(end_until, str(tmp_path / "calls"), num_kills) == "done"


def test_a_worker_killed_between_calls_is_started_again(worker: Worker) -> None:
    for _ in range(4):
        number = worker.run(process_number)
        assert number is not None
        os.kill(number, signal.SIGKILL)
        assert worker.run(double, 4) == 8


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_is_always_killed_from_outside_is_an_error(worker: Worker, signal_number: int) -> None:
    with pytest.raises(WorkerError, match=r"lost 3 times in a row .*(SIGKILL|SIGTERM).*memory"):
        worker.run(end, signal_number)
    assert worker.run(double, 4) == 8


@pytest.mark.parametrize("signal_number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_call_that_crashes_its_process_has_hit_a_limit(worker: Worker, signal_number: int) -> None:
    assert worker.run(end, signal_number) is None
    assert worker.run(double, 4) == 8


def test_a_worker_that_cannot_start_says_why() -> None:
    with pytest.raises(WorkerError, match=r"cannot start: .*No module named 'nowhere_to_be_found'"):
        Worker(5, "nowhere_to_be_found").run(double, 4)


def test_no_python_is_an_error_not_a_missing_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(WorkerError, match=r"cannot start: .*/nowhere/python"):
        MathGrader().grade(r"\boxed{\sqrt{16}}", "4")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are kept by Linux alone")
@pytest.mark.parametrize(("kibibytes", "is_enough"), [(1_000_000, True), (250_000, False)])
def test_below_a_hard_memory_limit_it_works_or_says_why(kibibytes: int, is_enough: bool) -> None:
    command = ["bash", "-c", f"ulimit -v {kibibytes} && exec {sys.executable} -"]
    done = subprocess.run(command, input=SCRIPT, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    if is_enough:
        assert done.stdout == "correct\n", done.stderr
    else:
        assert done.returncode != 0
        assert "cannot start" in done.stderr
        assert "memory" in done.stderr


def test_a_script_without_a_guard_and_one_from_standard_input_grade(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    for command, text in (([sys.executable, str(script)], None), ([sys.executable, "-"], SCRIPT)):
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=ENVIRONMENT, check=False)
        assert (done.stdout, done.stderr) == ("correct\n", "")


def test_a_fork_has_a_worker_of_its_own() -> None:
    script = """
import os
from presrm.answers.worker import Worker
worker = Worker(5)
first = worker.run(os.getpid)
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    assert worker.run(os.getpid) == first
else:
    os._exit(worker.run(os.getpid) == first)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 0, done.stderr


def test_two_threads_share_a_worker(worker: Worker) -> None:
    results: list[int | None] = []
    threads = [threading.Thread(target=lambda n=n: results.append(worker.run(double, n))) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(filter(None, results)) == [2, 4, 6, 8, 10, 12, 14]


def test_the_process_ends_with_its_grader() -> None:
    grader = MathGrader()
    assert grader.grade(r"\boxed{\sqrt{4}}", "2") is Grade.CORRECT
    number = grader._worker.run(process_number)
    assert number is not None
    os.kill(number, 0)
    del grader
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
