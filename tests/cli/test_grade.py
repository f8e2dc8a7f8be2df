"""``presrm grade``: rows gain a grade and the answer that was found."""

import json


def test_rows_gain_grade_and_extracted(run, tmp_path):
    rows = tmp_path / "rows.jsonl"
    solutions = [("#### 1,000", "1000"), ("#### 3", 4), ("I do not know", "4"), (None, "4"), ("#### 4", None)]
    rows.write_text("".join(json.dumps({"solution": s, "answer": a}) + "\n" for s, a in solutions))
    ended = run("grade", rows, "--grader", "gsm8k", "--out", "-")
    assert ended.code == 0, ended.err
    graded = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["grade"] for row in graded] == ["correct", "incorrect", "no_answer"]
    assert graded[2]["extracted"] is None
    assert "2 rows set aside" in ended.err
    assert "'answer'" in ended.err
