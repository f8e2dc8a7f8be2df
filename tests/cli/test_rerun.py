"""``presrm rerun``: which settings make a part of a run anew. The work itself: tests/files/test_files_aside.py."""

import pytest
import yaml
from made_run import make_run

from presrm.assembly import runs


@pytest.fixture
def calls(monkeypatch):
    calls = []
    monkeypatch.setattr(runs, "rerun", lambda *arguments: calls.append(arguments) or [])
    monkeypatch.setattr("presrm.cli.rerun.print_summaries", lambda summaries, run: None)
    return calls


def test_the_settings_are_those_of_the_run(run, calls, tmp_path):
    made = make_run(tmp_path / "run", with_ledger=False)
    assert run("rerun", made, "--from", "fit", "--iteration", 3, "--set", "training.pack_tokens=512").code == 0
    [(config, out, stage, iteration, _)] = calls
    assert (config.name, config.training.pack_tokens, out, stage, iteration) == ("made", 512, made, "fit", 3)


@pytest.mark.parametrize(
    "settings",
    [
        {"model": {"engine": "vllm", "engine_options": {"program": "/tmp/evil"}}},
        {"model": {"id": "http://elsewhere.example/v1#m"}},
        {"judge": {"kind": "prm", "options": {"model": "elsewhere"}}},
        {"judge": {"kind": "evil.py:Judge"}},
        {"watch": {"shadow": {"kind": "prm"}}},
        {"pairs": {"second_judge": {"kind": "prm"}}},
    ],
)
def test_what_only_a_user_may_name_is_not_taken_from_the_folder(run, calls, tmp_path, settings):
    made = make_run(tmp_path / "run", with_ledger=False)
    own = made / "config.yaml"
    values = yaml.safe_load(own.read_text())
    for section, changes in settings.items():
        values[section] |= changes
    own.write_text(yaml.safe_dump(values))
    ended = run("rerun", made, "--from", "fit", "--iteration", 2)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert f"to use it, add --config {own}" in ended.err
    assert not calls
    assert run("rerun", made, "--from", "fit", "--iteration", 2, "--config", own).code == 0
    assert len(calls) == 1


def test_what_is_no_run_and_what_is_no_stage_are_told(run, calls, tmp_path):
    assert "holds no run: it has no manifest.json" in run("rerun", tmp_path, "--from", "fit", "--iteration", 2).err
    ended = run("rerun", tmp_path, "--from", "ft", "--iteration", 2)
    assert (ended.code, "'fit'" in ended.err, calls) == (2, True, [])
