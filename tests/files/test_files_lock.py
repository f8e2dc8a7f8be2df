"""A lock says whose it is, and outlives nobody."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from presrm.errors import RunError
from presrm.files.lock import Lock, lock_beside

HOLD = """
import os, sys, time
from pathlib import Path
from presrm.files.lock import lock_beside
lock = lock_beside(Path(sys.argv[1]))
if sys.argv[2] == "child" and os.fork() == 0:
    time.sleep(60)
print("held", flush=True)
time.sleep(60)
"""


def hold(path: Path, how: str = "alone") -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path), how], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_another_process_is_named_and_its_death_ends_its_lock(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    process = hold(path)
    with pytest.raises(RunError, match=rf"process {process.pid} on .* \(since .*\) is working on {path}; wait for it"):
        lock_beside(path)
    process.kill()
    process.wait()
    assert [file.name for file in tmp_path.iterdir()] == [".rows.jsonl.lock"], "what a killed owner leaves"
    with lock_beside(path):
        assert json.loads((tmp_path / ".rows.jsonl.lock").read_text())["process"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_dead_owner_whose_child_lives_on_is_told(tmp_path: Path) -> None:
    process = hold(tmp_path / "rows.jsonl", "child")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    child = int(children.read_text().split()[0])
    process.kill()
    process.wait()
    try:
        with pytest.raises(RunError, match=rf"something that process {process.pid} on .* left behind is working on"):
            lock_beside(tmp_path / "rows.jsonl")
    finally:
        os.kill(child, signal.SIGKILL)
    for _ in range(100):
        time.sleep(0.05)
        if not Path(f"/proc/{child}").exists() or "Z (zombie)" in Path(f"/proc/{child}/status").read_text():
            break
    with lock_beside(tmp_path / "rows.jsonl"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": "x"}', '{"process": 1, "host": 2}', "\x00" * 100])
def test_a_lock_that_does_not_say_whose_it_is_holds_all_the_same(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".lock"
    with Lock(path, tmp_path):
        path.write_text(text)
        with pytest.raises(RunError, match="another process is working on"):
            Lock(path, tmp_path)


def test_a_lock_ends_with_its_owner_in_this_process_too(tmp_path: Path) -> None:
    lock = Lock(tmp_path / ".lock", tmp_path)
    del lock
    with Lock(tmp_path / ".lock", tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".lock").symlink_to(tmp_path / "mine")
    with pytest.raises(RunError, match=r"\.lock is a symbolic link"):
        Lock(tmp_path / ".lock", tmp_path)
    assert (tmp_path / "mine").read_text() == "mine"
