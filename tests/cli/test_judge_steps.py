"""``presrm judge-steps`` from the outside, with a policy made of functions."""

import io
import json
import re
import sys

import pytest

from presrm.assembly import engines
from presrm.assembly import judges as judge_assembly
from presrm.engines.scripted import ScriptedEngine
from presrm.files.ledger import Ledger, short_hash
from presrm.types import Checkpoint, Judgement, Status

make_judge, open_engine = judge_assembly.make_judge, engines.open_engine


class SumJudge:
    """Says of a step such as '1+1=2' whether it is right."""

    scale = "absolute"

    def judge(self, batch):
        return [tuple(Judgement(self._score(step.text)) for step in item.steps) for item in batch]

    def _score(self, text):
        left, _, right = text.partition("=")
        return 0.9 if eval(left.removeprefix("####")) == int(right) else 0.2


@pytest.fixture(autouse=True)
def scripted_policy(monkeypatch):
    monkeypatch.setattr(engines, "open_engine", lambda policy, model: ScriptedEngine(lambda prompt, rng: ""))
    monkeypatch.setattr(engines, "limit_threads", lambda threads, model: None)
    monkeypatch.setattr(judge_assembly, "make_judge", lambda config, engine, prompts: SumJudge())


ROWS = [
    {"problem": "a", "steps": ["1+1=2", "2+2=5"], "label": 1},
    {"problem": "b", "steps": ["1+1=2", "2+2=4"], "label": -1},
    {"problem": "c", "steps": ["1+1=3", "2+2=4"], "label": 1},
]


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def read(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_rows_go_to_the_stem_and_labels_make_a_card(run, rows):
    ended = run("judge-steps", rows)
    assert ended.code == 0, ended.err
    judged = read(rows.with_name("rows.judged.jsonl"))
    assert [row["first_error"] for row in judged] == [1, -1, 0]
    assert judged[0]["judged"][0]["score"] == pytest.approx(0.9)
    assert "50.0 %" in ended.out
    assert "100.0 %" in ended.out
    assert "Verdict: AUC " in ended.out
    card = json.loads(rows.with_name("rows.judged.jsonl.card.json").read_text())
    assert card["f1"]["value"] == pytest.approx(2 / 3)


def test_without_labels_there_is_no_card(run, rows, tmp_path):
    rows.write_text('{"problem": "a", "solution": "1+1=2\\n2+2=4"}\n')
    ended = run("judge-steps", rows, "--out", tmp_path / "new" / "out.jsonl")
    assert ended.code == 0, ended.err
    assert "judge card" not in ended.out
    assert read(tmp_path / "new" / "out.jsonl")[0]["first_error"] == -1


def test_rows_set_aside_are_summed_up_and_end_with_zero(run, rows, tmp_path):
    with rows.open("ab") as file:
        file.write(b'{"steps": ["1+1=2"]}\n{"problem": "q", "solution": "\xff"}\n{"problem"\n')
    ended = run("judge-steps", rows)
    assert ended.code == 0, ended.err
    assert "3 set aside" in ended.out
    rejected = read(rows.with_name("rows.judged.jsonl.rejected.jsonl"))
    assert [row["line"] for row in rejected] == [4, 5, 6]
    where = f"{rows.with_name('rows.judged.jsonl')}.rejected.jsonl"
    assert f"presrm: 3 rows set aside, see {where}; line 4: expected a question as text under one of" in ended.err
    assert "; line 5: invalid UTF-8 at byte 31 of the line; line 6: malformed JSON" in ended.err
    again = run("judge-steps", rows)
    assert f"3 rows set aside, see {where}; line 4: expected a question" in again.err


def test_only_the_first_rows_set_aside_are_named(run, rows):
    with rows.open("a") as file:
        file.write("{}\n" * 5)
    ended = run("judge-steps", rows)
    assert ended.code == 0, ended.err
    assert re.search(r"presrm: 5 rows set aside, see \S+; line 4: ", ended.err)
    assert "line 6: " in ended.err
    assert "line 7" not in ended.err
    assert "; ...\n" in ended.err


def test_a_file_without_a_good_row_says_why(run, rows):
    rows.write_text('{"problem": "q"}\n[]\n')
    ended = run("judge-steps", rows)
    assert ended.code == 2
    assert "no row can be used; line 1: expected a solution as text under one of" in ended.err
    assert "line 2: expected an object, found list" in ended.err


def test_labels_beside_steps_make_a_card(run, rows):
    rows.write_text('{"prompt": "q", "completions": ["1+1=2", "2+2=5"], "labels": [true, false]}\n')
    ended = run("judge-steps", rows)
    assert ended.code == 0, ended.err
    assert json.loads(rows.with_name("rows.judged.jsonl.card.json").read_text())


def test_a_splitter_that_finds_nothing_is_said(run, rows):
    rows.write_text('{"problem": "q", "solution": "1+1=2"}\n' * 2 + '{"problem": "q", "solution": "1+1=2\\n2+2=4"}\n')
    ended = run("judge-steps", rows)
    assert ended.code == 0, ended.err
    assert "splitter 'newline' finds no boundary in 2 of 3 solutions" in ended.err
    rows.write_text('{"problem": "q", "steps": ["1+1=2"]}\n')
    ended = run("judge-steps", rows, "--out", rows.with_name("other.jsonl"))
    assert "no boundary" not in ended.err


@pytest.mark.parametrize(
    ("judge", "status", "told"),
    [
        ("pointwise", Status.UNREADABLE, "(6 unreadable); --set judge.verdict=direct reads the verdict from token"),
        (
            "pointwise",
            Status.TRUNCATED,
            "(6 truncated); a higher judge.max_tokens lets replies come to their verdict; ",
        ),
        ("additive", Status.TRUNCATED, "(6 truncated); a higher judge.max_tokens lets replies come to their verdict ("),
        ("additive", Status.REFUSED, "(6 refused)\n"),
    ],
)
def test_why_most_steps_have_no_score_is_said_with_what_that_judge_can_do(run, rows, monkeypatch, judge, status, told):
    class Mute(SumJudge):
        def judge(self, batch):
            return [tuple(Judgement(None, status) for _ in item.steps) for item in batch]

    assert "have a score" not in run("judge-steps", rows).err
    monkeypatch.setattr(judge_assembly, "make_judge", lambda config, engine, prompts: Mute())
    ended = run("judge-steps", rows, "--judge", judge, "--out", rows.with_name("mute.jsonl"))
    assert f"only 0 of 6 steps have a score {told}" in ended.err


def test_a_direct_verdict_is_not_advised_to_be_one(run, rows, monkeypatch):
    class Mute(SumJudge):
        def judge(self, batch):
            return [tuple(Judgement(None, Status.UNREADABLE) for _ in item.steps) for item in batch]

    monkeypatch.setattr(judge_assembly, "make_judge", lambda config, engine, prompts: Mute())
    direct = run("judge-steps", rows, "--set", "judge.verdict=direct")
    assert "have a score" not in direct.err


def test_a_line_of_ten_megabytes_ends_nothing(run, rows):
    with rows.open("ab") as file:
        file.write(b'{"problem": "' + b"x" * 10_000_000 + b'"}\n')
    ended = run("judge-steps", rows)
    assert ended.code == 0, ended.err
    assert len(read(rows.with_name("rows.judged.jsonl"))) == 3
    assert len(rows.with_name("rows.judged.jsonl.rejected.jsonl").read_bytes()) < 1000


def test_a_relative_judge_is_refused_by_name(run, rows):
    ended = run("judge-steps", rows, "--judge", "pairwise")
    assert ended.code == 2
    assert "'pairwise'" in ended.err
    assert [path.name for path in rows.parent.iterdir()] == ["rows.jsonl"]


def test_other_settings_for_the_same_output_are_refused(run, rows):
    run("judge-steps", rows)
    ended = run("judge-steps", rows, "--set", "judge.max_tokens=7")
    assert ended.code == 2
    assert "judge_settings" in ended.err


def test_another_policy_at_the_same_place_is_refused(run, rows, tmp_path):
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "config.json").write_text("{}")
    (policy / "model.safetensors").write_text("M1")
    assert run("judge-steps", rows, "--model", policy).code == 0
    (policy / "model.safetensors").write_text("M2")
    ended = run("judge-steps", rows, "--model", policy)
    assert ended.code == 2
    assert "the model has changed" in ended.err
    assert run("judge-steps", rows, "--model", policy, "--out", tmp_path / "m2.jsonl").code == 0


def test_the_folder_of_an_adapter_is_a_policy(run, rows, tmp_path, monkeypatch):
    opened = []
    engine = ScriptedEngine(lambda prompt, rng: "")
    monkeypatch.setattr(engines, "open_engine", lambda policy, model: opened.append(policy) or engine)
    monkeypatch.setattr(judge_assembly, "make_judge", make_judge)
    (tmp_path / "base.json").write_text('{"model": "embedded", "sha256": null}')
    run("judge-steps", rows, "--model", tmp_path)
    assert opened == [Checkpoint("embedded", tmp_path)]


def test_free_settings_may_change(run, rows):
    run("judge-steps", rows)
    assert run("judge-steps", rows, "--set", "model.batch_tokens=64").code == 0


def test_the_summary_says_what_came_out_and_why_rows_were_set_aside(run, rows):
    with rows.open("a") as file:
        file.write('{"problem": "d"}\n')
    ended = run("judge-steps", rows)
    cells = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert "a step found wrong 2 66.7 %" in cells
    assert "ok 6 100.0 %" in cells
    assert "mean score 0.67 0.67" in cells
    assert any(line.startswith("expected a solution") for line in cells)
    assert run("judge-steps", rows).out == ended.out


@pytest.mark.parametrize("columns", [80, 160])
def test_the_worst_are_shown_in_context(run, rows, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    ended = run("judge-steps", rows, "--show", 1)
    assert ended.code == 0, ended.err
    assert "1 of 1   score 0.20" in ended.out
    assert "-> 2 0.20 wrong 2+2=5" in ended.out
    assert run("judge-steps", rows, "--show", 9).out.count(" wrong ") == ended.out.count(" wrong ") + 1


def test_where_nothing_is_wrong_the_worst_are_none(run, rows):
    rows.write_text('{"problem": "a", "steps": ["1+1=2"]}\n')
    assert "no step has a score below 0.5" in run("judge-steps", rows, "--show", 3).out


def test_a_wrong_step_behind_an_unreadable_one_is_shown(run, rows, monkeypatch):
    class OftenUnreadable(SumJudge):
        def judge(self, batch):
            return [tuple(Judgement(None, Status.UNREADABLE) for _ in batch[0].steps), *super().judge(batch[1:])]

    rows.write_text('{"problem": "a", "steps": ["1+1=2", "2+2=5", "3+3=7"]}\n')
    monkeypatch.setattr(judge_assembly, "make_judge", lambda config, engine, prompts: OftenUnreadable())
    shown = run("judge-steps", rows, "--show", 3).out
    assert read(rows.with_name("rows.judged.jsonl"))[0]["first_error"] is None
    assert "1 before unscored" in shown
    assert "-> 2 0.20 wrong 2+2=5" in shown

    rows.write_text('{"problem": "a", "steps": ["1+1=2", "2+2=4"]}\n')
    shown = run("judge-steps", rows, "--show", 3, "--out", rows.with_name("right.jsonl")).out
    assert "no step has a score below 0.5; 1 of 2 steps have no score" in shown


def test_judges_are_compared_in_one_table_with_their_agreement(run, rows):
    ended = run("judge-steps", rows, "--compare", "pointwise, first-error", "--show", 1)
    assert ended.code == 0, ended.err
    assert "F1 [95 %]" in ended.out
    assert "same first error (kappa)" in ended.out
    assert "100.0 % (1.00)" in ended.out
    for kind in ("pointwise", "first-error"):
        assert [row["first_error"] for row in read(rows.with_name(f"rows.{kind}.judged.jsonl"))] == [1, -1, 0]
        assert f"{kind}: judge steps" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--compare", "pointwise,additive", "--out", "x.jsonl"], "--out and --compare"),
        (["--compare", "pointwise,additive", "--judge", "additive"], "--judge and --compare"),
        (["--compare", "pointwise"], "two or more"),
        (["--compare", "pointwise,pointwise"], "two or more"),
        (["--compare", "pointwise,pairwise"], "'pairwise' is relative"),
        (["--compare", "pointwise,aditive"], "additive"),
        (["--show", "-1"], "--show"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_before_anything_is_done(run, rows, arguments, said):
    ended = run("judge-steps", rows, *arguments)
    assert ended.code == 2
    assert said in ended.err
    assert [path.name for path in rows.parent.iterdir()] == ["rows.jsonl"]


def test_a_comparison_needs_a_file(run):
    ended = run("judge-steps", "-", "--compare", "pointwise,additive")
    assert ended.code == 2
    assert "FILE has to be a file" in ended.err


def test_other_formats_are_told_by_their_suffix(run, rows):
    table = rows.with_name("rows.json")
    table.write_text(json.dumps(ROWS))
    assert run("judge-steps", table).code == 0
    assert [row["first_error"] for row in read(rows.with_name("rows.judged.jsonl"))] == [1, -1, 0]


def test_help_teaches_formats_and_what_comes_out(run):
    text = " ".join(run("judge-steps", "--help").out.split())
    for word in (".parquet", "--compare", "--show", "first_error", "rejected", "judge card", "resumes"):
        assert word in text


def test_standard_input_and_output(run, rows, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rows.read_bytes())))
    ended = run("judge-steps", "-")
    assert ended.code == 0, ended.err
    assert [json.loads(line)["first_error"] for line in ended.out.splitlines()] == [1, -1, 0]
    assert "judge card" in ended.err


def test_a_model_of_yours_is_asked_in_full_sentences():
    from presrm.cli.settings import settings_to_judge

    pointwise = {"judge.kind": "pointwise"}
    assert settings_to_judge(pointwise | {"model.id": "embedded"}, None).prompts == "compact"
    assert settings_to_judge(pointwise | {"model.id": "./mine", "splitter": None}, []).prompts == "paper"
    mine = pointwise | {"model.id": "./mine", "splitter": "marker"}
    assert settings_to_judge(mine, ["prompts=compact"]).prompts == "compact"


def test_every_question_is_in_the_ledger_beside_the_output(run, rows, monkeypatch):
    monkeypatch.setattr(engines, "open_engine", lambda policy, model: ScriptedEngine(lambda prompt, rng: "[[yes]]"))
    monkeypatch.setattr(judge_assembly, "make_judge", make_judge)
    ended = run("judge-steps", rows, "--set", "judge.verdict=explained")
    assert ended.code == 0, ended.err
    with Ledger(rows.with_name("rows.judged.jsonl.ledger.sqlite"), read_only=True) as ledger:
        calls = list(ledger.calls(stage="judge-steps"))
    shown = sorted((call.problem, *call.shown) for call in calls)
    assert len(shown) == 6
    ends = {row["steps"][-1] for row in ROWS}
    assert {digest for _, digest in shown} >= {short_hash(step) for step in ends}
    assert {(call.policy, call.verdict, call.value) for call in calls} == {("embedded", "yes", 1.0)}


@pytest.mark.parametrize("kind", ["pointwise", "first-error"])
def test_a_step_longer_than_the_model_reads_is_counted_and_the_other_rows_are_judged(run, rows, monkeypatch, kind):
    monkeypatch.setattr(engines, "open_engine", open_engine)
    monkeypatch.setattr(judge_assembly, "make_judge", make_judge)
    giant = {"problem": "1+1?", "steps": ["1+1=2", "x1+" * 5_000]}
    rows.write_text("".join(json.dumps(row) + "\n" for row in (ROWS[0], giant, ROWS[1])))
    verdict = "direct" if kind == "pointwise" else "explained"
    ended = run(
        "judge-steps", rows, "--judge", kind, "--set", f"judge.verdict={verdict}", "--set", "judge.max_tokens=8"
    )
    assert ended.code == 0, ended.err
    before, found, after = (row["judged"] for row in read(rows.with_name("rows.judged.jsonl")))
    assert found[1]["status"] == "refused"
    assert "no room for a reply" in found[1]["rationale"]
    assert {judged["status"] for judged in before + after}.isdisjoint({"refused", "error"})
    assert re.search(r"^ *refused +[12] ", ended.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("callable", {"function": "test_judge_steps:always"}), ("checker", {}), ("jury", {"judges": ["checker"]})],
)
def test_a_judge_that_asks_no_policy_loads_none(run, rows, monkeypatch, kind, options):
    def load(policy, model):
        raise AssertionError("loaded")

    monkeypatch.setattr(engines, "open_engine", load)
    monkeypatch.setattr(judge_assembly, "make_judge", make_judge)
    ended = run("judge-steps", rows, "--judge", kind, "--set", f"judge.options={json.dumps(options)}")
    assert ended.code == 0, ended.err
    assert len(read(rows.with_name("rows.judged.jsonl"))) == 3
    assert not rows.with_name("rows.judged.jsonl.ledger.sqlite").exists()


def always(problem, steps_before, step):
    return 1.0


def test_an_input_of_the_same_stem_has_an_output_of_its_own(run, rows):
    assert run("judge-steps", rows).code == 0
    table = rows.with_name("rows.json")
    table.write_text(json.dumps(ROWS[:1]))
    for _ in range(2):
        assert run("judge-steps", table).code == 0
        assert len(read(rows.with_name("rows.json.judged.jsonl"))) == 1
    assert run("judge-steps", rows).code == 0
    assert len(read(rows.with_name("rows.judged.jsonl"))) == 3


def test_an_input_that_was_changed_is_refused_as_before(run, rows):
    assert run("judge-steps", rows).code == 0
    rows.write_text(json.dumps(ROWS[0]))
    assert "the input has changed" in run("judge-steps", rows).err


def test_a_text_file_is_judged_as_the_solution_of_a_question(run, tmp_path):
    path = tmp_path / "solution.md"
    path.write_text("1+1=2\n2+2=5\n")
    assert "give it with --question" in run("judge-steps", path).err
    assert run("judge-steps", path, "--question", "q").code == 0
    [row] = read(tmp_path / "solution.judged.jsonl")
    assert (row["question"], row["first_error"]) == ("q", 1)
    assert "question" in run("judge-steps", path, "--question", "other").err


def test_the_answers_of_gsm8k_are_judged(run, tmp_path):
    path = tmp_path / "gsm8k.jsonl"
    path.write_text(json.dumps({"question": "q", "answer": "1+1=2\n#### 2=2"}))
    assert run("judge-steps", path).code == 0
    [row] = read(tmp_path / "gsm8k.judged.jsonl")
    assert [step["text"] for step in row["judged"]] == ["1+1=2\n", "#### 2=2"]


def test_a_single_solution_is_shown_step_by_step(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ended = run("judge-steps", "--question", "q", "--solution", "1+1=2\n2+2=5")
    assert ended.code == 0, ended.err
    lines = [line.split() for line in ended.out.splitlines()]
    assert ["1", "0.90", "1+1=2"] in lines
    assert ["2", "0.20", "2+2=5"] in lines
    assert "step 2 is the first found wrong" in ended.out
    ended = run("judge-steps", "--question", "q", "--solution", "1+1=2\n2+2=5", "--out", "-")
    assert json.loads(ended.out)["first_error"] == 1
    assert list(tmp_path.iterdir()) == []


def test_rows_of_standard_input_that_are_set_aside_are_kept(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(ROWS[0]).encode() + b"\n{\n")))
    ended = run("judge-steps", "-")
    assert "1 row set aside, see stdin.rejected.jsonl; line 2" in ended.err
    assert read(tmp_path / "stdin.rejected.jsonl")[0]["line"] == 2
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{\n")))
    ended = run("judge-steps", "-")
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("presrm: standard input: no row can be used; line 1")
