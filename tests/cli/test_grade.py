"""``presrm grade``: rows gain a grade and the answer that was found."""

import json

import pytest

from presrm.graders.gsm8k import Gsm8kGrader


@pytest.fixture
def write(tmp_path):
    def write(*pairs, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps({"solution": s, "answer": a}) + "\n" for s, a in pairs))
        return path

    return write


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_gain_grade_and_extracted(run, write):
    rows = write(("#### 1,000", "1000"), ("#### 3", 4), ("I do not know", "4"), (None, "4"), ("#### 4", None))
    ended = run("grade", rows, "--grader", "gsm8k", "--out", "-")
    assert ended.code == 0, ended.err
    graded = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["grade"] for row in graded] == ["correct", "incorrect", "no_answer"]
    assert graded[2]["extracted"] is None
    assert "2 rows set aside" in ended.err
    assert "'answer'" in ended.err
    assert "3 graded: 1 correct (33.3%), 1 incorrect, 1 no answer (1 not extracted)" in ended.err


def test_bad_rows_go_beside_the_output(run, write, tmp_path):
    rows = write(("#### 4", "4"), ("#### 4", "x"), (None, "4"))
    ended = run("grade", rows, "--grader", "gsm8k", "--out", tmp_path / "graded.jsonl")
    assert ended.code == 0, ended.err
    assert [row["line"] for row in read(tmp_path / "graded.jsonl.rejected.jsonl")] == [2, 3]
    assert "graded.jsonl.rejected.jsonl" in ended.err
    assert "1 graded: 1 correct" in ended.out


@pytest.mark.parametrize(
    ("grader", "answer", "solution"),
    [
        ("countdown", {"numbers": [10, 4, 4], "target": 24}, "(10 - 4) * 4 = 24"),
        ("math", ["1", "-2"], r"\boxed{-2, 1}"),
        ("math", 0.5, r"\boxed{1/2}"),
    ],
)
def test_an_answer_may_be_an_object_a_list_or_a_number(run, write, grader, answer, solution):
    ended = run("grade", write((solution, answer)), "--grader", grader, "--out", "-")
    assert json.loads(ended.out)["grade"] == "correct", ended.err


def test_a_benchmark_may_say_how_far_off_is_correct(run, tmp_path):
    rows = tmp_path / "rows.jsonl"
    row = {"solution": r"\boxed{4.3 \%}", "answer": ["4.2"], "tolerance": 0.1}
    rows.write_text(json.dumps(row) + "\n" + json.dumps({**row, "tolerance": 0.05}))
    ended = run("grade", rows, "--out", "-")
    assert [json.loads(line)["grade"] for line in ended.out.splitlines()] == ["correct", "incorrect"]


def grade_rows(run, tmp_path, rows, *options):
    """Grade rows; give how it ended, the rows that came out, and why others were set aside."""
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ended = run("grade", path, "--out", "-", *options)
    rejected = tmp_path / "rows.jsonl.rejected.jsonl"
    reasons = [row["reason"] for row in read(rejected)] if rejected.exists() else []
    return ended, [json.loads(line) for line in ended.out.splitlines()], reasons


@pytest.mark.parametrize("tolerance", [0.1, "0.1", " 1e-1 ", 1])
def test_a_tolerance_may_be_text_as_every_cell_of_a_csv_is(run, tmp_path, tolerance):
    _, graded, _ = grade_rows(run, tmp_path, [{"solution": "so 4.1", "answer": "4.2", "tolerance": tolerance}])
    assert graded[0]["grade"] == "correct"


def test_a_tolerance_in_a_csv_counts_and_an_empty_cell_is_none(run, tmp_path):
    (tmp_path / "rows.csv").write_text("solution,answer,tolerance\nso 4.1,4.2,0.1\nso 4.1,4.2,\n")
    ended = run("grade", tmp_path / "rows.csv", "--out", "-")
    assert [json.loads(line)["grade"] for line in ended.out.splitlines()] == ["correct", "incorrect"], ended.err


@pytest.mark.parametrize("tolerance", [-1, True, "wide", "-0.1", "nan", "inf", [0.1], {"abs": 1}])
def test_a_tolerance_that_is_none_makes_a_bad_row(run, tmp_path, tolerance):
    _, graded, reasons = grade_rows(
        run, tmp_path, [{"solution": "4", "answer": "4", "tolerance": tolerance}, {"solution": "4", "answer": "4"}]
    )
    assert len(graded) == 1
    assert reasons == [f"tolerance: expected a number that is not negative, found {tolerance!r}"]


def test_a_tolerance_is_refused_where_the_grader_takes_none(run, tmp_path):
    """Handed on as text it would make every answer wrong."""
    ended, _, _ = grade_rows(run, tmp_path, [{"solution": "4", "answer": "4", "tolerance": 1}], "--grader", "exact")
    assert ended.code == 2
    assert "tolerance: this grader takes none" in ended.err


@pytest.mark.parametrize(("solution", "answer"), [("5", "5"), ("B", "B"), ("x + 1", "x + 1")])
def test_a_solution_that_is_the_bare_reference_is_correct(run, tmp_path, solution, answer):
    row = {"question": "2+3?", "solution": solution, "answer": answer}
    _, graded, _ = grade_rows(run, tmp_path, [row])
    assert graded[0]["grade"] == "correct"
    assert json.loads(run("grade", "--solution", solution, "--answer", answer).out)["grade"] == "correct"


def test_a_reply_that_is_the_reference_solution_word_for_word_is_correct(run, tmp_path):
    worked = "1 + 2 = 3\n#### 3"
    _, graded, _ = grade_rows(run, tmp_path, [{"response": worked, "answer": worked}])
    assert graded[0]["grade"] == "correct"


@pytest.mark.parametrize(
    "reply",
    [
        {"solution": ""},
        {"solution": " \n"},
        {"completion": [{"role": "assistant", "content": ""}]},
        {"completion": [{"role": "assistant", "content": [{"type": "text", "text": " "}]}]},
        {"steps": []},
        {"steps": [""]},
    ],
)
@pytest.mark.parametrize("grader", ["auto", "gsm8k", "math", "exact"])
def test_a_blank_reply_is_no_answer_and_stays_in_the_denominator(run, tmp_path, reply, grader):
    ended, graded, _ = grade_rows(
        run, tmp_path, [{**reply, "answer": "5"}, {"solution": "5", "answer": "5"}], "--grader", grader
    )
    assert [(row["grade"], row["extracted"]) for row in graded] == [("no_answer", None), ("correct", "5")]
    assert "2 graded: 1 correct (50.0%)" in ended.err


@pytest.mark.parametrize(
    "reply", [{}, {"solution": None}, {"completion": [{"role": "assistant", "tool_calls": ["f"]}]}]
)
def test_a_row_without_a_solution_is_set_aside(run, tmp_path, reply):
    ended, graded, _ = grade_rows(run, tmp_path, [{**reply, "answer": "5"}])
    assert (ended.code, graded) == (2, [])


@pytest.mark.parametrize("question", [{}, {"question": ""}, {"question": None}, {"question": "1+1?"}])
def test_steps_need_no_question_as_text_needs_none(run, tmp_path, question):
    row = {**question, "steps": ["1 + 1 = 2", "#### 2"], "answer": "1 + 1 = <<1+1=2>>2\n#### 2"}
    _, graded, reasons = grade_rows(run, tmp_path, [row])
    assert [row["grade"] for row in graded] == ["correct"], reasons


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def grade(self, solution, answer): raise ValueError('no')", "raised ValueError: no"),
        ("def grade(self, solution, answer): exit(3)", "raised SystemExit: 3"),
        ("def grade(self, solution, answer): return 'correct'", "gave 'correct' from 'grade': expected a Grade"),
        ("def grade(self, solution, answer): return None", "gave None from 'grade': expected a Grade"),
        ("def grade(self, solution, answer): return True", "gave True from 'grade': expected a Grade"),
        ("def extract(self, solution): 1 / 0", "raised ZeroDivisionError"),
        ("def extract(self, solution): return 5", "gave 5 from 'extract': expected text, or none"),
        ("def __init__(self): 1 / 0", "raised ZeroDivisionError"),
        ("grade = None", "has no 'grade'"),
    ],
)
def test_a_grader_that_breaks_its_law_is_told_by_its_name(run, write, tmp_path, monkeypatch, body, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd.py").write_text(
        f"from presrm.graders.exact import ExactGrader\nclass Odd(ExactGrader):\n    {body}\n"
    )
    for out in ("-", "graded.jsonl"):
        ended = run("grade", write(("5", "5")), "--grader", "odd.py:Odd", "--out", out)
        assert ended.code == 1
        assert ended.err.splitlines()[-1].startswith("presrm: grader 'odd.py:Odd' "), ended.err
        assert told in ended.err


@pytest.mark.parametrize("out", [".", "..", "/", ""])
def test_an_output_that_is_a_folder_is_refused_in_one_line(run, write, tmp_path, monkeypatch, out):
    monkeypatch.chdir(tmp_path)
    ended = run("grade", write(("5", "5")), "--out", out)
    assert ended.code == 2
    assert ended.err.strip().endswith("is a folder; expected the name of a file")


def test_the_same_command_goes_on_where_it_was_stopped(run, write, tmp_path, monkeypatch):
    """Killed in its third group, it grades no row of the first two again, and writes the same bytes."""
    pairs = [(f"#### {i}", str(i % 3)) for i in range(9)]
    pairs[1] = (None, "1")
    rows, out = write(*pairs), tmp_path / "graded.jsonl"
    monkeypatch.setattr("presrm.cli.grade._GROUP_SIZE", 2)
    assert run("grade", rows, "--grader", "gsm8k", "--out", tmp_path / "whole.jsonl").code == 0

    graded = []
    grade = Gsm8kGrader.grade

    def dies_at_5(self, solution, answer):
        graded.append(solution)
        if solution == "#### 5":
            raise RuntimeError
        return grade(self, solution, answer)

    monkeypatch.setattr(Gsm8kGrader, "grade", dies_at_5)
    assert run("grade", rows, "--grader", "gsm8k", "--out", out).code == 1
    assert len(read(out)) == 3
    with out.open("a") as file:
        file.write("what a killed writer left")

    graded.clear()
    monkeypatch.setattr(Gsm8kGrader, "grade", lambda *args: (graded.append(args[1]), grade(*args))[1])
    assert run("grade", rows, "--grader", "gsm8k", "--out", out).code == 0
    assert sorted(graded) == [f"#### {i}" for i in range(4, 9)]
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert [row["line"] for row in read(tmp_path / "graded.jsonl.rejected.jsonl")] == [2]

    graded.clear()
    ended = run("grade", rows, "--grader", "gsm8k", "--out", out)
    assert (ended.code, graded) == (0, [])
    assert "8 graded" in ended.out


@pytest.mark.parametrize("change", ["input", "grader"])
def test_another_request_is_refused(run, write, tmp_path, change):
    out = tmp_path / "graded.jsonl"
    assert run("grade", write(("#### 4", "4")), "--grader", "gsm8k", "--out", out).code == 0
    rows = write(("#### 5", "4")) if change == "input" else tmp_path / "rows.jsonl"
    ended = run("grade", rows, "--grader", "gsm8k" if change == "input" else "exact", "--out", out)
    assert ended.code == 2
    assert change in ended.err


def test_no_row_that_can_be_used_is_an_error_and_leaves_no_output(run, write, tmp_path):
    ended = run("grade", write((None, "4")), "--grader", "gsm8k", "--out", tmp_path / "graded.jsonl")
    assert ended.code == 2
    assert "line 1: expected a solution as text under one of 'solution'" in ended.err
    assert not (tmp_path / "graded.jsonl").exists()


def test_the_input_is_never_overwritten(run, write):
    rows = write(("#### 4", "4"))
    assert run("grade", rows, "--out", rows).code == 2


def test_a_misspelt_grader_is_answered_with_the_nearest(run, write):
    ended = run("grade", write(("#### 4", "4")), "--grader", "mth", "--out", "-")
    assert ended.code == 2
    assert "did you mean 'math'" in ended.err


def test_rows_of_all_formats_of_solutions_are_graded(run, tmp_path):
    rows = [
        {"prompt": "q", "completion": [{"role": "assistant", "content": "#### 3"}], "answer": "3"},
        {"question": "q", "steps": ["1 + 1 = 2", "#### 2"], "answer": "3"},
        {"question": "q", "response": "#### 3", "answer": "1 + 2 = <<1+2=3>>3\n#### 3"},
    ]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    ended = run("grade", path, "--grader", "gsm8k")
    assert ended.code == 0, ended.err
    graded = read(tmp_path / "rows.graded.jsonl")
    assert [row["grade"] for row in graded] == ["correct", "incorrect", "correct"]


def test_a_reference_solution_alone_is_not_graded_against_itself(run, tmp_path):
    path = tmp_path / "gsm8k.jsonl"
    path.write_text(json.dumps({"question": "q", "answer": "1 + 2 = 3\n#### 3"}))
    ended = run("grade", path, "--out", "-")
    assert ended.code == 2
    assert "it is the reference solution itself" in ended.err
    assert read(tmp_path / "gsm8k.jsonl.rejected.jsonl")[0]["line"] == 1


def test_a_single_solution_is_graded(run):
    ended = run("grade", "--solution", "so it is 7.", "--answer", "7")
    assert json.loads(ended.out)["grade"] == "correct"
    assert "1 graded: 1 correct" in ended.err
    assert run("grade", "--solution", "7").code == 2
