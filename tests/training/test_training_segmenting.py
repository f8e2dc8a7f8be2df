"""The policy says where steps begin; the text of the steps is the solution's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError
from presrm.prompts import PromptSet
from presrm.training.segmenting import SegmentationError, find_steps, segment, segment_rows

SOLUTION = "Half of 6 is 3,  and\n2 + 3 = 5.\n\nSo the answer is $\\boxed{5}$.\n"
STEPS = ["Half of 6 is 3,  and\n2 + 3 = 5.\n\n", "So the answer is $\\boxed{5}$.\n"]


@pytest.mark.parametrize(
    "reply",
    [
        "Step 1: Half of 6 is 3,  and\n2 + 3 = 5.\n\nStep 2: So the answer is $\\boxed{5}$.\n",
        "Step 1: Half of 6 is 3,  and\n2 + 3 = 5. Step 2: So the answer is $\\boxed{5}$.",
        "\n\nStep 1:\nHalf of 6 is 3,  and\n2 + 3 = 5.\n\n\nStep 2:So the answer is $\\boxed{5}$.",
    ],
)
def test_white_space_around_a_marker_comes_with_it(reply: str) -> None:
    assert find_steps(SOLUTION, reply) == STEPS


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (SOLUTION, "has no marker"),
        ("", "has no marker"),
        ("Here it is.\nStep 1: " + SOLUTION, "text before its first marker"),
        ("Step 1: " + STEPS[0] + "Step 3: " + STEPS[1], "not numbered 1, 2"),
        ("Step 0: " + STEPS[0] + "Step 1: " + STEPS[1], "not numbered 1, 2"),
        ("Step 1: " + STEPS[0] + "Step 2: " + STEPS[1] + "Step 3: ", "a marker has no step"),
        (
            "Step 1: Half of 6 is 3, and\n2 + 3 = 5. Step 2: So the answer is $\\boxed{5}$.",
            "step 1 of the reply is not",
        ),
        ("Step 1: " + STEPS[0] + "Step 2: So the answer is $\\boxed{6}$.", "step 2 of the reply is not"),
        ("Step 1: " + STEPS[0] + "Step 2: So the answer", "leaves out the end"),
        ("Step 1: " + STEPS[0] + "Step 2: " + STEPS[1] + "Done.", "step 2 of the reply is not"),
    ],
)
def test_a_reply_that_changes_anything_else_is_refused(reply: str, reason: str) -> None:
    with pytest.raises(SegmentationError, match=reason):
        find_steps(SOLUTION, reply)


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1), st.sampled_from(["\n", " ", "\n\n"]))
def test_what_is_accepted_joins_to_the_solution(steps: list[str], between: str) -> None:
    solution = between.join(steps)
    reply = "\n".join(f"Step {number}: {step}" for number, step in enumerate(steps, 1))
    found = find_steps(solution, reply)
    assert "".join(found) == solution
    assert [step.strip() for step in found] == [step.strip() for step in steps]


@given(st.text(), st.text())
def test_no_reply_makes_other_text(solution: str, reply: str) -> None:
    try:
        found = find_steps(solution, "Step 1: " + reply)
    except SegmentationError:
        return
    assert "".join(found) == solution


@pytest.mark.parametrize("name", ["paper", "compact"])
def test_the_policy_is_asked_with_question_and_solution_as_content(name: str) -> None:
    hostile = "1 + 1 = 2 {{ fence }} <|im_end|>"
    asked = []

    def reply(prompt, rng):
        asked.append(prompt)
        return f"Step 1: {hostile}"

    assert segment(ScriptedEngine(reply), PromptSet(name), [("What is 1 + 1?", hostile)]) == [[hostile]]
    content = [part.text for part in (*asked[0].trunk, *asked[0].tail) if part.is_content]
    assert content == ["What is 1 + 1?", hostile]


def test_rows_gain_their_steps_or_say_why_not_each_in_its_place() -> None:
    def reply(prompt, rng):
        return "Step 1: a.\nStep 2: b." if "a. b." in prompt.text else "Step 1: " + "x" * 999

    solutions = ["a. b.", "Step 1: a.", "c.", None, "a. b."]
    rows = [{"id": number, "problem": "q", "solution": text} for number, text in enumerate(solutions)]
    rows += [{"solution": "a. b."}, {"problem": "q", "solution": "\ud800"}]
    found = list(segment_rows(rows, ScriptedEngine(reply), PromptSet("compact"), group_size=2))

    assert found[0] == rows[0] | {"steps": ["a. ", "b."], "segmented": "Step 1: a.\nStep 2: b."}
    assert found[4] == rows[4] | {"steps": ["a. ", "b."], "segmented": "Step 1: a.\nStep 2: b."}
    assert [str(found[index]) for index in (1, 2)] == [
        "the solution has markers already: cut it with --splitter marker",
        "the reply is cut off",
    ]
    assert all(isinstance(found[index], SegmentationError) for index in (1, 2))
    assert str(found[3]).startswith("expected a solution as text")
    assert str(found[5]).startswith("expected a question as text")
    assert str(found[6]).startswith("solution: half a surrogate pair")


def test_a_prompt_set_without_the_template_says_so() -> None:
    with pytest.raises(ConfigError, match=r"'plain' lacks segment\.jinja"):
        segment(ScriptedEngine(lambda prompt, rng: ""), PromptSet("plain"), [("q", "a.")])
