"""``presrm verify``: 0 where a run is what it was, 1 and what differs where it is not."""

import pytest

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


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("ledger.sqlite", b"garbage" * 1000, "file is not a database"),
        ("ledger.sqlite", b"", "no such table"),
        ("metrics.jsonl", b'{"a": 1}\ngarbage\n', "line 2: malformed JSON"),
        ("metrics.jsonl", b"garbage", "line 1: malformed JSON"),
    ],
)
def test_a_ledger_or_metrics_that_cannot_be_read_are_told(run, tmp_path, name, content, told):
    folder = tmp_path / "run"
    with RunDir(folder, Config()) as made:
        made.iteration(1).value("scores.json", lambda: {"a": 1})
        made.log(stage="answers")
        _ = made.ledger
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"cut": ')
    before = sorted(path.name for path in folder.iterdir())
    assert run("verify", folder).code == 0
    assert sorted(path.name for path in folder.iterdir()) == before

    (folder / name).write_bytes(content)
    ended = run("verify", folder)
    assert ended.code == 1
    assert name in ended.err
    assert told in ended.err


def test_a_ledger_that_is_damaged_within_is_told(run, tmp_path):
    folder = tmp_path / "run"
    with RunDir(folder, Config()) as made:
        _ = made.ledger
    with (folder / "ledger.sqlite").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    assert "ledger.sqlite: damaged (" in run("verify", folder).err
