"""``presrm split``: JSON Lines for programs, colours for people."""

import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from presrm.cli import split as split_verb
from presrm.cli.show import one_line, print_steps, visible
from presrm.engines.scripted import ScriptedEngine
from presrm.files.lock import lock_beside


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"id": 1, "solution": "a\nb"}, {"response": "é\u2028\n"}, {"solution": 3}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_gain_steps_on_standard_output(run, rows):
    ended = run("split", rows)
    assert ended.code == 0, ended.err
    first, second = map(json.loads, ended.out.rstrip("\n").split("\n"))
    assert first == {"id": 1, "solution": "a\nb", "steps": ["a\n", "b"]}
    assert "".join(second["steps"]) == second["response"]
    rejected = f"{rows}.rejected.jsonl"
    assert ended.err.startswith(f"presrm: 1 row set aside, see {rejected}; line 3: ")
    assert json.loads(Path(rejected).read_text())["line"] == 3


def test_rows_go_to_a_file_and_bad_ones_beside_it(run, rows, tmp_path):
    out = tmp_path / "split.jsonl"
    ended = run("split", rows, "--out", out)
    assert (ended.code, ended.out) == (0, "")
    assert len(out.read_text("utf-8").rstrip("\n").split("\n")) == 2
    rejected = json.loads((tmp_path / "split.jsonl.rejected.jsonl").read_text())
    assert rejected["line"] == 3


def test_only_the_reasons_are_left_behind_where_no_row_can_be_used(run, rows, tmp_path):
    rows.write_text("{}\n[]\n")
    ended = run("split", rows, "--out", tmp_path / "split.jsonl")
    assert ended.code == 2
    assert f"see {tmp_path / 'split.jsonl.rejected.jsonl'}" in ended.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl", "split.jsonl.rejected.jsonl"]


def test_reasons_of_an_earlier_start_do_not_stay(run, rows, tmp_path):
    run("split", rows)
    rows.write_text('{"solution": "a"}\n')
    run("split", rows)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_text_file_and_a_single_solution_are_cut(run, tmp_path):
    path = tmp_path / "solution.md"
    path.write_text("One.\n\nTwo.")
    ended = run("split", path, "--splitter", "paragraph")
    assert json.loads(ended.out)["steps"] == ["One.\n\n", "Two."]
    assert run("split", "--solution", "One.\n\nTwo.", "--splitter", "paragraph").out == ended.out


@pytest.mark.parametrize("arguments", [[], ["rows.jsonl", "--solution", "a"]])
def test_there_is_either_a_file_or_a_solution(run, arguments):
    ended = run("split", *arguments)
    assert ended.code == 2
    assert "--solution" in ended.err


def test_a_terminal_sees_colours(run, rows, monkeypatch):
    monkeypatch.setattr(split_verb.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(split_verb, "Console", lambda: Console(force_terminal=True))
    ended = run("split", rows)
    assert "\x1b[36ma" in ended.out
    assert "{" not in ended.out


def test_neighbours_differ_in_colour_and_control_characters_are_shown(capsys):
    print_steps(Console(force_terminal=True), ["one\n", "t\x1b[2Jwo [red]"])
    shown = capsys.readouterr().out
    assert "\x1b[36mone" in shown
    assert "\x1b[32m" in shown
    assert "\\x1b[2Jwo [red]" in shown
    assert "\x1b[2J" not in shown


def test_what_cannot_be_printed_is_escaped():
    assert visible("a\tb\x9b\u202ec\n") == "a\\tb\\x9b\\u202ec\n"
    assert one_line("a\n  b\x00") == "a b\\x00"


@pytest.fixture
def old_solutions(tmp_path):
    path = tmp_path / "old.jsonl"
    solutions = ["First this. Then that.", "First this. Never that.", "Step 1: Done."]
    rows = [{"id": n, "problem": "What?", "solution": text} for n, text in enumerate(solutions)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"solution": "No question."}]))
    return path


@pytest.fixture
def models(monkeypatch):
    """Models that put a marker before "First", "Then" and "Never", and think better of what they do not like."""
    opened = []

    def open_engine(policy, settings):
        opened.append(policy.model)
        return ScriptedEngine(
            lambda prompt, rng: (
                next(part.text for part in prompt.trunk if "First" in part.text)
                .replace("First", "Step 1: First")
                .replace(" Then", "\nStep 2: Then")
                .replace(" Never", "\nStep 2: Always")
            )
        )

    monkeypatch.setattr("presrm.assembly.engines.open_engine", open_engine)
    return opened


def test_a_model_cuts_and_what_it_changes_is_refused_and_counted(run, old_solutions, models, tmp_path):
    out = tmp_path / "steps.jsonl"
    ended = run("split", old_solutions, "--segmenter", "model", "--out", out)

    assert ended.code == 0, ended.err
    (row,) = map(json.loads, out.read_text().splitlines())
    assert row["steps"] == ["First this. ", "Then that."]
    assert row["segmented"] == "Step 1: First this.\nStep 2: Then that."
    rejected = list(map(json.loads, (tmp_path / "steps.jsonl.rejected.jsonl").read_text().splitlines()))
    assert [row["line"] for row in rejected] == [2, 3, 4]
    assert rejected[0]["reason"] == "step 2 of the reply is not what the solution says there"
    assert "1 solution segmented, 2 refused" in ended.err
    assert ended.err.index("load the policy ...") < ended.err.index("segment ...")
    assert "segment: done, 4 in " in ended.err
    assert "3 rows set aside" in ended.err
    assert models == ["embedded"]


def test_a_model_cuts_what_stands_in_a_table(run, old_solutions, models):
    table = old_solutions.with_suffix(".csv")
    table.write_text("problem,solution\nWhat?,First this. Then that.\n")
    ended = run("split", table, "--segmenter", "model")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["steps"] == ["First this. ", "Then that."]


def test_the_counts_are_told_even_where_no_row_is_left(run, old_solutions, models):
    old_solutions.write_text(old_solutions.read_text().split("\n")[1])
    ended = run("split", old_solutions, "--segmenter", "model", "--model", "DIR")
    assert ended.code == 2
    assert "0 solutions segmented, 1 refused" in ended.err
    assert models == ["DIR"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--segmenter", "model", "--splitter", "marker"], "--splitter cuts by rules"),
        (["--model", "embedded"], "need --segmenter model"),
        (["--set", "seed=1"], "need --segmenter model"),
        (["--segmenter", "modle"], "modle"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(run, old_solutions, flags, message):
    ended = run("split", old_solutions, *flags)
    assert ended.code == 2
    assert message in ended.err


@pytest.mark.parametrize(
    ("solutions", "said"),
    [
        (["a b", "c\nd"], ""),
        (["a b", "c d", "e\nf"], "splitter 'newline' finds no boundary in 2 of 3 solutions"),
        (["a b"], "splitter 'newline' finds no boundary in 1 of 1 solutions"),
    ],
)
def test_a_splitter_that_finds_no_boundary_in_most_solutions_is_said(run, tmp_path, solutions, said):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"solution": text}) + "\n" for text in solutions))
    ended = run("split", path)
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == len(solutions)
    assert said in ended.err
    assert ended.err.count("\n") == bool(said)


def test_a_model_that_finds_no_boundary_is_said_too(run, old_solutions, models):
    old_solutions.write_text('{"problem": "What?", "solution": "First this."}\n')
    ended = run("split", old_solutions, "--segmenter", "model")
    assert ended.code == 0, ended.err
    assert "the model finds no boundary in 1 of 1 solutions" in ended.err


def test_an_output_has_one_writer_and_no_link_is_followed(run, tmp_path):
    rows, out, mine = tmp_path / "rows.jsonl", tmp_path / "out.jsonl", tmp_path / "mine"
    rows.write_text('{"question": "?", "solution": "a\\nb\\n"}\n{}\n')
    mine.write_text("mine")
    with lock_beside(out):
        ended = run("split", rows, "--out", out)
    assert ended.code == 1
    assert re.fullmatch(r"presrm: process \d+ on .* is working on .*out\.jsonl; wait for it, .*\n", ended.err)
    (tmp_path / ".out.jsonl.tmp").symlink_to(mine)
    assert run("split", rows, "--out", out).code == 0
    assert json.loads(out.read_text())["steps"] == ["a\n", "b\n"]
    for name in ("out.jsonl", "out.jsonl.rejected.jsonl"):
        (tmp_path / name).unlink()
        (tmp_path / name).symlink_to(mine)
        ended = run("split", rows, "--out", out)
        assert ended.code == 1
        assert f"{name} is a symbolic link" in ended.err
        (tmp_path / name).unlink()
    assert mine.read_text() == "mine"
