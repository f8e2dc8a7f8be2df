"""``presrm status`` on finished, stopped and live runs."""

import json
import re

from made_run import make_run

from presrm.files.live import end_live, read_live, write_live
from presrm.files.lock import Lock


def test_a_finished_run_shows_every_policy_and_what_stages_took(run, tmp_path):
    ended = run("status", make_run(tmp_path / "run"))
    assert ended.code == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[0].endswith("run: finished")
    assert any(line.startswith("M3: 83.3 % [72.0, 90.7] of 60 held-out problems correct") for line in lines)
    assert "M1 held-out problems 12.5 s 4,000 8,000 20 %" in lines
    assert "left" not in ended.out


def test_an_unfinished_run_shows_what_is_left(run, tmp_path):
    told = json.loads(run("status", make_run(tmp_path / "run", num_assessed=1), "--json").out)
    assert (told["done"], told["left"]) == (["M1"], ["M2", "M3"])
    assert told["state"].startswith("not finished")


def test_beside_a_live_run_it_tells_who_works_on_it_and_what_is_done(run, tmp_path):
    folder = make_run(tmp_path / "run", num_assessed=1)
    write_live(folder, "M2: search", "3/64, 12 steps written")
    with Lock(folder / ".lock", folder):
        told = json.loads(run("status", folder, "--json").out)
        assert "is working on it" in told["state"]
        assert re.fullmatch(r"M2: search: 3/64, 12 steps written \(\d+\.\d s ago\)", told["doing"])
        assert (folder / ".lock").exists(), "it takes no lock"
    assert "working" not in run("status", folder).out


def test_what_is_live_is_taken_away_and_nothing_is_written_through_a_link(tmp_path):
    write_live(tmp_path, "search", "1/2")
    assert read_live(tmp_path).text == "1/2"
    end_live(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / ".live.json.tmp").symlink_to(tmp_path / "elsewhere")
    write_live(tmp_path, "search", "1/2")
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert read_live(tmp_path) is None


def test_what_is_no_run_is_refused(run, tmp_path):
    ended = run("status", tmp_path)
    assert ended.code == 2
    assert "is no run folder" in ended.err
