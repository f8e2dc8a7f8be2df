"""PRM800K and Math-Shepherd rows become labelled steps; ProcessBench is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from presrm.errors import DataError
from presrm.formats.labelled import rows

PRM800K = {
    "question": {"problem": "1 + 1 + 1?", "ground_truth_answer": "3"},
    "label": {
        "steps": [
            {
                "completions": [{"text": "1 + 1 = 2", "rating": 1}, {"text": "1 + 1 = 3", "rating": -1}],
                "chosen_completion": 0,
                "human_completion": None,
            },
            {"completions": [{"text": "So, on.", "rating": 0}], "chosen_completion": 0},
            {"completions": [{"text": "2 + 1 = 4", "rating": -1}], "chosen_completion": None},
            {"completions": [{"text": "never reached", "rating": 1}], "chosen_completion": None},
        ]
    },
}
MATH_SHEPHERD = {
    "input": "1 + 1 + 1? Step 1: 1 + 1 = 2 ки\nStep 2: 2 + 1 = 4 ки\nStep 3: The answer is: 4 ки",
    "label": "1 + 1 + 1? Step 1: 1 + 1 = 2 +\nStep 2: 2 + 1 = 4 -\nStep 3: The answer is: 4 -",
    "task": "GSM8K",
}


def write(folder: Path, *lines: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def texts(folder: Path, row: Any) -> list[tuple[str, str | None, str | None]]:
    found = list(rows(write(folder, row)))
    return [(each.prefix.text, each.good and each.good.text, each.bad and each.bad.text) for each in found]


def test_prm800k_gives_alternatives_after_the_same_prefix(tmp_path: Path) -> None:
    assert texts(tmp_path, PRM800K) == [
        ("", "1 + 1 = 2\n", "1 + 1 = 3\n"),
        ("1 + 1 = 2\nSo, on.\n", None, "2 + 1 = 4\n"),
    ]


def test_math_shepherd_gives_single_steps_up_to_the_first_wrong_one(tmp_path: Path) -> None:
    assert texts(tmp_path, MATH_SHEPHERD) == [
        ("", "Step 1: 1 + 1 = 2\n", None),
        ("Step 1: 1 + 1 = 2\n", None, "Step 2: 2 + 1 = 4\n"),
    ]


def test_a_plus_in_the_text_is_no_label(tmp_path: Path) -> None:
    (first, *_) = rows(write(tmp_path, MATH_SHEPHERD))

    assert first.prefix.problem.question == "1 + 1 + 1?"


@pytest.mark.parametrize(
    "row",
    [
        {"id": "gsm8k-1", "generator": "M", "problem": "?", "steps": ["a"], "final_answer_correct": True, "label": -1},
        {"id": "gsm8k-1", "generator": "M", "problem": "?", "steps": ["a"], "label": -1},
        {"problem": "?", "steps": ["a"], "final_answer_correct": False},
    ],
)
def test_processbench_is_never_trained_on(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=r"line 2.*ProcessBench"):
        list(rows(write(tmp_path, PRM800K, row)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: malformed JSON"),
        ("[1]", "line 1: expected an object, found list"),
        ({"question": {"problem": 1}, "label": {"steps": []}}, r"question\.problem"),
        ({**PRM800K, "label": {"steps": [{"completions": [], "chosen_completion": 3}]}}, "no completion 3"),
        ({"input": "no steps", "label": "no steps"}, "begins with 'Step 1:'"),
        ({**MATH_SHEPHERD, "label": MATH_SHEPHERD["label"][:-1] + "?"}, r"with \+ or -"),
        ({**MATH_SHEPHERD, "label": "short"}, r"with \+ or -"),
    ],
)
def test_a_malformed_row_fails_by_line_and_field(tmp_path: Path, line: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(rows(write(tmp_path, line)))


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file"):
        list(rows(tmp_path / "none.jsonl"))
    with pytest.raises(DataError, match="empty"):
        list(rows(write(tmp_path, "")))


STEPS = {"problem": "1 + 1 + 1?", "steps": ["1 + 1 = 2", "2 + 1 = 4", "So 4."]}


@pytest.mark.parametrize(
    "row",
    [
        {**STEPS, "labels": [True, False, False]},
        {"prompt": STEPS["problem"], "completions": STEPS["steps"], "labels": [1, 0, 1]},
        {
            "problem": STEPS["problem"],
            "steps": [{"text": t, "rating": r} for t, r in zip(STEPS["steps"], (1, -1, 1), strict=True)],
        },
    ],
    ids=["labels", "TRL", "ratings"],
)
def test_other_formats_give_single_steps_up_to_the_first_wrong_one(tmp_path: Path, row: dict[str, Any]) -> None:
    assert texts(tmp_path, row) == [("", "1 + 1 = 2\n", None), ("1 + 1 = 2\n", None, "2 + 1 = 4\n")]


def test_steps_behind_one_without_a_label_are_not_taken(tmp_path: Path) -> None:
    assert texts(tmp_path, {**STEPS, "labels": [True, None, True]}) == [("", "1 + 1 = 2\n", None)]


@pytest.mark.parametrize("row", [STEPS, {**STEPS, "labels": None}, {"problem": "?", "solution": "a"}])
def test_rows_without_labels_are_refused(tmp_path: Path, row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="line 1: expected steps with labels"):
        list(rows(write(tmp_path, row)))


def test_a_table_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([PRM800K, {**STEPS, "labels": [True, True, True]}]))
    assert len(list(rows(path))) == 2 + 3
