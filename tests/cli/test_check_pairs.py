"""``presrm check-pairs``: how many pairs of a file a trainer would corrupt, with examples."""

import json

import pytest

ROWS = [
    {"prompt": "2 + 3?", "initial_reason_steps": "Add.\n", "chosen": "2 + 3 = 5.\n", "rejected": "2 + 3 = 6.\n"},
    {"prompt": "2 + 3?", "chosen": "It is 5.", "rejected": "It is 6."},
    {"prompt": "2 + 3?", "chosen": "It is 5."},
]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_a_step_that_goes_on_is_ended_by_trl_and_not_by_us(run, pairs):
    ended = run("check-pairs", pairs, "--for", "trl")
    assert ended.code == 0
    assert ended.out.startswith("trl corrupts 1 of 2 pairs\n")
    assert "an end token is" in ended.out
    assert "1 row set aside" in ended.err
    assert run("check-pairs", pairs, "--tokenizer", "embedded").out == "presrm corrupts 0 of 2 pairs\n"
    assert "1 of 2 pairs; 1 are too long" in run("check-pairs", pairs, "--for", "trl-text", "--max-length", 7).out
    told = run("check-pairs", pairs, "--for", "llama-factory").err
    assert told.startswith(
        "presrm: Invalid value for '--for': 'llama-factory' is not one of 'presrm', 'trl', 'trl-text'"
    )
