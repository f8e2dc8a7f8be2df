"""``presrm solve`` from the outside, with a policy made of a function."""

import io
import json
import sys

import pytest

from presrm.assembly import evaluation as eval_assembly
from presrm.assembly import parts
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
    monkeypatch.setattr(parts, "make_judge", lambda config, engine, prompts: LongestJudge())


CALL = ("--model", "m", "--set", "search.num_candidates=3", "--set", "splitter=newline")


def test_steps_appear_with_their_scores_and_the_runners_up(run):
    ended = run("solve", "why?", *CALL)
    assert ended.code == 0, ended.err
    lines = ended.out.splitlines()
    assert lines[0] == "why?"
    assert lines[1].startswith("> 0.500  half")
    assert lines[2].startswith("  0.400  two")
    assert "the only one" in lines[3]


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
