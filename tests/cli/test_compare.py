"""``presrm compare`` from the outside."""

import json

import pytest


def samples(path, solved):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{"doc": {"id": name}, "exact_match": float(value)} for name, value in solved.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


BEFORE = {f"p{n}": n < 5 for n in range(20)}
AFTER = {f"p{n}": 1 <= n < 15 for n in range(20)}


def test_it_tells_the_difference_its_p_value_and_which_problems(run, tmp_path):
    a, b = samples(tmp_path / "a/samples_x.jsonl", BEFORE), samples(tmp_path / "b/samples_x.jsonl", AFTER)
    ended = run("compare", a.parent, b.parent)
    assert ended.code == 0, ended.err
    assert " +45.0 " in ended.out
    assert "0.012" in ended.out, "10 solved against 1 lost: 2 * (1 + 11) / 2**11"
    assert "only A solves (1): p0" in ended.out
    assert "only B solves (10): p5" in ended.out


def test_a_run_is_its_last_policy(run, tmp_path):
    for number, solved in ((1, BEFORE), (2, BEFORE), (10, AFTER)):
        samples(tmp_path / f"run/iterations/{number}/answers.jsonl", solved)
    ended = run("compare", tmp_path / "run/iterations/1", tmp_path / "run")
    assert ended.code == 0, ended.err
    assert " +45.0 " in ended.out


def test_many_problems_are_cut_short_unless_all_are_asked_for(run, tmp_path):
    a = samples(tmp_path / "a.jsonl", {f"p{n}": False for n in range(30)})
    b = samples(tmp_path / "b.jsonl", {f"p{n}": True for n in range(30)})
    assert "and 20 more (--all)" in run("compare", a, b).out
    assert "p29" in run("compare", a, b, "--all").out


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda path: path.mkdir(), "no run"),
        (lambda path: path.write_text('{"a": 1}\n'), "not a row of presrm eval"),
        (lambda path: samples(path, {"other": True}), "not the same problems"),
        (lambda path: None, "no run"),
    ],
)
def test_what_cannot_be_compared_is_told(run, tmp_path, write, told):
    a = samples(tmp_path / "a.jsonl", BEFORE)
    write(tmp_path / "b.jsonl")
    ended = run("compare", a, tmp_path / "b.jsonl")
    assert ended.code == 2
    assert told in ended.err


def test_the_folder_that_eval_wrote_is_that_of_its_policy(run, tmp_path):
    a = samples(tmp_path / "first/base/samples_x_greedy.jsonl", BEFORE)
    b = samples(tmp_path / "second/tuned/samples_x_greedy.jsonl", AFTER)
    ended = run("compare", tmp_path / "first", tmp_path / "second")
    assert ended.code == 0, ended.err
    assert ended.out == run("compare", a.parent, b.parent).out
    assert " +45.0 " in ended.out


def test_a_folder_of_several_policies_is_refused_and_they_are_named(run, tmp_path):
    for policy in ("base", "tuned"):
        samples(tmp_path / f"evals/{policy}/samples_x.jsonl", BEFORE)
    ended = run("compare", tmp_path / "evals", tmp_path / "evals/tuned")
    assert ended.code == 2
    assert f"holds 2 policies, say which: {tmp_path}/evals/base, {tmp_path}/evals/tuned" in ended.err
    assert run("compare", tmp_path / "evals/base", tmp_path / "evals/tuned").code == 0


def test_what_eval_writes_is_compared_as_it_is(run, tmp_path):
    problems = tmp_path / "problems.jsonl"
    problems.write_text(json.dumps({"id": "p", "question": "1 + 1?", "answer": "2"}) + "\n")
    small = ("--set", "evaluation.max_tokens=4", "--set", "threads=1")
    for out in ("a", "b"):
        assert run("eval", "--problems", problems, "--out", tmp_path / out, *small).code == 0
    ended = run("compare", tmp_path / "a", tmp_path / "b")
    assert ended.code == 0, ended.err
    assert "only B solves (0): none" in ended.out


def answers(path, texts):
    rows = [
        {"doc": {"id": name, "question": f"{name} 2 + 3?"}, "resps": [[text]], "chosen": 0, "exact_match": 0.0}
        for name, text in texts.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_named_judge_compares_answers_that_cannot_be_graded(run, tmp_path):
    a = answers(tmp_path / "a.jsonl", {"p": " 2 + 3 = 6\n", "q": "same", "r": " 2 + 3 = 9\n"})
    b = answers(tmp_path / "b.jsonl", {"p": " 2 + 3 = 5\n", "q": "same", "r": " 2 + 3 = 5\n"})

    ended = run("compare", a, b, "--win-rate", "embedded", "--set", "judge.verdict=direct")

    assert ended.code == 0, ended.err
    assert "by pairwise of embedded" in ended.out
    assert "at equal length" in ended.out
    assert "0 comparisons could not be read" in ended.out
    refused = run("compare", a, answers(tmp_path / "c.jsonl", {"p": "x"}), "--win-rate", "embedded")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "same problems" in refused.err
    assert "belongs to --win-rate" in run("compare", a, b, "--set", "judge.verdict=direct").err
    absolute = run("compare", a, b, "--win-rate", "embedded", "--set", "judge.kind=pointwise")
    assert "relative scale" in absolute.err
