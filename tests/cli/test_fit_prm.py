"""``presrm fit-prm``: a process reward model from labelled rows, and a judge that reads it."""

import json

ROWS = [
    {"question": f"What is {n} + 1?", "steps": [f"{n} + 1 = {n + 1 + n % 2}\n", "So it is."], "label": -1 + n % 2}
    for n in range(6)
]
SETTINGS = ("--set", "threads=1", "--set", "training.learning_rate=0.001", "--set", "training.batch_pairs=3")


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_model_is_trained_and_judges(run, tiny_policy, tmp_path):
    rows, out, judged = write(tmp_path / "rows.jsonl", ROWS), tmp_path / "prm", tmp_path / "judged.jsonl"

    ended = run("fit-prm", rows, "--model", tiny_policy, "--out", out, *SETTINGS)

    assert ended.code == 0, ended.err
    assert ended.out == f"The process reward model, trained on 6 solutions, is in {out}\n"
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["optimiser_step"] for row in metrics if "loss" in row] == [1, 2]
    ended = run("judge-steps", rows, "--judge", "prm", "--set", f"judge.options.model={out}", "--out", judged)
    assert ended.code == 0, ended.err
    found = [json.loads(line)["judged"] for line in judged.read_text().splitlines()]
    scores = [step["score"] for row in found for step in row]
    assert len(scores) == 12
    assert all(0 < score < 1 for score in scores)


def test_what_cannot_be_learned_from_is_refused_in_a_line(run, tiny_policy, tmp_path):
    rows = write(tmp_path / "rows.jsonl", [{"question": "1 + 1?", "steps": ["2"]}])
    ended = run("fit-prm", rows, "--model", tiny_policy, "--out", tmp_path / "prm")
    assert ended.code in (1, 2)
    assert "no step has a label" in ended.err
    assert run("fit-prm", tmp_path / "none.jsonl", "--out", tmp_path / "prm").code in (1, 2)
    assert not (tmp_path / "prm").exists()
