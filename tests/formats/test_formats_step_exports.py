"""What is written for tools that train on labelled steps: our readers take it back, and so does its neighbour."""

import json

import pytest

from presrm.errors import DataError
from presrm.formats.step_exports import STEP_WRITERS, JudgedPath, path_of_judged, paths_of, to_trl_stepwise
from presrm.formats.step_labels import read_step_labels
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Status, Step, Stop

UNKNOWN = Judgement(None, Status.UNREADABLE)
RIGHT, WRONG, HALF = Judgement(0.9), Judgement(0.1), Judgement(0.5)


def candidate(text, judgement, stop=None):
    return Candidate(Step(text, stop=stop), judgement)


TREE = SearchTree(
    Problem("p", "1 + 1 + 1 + 1?", "4"),
    (
        Expansion(None, (candidate("1 + 1 = 3\n", WRONG), candidate("1 + 1 = 2\n", RIGHT)), (1,)),
        Expansion((0, 1), (candidate("2 + 1 = 3\n", UNKNOWN), candidate("2 + 1 = 3\n", UNKNOWN)), (0,)),
        Expansion(
            (1, 0), (candidate("3 + 1 = 4", HALF, Stop.EOS), candidate("3 + 1 =", UNKNOWN, Stop.MAX_TOKENS)), (0,)
        ),
    ),
    solutions=((2, 0),),
)
(PATH,) = paths_of(TREE, 0.5)


def test_a_tree_becomes_a_path_with_what_is_known_of_every_step():
    expected = JudgedPath(
        "1 + 1 + 1 + 1?",
        (
            (("1 + 1 = 2\n", True), ("1 + 1 = 3\n", False)),
            (("2 + 1 = 3\n", None),),
            (("3 + 1 = 4", True),),
        ),
        (0, 0, 0),
        "4",
    )
    assert expected == PATH
    assert next(iter(paths_of(TREE, 0.6))).solution[-1] == ("3 + 1 = 4", False)


def read(row):
    labels = read_step_labels(json.loads(json.dumps(row)))
    return labels.question, labels.steps, labels.are_right


def test_trl_and_math_shepherd_come_back_with_joined_steps():
    solution, wrong = map(read, STEP_WRITERS["trl-stepwise"](PATH))
    assert solution == ("1 + 1 + 1 + 1?", ("1 + 1 = 2\n", "2 + 1 = 3\n3 + 1 = 4"), (True, True))
    assert wrong == ("1 + 1 + 1 + 1?", ("1 + 1 = 3\n",), (False,))

    solution, wrong = map(read, STEP_WRITERS["math-shepherd"](PATH))
    assert solution == ("1 + 1 + 1 + 1?", ("Step 1: 1 + 1 = 2", "Step 2: 2 + 1 = 3\n3 + 1 = 4"), (True, True))
    assert wrong == ("1 + 1 + 1 + 1?", ("Step 1: 1 + 1 = 3",), (False,))


def test_prm800k_keeps_every_candidate_and_what_is_unknown():
    [row] = STEP_WRITERS["prm800k"](PATH)
    assert read(row) == ("1 + 1 + 1 + 1?", ("1 + 1 = 2\n", "2 + 1 = 3\n", "3 + 1 = 4"), (True, None, True))
    ratings = [[each["rating"] for each in level["completions"]] for level in row["label"]["steps"]]
    assert ratings == [[1, -1], [None], [1]]


def test_what_judge_steps_wrote_is_written_alike_and_what_is_behind_the_last_label_is_left_out():
    judged = [{"text": "a\n", "score": 0.7}, {"text": "b\n", "score": 0.2}, {"text": "c", "score": None}]
    path = path_of_judged("q?", judged, 0.5)
    assert to_trl_stepwise(path) == [{"prompt": "q?", "completions": ["a\n", "b\n"], "labels": [True, False]}]
    assert to_trl_stepwise(path_of_judged("q?", judged[2:], 0.5)) == []


@pytest.mark.parametrize(
    "judged", [None, [], ["a"], [{"text": 1}], [{"text": "a", "score": 2}], [{"text": "a", "score": True}]]
)
def test_what_judge_steps_did_not_write_is_told(judged):
    with pytest.raises(DataError, match="judged"):
        path_of_judged("q?", judged, 0.5)


@pytest.mark.parametrize("question", ["Is ки a word?", "Do Step 1: add."])
def test_what_math_shepherd_cannot_hold_is_told(question):
    path = path_of_judged(question, [{"text": "a", "score": 1}], 0.5)
    with pytest.raises(DataError, match="Math-Shepherd marks steps"):
        STEP_WRITERS["math-shepherd"](path)


def test_datasets_gives_trl_its_columns(tmp_path):
    """TRL's stepwise supervision is a text, a list of texts and a list of booleans."""
    from datasets import load_dataset

    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in to_trl_stepwise(PATH)))
    rows = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    kinds = {name: str(getattr(feature, "feature", feature).dtype) for name, feature in rows.features.items()}
    assert kinds == {"prompt": "string", "completions": "string", "labels": "bool"}
