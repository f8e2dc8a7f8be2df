"""Progress: occasional lines where there is no terminal."""

import sys
from io import StringIO

from rich.console import Console

from presrm.cli import progress
from presrm.cli.progress import RichProgress


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


def test_time_left_counts_only_what_this_run_did(monkeypatch):
    clock = iter([0.0, 0.0, 100.0, 110.0, 110.0, 110.0, 110.0, 110.0, 110.0, 110.0, 110.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    pace = progress._Pace(100)
    pace._began = 0.0
    pace.add(50)
    pace.add(10)
    assert pace.text.startswith("60/100")


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
