"""``presrm search``, then ``presrm pairs``: the trees and pairs of a run, to the byte, stopped or not."""

import json

import pytest
from scripted_arithmetic import solve_or_judge
from scripted_run import Bomb, Killed, ScriptedParts
from scripted_run import run as run_loop

from presrm.assembly import searching
from presrm.cli import main
from presrm.config import load_config
from presrm.files.ledger import Ledger

SMALL = [
    "problems.num_train=5",
    "problems.num_held_out=4",
    "evaluation.num_judge_problems=0",
    "watch.num_problems=0",
    "search.group_size=2",
    "search.num_candidates=3",
    "judge.verdict=explained",
    "prompts=compact",
    "iterations=1",
]
SET = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture
def bomb(monkeypatch):
    bomb = Bomb()
    parts = lambda config, progress, log: ScriptedParts(config, bomb, solve_or_judge)  # noqa: E731
    monkeypatch.setattr(searching, "Parts", parts)
    return bomb


def test_stages_by_hand_give_the_files_of_a_run(run, bomb, tmp_path):
    run_loop(load_config("embedded", SMALL), tmp_path / "run", solve_or_judge)
    made, trees, pairs = tmp_path / "run/iterations/2", tmp_path / "trees.jsonl", tmp_path / "pairs.jsonl"

    ended = run("search", "--out", trees, *SET)
    assert ended.code == 0, ended.err
    assert ended.out.startswith(f"5 trees are in {trees}: 4 with a solution, ")
    assert trees.read_bytes() == (made / "trees.jsonl").read_bytes()
    with Ledger(tmp_path / "trees.jsonl.ledger.sqlite", read_only=True) as ledger:
        assert {(call.iteration, call.stage) for call in ledger.calls()} == {(2, "search")}
    assert run("pairs", trees, "--out", pairs, "--iteration", 2, *SET).code == 0
    assert pairs.read_bytes() == (made / "pairs.jsonl").read_bytes()

    num_calls = bomb.calls
    assert run("search", "--out", trees, *SET).out == ended.out
    assert bomb.calls == num_calls  # it was finished
    bomb.at = 2 * num_calls - 1
    with pytest.raises(Killed):
        main(["search", "--out", str(tmp_path / "killed.jsonl"), *SET])
    begun = (tmp_path / "killed.jsonl").read_bytes()
    assert begun
    assert trees.read_bytes().startswith(begun)
    assert run("search", "--out", tmp_path / "killed.jsonl", *SET).code == 0
    assert (tmp_path / "killed.jsonl").read_bytes() == trees.read_bytes()

    other = run("search", "--out", trees, *SET, "--set", "search.temperature=0.9")
    assert (other.code, "was begun with another request (search.temperature: " in other.err) == (2, True)


def test_other_iterations_take_other_problems_and_the_output_may_be_a_stream(run, bomb):
    ended = run("search", "--out", "-", "--iteration", 3, *SET, "--set", "problems.num_train=2")
    assert "2 trees are in standard output" in ended.err
    first = [json.loads(line)["problem"]["question"] for line in ended.out.splitlines()]
    ended = run("search", "--out", "-", "--iteration", 2, *SET, "--set", "problems.num_train=2")
    assert not {*first} & {json.loads(line)["problem"]["question"] for line in ended.out.splitlines()}


def test_problems_that_the_policy_writes_are_for_runs(run, bomb):
    ended = run("search", "--out", "x.jsonl", "--problems", "self", "--set", "problems.seeds=arithmetic")
    assert (ended.code, "in a run the policy writes its problems" in ended.err) == (2, True)
