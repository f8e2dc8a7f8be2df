"""Process reward models: what they learn from, their loss, and that a judge reads what was trained."""

import json
import math
from pathlib import Path

import pytest
import torch

from presrm.config import ModelConfig, TrainingConfig
from presrm.engines.hf_loading import load_tokenizer
from presrm.engines.hf_prm import Reader, StepScorer
from presrm.errors import ConfigError, DataError, NoLessonsError
from presrm.files.jsonl import dump
from presrm.judging.health import LabelledCandidates
from presrm.judging.problems import LabelledProblem, of_perturbed
from presrm.problems import load_problems
from presrm.splitters import SPLITTERS
from presrm.training.prm import IGNORED, LabelledText, fit_prm, read_labelled_texts, soft_cross_entropy
from presrm.types import (
    Candidate,
    Candidates,
    Expansion,
    Judgement,
    LabelledSolution,
    Problem,
    SearchTree,
    Status,
    Step,
    Trajectory,
)

ABOUT = Problem("p", "2 + 3 - 1?")
FIRST, RIGHT, WRONG = Step("2 + 3 = 5\n"), Step("5 - 1 = 4\n"), Step("5 - 1 = 3\n")


def test_the_loss_is_cross_entropy_with_the_probability_of_right_over_labelled_tokens() -> None:
    logits = torch.tensor(
        [[[0.0, math.log(3)], [9.0, -9.0]], [[0.0, 0.0], [0.0, math.log(3)]]]
    )  # right: 3/4, 0, 1/2, 3/4
    rights = torch.tensor([[1.0, IGNORED], [0.0, 0.25]])

    loss = soft_cross_entropy(logits, rights)

    by_hand = [-math.log(3 / 4), -math.log(1 / 2), -0.25 * math.log(3 / 4) - 0.75 * math.log(1 / 4)]
    assert loss.item() == pytest.approx(sum(by_hand) / 3)


def test_trees_give_every_judged_candidate_with_its_score(tmp_path: Path) -> None:
    first = Expansion(
        None, (Candidate(FIRST, Judgement(0.9)), Candidate(Step("hm\n"), Judgement(None, Status.UNREADABLE))), (0,)
    )
    second = Expansion((0, 0), (Candidate(RIGHT, Judgement(0.5), worth=0.75), Candidate(WRONG, Judgement(0.25))), (0,))
    path = tmp_path / "trees.jsonl"
    path.write_text(dump(SearchTree(ABOUT, (first, second), solutions=((1, 0),))) + "\n")

    assert read_labelled_texts(path) == [
        LabelledText(ABOUT.question, (FIRST.text,), (0.9,)),
        LabelledText(ABOUT.question, (FIRST.text, RIGHT.text), (None, 0.75)),
        LabelledText(ABOUT.question, (FIRST.text, WRONG.text), (None, 0.25)),
    ]


def test_traces_give_what_was_judged_and_the_judgement_with_whether_it_is_right(tmp_path: Path) -> None:
    shown = Candidates(Trajectory(ABOUT, (FIRST,)), (WRONG, RIGHT))
    about = Problem("p/listwise/1", ABOUT.question, "2 of 2", kind="listwise", shown=shown)
    right, wrong = Step("5 - 1 = 4 [[1, 10]]"), Step("5 - 1 = 3 [[10, 1]]")
    drawn = (Candidate(right, Judgement(1.0)), Candidate(wrong, Judgement(0.0)), Candidate(right, Judgement(1.0)))
    path = tmp_path / "traces.jsonl"
    path.write_text("\n" + dump(SearchTree(about, (Expansion(None, drawn, (0,)),))) + "\n")

    said = "2 + 3 - 1?\n2 + 3 = 5\n1: 5 - 1 = 3\n2: 5 - 1 = 4"
    assert read_labelled_texts(path) == [
        LabelledText(said, (right.text,), (1.0,)),
        LabelledText(said, (wrong.text,), (0.0,)),
    ]


def test_trees_that_point_in_a_circle_are_refused_by_their_line(tmp_path: Path) -> None:
    path, drawn = tmp_path / "traces.jsonl", (Candidate(RIGHT, Judgement(1.0)),)
    trees = (SearchTree(ABOUT, (Expansion(parent, drawn),)) for parent in (None, (0, 0)))
    path.write_text("".join(f"{dump(tree)}\n" for tree in trees))
    with pytest.raises(DataError, match=r"line 2: expansions\.0\.parent: expected a candidate .* made before"):
        read_labelled_texts(path)


def test_labelled_problems_give_solutions_up_to_the_first_error_and_candidates(tmp_path: Path) -> None:
    solution = Trajectory(ABOUT, (FIRST, WRONG, Step("#### 3")))
    candidates = LabelledCandidates(Candidates(Trajectory(ABOUT, (FIRST,)), (RIGHT, WRONG)), (True, None))
    path = tmp_path / "labelled.jsonl"
    path.write_text(dump(LabelledProblem("p", (candidates,), (LabelledSolution(solution, 1, RIGHT),))) + "\n")

    assert read_labelled_texts(path) == [
        LabelledText(ABOUT.question, (FIRST.text, RIGHT.text), (None, 1.0)),
        LabelledText(ABOUT.question, (FIRST.text, WRONG.text, "#### 3"), (1.0, 0.0, None)),
        LabelledText(ABOUT.question, (FIRST.text, RIGHT.text), (None, 1.0)),
    ]


def test_rows_of_other_tools_are_read_and_damage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"prompt": "1 + 1?", "completions": ["1 + 1 = 2", "So 3."], "labels": [True, False]}))
    assert read_labelled_texts(path) == [LabelledText("1 + 1?", ("1 + 1 = 2", "So 3."), (1.0, 0.0))]

    path.write_text(json.dumps({"question": "1 + 1?", "steps": ["2"]}))
    with pytest.raises(DataError, match="no step has a label"):
        read_labelled_texts(path)
    path.write_text('{"question": "1 + 1?", "steps": 3}')
    with pytest.raises(DataError, match="line 1"):
        read_labelled_texts(path)


def texts(split: str, num: int) -> list[LabelledText]:
    """Right steps, and steps with a number changed."""
    cut = SPLITTERS.create("newline")
    found = []
    for problem in load_problems("arithmetic", split=split, num=num):  # type: ignore[arg-type]
        for one in of_perturbed(problem, cut, seed=0).candidates:
            before = tuple(step.text for step in one.candidates.prefix.steps)
            for step, label in zip(one.candidates.steps, one.labels, strict=True):
                found.append(
                    LabelledText(problem.question, (*before, step.text), (*[None] * len(before), float(bool(label))))
                )
    return found


MODEL = ModelConfig(id="embedded", dtype="float32", device="cpu")


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    training = TrainingConfig(learning_rate=2e-3, batch_pairs=4, max_tokens=256)
    for name in ("one", "two"):
        fit_prm(texts("train", 4), MODEL, training, tmp_path / name, seed=0)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two


def test_what_was_trained_is_what_the_judge_reads(tmp_path: Path) -> None:
    learned = texts("train", 24)
    rows: list[dict[str, float]] = []
    training = TrainingConfig(learning_rate=4e-3, epochs=20, batch_pairs=16, max_tokens=256)
    fit_prm(learned, MODEL, training, tmp_path / "one", seed=0, on_log=rows.append)

    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < 0.5 * losses[0]

    scorer = StepScorer(str(tmp_path / "one"), dtype="float32", device="cpu")
    verdicts = scorer.score([(one.question, one.steps) for one in learned])
    found = [(of[-1].probability, one.rights[-1]) for of, one in zip(verdicts, learned, strict=True)]
    right = [p for p, label in found if label == 1.0 and p is not None]
    wrong = [p for p, label in found if label == 0.0 and p is not None]
    assert len(right) == len(wrong) == 24
    assert sum(right) / 24 > sum(wrong) / 24 + 0.3


def test_soft_labels_are_learned_as_they_are_and_hard_ones_from_one_half_on(tmp_path: Path) -> None:
    reader = Reader(load_tokenizer("embedded"), "token-classification", "\n")
    from presrm.training.prm import _row

    text = LabelledText("1 + 1?", ("1 + 1 = 2\n", "So 3.\n", "hm\n"), (0.75, 0.25, None))
    places = reader.read(text.question, text.steps).places
    soft, hard = (_row(text, reader, labels)["rights"] for labels in ("soft", "hard"))
    assert [soft[place] for place in places] == [0.75, 0.25, IGNORED]
    assert [hard[place] for place in places] == [1.0, 0.0, IGNORED]
    assert sum(right != IGNORED for right in soft) == 2


def test_what_is_too_long_is_left_out_and_a_policy_without_its_head_is_no_judge(tmp_path: Path) -> None:
    with pytest.raises(NoLessonsError, match="longer than 4 tokens"):
        fit_prm(texts("train", 2), MODEL, TrainingConfig(max_tokens=4), tmp_path / "out", seed=0)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="no head of two classes"):
        StepScorer("embedded", "token-classification")
