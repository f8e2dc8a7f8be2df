"""``presrm solve`` from the outside, with a policy made of a function."""

import io
import json
import sys

import pytest

from presrm.assembly import evaluation as eval_assembly
from presrm.assembly import judge_parts
from presrm.cli import progress
from presrm.engines.scripted import ScriptedEngine
from presrm.types import Checkpoint, Judgement

STEPS = {0: ["half\nand", "two\nand", "two\nand"], 1: ["#### 1", "#### 2", "#### 3"]}


class LongestJudge:
    scale = "absolute"

    def judge(self, batch):
        return [tuple(Judgement(min(1.0, len(step.text) / 10)) for step in item.steps) for item in batch]


@pytest.fixture(autouse=True)
def scripted_policy(monkeypatch):
    drawn = {}

    def write(prompt, rng):
        depth = len(prompt.reply)
        drawn[depth] = drawn.get(depth, -1) + 1
        return STEPS[depth][drawn[depth] % 3] if depth == 0 else "\x1b[31m#### 2"

    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: ScriptedEngine(write))
    monkeypatch.setattr(eval_assembly, "policy_at", Checkpoint)
    monkeypatch.setattr(judge_parts, "make_judge", lambda config, engine, prompts: LongestJudge())


CALL = ("--model", "m", "--set", "search.num_candidates=3", "--set", "splitter=newline")


def test_steps_appear_with_their_scores_and_the_runners_up(run, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 1000.0)  # a busy machine takes long over anything
    ended = run("solve", "why?", *CALL)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "why?"
    assert lines[1].startswith("> 0.500  half")
    assert lines[2].startswith("  0.400  two")
    assert "the only one" in lines[3]
    assert ended.err == "", "what is over in a moment is not told"


def test_nothing_that_a_policy_writes_is_obeyed_by_the_terminal(run):
    assert "\x1b[31m" not in run("solve", "why?", *CALL).out


def test_the_tree_shows_every_candidate_once(run):
    ended = run("solve", "why?", "--tree", *CALL)
    assert ended.out.count("half") == 1
    assert ended.out.count("two") == 1
    assert "(solution)" in ended.out


def test_the_answer_comes_as_json_and_the_question_from_a_pipe(run, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("why?\n"))
    found = json.loads(run("solve", "-", "--json", *CALL).out)
    assert found["problem"]["question"] == "why?"
    assert found["solutions"]


def test_an_empty_question_is_refused(run):
    ended = run("solve", " ", *CALL)
    assert ended.code == 2
    assert "empty" in ended.err


class OneScoreJudge:
    """Sees no difference between the candidates."""

    scale = "absolute"

    def __init__(self, spread=0.0):
        self.spread = spread

    def judge(self, batch):
        return [tuple(Judgement(0.5 + self.spread * i) for i, _ in enumerate(item.steps)) for item in batch]


def test_on_a_tie_nothing_is_marked_as_kept_and_the_first_candidate_is_finished_without_the_judge(run, monkeypatch):
    monkeypatch.setattr(judge_parts, "make_judge", lambda config, engine, prompts: OneScoreJudge(0.01))
    ended = run("solve", "why?", *CALL, "--set", "judge.verdict=direct")
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert not any(line.startswith(">") for line in lines)
    assert "tied: the scores differ by at most 0.02 (judge.tie_tolerance), so none is kept" in lines
    assert "no solution: a tie at the first step (scores within 0.02, judge.tie_tolerance)" in lines
    assert lines[-3:] == ["finished from the first candidate, without the judge:", "~ half", "~ \\x1b[31m#### 2"]


def test_a_spread_above_the_tolerance_is_no_tie(run, monkeypatch):
    monkeypatch.setattr(judge_parts, "make_judge", lambda config, engine, prompts: OneScoreJudge(0.03))
    ended = run("solve", "why?", *CALL, "--set", "judge.verdict=direct")
    assert "tied" not in ended.out
    assert "> 0.530  two" in ended.out


def test_without_a_question_one_is_drawn_by_seed(run):
    first = run("solve", "--json", *CALL).out
    assert json.loads(first)["problem"]["question"].endswith("?")
    assert run("solve", "--json", *CALL).out == first
    assert run("solve", "--json", *CALL, "--set", "seed=1").out != first
