"""A tree whose parts point nowhere, or in a circle, is no tree."""

import json

import pytest

from presrm.errors import DataError
from presrm.files.jsonl import dump
from presrm.formats.trees import tree_of
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Step, Stop

LEAF = Candidate(Step("#### 2", stop=Stop.EOS), Judgement(1.0))
TREE = SearchTree(
    Problem("p", "1 + 1?"),
    (Expansion(None, (LEAF, LEAF), (0,)), Expansion((0, 1), (LEAF,), (0,))),
    solutions=((1, 0),),
    dropped=(0,),
)


def row():
    return json.loads(dump(TREE))


def test_what_was_written_comes_back():
    assert tree_of(row()) == TREE


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (
            ("expansions", 0, "parent"),
            [0, 0],
            r"expansions\.0\.parent: expected a candidate .* made before, found \[0, 0",
        ),
        (("expansions", 1, "parent"), [0, 2], r"expansions\.1\.parent: .*found \[0, 2\]"),
        (("expansions", 1, "parent"), [-1, 0], r"expansions\.1\.parent: .*found \[-1, 0\]"),
        (("expansions", 0, "kept"), [2], r"expansions\.0\.kept: .*found \[0, 2\]"),
        (("expansions", 0, "kept"), [-1], r"expansions\.0\.kept: .*found \[0, -1\]"),
        (("solutions",), [[2, 0]], r"solutions: .*found \[2, 0\]"),
        (("dropped",), [2], "dropped: expected the number of an expansion, found 2"),
        (("expansions", 0, "candidates", 0, "judgement", "score"), 2, r"judgement: score 2.0 lies outside \[0, 1\]"),
        (("expansions", 0, "candidates", 0, "judgement", "status"), "refused", "contradicts status 'refused'"),
        (("problem",), None, "problem: Input should be"),
        (("expansions", 0, "candidates", 0, "step", "text"), 7, r"step\.text: Input should be a valid string"),
    ],
)
def test_what_is_none_is_told_by_its_field(place, value, told):
    broken = row()
    node = broken
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    with pytest.raises(DataError, match=told):
        tree_of(broken)
