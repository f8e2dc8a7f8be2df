"""``presrm judge-evolve`` from the outside, with a policy made of functions."""

import json
import sys

import pytest
from in_process import Next

from presrm.assembly import engines, parts, workers
from presrm.engines.scripted import ScriptedEngine

pytest.importorskip("gepa")

GOOD = "Check each step carefully. Then end with [[yes]] if it is right, [[no]] if it is not."


def reply(prompt, rng):
    if prompt.template == "rewrite":
        return f"```\n{GOOD}\n```"
    is_wrong = prompt.subject.shown[0].text.startswith("wrong")
    return "[[no]]" if is_wrong and "carefully" in prompt.text else "[[yes]]"


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """The models that were opened."""
    models = []

    def open_engine(policy, model):
        models.append(model.id)
        return ScriptedEngine(reply)

    monkeypatch.setattr(engines, "open_engine", open_engine)
    monkeypatch.setattr(engines, "limit_threads", lambda threads, model: None)
    return models


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    steps = [["right", "wrong" if number % 2 else "right"] for number in range(40)]
    lines = [{"problem": f"q{n}", "steps": of_row, "label": 1 if n % 2 else -1} for n, of_row in enumerate(steps)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def evolve(run, rows, out, *more):
    return run("judge-evolve", rows, "--prompts", "plain", "--set", "judge.max_tokens=100", "--out", out, *more)


def test_the_winner_is_a_prompt_set_that_the_judge_uses(run, rows, tmp_path, opened):
    out = tmp_path / "evolved"
    ended = evolve(run, rows, out, "--budget", 100)
    assert ended.code == 0, ended.err
    assert opened == ["embedded"]
    assert "0.00 -> 1.00 on 20 rows that evolution never saw" in ended.out
    assert ended.out.splitlines()[-2].endswith("better.")
    assert f"use it with --set prompts={out}" in ended.out
    judged = run("judge-steps", rows, "--set", f"prompts={out}", "--out", tmp_path / "judged.jsonl")
    assert judged.code == 0, judged.err
    card = json.loads((tmp_path / "judged.jsonl.card.json").read_text())
    assert card["f1"]["value"] == 1
    result = json.loads((out / "result.json").read_text())
    assert sorted(line for part in result["lines"].values() for line in part) == list(range(1, 41))
    again = evolve(run, rows, out, "--budget", 100)
    assert (again.code, again.out) == (0, ended.out)
    assert len(opened) == 2  # of judge-steps: the second start judges nothing


def test_another_model_reflects(run, rows, tmp_path, opened):
    ended = evolve(run, rows, tmp_path / "out", "--reflect", "http://127.0.0.1:9/v1#large")
    assert ended.code == 0, ended.err
    assert opened == ["embedded", "http://127.0.0.1:9/v1#large"]


def test_a_runner_gives_the_same_bytes_and_loads_nothing_here(run, rows, tmp_path, opened, monkeypatch):
    more = ("--budget", 100, "--set", "search.group_size=8")
    assert evolve(run, rows, tmp_path / "here", *more).code == 0
    runner = Next(2, deaths=1)
    monkeypatch.setattr(workers, "make_runner", lambda settings: runner)
    monkeypatch.setattr(parts, "open_engine", lambda policy, model, **how: ScriptedEngine(reply))
    assert evolve(run, rows, tmp_path / "there", *more).code == 0
    here, there = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("here", "there"))
    assert there == here
    assert len(opened) == 1
    assert {work.stage for work in runner.done} == {"judge", "reflect"}
    assert len({work.given[1]["pointwise"] for work in runner.done if work.stage == "judge"}) > 1
    other = ("--reflect", "http://127.0.0.1:9/v1#large")
    assert evolve(run, rows, tmp_path / "other", *more, *other).code == 0
    assert opened[1:] == ["http://127.0.0.1:9/v1#large"]


def test_a_dry_run_tells_calls_and_tokens_and_does_nothing(run, rows, tmp_path, opened):
    ended = run("judge-evolve", rows, "--prompts", "plain", "--budget", 100, "--dry-run")
    assert ended.code == 0, ended.err
    lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert lines[1:6] == [
        "rows of the training part 10",
        "rows of the validation part 10",
        "rows of the test part 20",
        "rows judged, at most 140",
        "questions to the judge about 280",
    ]
    assert "instructions rewritten, at most 30, of 3,000 tokens read and 48 written" in lines
    assert "pointwise/2: You are an impartial judge." in ended.out
    assert not opened
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--judge", "pairwise"], "judge 'pairwise' is relative"),
        (["--judge", "checker"], "judge 'checker' asks no policy"),
        (["--budget", "3"], "--budget 3: the validation part has 10 rows"),
        (["--prompts", "nothere"], "no prompt set 'nothere'"),
        (["--set", "runner.kind=rya"], "unknown runner 'rya'"),
    ],
)
def test_what_cannot_be_evolved_is_one_line(run, rows, tmp_path, more, told):
    ended = run("judge-evolve", rows, "--out", tmp_path / "out", *more)
    assert ended.code == 2
    assert told in ended.err
    assert len(ended.err.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_rows_without_a_label_are_left_out_and_none_is_refused(run, rows, tmp_path):
    with rows.open("a") as file:
        file.write('{"problem": "q", "steps": ["a"]}\nnothing\n')
    ended = evolve(run, rows, tmp_path / "out")
    assert ended.code == 0, ended.err
    assert "presrm: 2 of 42 rows left out; line 41: no label says which step is the first wrong one" in ended.err
    rows.write_text('{"problem": "q", "steps": ["a"]}\n')
    ended = evolve(run, rows, tmp_path / "none")
    assert (ended.code, "no row can be used; line 1: no label" in ended.err) == (2, True)


def test_without_gepa_one_line_says_what_to_install(run, rows, tmp_path, monkeypatch, opened):
    monkeypatch.setitem(sys.modules, "gepa", None)
    ended = evolve(run, rows, tmp_path / "out")
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == "presrm: judge-evolve needs: pip install 'presrm[gepa]'"
    assert not opened
    assert evolve(run, rows, tmp_path / "out", "--dry-run").code == 0
