"""``presrm eval`` from the outside, with a policy made of a function."""

import json

import pytest

from presrm import eval_assembly
from presrm.engines.scripted import ScriptedEngine

ROWS = [{"id": f"p{n}", "question": f"{n}+1", "answer": str(n + 1)} for n in range(10)]


@pytest.fixture(autouse=True)
def scripted_policy(monkeypatch):
    engine = ScriptedEngine(lambda prompt, rng: f"#### {rng.choice([4, 5])}")
    monkeypatch.setattr(eval_assembly, "open_engine", lambda policy, model: engine)
    monkeypatch.setattr(eval_assembly, "policy_at", lambda model: None)


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_samples_and_results_have_the_shape_of_the_harness(run, problems, tmp_path):
    ended = run("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out", "--samples", "4")
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in (tmp_path / "out/m/samples_sums_sample-4.jsonl").read_text().splitlines()]
    assert [row["doc_id"] for row in rows] == list(range(10))
    assert rows[0]["target"] == "1"
    assert len(rows[0]["resps"][0]) == len(rows[0]["filtered_resps"]) == 4
    results = json.loads((tmp_path / "out/m/results.json").read_text())
    assert results["n-samples"]["sums_sample-4"]["effective"] == 10
    assert results["results"]["sums_sample-4"]["pass@4,none"] >= results["results"]["sums_sample-4"]["pass@1,none"]
    assert "maj@4" in ended.out


def test_greedy_gives_the_name_that_the_harness_gives_accuracy(run, problems, tmp_path):
    assert run("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out").code == 0
    results = json.loads((tmp_path / "out/m/results.json").read_text())["results"]["sums_greedy"]
    assert 0 <= results["exact_match,none"] <= 0.2


def test_a_second_extractor_reads_every_solution(run, tmp_path):
    path = tmp_path / "gsm8k.jsonl"
    path.write_text("".join(json.dumps({"question": f"{n}?", "answer": "#### 4"}) + "\n" for n in range(10)))
    out = tmp_path / "out"
    ended = run("eval", "--model", "m", "--problems", f"gsm8k:{path}", "--out", out, "--samples", "2")
    assert ended.code == 0, ended.err
    assert "audit: 0 of 20 solutions are graded differently by the last number" in ended.out
    audit = json.loads((out / "m/results.json").read_text())["audit"]["gsm8k_sample-2"]
    assert (audit["num"], audit["num_unread"], audit["num_graded_differently"]) == (20, 0, 0)
    assert (out / "m/audit_gsm8k_sample-2.jsonl").read_text() == ""


def test_a_second_evaluation_adds_to_the_results(run, problems, tmp_path):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out")
    assert run(*call).code == 0
    assert run(*call, "--search", "best-of-n").code == 0
    assert set(json.loads((tmp_path / "out/m/results.json").read_text())["results"]) == {
        "sums_greedy",
        "sums_best-of-n-6",
    }


def test_the_same_command_on_a_finished_evaluation_only_tells_it_again(run, problems, tmp_path):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out")
    first, second = run(*call), run(*call)
    assert (second.code, second.out) == (0, first.out)


def test_other_settings_in_the_same_folder_are_refused(run, problems, tmp_path):
    call = ("eval", "--model", "m", "--problems", problems, "--out", tmp_path / "out")
    assert run(*call).code == 0
    ended = run(*call, "--set", "seed=7")
    assert ended.code == 2
    assert "seed: 0 -> 7" in ended.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "m"), "--problems"),
        (("--model", "m", "--problems", "gsm9k"), "gsm8k"),
        (("--samples", "2", "--search", "beam"), "exclude each other"),
        (("--model", "a/m", "--model", "a/m", "--problems", "FILE"), "share a folder"),
    ],
)
def test_a_request_that_makes_no_sense_is_told(run, problems, arguments, told):
    ended = run("eval", *(problems if argument == "FILE" else argument for argument in arguments))
    assert ended.code == 2
    assert told in ended.err


def test_a_problem_without_an_answer_cannot_be_scored(run, tmp_path):
    path = tmp_path / "open.jsonl"
    path.write_text('{"question": "why?"}\n')
    ended = run("eval", "--model", "m", "--problems", path)
    assert ended.code == 2
    assert "no answer" in ended.err
