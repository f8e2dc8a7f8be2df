"""``presrm fit``: pairs from anywhere train a policy, end to end."""

import json
import shutil
import sys

import pytest

from presrm.files.jsonl import dump
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

QUESTION = "Tom has 12 apples. He buys 3 more. How many?"
STEP_DPO = {
    "prompt": QUESTION,
    "initial_reason_steps": "12 + 3 = 15\n",
    "chosen": "The answer is 15.",
    "rejected": "15 + 3 = 18\n",
}
TRL = {"prompt": QUESTION, "chosen": "12 + 3 = 15\n#### 15\n", "rejected": "12 + 3 = 16\n#### 16\n"}
CHAT = {
    "chosen": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "15"}],
    "rejected": [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "16"}],
}
OWN = PreferencePair("p/1", Trajectory(Problem("p", QUESTION)), Step("12 + 3 = 15\n"), Step("15\n", stop=Stop.EOS), 0.5)
SETTINGS = ("--set", "threads=1", "--set", "training.learning_rate=0.001", "--set", "training.batch_pairs=1")


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("row", [STEP_DPO, TRL, CHAT, dump(OWN)], ids=["Step-DPO", "TRL", "TRL messages", "own"])
def test_each_format_trains_a_policy(run, write, tiny_policy, tmp_path, row):
    out = tmp_path / "policy"
    ended = run("fit", write(row, row), "--model", tiny_policy, "--out", out, *SETTINGS)
    assert ended.code == 0, ended.err
    assert ended.out == f"The policy is in {out}\n"
    assert "fit on 2 pairs: done" in ended.err
    before, after = weights(tiny_policy), weights(out)
    assert any((before[name] != after[name]).any() for name in before)
    metrics = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert next(row["rewards/margins"] for row in metrics if "loss" in row) == 0
    assert not (tmp_path / "policy.rejected.jsonl").exists()


def test_an_adapter_is_named_with_its_base(run, write, tiny_policy, tmp_path):
    out = tmp_path / "adapter"
    ended = run("fit", write(TRL), "--model", tiny_policy, "--out", out, "--set", "training.lora.r=2")
    assert ended.code == 0, ended.err
    assert ended.out == f"The policy is in {out}, an adapter on {tiny_policy}\n"
    assert (out / "adapter_config.json").exists()


def test_malformed_rows_are_named_and_set_aside(run, write, tiny_policy, tmp_path):
    rows = write(TRL, {**TRL, "rejected": None}, "{", {**TRL, "prompt": [{"role": "user", "content": 3}]})
    out = tmp_path / "policy"
    ended = run("fit", rows, "--model", tiny_policy, "--out", out, *SETTINGS)
    assert ended.code == 0, ended.err
    summary = ended.err.splitlines()[0]
    assert summary.startswith(f"presrm: {rows}: 3 rows set aside, see {out}.rejected.jsonl; line 2: rejected: ")
    rejected = [json.loads(line) for line in (tmp_path / "policy.rejected.jsonl").read_text().splitlines()]
    assert [row["line"] for row in rejected] == [2, 3, 4]
    assert rejected[0]["reason"] == "rejected: expected text, found null"


@pytest.mark.parametrize("content", ["", '{"prompt": "?"}\n'])
def test_a_file_without_pairs_is_a_wrong_request(run, tmp_path, content):
    path = tmp_path / "pairs.jsonl"
    path.write_text(content)
    ended = run("fit", path, "--out", tmp_path / "policy")
    assert ended.code == 2
    assert "pairs.jsonl" in ended.err
    assert ended.err.count("\n") == 1
    is_written = ["policy.rejected.jsonl"] if content else []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pairs.jsonl", *is_written]


def test_what_is_there_is_never_overwritten(run, write, tmp_path):
    rows = write(TRL)
    for out in (tmp_path, rows):
        ended = run("fit", rows, "--out", out)
        assert ended.code == 2
        assert "is there already" in ended.err
    assert rows.exists()


def test_where_the_policy_goes_must_be_said(run, write):
    ended = run("fit", write(TRL))
    assert ended.code == 2
    assert "--out DIR is missing" in ended.err


def test_rows_of_a_run_and_others_are_shown_differently_so_how_must_be_said(run, write, tiny_policy):
    rows = write(TRL, dump(OWN))
    ended = run("fit", rows, "--model", tiny_policy, "--dry-run")
    assert ended.code == 2
    assert "--prompts" in ended.err
    assert run("fit", rows, "--model", tiny_policy, "--dry-run", "--prompts", "plain").code == 0


def tokens(ended):
    """The whole, packed and tree counts of a dry run."""
    assert ended.code == 0, ended.err
    return [int(line.split()[-1].replace(",", "")) for line in ended.out.splitlines() if line.startswith("tokens")]


def test_a_dry_run_counts_tokens_worked_out_by_hand_and_writes_nothing(run, write, tiny_policy, tmp_path):
    # A letter is a token. Prompt <|user|> Q <|end|> <|assistant|>: 4; path W, X; sides J, K; no answer, no end token.
    path = [
        {"prompt": "Q", "initial_reason_steps": "", "chosen": "W", "rejected": "J"},
        {"prompt": "Q", "initial_reason_steps": "W", "chosen": "X", "rejected": "K"},
    ]
    (tmp_path / "model").mkdir()
    for file in tiny_policy.iterdir():
        if file.suffix != ".safetensors":  # the weights are not looked at
            (tmp_path / "model" / file.name).write_bytes(file.read_bytes())
    dry = ("fit", write(*path, {}), "--model", tmp_path / "model", "--dry-run")
    ended = run(*dry)
    assert tokens(ended) == [2 * 5 + 2 * 6, 4 + 2 + 2, 4 + 2 + 2]
    assert ended.out.endswith("2.0 pairs a problem: packing computes 2.8 times fewer tokens.\n")
    assert ended.err == f"presrm: {dry[1]}: 1 row set aside; line 3: prompt: expected text, found no such field\n"
    # With an end token behind each step the tree is 4, W and its end, J, X, K and theirs.
    assert tokens(run(*dry, "--terminal", "always")) == [2 * 6 + 2 * 7, 4 + 4 * 2, 4 + 4 * 2]
    assert {path.name for path in tmp_path.iterdir()} == {"model", "pairs.jsonl"}


def test_questions_are_shown_as_they_are_unless_a_prompt_set_is_named(run, write, tiny_policy):
    dry = ("fit", write(TRL), "--model", tiny_policy, "--dry-run")
    plain = tokens(run(*dry))
    assert tokens(run(*dry, "--prompts", "plain")) == plain
    assert tokens(run(*dry, "--prompts", "compact")) > plain
    assert tokens(run(*dry, "--set", "prompts=compact")) > plain


def test_pairs_of_a_run_are_shown_as_the_config_says(run, write, tiny_policy):
    dry = ("fit", write(dump(OWN)), "--model", tiny_policy, "--dry-run")
    paper, compact = (
        tokens(run(*dry, "--config", "embedded", "--set", f"prompts={name}")) for name in ("paper", "compact")
    )
    assert tokens(run(*dry, "--config", "embedded")) == compact
    assert tokens(run(*dry)) == paper


def test_pairs_come_from_standard_input_too(run, tiny_policy, monkeypatch, tmp_path):
    source = tmp_path / "pairs"
    source.write_text(json.dumps(TRL) + "\n[]\n")
    with source.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        ended = run("fit", "-", "--model", tiny_policy, "--dry-run")
    assert ended.code == 0, ended.err
    assert ended.err.startswith("presrm: standard input: 1 row set aside; line 2: ")


def test_what_foreign_rows_hold_besides_is_said_in_a_dry_run_too(run, write, tiny_policy, tmp_path):
    rows = write(
        {**TRL, "chosen": "<|assistant|>15<|end|>\n", "score": 1},
        {**TRL, "tools": [{"name": "calc"}]},
        {"chosen": f"\n\nHuman: {QUESTION}\n\nAssistant: 15", "rejected": f"\n\nHuman: {QUESTION}\n\nAssistant: 16"},
    )
    for options in (["--dry-run"], ["--out", tmp_path / "policy", *SETTINGS]):
        ended = run("fit", rows, "--model", tiny_policy, *options)
        assert ended.code == 0, ended.err
        assert "1 row set aside" in ended.err
        assert "line 2: tools: expected none" in ended.err
        assert "1 replies end with <|end|>, which is taken off" in ended.err
        assert "columns that are not read: score" in ended.err
        assert "1 replies hold control tokens (<|assistant|>)" in ended.err


def test_an_end_token_behind_a_reply_is_trained_once_and_as_a_token(run, write, tiny_policy):
    bare, ended = ({"prompt": "Q", "chosen": f"W{end}", "rejected": f"J{end}"} for end in ("", "<|end|>"))
    dry = ("--model", tiny_policy, "--dry-run")
    assert tokens(run("fit", write(bare), *dry)) == tokens(run("fit", write(ended), *dry))


def test_pairs_that_do_not_fit_are_said_and_never_cut(run, write, tiny_policy, tmp_path):
    long = {**STEP_DPO, "initial_reason_steps": "12 + 3 = 15\n" * 50}
    limit = ("--set", "training.max_tokens=200")
    rows = write(STEP_DPO, long)
    ended = run("fit", rows, "--model", tiny_policy, "--dry-run", *limit)
    assert ended.code == 0, ended.err
    assert "pairs left out, longer than training.max_tokens" in ended.out
    assert tokens(ended) == tokens(run("fit", write(STEP_DPO), "--model", tiny_policy, "--dry-run", *limit))
    ended = run("fit", write(STEP_DPO, long), "--model", tiny_policy, "--out", tmp_path / "policy", *SETTINGS, *limit)
    assert ended.code == 0, ended.err
    assert "left out 1 pair: longer than training.max_tokens=200" in ended.err
    for options in (["--dry-run"], ["--out", tmp_path / "other"]):
        ended = run("fit", write(long), "--model", tiny_policy, *options, *limit)
        assert ended.code == 1
        assert "longer than training.max_tokens=200" in ended.err


@pytest.mark.parametrize("suffix", [".json", ".csv", ".parquet"])
def test_pairs_come_from_any_table(run, tiny_policy, tmp_path, suffix):
    import csv

    import pyarrow
    from pyarrow import parquet

    path = tmp_path / f"pairs{suffix}"
    if suffix == ".json":
        path.write_text(json.dumps([STEP_DPO], indent=1))
    elif suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist([STEP_DPO]), path)
    else:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([list(STEP_DPO), list(STEP_DPO.values())])
    lines = tmp_path / "pairs.jsonl"
    lines.write_text(json.dumps(STEP_DPO))
    dry = ("--model", tiny_policy, "--dry-run")
    assert tokens(run("fit", path, *dry)) == tokens(run("fit", lines, *dry))


def test_a_system_turn_and_earlier_turns_are_shown_to_the_policy(run, write, tiny_policy):
    # <|system|> S <|end|> <|user|> a <|end|> <|assistant|> b <|end|> before the question, each letter a token.
    row = {"prompt": "Q", "chosen": "W", "rejected": "J"}
    dry = ("--model", tiny_policy, "--dry-run")
    whole, packed, _ = tokens(run("fit", write(row), *dry))
    more = {**row, "system": "S", "history": [["a", "b"]]}
    assert tokens(run("fit", write(more), *dry))[:2] == [whole + 2 * 9, packed + 9]


def test_a_training_that_diverges_stops_in_one_line_and_writes_nothing(run, write, tiny_policy, tmp_path):
    rows = write(STEP_DPO, TRL, CHAT, dump(OWN))
    out = tmp_path / "policy"
    rate = ("--set", "training.learning_rate=1e30", "--prompts", "plain")
    ended = run("fit", rows, "--model", tiny_policy, "--out", out, *SETTINGS, *rate)
    assert ended.code == 1
    *_, line = ended.err.splitlines()
    assert line.startswith("presrm: training diverged at optimiser step ")
    assert "not finite at learning rate 1e+30 in float32; nothing is written: lower the learning_rate" in line
    assert ended.out == ""
    assert not out.exists()
    assert not list(tmp_path.glob(".policy*"))


@pytest.fixture
def short_sighted(tiny_policy, tmp_path):
    """The tiny policy, which reads 40 tokens."""
    folder = tmp_path / "short"
    shutil.copytree(tiny_policy, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 40}))
    return folder


def test_a_dry_run_leaves_out_what_the_model_cannot_read_as_training_does(run, write, short_sighted, tmp_path):
    short = {"prompt": "Q", "chosen": "W", "rejected": "J"}
    long = {"prompt": "Q" * 40, "chosen": "W", "rejected": "J"}
    dry = ("--model", short_sighted, "--dry-run")
    ended = run("fit", write(short, long), *dry)
    assert "pairs left out, longer than the 40 tokens that the model reads 1" in " ".join(ended.out.split())
    assert tokens(ended) == tokens(run("fit", write(short), *dry))
    ended = run("fit", write(short, long), "--model", short_sighted, "--out", tmp_path / "policy", *SETTINGS)
    assert ended.code == 0, ended.err
    assert "left out 1 pair: longer than the 40 tokens that the model reads" in ended.err
    ended = run("fit", write(long), *dry)
    assert ended.code == 1
    assert "no pairs to train on: 1 given, 1 longer than the 40 tokens that the model reads" in ended.err


def test_a_tenth_of_the_problems_is_measured_on_before_and_after(run, write, tiny_policy, tmp_path):
    rows = write(*({**TRL, "prompt": f"{n} {QUESTION}"} for n in range(20)))
    out = tmp_path / "policy"
    ended = run("fit", rows, "--model", tiny_policy, "--out", out, *SETTINGS)
    assert ended.code == 0, ended.err
    assert "fit on 18 pairs: done" in ended.err
    lines = {line.split()[0]: line.split()[1:] for line in ended.out.splitlines() if line.split()}
    assert "2 pairs held out" in ended.out
    assert lines["loss"][0] == "0.69"
    assert float(lines["loss"][1]) < 0.69
    assert {"margin", "accuracy"} <= lines.keys()
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["held_out/after/loss"] < last["held_out/before/loss"]
    assert "pairs.jsonl" in (out / "README.md").read_text()

    ended = run("fit", rows, "--model", tiny_policy, "--out", tmp_path / "all", "--held-out", "0", *SETTINGS)
    assert "fit on 20 pairs: done" in ended.err
    assert "held out" not in ended.out + ended.err


def test_training_goes_on_from_an_adapter_and_it_can_be_merged(run, write, tiny_policy, tmp_path):
    lora = ("--set", "training.lora.r=2", "--set", "threads=1")
    assert run("fit", write(TRL), "--model", tiny_policy, "--out", tmp_path / "1", *lora).code == 0
    ended = run("fit", write(TRL), "--model", tmp_path / "1", "--out", tmp_path / "2", *lora)
    assert ended.out == f"The policy is in {tmp_path / '2'}, an adapter on {tiny_policy}\n"
    ended = run("export", tmp_path / "2", "--merge", "--out", tmp_path / "whole")
    assert (ended.code, ended.out) == (0, f"The model is in {tmp_path / 'whole'}\n")
    assert (tmp_path / "whole/model.safetensors").exists()
    assert run("export", tmp_path / "2", "--merge", "--out", tmp_path / "whole").code == 2
    assert "--merge" in run("export", tmp_path / "2", "--out", tmp_path / "other").err
