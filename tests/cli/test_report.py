"""``presrm report``: a page of a run, or of several; what takes long is told."""

from threading import Event

import pytest
from made_run import make_run

from presrm.cli import progress
from presrm.cli.progress import RichProgress
from presrm.report.html import run as page


def test_a_run_and_several_have_a_page(run, tmp_path):
    runs = [make_run(tmp_path / name) for name in ("one", "two")]

    one = run("report", runs[0])
    both = run("report", *runs, "--out", tmp_path / "both.html")

    assert (one.code, one.out) == (0, f"The report is {runs[0]}/report.html\n")
    assert (both.code, both.out) == (0, f"The report is {tmp_path}/both.html\n")
    assert "2 runs side by side" in (tmp_path / "both.html").read_text()


def test_a_page_that_takes_long_is_told(run, tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.01)
    told, note = Event(), RichProgress.note
    monkeypatch.setattr(RichProgress, "note", lambda self, text: [note(self, text), told.set()])
    monkeypatch.setattr(page, "write_run_page", lambda path, out: told.wait(60) and "there")

    ended = run("report", tmp_path)

    assert ended.out == "The report is there\n"
    assert "draw the report: " in ended.err


def test_a_folder_is_no_page(run, tmp_path):
    ended = run("report", make_run(tmp_path / "run"), "--out", tmp_path)
    assert ended.code == 2
    assert f"--out {tmp_path} is a folder" in ended.err
