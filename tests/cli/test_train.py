"""``presrm train``: how a run ends that cannot go on."""

import json

import pytest

SMALL = (
    "threads=1",
    "iterations=1",
    "problems.num_train=6",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=4",
)


def test_a_training_that_diverges_stops_in_one_line_and_leaves_no_policy(run, tmp_path):
    out = tmp_path / "run"
    settings = [f"--set={setting}" for setting in (*SMALL, "training.batch_pairs=1", "training.learning_rate=1e30")]
    ended = run("train", "--out", out, *settings)
    assert ended.code == 1
    *_, line = ended.err.splitlines()
    assert line.startswith("presrm: training diverged at optimiser step ")
    assert "not finite at learning rate" in line
    assert "nothing is written: lower the learning_rate" in line
    left = {path.name for path in (out / "iterations/2").iterdir()}
    assert {"problems.jsonl", "trees.jsonl", "pairs.jsonl"} <= left
    assert not [name for name in left if "policy" in name]
    manifest = json.loads((out / "manifest.json").read_text())
    assert not [name for name in manifest["artefacts"] if name.startswith("iterations/2/policy")]
    metrics = (out / "metrics.jsonl").read_text()
    assert [json.loads(line, parse_constant=lambda name: name) for line in metrics.splitlines()]
    assert "NaN" not in metrics
    assert "Infinity" not in metrics


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_data_that_a_shipped_config_names_and_that_are_not_there_are_told_with_where_they_come_from(
    run, tmp_path, monkeypatch, more
):
    monkeypatch.chdir(tmp_path)
    ended = run("train", "word-problems", "--model", "embedded", *more)
    assert ended.code == 2
    *_, line = ended.err.splitlines()
    where = "'presrm config show word-problems' says where it comes from"
    assert line == f"presrm: 'words/loop.jsonl' is neither a file nor a problem set; {where}"
    assert "benchmarks/word_problems says where they come from" in run("config", "show", "word-problems").out


def test_another_file_that_is_not_there_is_only_named(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run("train", "word-problems", "--model", "embedded", "--problems", "mine.jsonl")
    assert ended.err.splitlines()[-1] == "presrm: 'mine.jsonl' is neither a file nor a problem set"
