"""``presrm config keys`` and ``presrm config new``."""

import io
import sys

import pytest

from presrm.assembly import probe
from presrm.config import fields, load_config
from presrm.engines.scripted import ScriptedEngine


def answer(monkeypatch, *lines):
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))


def test_every_setting_is_listed_with_default_and_meaning(run):
    text = run("config", "keys").out
    assert all(key in text for key, _ in fields())
    lines = [" ".join(line.split()) for line in run("config", "keys", "judge").out.splitlines()]
    assert "judge How the policy judges its own steps." in lines
    assert any(line.startswith("judge.threshold 0.5 presrm judge-steps counts a step as wrong") for line in lines)
    assert not any(line.startswith("search.") for line in lines)


def test_what_may_change_on_resume_is_marked(run):
    text = " ".join(run("config", "keys", "watch.min_count").out.split())
    assert "watch.min_count 20 * A figure measured on fewer cases" in text


def test_an_unknown_section_is_answered_with_the_nearest(run):
    ended = run("config", "keys", "serch")
    assert ended.code == 2
    assert "'search'" in ended.err


def test_without_answers_the_defaults_make_a_config_that_loads(run, monkeypatch, tmp_path):
    answer(monkeypatch)
    monkeypatch.setattr(probe, "is_here", lambda model: False)
    ended = run("config", "new", "--out", tmp_path / "mine.yaml")
    assert ended.code == 0, ended.err
    config = load_config(tmp_path / "mine.yaml")
    assert (config.name, config.model.id, config.problems.train) == ("mine", "embedded", "arithmetic")
    assert (config.judge.verdict, config.iterations) == ("explained", 1)
    assert "was not probed" in (tmp_path / "mine.yaml").read_text()


def test_the_five_answers_stand_in_the_config(run, monkeypatch, tmp_path):
    answer(monkeypatch, 'a "model"', "gsm8k:train.jsonl", "gsm8k:test.jsonl", "paragraph", "medium")
    ended = run("config", "new", "--out", tmp_path / "my config.yaml")
    assert ended.code == 0, ended.err
    config = load_config(tmp_path / "my config.yaml")
    assert (config.model.id, config.splitter) == ('a "model"', "paragraph")
    assert (config.problems.train, config.problems.held_out) == ("gsm8k:train.jsonl", "gsm8k:test.jsonl")
    assert (config.problems.num_train, config.search.num_candidates, config.training.lora.r) == (100, 4, 16)


@pytest.mark.parametrize(("reply", "verdict"), [("I think so. [[A]]", "explained"), ("Hm.", "direct")])
def test_a_model_whose_verdicts_cannot_be_read_judges_directly(run, monkeypatch, reply, verdict):
    answer(monkeypatch)
    monkeypatch.setattr(probe, "is_here", lambda model: True)
    monkeypatch.setattr(probe, "open_engine", lambda policy, model: ScriptedEngine(lambda prompt, rng: reply))
    monkeypatch.setattr(probe, "limit_threads", lambda threads, model: None)
    text = run("config", "new").out
    assert f"  verdict: {verdict} " in text
    assert f"could read {8 if verdict == 'explained' else 0} of 8 explained verdicts" in text


@pytest.mark.parametrize(
    ("lines", "told"), [(("", "", "", "newlne"), "'newline'"), (("", "", "", "", "smal"), "'small'")]
)
def test_a_wrong_answer_is_refused_with_the_nearest(run, monkeypatch, lines, told):
    answer(monkeypatch, *lines)
    ended = run("config", "new")
    assert ended.code == 2
    assert told in ended.err


def test_a_file_that_is_there_is_not_overwritten(run, monkeypatch, tmp_path):
    answer(monkeypatch)
    (tmp_path / "mine.yaml").write_text("seed: 7\n")
    assert run("config", "new", "--out", tmp_path / "mine.yaml").code == 2
    assert (tmp_path / "mine.yaml").read_text() == "seed: 7\n"
