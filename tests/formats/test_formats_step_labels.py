"""Step labels of neighbouring tools: which step is the first wrong one, and what is refused by name."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.errors import DataError
from presrm.formats.step_labels import StepLabels, read_step_labels

Q, A, B, C = "1 + 1 + 1?", "1 + 1 = 2", "2 + 1 = 4", "So 4."
OURS = {"problem": Q, "steps": [A, B, C]}
TRL = {"prompt": Q, "completions": [A, B, C], "labels": [True, False, False]}
OPENR = {"question": Q, "process": f"{A} \n\n\n\n\n\n{B} \n\n\n\n\n\n{C} \n\n\n\n\n", "label": ["+", "-", "-"]}
OPENRLHF = {"input": f"{Q} Step 1: {A} ки\nStep 2: {B} ки", "value": [1.0, 0.1]}


def rlhflow(*signs: str, steps: tuple[str, ...] = (A, B), role: str = "role", text: str = "content") -> dict[str, Any]:
    shown = [f"{Q} Step 1: {steps[0]}", *(f"Step {number}: {step}" for number, step in enumerate(steps[1:], 2))]
    turns = []
    for number, step in enumerate(shown):
        turns.append({role: "user", text: step})
        turns += [{role: "assistant", text: signs[number]}] if number < len(signs) else []
    return {"conversations": turns}


def read(row: dict[str, Any]) -> StepLabels:
    found = read_step_labels(row)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "row",
    [
        TRL,
        {**TRL, "prompt": [{"role": "user", "content": Q}]},
        OPENR,
        {**OURS, "labels": [1, 0, 0]},
        {**OURS, "labels": [0.9, 0.3, 0.8]},
        {**OURS, "labels": [1, -1, 0]},
        {**OURS, "labels": ["+", "-", None]},
        {**OURS, "labels": [True, False]},
        {**OURS, "label": 1},
        {**OURS, "label": 1, "input": "an input of something else"},
        {**OURS, "step_labels": [1, 0, 1]},
        {**OURS, "ratings": [0, -1, 0]},
        {**OURS, "value": [0.7, 0.2, 0.0]},
        {**OURS, "label": 1, "value": 0.3},
        {**OURS, "label": ["+", " -", "+"]},
        {**OURS, "label": 1, "labels": [True, False, True]},
        {**OURS, "label": None, "labels": [True, False, True]},
        {"problem": Q, "steps": [{"text": A, "rating": 1}, {"text": B, "rating": -1}, {"text": C, "rating": None}]},
        {"problem": Q, "steps": [{"step": A, "rating": 0}, {"step": B, "rating": -1}, {"step": C, "rating": 1}]},
        {"problem": Q, "steps": [{"content": A, "label": True}, {"content": B, "label": False}, {"content": C}]},
        {"problem": Q, "steps": [{"text": A}, {"text": B, "is_correct": False}, {"text": C}], "label": 1},
        {
            "problem": Q,
            "steps": [{"text": A, "correct": "+"}, {"text": B, "correct": "-"}, {"text": C, "correct": "-"}],
        },
        {**OURS, "is_correct": [True, False, False]},
        {**OURS, "correctness": ["+", "-", "-"], "correct": False},
    ],
)
def test_the_second_step_is_the_first_wrong_one(row: dict[str, Any]) -> None:
    found = read(row)
    assert (found.question, found.steps, found.first_error) == (Q, (A, B, C), 1)


@pytest.mark.parametrize("names", [{}, {"role": "from", "text": "value"}])
@pytest.mark.parametrize(
    ("signs", "are_right", "first_error"),
    [
        (("+", "-"), (True, False), 1),
        (("-", "+"), (False, True), 0),
        (("+", "+"), (True, True), -1),
        (("+",), (True, None), None),
        (("-",), (False, None), 0),
    ],
)
def test_rlhflow_answers_each_step_with_a_sign(
    names: dict[str, str], signs: tuple[str, ...], are_right: tuple[bool | None, ...], first_error: int | None
) -> None:
    found = read(rlhflow(*signs, **names))
    assert found == StepLabels(Q, (f"Step 1: {A}", f"Step 2: {B}"), are_right)
    assert found.first_error == first_error


@pytest.mark.parametrize(
    ("value", "first_error"),
    [([1.0, 0.1], 1), ([1, 1], -1), ([0.5, 0.49], 1), (["+", "-"], 1), ([0.2], 0), ([True, None], None)],
)
def test_openrlhf_has_a_value_for_each_mark(value: list[Any], first_error: int | None) -> None:
    found = read({**OPENRLHF, "value": value})
    assert (found.question, found.steps) == (Q, (f"Step 1: {A}", f"Step 2: {B}"))
    assert found.first_error == first_error


@pytest.mark.parametrize("name", ["value", "labels", "label"])
def test_a_list_beside_marks_is_one_of_labels_whatever_its_name(name: str) -> None:
    row = {"input": OPENRLHF["input"], name: ["+", "-"]}
    assert read(row) == StepLabels(Q, (f"Step 1: {A}", f"Step 2: {B}"), (True, False))


def test_a_question_may_speak_of_steps() -> None:
    """The solution begins with the last first step before a mark or a sign."""
    asked = "After Step 1: what? 1 + 1 + 1?"
    shepherd = {"input": OPENRLHF["input"].replace(Q, asked), "label": f"{asked} Step 1: {A} +\nStep 2: {B} -"}
    turns = rlhflow("+", "-")["conversations"]
    turns[0]["content"] = turns[0]["content"].replace(Q, asked)
    for row in (shepherd, {"conversations": turns}, {"messages": turns}):
        assert read(row) == StepLabels(asked, (f"Step 1: {A}", f"Step 2: {B}"), (True, False))


@pytest.mark.parametrize(
    ("labels", "first_error"),
    [
        ([True, True, True], -1),
        ([1, 0, 0], 1),
        ([1, 0, -1], 2),  # ratings: 0 is neutral
        ([1, None, 0], None),
        ([None, None, None], None),
        (None, None),
        ([0.5, 1.0, 0.5], -1),
    ],
)
def test_labels_beside_steps_are_never_ignored(labels: list[Any] | None, first_error: int | None) -> None:
    assert read({**OURS, "labels": labels}).first_error == first_error


def test_a_rating_of_nought_is_neutral() -> None:
    steps = [{"text": A, "rating": 0}, {"text": B, "rating": 1}]
    assert read({"problem": Q, "steps": steps}).first_error == -1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**OURS, "labels": [True]}, "labels: expected one for each of 3 steps, found 1"),
        ({**OURS, "labels": [True] * 4}, "labels: expected one for each of 3 steps, found 4"),
        ({**OURS, "labels": [True, 2, True]}, "labels.1: expected true or false, + or -, or 0 to 1, found 2"),
        ({**OURS, "labels": [-1, 0.5, 1]}, "labels.1: expected"),
        ({**OURS, "labels": ["good", "bad", "bad"]}, "labels.0: expected"),
        ({**OURS, "ratings": [0.5, 1, 1]}, "ratings.0: expected"),
        ({**OURS, "labels": "110"}, "labels '110': expected the 0-based index"),
        ({**OURS, "label": 0, "labels": [True, False, True]}, "label: expected one first wrong step, but label say 0"),
        ({**OURS, "label": -1, "labels": [True, False, True]}, "but label say -1, labels say 1"),
        ({**TRL, "labels": None}, "completions: expected 'labels' beside them"),
        ({**TRL, "labels": [True, True]}, "labels: expected one for each of 3 steps, found 2"),
        ({**TRL, "completions": "a"}, "expected a list of texts under 'completions'"),
        ({**TRL, "prompt": [{"role": "user", "content": Q}] * 2}, "prompt: expected one user turn and no other"),
        ({**OPENR, "label": ["+"]}, "label: expected one for each of 3 steps, found 1"),
        ({**OPENRLHF, "value": [1.0]}, "value: expected one for each of 2 steps, found 1"),
        ({**OPENRLHF, "input": "no steps"}, "input: expected a solution that begins with 'Step 1:'"),
        ({"problem": Q, "steps": [A, {"text": B}]}, "steps: expected texts or objects, found both"),
        ({"problem": Q, "steps": [{"text": A, "rating": 2}]}, "steps.rating.0: expected"),
        ({"problem": Q, "steps": [{"text": 1}]}, "steps.0.text: expected text, found a number"),
        (
            {"conversations": [{"role": "user", "content": "no mark"}, {"role": "assistant", "content": "+"}]},
            "conversations.0: expected the question and behind it the first step",
        ),
        (
            {"conversations": [{"role": "assistant", "content": "+"}, {"role": "user", "content": f"{Q} Step 1: a"}]},
            "conversations.0: expected a turn of the user, found one of assistant",
        ),
        (
            {"conversations": [*rlhflow("+")["conversations"][:2], {"role": "user", "content": "a"}] * 1
             + [{"role": "assistant", "content": "maybe"}]},
            "conversations.1: expected true or false, + or -",
        ),
    ],
)  # fmt: skip
def test_what_is_odd_is_named(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as refused:
        read_step_labels(row)
    assert reason in str(refused.value)


def test_a_solution_that_is_text_is_left_to_a_splitter() -> None:
    assert read_step_labels({"problem": Q, "solution": A, "steps": None, "label": None}) is None


LABELS = st.none() | st.lists(st.none() | st.booleans() | st.sampled_from([-1, 0, 1, 0.5, "+", "-"]), max_size=4)


@given(st.lists(st.text("ab", max_size=2), max_size=4), LABELS, st.none() | st.integers(-2, 4))
def test_a_first_error_is_a_step_that_is_wrong_behind_right_ones(
    steps: list[str], labels: list[Any] | None, label: int | None
) -> None:
    try:
        found = read({"problem": Q, "steps": steps, "labels": labels, "label": label})
    except DataError:
        return
    assert len(found.are_right) == len(found.steps)
    if found.first_error == -1:
        assert set(found.are_right) == {True}
    elif found.first_error is not None:
        assert found.are_right[: found.first_error + 1] == (*[True] * found.first_error, False)
    if label is not None:
        assert found.first_error == label
