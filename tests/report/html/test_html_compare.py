"""Runs side by side: what differs, and a paired test of their last policies."""

import json
from pathlib import Path

import pytest
from made_run import make_run
from test_html_run import text_of

from presrm.errors import RequestError
from presrm.report.html.compare import write_comparison_page


def test_runs_are_compared_problem_by_problem(tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "one"), make_run(tmp_path / "other", num_assessed=2, iterations=1)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["config"]["search"]["num_candidates"] = 4
    (other / "manifest.json").write_text(json.dumps(manifest))
    text = text_of(write_comparison_page([one, other], tmp_path / "compare.html"))
    assert "Between one and other: iterations, search.num_candidates." in text
    assert "M3 of one solves 83.3 % [72.0, 90.7] of 60 and M2 of other solves 66.7 %" in text
    assert "other is significantly worse: -16.7 points" in text
    assert "0 problems solved by other only, 10 by one only." in text


def test_runs_on_other_problems_are_not_paired(tmp_path: Path) -> None:
    one, other = make_run(tmp_path / "one"), make_run(tmp_path / "other")
    path = other / "iterations/3/answers.jsonl"
    path.write_text(path.read_text().replace('"h0"', '"x0"'))
    text = text_of(write_comparison_page([one, other], tmp_path / "compare.html"))
    assert "Their held-out problems differ, so they cannot be compared problem by problem." in text


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(RequestError, match="named twice"):
        write_comparison_page([run, run], tmp_path / "out.html")
    begun = make_run(tmp_path / "begun", num_assessed=0, iterations=0)
    with pytest.raises(RequestError, match="begun has no policy"):
        write_comparison_page([run, begun], tmp_path / "out.html")
