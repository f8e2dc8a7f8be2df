"""``presrm export --to``: the pairs of a run, for another trainer."""

import json

import pytest

from presrm.files.jsonl import dump
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory


def pair(name, stop=None):
    prefix = Trajectory(Problem(name, f"{name}?"), (Step("a\n"),))
    return PreferencePair(f"2/{name}/0", prefix, Step("b\n", stop=stop), Step("c\n", stop=stop), 0.5)


@pytest.fixture
def made(tmp_path):
    for number, pairs in ((2, [pair("p"), pair("q", Stop.EOS)]), (10, [pair("r", Stop.EOS)])):
        folder = tmp_path / f"run/iterations/{number}"
        folder.mkdir(parents=True)
        (folder / "pairs.jsonl").write_text("".join(dump(each) + "\n" for each in pairs))
    return tmp_path / "run"


def test_the_pairs_of_all_iterations_in_order(run, made, tmp_path):
    out = tmp_path / "pairs.jsonl"
    ended = run("export", made, "--to", "step-dpo", "--out", out)
    assert (ended.code, ended.out) == (0, f"Wrote 3 pairs to {out}\n")
    assert "1 of them are steps that do not end their solution" in ended.err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["prompt"] for row in rows] == ["p?", "q?", "r?"]
    assert rows[0]["initial_reason_steps"] == "a\n"


def test_a_file_of_pairs_is_turned_into_another_format(run, made, tmp_path):
    source = made / "iterations/10/pairs.jsonl"
    assert run("export", source, "--to", "trl", "--out", tmp_path / "trl.jsonl").err == ""
    ended = run("export", tmp_path / "trl.jsonl", "--to", "openrlhf", "--out", tmp_path / "openrlhf.jsonl")
    [row] = map(json.loads, (tmp_path / "openrlhf.jsonl").read_text().splitlines())
    assert row["chosen"] == [{"role": "user", "content": "r?"}, {"role": "assistant", "content": "a\nb\n"}]
    assert ended.code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--to", "trrl", "--out", "x.jsonl"], "did you mean 'trl'?"),
        (["--out", "x.jsonl"], "--merge makes one model of a policy, --to FORMAT writes pairs or steps"),
        (["--to", "trl", "--merge", "--out", "x.jsonl"], "say what to export"),
    ],
)
def test_what_makes_no_sense_is_told(run, made, arguments, told):
    ended = run("export", made, *arguments)
    assert ended.code == 2
    assert told in ended.err


def test_a_folder_without_pairs_and_an_output_that_is_there_are_refused(run, made, tmp_path):
    assert "holds no pairs" in run("export", tmp_path, "--to", "trl", "--out", tmp_path / "x.jsonl").err
    (tmp_path / "x.jsonl").write_text("mine")
    assert "is there already" in run("export", made, "--to", "trl", "--out", tmp_path / "x.jsonl").err
    assert (tmp_path / "x.jsonl").read_text() == "mine"


STEPS = [{"text": "1 + 1 = 2\n", "score": 0.9}, {"text": "2 + 1 = 4", "score": 0.2}]


@pytest.mark.parametrize("name", ["prm800k", "math-shepherd", "trl-stepwise"])
def test_judged_steps_of_a_file_are_read_back(run, tmp_path, name):
    source, out = tmp_path / "solutions.judged.jsonl", tmp_path / "rows.jsonl"
    rows = [{"question": "1 + 1 + 1?", "judged": STEPS}, {"question": "?", "judged": "all"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = run("export", source, "--to", name, "--out", out)
    assert (ended.code, ended.out) == (0, f"Wrote 1 row of 1 solution to {out}\n")
    assert "line 2: judged: expected what judge-steps writes" in ended.err
    split = run("split", out, "--out", "-")
    steps = [step.removeprefix("Step 1: ").removeprefix("Step 2: ").strip() for step in json.loads(split.out)["steps"]]
    assert steps == ["1 + 1 = 2", "2 + 1 = 4"]


def test_judged_steps_of_a_run_say_what_their_scores_compare(run, tmp_path):
    from made_run import make_run

    source, out = make_run(tmp_path / "run", with_ledger=False), tmp_path / "rows.jsonl"
    ended = run("export", source, "--to", "trl-stepwise", "--out", out)
    assert ended.code == 0
    assert "scores of judge 'pairwise' compare the candidates for one step" in ended.err
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [False] in [row["labels"] for row in rows]
    assert ended.out.startswith(f"Wrote {len(rows)} rows of 6 solutions")
    assert "did you mean 'prm800k'?" in run("export", source, "--to", "prm80k", "--out", tmp_path / "x").err
