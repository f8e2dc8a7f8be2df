"""``presrm pairs``: trees of any origin -> the pairs that a run would take from them."""

import json

import pytest
from made_run import make_run

from presrm.config import PairsConfig
from presrm.credit.pairs import mine_pairs
from presrm.files.jsonl import dump, load_typed
from presrm.types import SearchTree


@pytest.fixture
def trees(tmp_path):
    return make_run(tmp_path / "run", num_assessed=2, iterations=1, with_ledger=False) / "iterations/2/trees.jsonl"


def test_the_pairs_are_those_of_the_library(run, trees, tmp_path):
    out = tmp_path / "pairs.jsonl"
    ended = run("pairs", trees, "--out", out, "--iteration", 2, "--set", "pairs.rejected=all")
    mined = mine_pairs(load_typed(SearchTree, trees), PairsConfig(rejected="all"), 2)
    assert len(mined.pairs) > 2
    assert out.read_text() == "".join(dump(pair) + "\n" for pair in mined.pairs)
    assert ended.code == 0
    assert ended.out.startswith(f"{len(mined.pairs)} pairs from 17 expansions of 4 problems; without one: ")


def test_pipes_and_bad_rows(run, trees, tmp_path, monkeypatch):
    rows = trees.read_text().splitlines()
    loop = json.loads(rows[0])
    loop["expansions"][1]["parent"] = [1, 0]
    trees.write_text("\n".join([rows[0], "{", json.dumps(loop), rows[1]]) + "\n")
    with trees.open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.chdir(tmp_path)
        ended = run("pairs", "-", "--out", "-")
    assert ended.code == 0
    assert [json.loads(line)["id"].split("/")[0] for line in ended.out.splitlines()] == ["p0", "p1"]
    assert "2 rows set aside, see stdin.rejected.jsonl; line 2: malformed JSON" in ended.err
    assert "line 3: expansions.1.parent: expected a candidate of an expansion made before, found [1, 0]" in ended.err


def test_without_a_pair_it_says_why_and_writes_nothing(run, trees, tmp_path):
    ended = run("pairs", trees, "--out", tmp_path / "pairs.jsonl", "--set", "pairs.min_margin=1")
    assert ended.code == 1
    assert "no preference pairs from 4 problems and 17 expansions" in ended.err
    assert "lower pairs.min_margin" in ended.err
    trees.write_text("{}\n")
    ended = run("pairs", trees, "--out", tmp_path / "pairs.jsonl")
    assert (ended.code, "no row can be used; line 1: problem: Field required" in ended.err) == (2, True)
    assert "ask a policy, which only a run does" in run("pairs", trees, "--out", "x", "--set", "pairs.anchor=true").err
    assert "would overwrite the input" in run("pairs", trees, "--out", trees).err
    assert not (tmp_path / "pairs.jsonl").exists()
