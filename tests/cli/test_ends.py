"""How commands begin and end: signals, streams that are closed or speak ASCII, odd names, full disks."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import SafetensorError

from presrm.cli import explain_failure as explain

PRESRM = [sys.executable, "-m", "presrm"]
SLOW = {"solution": "\\boxed{" + "(x+1)^{9999}" * 6 + "}", "answer": "(x+2)^{9999}(y+3)^{9999}"}


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", command.replace("presrm", " ".join(PRESRM))],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_stops_a_command_and_its_workers_at_once(tmp_path: Path, number: signal.Signals) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f"{json.dumps(SLOW)}\n" * 64)
    command = [*PRESRM, "grade", str(rows), "--grader", "math", "--out", str(tmp_path / "out.jsonl")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    started = time.monotonic()
    while not (workers := _descendants(process.pid)) and time.monotonic() - started < 100:
        time.sleep(0.2)
    assert workers, children
    time.sleep(2)
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("presrm: interrupted; nothing finished is lost, run the same command again")
    assert "Traceback" not in err
    assert time.monotonic() - began < 20, "far less on a machine with nothing else to do"
    assert not [worker for worker in workers if Path(f"/proc/{worker}").exists()]


def _descendants(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_a_terminal_that_speaks_ascii_gets_rows_as_they_are_and_the_rest_spelt_out(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"solution": "\u00e9\\nb"}\n', encoding="utf-8")
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
    ended = shell(f"presrm split {tmp_path}/rows.jsonl", **ascii_only)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout.decode())["steps"] == ["\u00e9\n", "b"]
    ended = shell(f"presrm split {tmp_path}/\u00e9.jsonl", **ascii_only)
    assert ended.returncode == 2
    assert ended.stderr.count(b"\n") == 1
    assert ended.stderr.startswith(b"presrm: no file")
    ended = shell("presrm config show embedded", **ascii_only)
    assert ended.returncode == 0, ended.stderr


def test_an_odd_file_name_is_no_trouble(tmp_path: Path) -> None:
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff row\nx.jsonl")
    Path(odd).write_text('{"solution": "a\\nb"}\n{}\n')
    ended = subprocess.run([*PRESRM, "split", odd, "--out", f"{odd}.out"], capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count(b"\n") == 1
    assert b"1 row set aside" in ended.stderr
    assert Path(f"{odd}.out").exists()


@pytest.mark.parametrize("redirection", ["2>&-", "<&-", "<&- 2>&-"])
def test_what_is_closed_and_not_needed_is_no_trouble(tmp_path: Path, redirection: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"solution": "It is 7.", "answer": "7"}\n')
    ended = shell(f"presrm grade {tmp_path}/rows.jsonl --grader math --out {tmp_path}/out.jsonl {redirection}")
    assert ended.returncode == 0, ended.stderr
    assert json.loads((tmp_path / "out.jsonl").read_text())["grade"] == "correct"


def test_what_is_closed_and_needed_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"solution": "It is 7.", "answer": "7"}\n')
    for command, told in (
        (f"presrm grade {tmp_path}/rows.jsonl --out {tmp_path}/out.jsonl >&-", b"standard output is closed"),
        (f"presrm split - --out {tmp_path}/out.jsonl <&-", b"standard input is closed"),
    ):
        ended = shell(command)
        assert ended.returncode == 2
        assert ended.stderr.startswith(b"presrm: " + told)
        assert ended.stderr.count(b"\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_full_disk_reads_the_same_whoever_finds_it() -> None:
    told = explain(OSError(28, "No space left on device"))
    assert told == (
        1,
        "the disk is full; nothing already computed is lost: free some space and run the same command again to resume",
    )
    assert explain(SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")) == told
    assert explain(RuntimeError("[enforce fail] . unexpected pos 64 vs 0: No space left on device")) == told
    assert "ulimit -f" in explain(OSError(27, "File too large"))[1]


@pytest.mark.parametrize(
    "name", ["me:s3cret@host/v1#m", "//me:s3cret@host", "HTTP://me:s3cret@host/v1#m", "ftp://s3cret@h"]
)
def test_a_model_that_may_be_a_mistyped_address_is_not_echoed(run, name):
    ended = run("solve", "1+1", "--model", name)
    assert ended.code == 2
    assert "s3cret" not in ended.err + ended.out
    assert "not shown" in ended.err
