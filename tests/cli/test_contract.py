"""However a command ends: the exit code, and one plain line that a stranger understands."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from presrm import errors
from presrm.cli import explain_failure as explain
from presrm.cli import main
from presrm.cli import train as train_verb


def assert_refused(ended, *words):
    assert ended.code == 2, ended.err
    assert_one_line(ended.err)
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err


def assert_one_line(text):
    assert text.startswith("presrm: ")
    assert text.count("\n") == 1
    assert text.endswith("\n")


def test_unknown_verb_is_answered_with_the_nearest(run):
    assert_refused(run("trian"), "'trian'", "'train'")
    assert_refused(run("config", "lst"), "'lst'", "'list'")


def test_unknown_verb_like_none_is_answered_with_all(run):
    assert_refused(run("xyzzy"), "judge-steps", "train")


def test_unknown_flag_is_answered_with_the_nearest(run):
    assert_refused(run("train", "--iteratons", "2"), "'--iteratons'", "'--iterations'")
    assert_refused(run("judge-steps", "x.jsonl", "--juge", "pointwise"), "'--judge'")


@pytest.mark.parametrize("verb", [["train"], ["judge-steps", "x.jsonl"]])
def test_unknown_key_is_answered_with_the_nearest(run, verb):
    assert_refused(run(*verb, "--set", "judge.verdct=direct"), "judge.verdct", "judge.verdict")


def test_a_value_of_the_wrong_kind_names_the_key(run):
    assert_refused(run("train", "--set", "training.learning_rate=lots"), "training.learning_rate")
    assert_refused(run("train", "--iterations", "-1"), "--iterations")


def test_missing_argument_is_named(run):
    assert_refused(run("split"), "FILE", "--solution", "--help")
    assert_refused(run("fit"), "PAIRS", "presrm fit --help")


def test_unknown_config_is_answered_with_the_nearest(run):
    assert_refused(run("train", "embeded"), "'embeded'", "'embedded'")
    assert_refused(run("config", "show", "embeded"), "'embedded'")


def test_unknown_names_of_parts_are_answered_with_the_nearest(run, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "1 + 1?", "solution": "2"}\n')
    assert_refused(run("split", rows, "--splitter", "newlin"), "'newline'")
    assert_refused(run("judge-steps", rows, "--judge", "pointwize"), "'pointwise'")
    assert_refused(run("judge-steps", rows, "--splitter", "newlin"), "'newline'")
    assert_refused(run("grade", rows, "--grader", "gsm8", "--out", "-"), "'gsm8k'")


VERBS_ON_FILES = [["split"], ["judge-steps"], ["grade", "--out", "-"], ["fit", "--dry-run"]]


@pytest.mark.parametrize("verb", VERBS_ON_FILES)
def test_missing_file_is_named(run, verb, tmp_path):
    assert_refused(run(*verb, tmp_path / "none.jsonl"), "none.jsonl")


@pytest.mark.parametrize("verb", VERBS_ON_FILES)
def test_a_folder_is_no_file(run, verb, tmp_path):
    assert_refused(run(*verb, tmp_path), tmp_path.name)


@pytest.mark.parametrize("verb", VERBS_ON_FILES)
def test_empty_file_is_named(run, verb, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert_refused(run(*verb, empty), "empty.jsonl")


@pytest.mark.parametrize("verb", VERBS_ON_FILES)
def test_all_rows_bad(run, verb, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b'{"question": "1 + 1?"\n\xff\xfe\n[1]\n')
    ended = run(*verb, rows)
    assert ended.code == 2
    assert_one_line(ended.err.splitlines(keepends=True)[-1])
    assert "rows.jsonl: no row can be" in ended.err


def test_the_input_is_never_overwritten(run, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "1 + 1?", "solution": "2", "answer": "2"}\n')
    before = rows.read_bytes()
    for verb in ("split", "judge-steps", "grade"):
        assert_refused(run(verb, rows, "--out", rows), "overwrite")
    assert_refused(run("fit", rows, "--out", rows), "is there already")
    assert rows.read_bytes() == before


def end_train_with(monkeypatch, error):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(train_verb, "load_config", fail)


def test_failed_work_is_one(run, monkeypatch):
    end_train_with(monkeypatch, errors.NoLessonsError("M2 cannot be trained: 12 expansions tied"))
    ended = run("train")
    assert (ended.code, ended.err) == (1, "presrm: M2 cannot be trained: 12 expansions tied\n")


def test_full_disk_says_that_nothing_is_lost(run, monkeypatch):
    end_train_with(monkeypatch, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "trees.jsonl"))
    ended = run("train")
    assert ended.code == 1
    assert_one_line(ended.err)
    assert "disk is full" in ended.err
    assert "nothing already computed is lost" in ended.err


def test_a_file_that_may_not_be_read_is_named(run, monkeypatch):
    end_train_with(monkeypatch, PermissionError(errno.EACCES, "Permission denied", "secret.yaml"))
    ended = run("train")
    assert (ended.code, ended.err) == (1, "presrm: secret.yaml: Permission denied\n")


def test_a_bug_is_told_in_one_line_without_debug(run, monkeypatch):
    end_train_with(monkeypatch, ZeroDivisionError("division by zero\nat all"))
    ended = run("train")
    assert ended.code == 1
    assert_one_line(ended.err)
    assert "ZeroDivisionError" in ended.err
    assert "--debug" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("arguments", [["--debug", "train"], ["train", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(run, monkeypatch, arguments):
    end_train_with(monkeypatch, ZeroDivisionError("division by zero"))
    ended = run(*arguments)
    assert ended.code == 1
    assert "Traceback" in ended.err


def test_interrupted_is_130_and_says_how_to_go_on(run, monkeypatch):
    end_train_with(monkeypatch, KeyboardInterrupt())
    ended = run("train")
    assert ended.code == 130
    assert_one_line(ended.err)
    assert "same command again" in ended.err


def test_control_characters_in_a_message_are_shown_not_obeyed():
    ended = subprocess.run(
        [sys.executable, "-m", "presrm", "\x1b[31mtrain"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "\x1b" not in ended.stderr


def test_broken_pipe_is_quiet(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"solution": "a\\nb"}\n' * 20_000)
    command = f"{sys.executable} -m presrm split {rows} | head -n 1"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ended.stderr == ""
    assert ended.stdout.count("\n") == 1


def test_every_error_of_ours_ends_with_its_code():
    for error in (errors.DataError("d"), errors.RunConfigError("c"), errors.UnknownNameError("n")):
        assert explain(error) == (2, str(error))
    for error in (errors.RunError("r"), errors.JudgeError("j"), errors.EngineError("e")):
        assert explain(error) == (1, str(error))


def test_help_teaches_the_verbs_in_the_order_of_the_loop(run):
    ended = run("--help")
    assert ended.code == 0
    places = [ended.out.index(f"  {verb} ") for verb in ("train", "split", "judge-steps", "grade", "config")]
    assert places == sorted(places)
    assert "$ presrm train" in ended.out
    assert run().out == ended.out


@pytest.mark.parametrize("verb", ["train", "split", "judge-steps", "grade"])
def test_help_of_a_verb_shows_an_example(run, verb):
    assert f"$ presrm {verb} " in run(verb, "--help").out


def test_version(run):
    import presrm

    assert run("--version").out == f"presrm {presrm.__version__}\n"


def test_main_reads_the_arguments_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["presrm", "--version"])
    with pytest.raises(SystemExit) as exit_info:
        main()
    assert exit_info.value.code == 0
    assert capsys.readouterr().out.startswith("presrm ")


def test_configs_can_be_listed_shown_and_described(run, tmp_path):
    assert "embedded" in run("config", "list").out
    shown = run("config", "show", "embedded").out
    (tmp_path / "mine.yaml").write_text(shown)
    from presrm.config import load_config

    assert load_config(tmp_path / "mine.yaml").prompts == load_config("embedded").prompts
    assert '"num_candidates"' in run("config", "schema").out


def test_train_hands_over_what_was_asked_and_prints_the_table(run, monkeypatch):
    from presrm import report
    from presrm.assembly import runs

    asked = {}

    def remember(config, out, progress):
        asked.update(config=config, out=out)
        return ["M1", "M2"]

    monkeypatch.setattr(runs, "train", remember)
    monkeypatch.setattr(report, "to_table", " and ".join)
    ended = run("train", "--model", "./m", "--problems", "gsm8k:x.jsonl", "--iterations", 1, "--set", "seed=7")
    assert ended.code == 0, ended.err
    assert ended.out == "M1 and M2\nThe report is runs/embedded/report.html\n"
    config = asked["config"]
    assert (config.model.id, config.problems.train, config.iterations, config.seed) == ("./m", "gsm8k:x.jsonl", 1, 7)
    assert asked["out"] == Path("runs/embedded")


@pytest.mark.parametrize("settings", [[], ["embedded", "--model", "./m"], ["--model", "embedded"]])
def test_the_settings_of_embedded_are_no_news_where_they_were_meant(run, monkeypatch, settings):
    monkeypatch.setattr("presrm.assembly.plan.plan", lambda config: [])
    monkeypatch.setattr("presrm.assembly.probe.probe_pace", lambda config, progress: None)
    assert run("train", "--dry-run", *settings).err.startswith("plan the run ...")


def test_a_dry_run_prints_tokens_and_the_time_that_they_take_on_this_machine(run, monkeypatch):
    from presrm.assembly.probe import Pace

    small = ["problems.num_train=5", "problems.num_held_out=7", "iterations=1", "evaluation.num_judge_problems=0"]
    call = ("train", "--dry-run", *(part for setting in small for part in ("--set", setting)))
    seconds = {"load": 2.0, "answer": 10.0, "draw": 3.0, "judge": 4.0, "question": 0.0, "read": 0.0, "lesson": 1.0}
    monkeypatch.setattr(
        "presrm.assembly.probe.probe_pace", lambda config, progress: Pace(seconds, 1000.0, 10.0, (7, 5))
    )
    out = run(*call, "--set", "watch.num_problems=0").out
    told = [" ".join(line.split()) for line in out.splitlines()]
    (assessed,) = [line for line in told if line.startswith("M2: assess")]
    assert " 448 " in assessed, "seven solutions of 64 tokens"
    times = {line[:9]: line.rstrip().split("  ")[-1].strip() for line in out.splitlines() if line.startswith("M2: ")}
    assert assessed.endswith("1 min 12 s"), "a load and seven solutions"
    assert times["M2: judge"] == "20.0 s"
    assert times["M2: searc"] == "15.0 s"
    assert times["M2: train"] == "9.0 s", "five problems, and two loads"
    assert "with 7 problems solved at once" in " ".join(told)
    assert told[-1].endswith("In all that is about 3 min 08 s.")
    monkeypatch.setattr("presrm.assembly.probe.probe_pace", lambda config, progress: None)
    assert "no time was measured" in run(*call).out


@pytest.mark.parametrize("other", [["--model", "./m"], ["--set", "model.id=./m"]])
def test_another_model_without_config_is_told_whose_settings_it_gets(run, monkeypatch, other):
    monkeypatch.setattr("presrm.assembly.plan.plan", lambda config: [])
    monkeypatch.setattr("presrm.assembly.probe.probe_pace", lambda config, progress: None)
    ended = run("train", "--dry-run", *other)
    assert ended.code == 0
    told = ended.err.splitlines()[0]
    for word in ("settings", "'embedded'", "'presrm config list'", "gsm8k-small"):
        assert word in told


def test_dry_run_shows_the_plan_and_does_nothing(run, monkeypatch):
    from presrm.assembly.plan import Planned

    planned = [Planned("M2: search", "200 problems", num_written=288_000)]
    monkeypatch.setattr("presrm.assembly.plan.plan", lambda config: planned)
    monkeypatch.setattr("presrm.assembly.probe.probe_pace", lambda config, progress: None)
    monkeypatch.setattr("presrm.assembly.runs.train", None)
    ended = run("train", "--dry-run")
    assert ended.code == 0, ended.err
    assert "288,000" in ended.out


@pytest.mark.parametrize("method", ["self-rewarding", "rlsr"])
def test_a_method_without_a_config_takes_the_shipped_one_of_its_name(run, monkeypatch, method):
    monkeypatch.setattr("presrm.assembly.probe.probe_pace", lambda config, progress: None)
    ended = run("train", "--dry-run", "--method", method)

    assert ended.code == 0
    assert {"rlsr": "policy-gradient", "self-rewarding": "additive"}[method] in ended.out


@pytest.mark.parametrize("verb", ["eval", "train"])
def test_an_output_folder_that_is_a_file_is_told_before_any_work(run, tmp_path, verb):
    out = tmp_path / "out"
    out.touch()
    ended = run(verb, "--out", out)
    assert ended.code == 2
    assert f"Invalid value for '--out': dir '{out}' is a file" in ended.err
