"""When the page of a run is drawn."""

from pathlib import Path

import pytest

from presrm.assembly import runs
from presrm.methods.parts import SilentProgress


def test_the_page_takes_a_tenth_of_the_time_at_most_and_is_drawn_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, drawn = [0.0], []

    def draw(run: Path, **options: bool) -> None:
        drawn.append(now[0])
        now[0] += 2.0

    monkeypatch.setattr(runs.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(runs, "write_run_page", draw)
    drawing = runs._Drawing(tmp_path, SilentProgress())
    for seconds in (5.0, 11.0, 30.0, 34.0, 40.0):  # it takes 1 s until that is known, then 2 s
        now[0] = seconds
        drawing.after_assessment()
    assert drawn == [11.0, 34.0]
    drawing.at_the_end()
    drawing.at_the_end()
    assert drawn == [11.0, 34.0, 40.0]
