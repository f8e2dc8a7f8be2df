"""What a row becomes, in each format; where its answers end; what is wrong with a bad one."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from presrm.errors import DataError
from presrm.files.jsonl import dump
from presrm.formats.pairs import PairFile, Terminal, holds_answer, pair_of, read_pairs
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

OWN = PreferencePair(
    "p1/3",
    Trajectory(Problem("p1", "2 + 3?"), (Step("2 and 3.\n", (5, 6)),)),
    Step("5.\n", (7,), Stop.EOS),
    Step("6.\n", (8,), Stop.MAX_TOKENS),
    margin=0.25,
)
TRL = {"prompt": "2 + 3?", "chosen": "It is 5.", "rejected": "It is 6."}
STEP_DPO = {"prompt": "2 + 3?", "initial_reason_steps": "Add.\n", "chosen": "2 + 3 = 5.", "rejected": "2 + 3 = 6."}
SURROGATE = "\ud83d"


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


CHAT = {"prompt": [user("2 + 3?")], "chosen": [assistant("It is 5.")], "rejected": [assistant("It is 6.")]}
IMPLICIT = {"chosen": [user("2 + 3?"), assistant("It is 5.")], "rejected": [user("2 + 3?"), assistant("It is 6.")]}


def read(tmp_path: Path, *rows: Any, terminal: Terminal = Terminal.AUTO) -> PairFile:
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return read_pairs(path, terminal)


def pair(row: dict[str, Any], terminal: Terminal = Terminal.AUTO) -> PreferencePair:
    return pair_of(row, 1, terminal)


def stops(made: PreferencePair) -> tuple[Stop | None, Stop | None]:
    return made.chosen.stop, made.rejected.stop


@pytest.mark.parametrize("terminal", Terminal)
def test_our_own_rows_come_back_as_they_were(terminal: Terminal) -> None:
    assert pair(json.loads(dump(OWN)), terminal) == OWN


def test_pairs_of_one_tree_hold_what_they_have_in_common_once(tmp_path: Path) -> None:
    longer = replace(OWN, id="2/longer", prefix=OWN.prefix.extend(OWN.chosen))
    other = replace(OWN, id="2/other", prefix=Trajectory(Problem("other", "?"), OWN.prefix.steps))

    made = read(tmp_path, *(dump(each) for each in (OWN, longer, other))).pairs

    assert made == (OWN, longer, other)
    first, second, _ = (each.prefix for each in made)
    assert second.problem is first.problem
    assert all(a is b for a, b in zip(second.steps, (*first.steps, made[0].chosen), strict=True))


@pytest.mark.parametrize(
    "row",
    [
        TRL,
        CHAT,
        IMPLICIT,
        {**IMPLICIT, "prompt": "2 + 3?"},  # HuggingFaceH4/ultrafeedback_binarized
        {**IMPLICIT, "prompt": None},
        {"question": "2 + 3?", "prompt": None, "chosen": "It is 5.", "rejected": "It is 6."},
    ],
    ids=["text", "messages", "implicit prompt", "prompt twice", "prompt null", "question"],
)
def test_whole_answers_become_pairs_without_prefix_that_end(row: dict[str, Any]) -> None:
    made = pair(row)
    assert made.prefix.problem.question == "2 + 3?"
    assert made.prefix.steps == ()
    assert (made.chosen.text, made.rejected.text, made.margin) == ("It is 5.", "It is 6.", 1.0)
    assert stops(made) == (Stop.EOS, Stop.EOS)


@pytest.mark.parametrize("name", ["initial_reason_steps", "prefix"])
def test_the_reasoning_so_far_becomes_the_prefix_verbatim(name: str) -> None:
    made = pair({"question": " 2 + 3?\n", name: "Add.\n\n", "chosen": " 5", "rejected": "6 "})
    assert made.prefix.problem.question == " 2 + 3?\n"
    assert made.prefix.steps == (Step("Add.\n\n"),)
    assert (made.chosen.text, made.rejected.text) == (" 5", "6 ")


def test_a_first_step_has_no_prefix() -> None:
    assert pair({**STEP_DPO, "initial_reason_steps": ""}).prefix.steps == ()


def test_equal_questions_are_one_problem_and_every_row_has_its_own_id(tmp_path: Path) -> None:
    pairs = read(tmp_path, TRL, CHAT, STEP_DPO, STEP_DPO, {**TRL, "prompt": "2 + 4?"}).pairs
    assert len({pair.id for pair in pairs}) == 5
    problems = [pair.prefix.problem.id for pair in pairs]
    assert len(set(problems[:4])) == 1
    assert problems[4] not in problems[:4]


@pytest.mark.parametrize(
    ("step", "is_answer"),
    [
        (r"so it is \boxed{5}.", True),
        ("2 + 3 = 5\n#### 5\n", True),
        (r"#### \frac{1}{2}", True),
        ("The answer is 5.", True),
        ("The final answer is: $5$", True),
        ("**Answer:** x + y", True),
        ("The answer is B.", True),
        ("2 + 3 = 5", False),
        ("#### Step 2: add 2 and 3", False),
        ("Check whether the answer is right.", False),
        ("The answer is", False),
        ("####", False),
        (r"\boxed{5", False),
    ],
)
def test_a_step_of_a_foreign_row_ends_a_solution_where_it_states_an_answer(step: str, is_answer: bool) -> None:
    assert holds_answer(step) is is_answer
    made = pair({**STEP_DPO, "chosen": step, "rejected": "2 + 3 = 6"})
    assert stops(made) == (Stop.EOS if is_answer else None, None)


@pytest.mark.parametrize("row", [TRL, CHAT, STEP_DPO])
def test_where_answers_end_can_be_said(row: dict[str, Any]) -> None:
    assert stops(pair(row, Terminal.ALWAYS)) == (Stop.EOS, Stop.EOS)
    assert stops(pair(row, Terminal.NEVER)) == (None, None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "prompt: expected text, found no such field"),
        ({**TRL, "prompt": 7}, "prompt: expected text, found a number"),
        ({**TRL, "prompt": " "}, "prompt: expected text, found blanks"),
        ({**TRL, "chosen": None}, "chosen: expected text, found null"),
        ({**TRL, "chosen": True}, "chosen: expected text, found true or false"),
        ({**TRL, "rejected": ""}, "rejected: expected text, found an empty string"),
        ({**TRL, "rejected": TRL["chosen"]}, "rejected: expected another text than chosen, found the same"),
        ({**TRL, "rejected": "6" + SURROGATE}, "rejected: half a surrogate pair at character 2"),
        ({"prompt": "2 + 3?", "chosen": "5"}, "rejected: expected text, found no such field"),
        ({**STEP_DPO, "initial_reason_steps": ["Add."]}, "initial_reason_steps: expected text, found a list"),
        ({**STEP_DPO, "initial_reason_steps": SURROGATE}, "initial_reason_steps: half a surrogate pair at character 1"),
        ({**STEP_DPO, "chosen": [assistant("5")]}, "chosen: expected text, found a list"),
        ({**CHAT, "prompt": [user("2 + 3?"), system("Be brief.")]}, "prompt: expected turns of user and assistant in "),
        ({**CHAT, "prompt": [user("Hi"), assistant("Hi")]}, "a user's last, found user, assistant"),
        ({**CHAT, "prompt": []}, "prompt: expected a user turn, found none"),
        ({**CHAT, "chosen": []}, "chosen: expected one assistant turn behind the prompt and no other, found none"),
        ({**CHAT, "chosen": [user("No")]}, "chosen: expected one assistant turn behind the prompt"),
        ({**CHAT, "chosen": "It is 5."}, "chosen: expected a list of messages, found text"),
        ({**CHAT, "chosen": ["It is 5."]}, "chosen.0: expected a message with role and content"),
        ({**CHAT, "chosen": [assistant(None)]}, "chosen.0.content: expected text, found null"),
        ({**CHAT, "chosen": [assistant([{"type": "text"}])]}, "chosen.0.content.0.text: expected text, found no such"),
        ({**CHAT, "chosen": [assistant([])]}, "chosen.0.content: expected text, found a list"),
        ({**CHAT, "prompt": [{"role": "tool", "content": "5"}]}, "prompt.0.role: expected user, assistant, system, "),
        ({**CHAT, "prompt": [{"role": ["user"], "content": "5"}]}, "prompt.0.role: expected user, assistant, system, "),
        ({**CHAT, "tools": [{"name": "add"}]}, "tools: expected none"),
        ({**CHAT, "rejected": CHAT["chosen"]}, "rejected: expected another text than chosen"),
        (
            {"chosen": [assistant("5")], "rejected": [assistant("6")]},
            "prompt: expected turns that chosen and rejected ",
        ),
        ({**IMPLICIT, "prompt": "2 + 4?"}, "prompt: expected the turns that chosen and rejected begin with"),
        ({**IMPLICIT, "rejected": [user("2 + 4?"), assistant("6")]}, "prompt: expected turns that chosen and"),
        ({"prefix": {}, "chosen": {}, "rejected": {}}, "id: Field required"),
    ],
)
def test_a_bad_row_is_named_with_its_field_and_what_was_expected(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as found:
        pair(row)
    assert reason in str(found.value)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"margin": 0.0}, "margin: expected more than 0 and at most 1, found 0"),
        ({"rejected": OWN.chosen}, "rejected: expected another text than chosen"),
        ({"chosen": Step(SURROGATE)}, "chosen.text: half a surrogate pair"),
        ({"chosen": Step("5", (-1,))}, "chosen.tokens: expected token ids"),
        ({"chosen": Step("5", (2**40,))}, "chosen.tokens: expected token ids"),
        ({"chosen": Step("5", (2**31,))}, "chosen.tokens: expected token ids"),
        ({"prefix": replace(OWN.prefix, steps=(Step(SURROGATE),))}, "prefix.steps.0.text: half a surrogate pair"),
    ],
)
def test_a_row_of_ours_that_was_damaged_is_named_too(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        pair(json.loads(dump(replace(OWN, **changed))))


@pytest.mark.parametrize(("name", "what"), [("reply", "a demonstration"), ("completion", "an attempt")])
def test_other_lessons_of_a_run_are_named_as_what_they_are(name: str, what: str) -> None:
    row = {"id": "a", "prefix": {"problem": {"id": "p", "question": "?"}, "steps": []}, name: {"text": "2"}}
    with pytest.raises(DataError, match=f"expected a pair, chosen and rejected, found {what} of a run"):
        pair_of(row, 1, Terminal.AUTO)


def test_a_row_of_ours_loses_nothing_that_is_not_known() -> None:
    with pytest.raises(DataError, match="chosen_stop: expected no such field in a pair of a run"):
        pair({**json.loads(dump(OWN)), "chosen_stop": "eos"})


def test_a_row_of_ours_names_the_field_that_is_missing() -> None:
    row = json.loads(dump(OWN))
    del row["prefix"]["problem"]["question"]
    with pytest.raises(ValueError, match=r"prefix\.problem\.question: Field required"):
        pair(row)


def test_formats_are_told_apart_row_by_row_and_bad_rows_are_set_aside(tmp_path: Path) -> None:
    found = read(tmp_path, TRL, "{", dump(OWN), "", STEP_DPO, "[]", CHAT, {**TRL, "chosen": None})
    assert len(found.pairs) == 4
    assert found.num_own == 1
    assert [row.line for row in found.rejected] == [2, 6, 8]
    assert found.rejected[-1].reason == "chosen: expected text, found null"


def test_a_file_without_a_good_row_is_refused_with_the_first_reasons(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pairs\.jsonl: no row can be used; line 1: prompt: .*; line 3: .*; \.\.\.$"):
        read(tmp_path, {}, {}, {}, {})
    with pytest.raises(DataError, match="is empty"):
        read(tmp_path)
