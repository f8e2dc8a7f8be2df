"""The ledger keeps every call, whatever its text, across kills and repetitions."""

import multiprocessing
import os
import signal
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from presrm.errors import RunError
from presrm.files.ledger import Call, Ledger, short_hash
from presrm.types import Status

CALL = Call(
    template="pairwise",
    template_hash="t",
    policy="M1",
    iteration=2,
    stage="search",
    problem="p/1",
    prefix=short_hash("Step 1: 2 + 3 = 5\n"),
    shown=(short_hash("a"), short_hash("b")),
    sampling='{"temperature": 0.7}',
    seed=2**63 - 1,
    reply="It is the first. [[A]]",
    verdict="A",
    value=1.0,
    status=Status.OK,
    tokens_read=30,
    tokens_generated=7,
    seconds=0.25,
)

texts = st.text(st.characters(), max_size=8) | st.sampled_from(["\ud800", "\x00", "a\x00b", "\udfff\x00", "'; DROP"])
counts = st.none() | st.integers(0, 10**9)
calls = st.builds(
    Call,
    template=texts,
    template_hash=texts,
    policy=texts,
    iteration=st.none() | st.integers(1, 9),
    stage=st.sampled_from(["search", "health", "judge-steps"]),
    problem=texts,
    prefix=texts.map(short_hash),
    shown=st.lists(texts.map(short_hash), max_size=3).map(tuple),
    sampling=texts,
    seed=st.integers(0, 2**63 - 1),
    reply=texts,
    verdict=texts,
    value=st.none() | st.floats(allow_nan=False),
    status=st.none() | st.sampled_from(Status),
    tokens_read=counts,
    tokens_generated=counts,
    seconds=st.floats(0, 1e6),
    prompt=texts.map(short_hash),
    number=st.integers(0, 99),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recorded=st.lists(calls, max_size=5, unique_by=lambda call: call.key))
def test_calls_come_back_as_recorded_whatever_their_text(tmp_path: Path, recorded: list[Call]) -> None:
    path = tmp_path / "ledger.sqlite"
    path.unlink(missing_ok=True)
    with Ledger(path) as ledger:
        ledger.record(recorded)
    with Ledger(path, read_only=True) as ledger:
        assert list(ledger.calls()) == recorded
        for call in recorded:
            assert call in ledger.calls(problem=call.problem, template=call.template, stage=call.stage)


def test_calls_are_found_by_what_is_named(tmp_path: Path) -> None:
    other = replace(CALL, iteration=3, stage="health", template="pointwise", problem="p/2")
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([CALL, other])

        assert list(ledger.calls(iteration=2)) == [CALL]
        assert list(ledger.calls(stage="health", template="pointwise")) == [other]
        assert list(ledger.calls(problem="p/2")) == [other]
        assert list(ledger.calls(iteration=2, stage="health")) == []


def test_a_repeated_call_replaces_itself_whatever_came_back(tmp_path: Path) -> None:
    again = replace(CALL, reply="Hm.", verdict="", value=None, status=Status.UNREADABLE, seconds=9.0)
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([CALL])
        ledger.record([again])

        assert list(ledger.calls()) == [again]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"number": 1},
        {"policy": "M2"},
        {"iteration": 3},
        {"stage": "health"},
        {"prompt": "other"},
        {"template_hash": "other"},
        {"shown": CALL.shown[::-1]},
    ],
)
def test_another_question_is_another_call(tmp_path: Path, change: dict[str, object]) -> None:
    other = replace(CALL, **change)  # type: ignore[arg-type]
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        ledger.record([CALL, other])

        assert list(ledger.calls()) == [CALL, other]


def _record_until_killed(path: Path, told: "multiprocessing.connection.Connection") -> None:
    ledger = Ledger(path)
    for seed in range(10**9):
        ledger.record([replace(CALL, seed=seed)])
        told.send(seed)


def test_what_was_recorded_survives_a_killed_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    writer = context.Process(target=_record_until_killed, args=(path, sender))
    writer.start()
    told = [receiver.recv() for _ in range(50)]
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join()

    with Ledger(path) as ledger:
        assert {call.seed for call in ledger.calls()} >= set(told)
        ledger.record([replace(CALL, seed=10**10)])


def test_a_reader_sees_what_a_writer_has_recorded_so_far(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as writer, Ledger(path, read_only=True) as reader:
        writer.record([CALL])
        assert list(reader.calls()) == [CALL]


def test_whatever_sqlite_says_on_a_full_disk_reads_as_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ledger.sqlite").write_text("no ledger" * 1000)
    with pytest.raises(RunError, match=r"cannot open the verdict ledger .*: file is not a database"):
        Ledger(tmp_path / "ledger.sqlite")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=4096))
    with pytest.raises(RunError, match="the disk is full; nothing already computed is lost: free some space"):
        Ledger(tmp_path / "ledger.sqlite")


def test_a_full_disk_is_told_in_one_line(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    [(pages,)] = ledger._file.execute("PRAGMA page_count")
    ledger._file.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(RunError, match=r"cannot write .*ledger\.sqlite: database or disk is full") as caught:
        ledger.record(replace(CALL, seed=seed, reply="x" * 10_000) for seed in range(10))
    assert "\n" not in str(caught.value)
    assert list(ledger.calls()) == []


def test_a_file_held_by_another_process_is_told_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("presrm.files.ledger._PATIENCE", 0.01)
    path = tmp_path / "ledger.sqlite"
    with Ledger(path) as ledger:
        other = sqlite3.connect(path)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunError, match="locked"):
            ledger.record([CALL])
        other.close()
        ledger.record([CALL])


def test_what_is_no_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no database, and long enough to tell\n" * 99)
    with pytest.raises(RunError, match="not a database"):
        Ledger(tmp_path / "text")
    with pytest.raises(RunError, match="unable to open"):
        Ledger(tmp_path / "none.sqlite", read_only=True)
    assert not (tmp_path / "none.sqlite").exists()
    sqlite3.connect(tmp_path / "other").execute("PRAGMA user_version = 7")
    with pytest.raises(RunError, match="format 7"):
        Ledger(tmp_path / "other")
