"""``presrm verify``: 0 where a run is what it was, 1 and what differs where it is not."""

from presrm.config import Config
from presrm.files.run import RunDir


def test_the_end_says_whether_the_run_is_what_it_was(run, tmp_path):
    with RunDir(tmp_path / "run", Config()) as made:
        for number in range(1, 6):
            made.iteration(number).value("scores.json", lambda: {"a": 1})
    ended = run("verify", tmp_path / "run")
    assert (ended.code, ended.out) == (0, "5 artefacts are what the run wrote\n")

    for number in range(1, 6):
        (tmp_path / f"run/iterations/{number}/scores.json").write_text("{}")
    ended = run("verify", tmp_path / "run")
    assert ended.code == 1
    assert ended.err.startswith("presrm: 5 of 5 artefacts differ: ")
    assert "iterations/1/scores.json: changed since it was finished; restore it" in ended.err
    assert ended.err.endswith("; and 2 more\n")
    assert run("verify", tmp_path / "none").code == 1
