"""Preferences of neighbouring tools: what each says, and that nothing of it is lost without a word."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.errors import DataError
from presrm.formats.pairs import Terminal, pair_of, read_pairs
from presrm.formats.preferences import read_preference
from presrm.types import Stop

Q, GOOD, BAD = "2 + 3?", "It is 5.", "It is 6."
TEXT = {"prompt": Q, "chosen": GOOD, "rejected": BAD}
STEP = {"prompt": Q, "initial_reason_steps": "Add.\n", "chosen": "2 + 3 = 5", "rejected": "2 + 3 = 6"}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def part(text: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text}]


def hh(reply: str) -> str:
    return f"\n\nHuman: {Q}\n\nAssistant: {reply}"


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": Q, "input": "", "chosen": GOOD, "rejected": BAD},
        {"instruction": "2 +", "input": "3?", "chosen": GOOD, "rejected": BAD},
        {"input": Q, "chosen": GOOD, "rejected": BAD},
        {
            "conversations": [{"from": "human", "value": Q}],
            "chosen": {"from": "gpt", "value": GOOD},
            "rejected": {"from": "gpt", "value": BAD},
        },
        {"messages": [user(Q), assistant(GOOD)], "rejected_response": BAD},
        {"messages": [user(Q), assistant(GOOD)], "rejected_messages": [user(Q), assistant(BAD)]},
        {"messages": [user(Q), assistant(GOOD)], "rejected_messages": [assistant(BAD)]},
        {"prompt": Q, "chosen_response": GOOD, "rejected_response": BAD},
        {"query": Q, "response": GOOD, "rejected_response": BAD, "system": "", "history": []},
        {
            "input": {"messages": [user(Q)], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [assistant(GOOD)],
            "non_preferred_output": [assistant(BAD)],
        },
        {"trajectory": [{"from": "user", "value": Q}], "chosen": GOOD, "rejected": BAD},
        {"prompt": [user(Q)], "chosen": GOOD, "rejected": BAD},
        {"prompt": Q, "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]},
        {"prompt": [user(part(Q))], "chosen": [assistant(part(GOOD))], "rejected": [assistant(part(BAD))]},
        {"chosen": hh(GOOD), "rejected": hh(BAD)},
        {"chosen": hh(GOOD).lstrip(), "rejected": hh(BAD).lstrip(), "prompt": None},
        {"prompt": f"\n\nHuman: {Q}\n\nAssistant:", "chosen": GOOD, "rejected": BAD},
        {
            "chosen": [{"role": "Human", "content": Q}, {"role": "GPT", "content": GOOD}],
            "rejected": [{"role": "User", "content": Q}, {"role": "Assistant", "content": BAD}],
        },
        {
            "chosen": [{"role": "system", "content": " "}, user(Q), assistant(GOOD)],
            "rejected": [{"role": "system", "content": " "}, user(Q), assistant(BAD)],
        },
        {**TEXT, "system": "", "history": [], "tools": "[]", "images": None, "chat_template_kwargs": {}},
        {**TEXT, "chat_template_kwargs": {"enable_thinking": False}},
    ],
    ids=lambda row: ",".join(row),
)
def test_a_question_and_two_replies(row: dict[str, Any]) -> None:
    found = read_preference(row)
    assert found.question.replace("\n", " ") == Q
    assert found.so_far is None
    assert (found.chosen.text, found.rejected.text) == (GOOD, BAD)
    assert found.unread == ()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"system": ["In French."]}, "system: expected text, found a list"),
        ({"system": "In French.", "system_prompt": "In Dutch."}, "system: expected one, found another one besides"),
        ({"history": "hi"}, "history: expected a list of pairs"),
        ({"history": [["hi"]]}, "history: expected a list of pairs"),
        ({"history": [["hi", ""]]}, "history.0.1: expected text, found an empty string"),
        ({"tools": [{"name": "calc"}]}, "tools: expected none"),
        ({"tools": '[{"name": "calc"}]'}, "tools: expected none"),
        ({"images": ["a.png"]}, "images: expected none"),
        ({"rejected_images": ["a.png"]}, "rejected_images: expected none"),
        ({"videos": ["a.mp4"]}, "videos: expected none"),
        ({"audio": {"path": "a.wav"}}, "audio: expected none"),
        ({"documents": [{"text": "d"}]}, "documents: expected none"),
        ({"context": "A passage."}, "context: expected none"),
        ({"input": "3"}, "input: expected none beside 'prompt', found text"),
        ({"instruction": "In French."}, "instruction: expected none beside 'prompt'"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "chat_template_kwargs: expected nothing but"),
        ({"chat_template_kwargs": {"enable_thinking": False, "x": 1}}, "chat_template_kwargs: expected nothing but"),
    ],
)
@pytest.mark.parametrize(
    "row", [TEXT, STEP, {"prompt": [user(Q)], "chosen": [assistant(GOOD)], "rejected": [assistant(BAD)]}]
)
def test_what_the_policy_would_have_to_be_shown_besides_is_refused_by_name(
    row: dict[str, Any], more: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DataError) as refused:
        read_preference(row | more)
    assert str(refused.value).startswith(reason)


EARLIER = [user("Hi."), assistant("Hello.")]


@pytest.mark.parametrize(
    "row",
    [
        {**TEXT, "system": "In French.", "history": [["Hi.", "Hello."]]},
        {**TEXT, "system_prompt": "In French.", "history": [["Hi.", "Hello."]]},
        {**STEP, "system": "In French.", "history": [["Hi.", "Hello."]]},
        {"instruction": Q, "system": "In French.", "history": [["Hi.", "Hello."]], "chosen": GOOD, "rejected": BAD},
        {"prompt": [{"role": "system", "content": "In French."}, *EARLIER, user(Q)], "chosen": GOOD, "rejected": BAD},
        {"prompt": [*EARLIER, user(Q)], "system": "In French.", "chosen": GOOD, "rejected": BAD},
        {
            name: [{"role": "system", "content": "In French."}, *EARLIER, user(Q), assistant(text)]
            for name, text in (("chosen", GOOD), ("rejected", BAD))
        },
        {
            "system": "In French.",
            "messages": [*EARLIER, user(Q), assistant(GOOD)],
            "rejected_messages": [*EARLIER, user(Q), assistant(BAD)],
        },
        {
            "system": "In French.",
            **{
                name: f"\n\nHuman: Hi.\n\nAssistant: Hello.{hh(text)}"
                for name, text in (("chosen", GOOD), ("rejected", BAD))
            },
        },
        {
            "system": "In French.",
            "prompt": f"\n\nHuman: Hi.\n\nAssistant: Hello.\n\nHuman: {Q}\n\nAssistant:",
            "chosen": GOOD,
            "rejected": BAD,
        },
    ],
)
def test_what_comes_before_the_question_is_shown_before_it(row: dict[str, Any]) -> None:
    found = read_preference(row)
    assert (found.system, found.history, found.question) == ("In French.", (("Hi.", "Hello."),), Q)
    assert found.unread == ()
    problem = pair_of(row, 1, Terminal.AUTO).prefix.problem
    assert (problem.system, problem.history, problem.question) == ("In French.", (("Hi.", "Hello."),), Q)


@pytest.mark.parametrize("chosen", [GOOD, assistant(GOOD), [assistant(GOOD)]])
def test_messages_that_wait_for_a_reply_are_the_prompt(chosen: Any) -> None:
    rejected = BAD if isinstance(chosen, str) else assistant(BAD)
    developer = {"role": "developer", "content": "In French."}
    found = read_preference({"messages": [developer, *EARLIER, user(Q)], "chosen": chosen, "rejected": rejected})
    assert (found.system, found.history, found.question) == ("In French.", (("Hi.", "Hello."),), Q)
    assert (found.chosen.text, found.rejected.text, found.unread) == (GOOD, BAD, ())


def test_messages_that_end_with_a_reply_are_only_another_copy() -> None:
    sides = {name: [user(Q), assistant(text)] for name, text in (("chosen", GOOD), ("rejected", BAD))}
    found = read_preference({**sides, "messages": [user(Q), assistant(GOOD)]})
    assert (found.question, found.chosen.text, found.unread) == (Q, GOOD, ("messages",))


def test_dialogues_beside_their_prompt_are_cut_behind_it() -> None:
    prompt = f"\n\nHuman: {Q}\n\nAssistant:"
    sides = {"chosen": hh(GOOD), "rejected": hh(BAD)}
    found = read_preference({"prompt": prompt, **sides})
    assert (found.question, found.chosen.text, found.rejected.text) == (Q, GOOD, BAD)
    with pytest.raises(DataError, match="prompt: expected the turns that chosen and rejected begin with, found others"):
        read_preference({"prompt": prompt.replace(Q, "Another?"), **sides})


def test_the_same_question_behind_other_turns_is_another_problem() -> None:
    rows = [TEXT, {**TEXT, "system": "a"}, {**TEXT, "system": "b"}, {**TEXT, "history": [["a", "b"]]}]
    assert len({pair_of(row, 1, Terminal.AUTO).prefix.problem.id for row in rows}) == 4


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**TEXT, "rejected": [BAD, "no"]}, "rejected.0: expected a message"),
        ({**TEXT, "chosen": [assistant(GOOD)]}, "rejected: expected a list of messages, found text"),
        ({**TEXT, "chosen": str([assistant(GOOD)])}, "chosen: expected text or a list of messages, found such a list"),
        ({**TEXT, "prompt": json.dumps([user(Q)])}, "prompt: expected text or a list of messages, found such a list"),
        ({"chosen": hh(GOOD), "rejected": BAD}, "rejected: expected text that begins with 'Human:'"),
        ({"chosen": hh(GOOD), "rejected": hh(" ")}, "rejected, turn 2: expected text, found blanks"),
        (
            {"chosen": hh(GOOD), "rejected": hh("a" + hh(BAD))},
            "rejected: expected one assistant turn behind the prompt",
        ),
        (
            {
                "prompt": [user("hi"), assistant("hello"), user(Q)],
                "history": [["a", "b"]],
                "chosen": GOOD,
                "rejected": BAD,
            },
            "history: expected none beside the earlier turns in 'prompt'",
        ),
        (
            {"prompt": [{"role": "system", "content": "a"}, user(Q)], "system": "b", "chosen": GOOD, "rejected": BAD},
            "system: expected one",
        ),
        ({"chosen": GOOD, "rejected": BAD}, "prompt: expected text, found no such field"),
        ({"messages": [user(Q)], "rejected_response": BAD}, "messages: expected one assistant turn at their end"),
        ({"messages": [], "rejected_response": BAD}, "messages: expected one assistant turn at their end"),
        ({"messages": [assistant(GOOD)], "rejected_response": BAD}, "messages: expected turns of user and assistant"),
        ({"messages": [user(Q), assistant(GOOD)]}, "chosen and rejected, found one reply to imitate (messages)"),
        ({"prompt": Q, "completion": GOOD}, "found one reply to imitate (completion, prompt): pairs alone are learned"),
        ({"instruction": Q, "input": "", "output": GOOD}, "found one reply to imitate (output, instruction, input)"),
        ({"prompt": Q, "completion": GOOD, "label": True}, "found one reply and what it got (completion, prompt)"),
        ({"prompt": Q, "response": GOOD, "reward": 0.5}, "found one reply and what it got (response, prompt)"),
        ({"messages": [user(Q), assistant(GOOD)], "rejected_response": None}, "rejected_response: expected a list"),
        (
            {"prompt": Q, "chosen": [user(Q), assistant("A"), user("and?"), assistant(GOOD)], "rejected": [user(Q)]},
            "prompt: expected turns that chosen and rejected begin with alike",
        ),
        (
            {
                "input": {"messages": [user(Q)], "tools": [{"type": "function"}]},
                "preferred_output": [assistant(GOOD)],
                "non_preferred_output": [assistant(BAD)],
            },
            "input.tools: expected none",
        ),
        (
            {"prompt": [user([{"type": "image"}])], "chosen": GOOD, "rejected": BAD},
            "prompt.0.content.0: expected a part",
        ),
        (
            {"prompt": [user(Q)], "chosen": [assistant(GOOD) | {"tool_calls": [{}]}], "rejected": [assistant(BAD)]},
            "chosen.0.tool_calls: expected none",
        ),
        (
            {
                "prompt": [user(Q)],
                "chosen": [assistant(GOOD) | {"reasoning_content": "r"}],
                "rejected": [assistant("")],
            },
            "chosen.0.reasoning_content: expected none",
        ),
        ({**STEP, "initial_reason_steps": 3}, "initial_reason_steps: expected text, found a number"),
        ({**TEXT, "chosen": "<|im_end|>"}, "chosen: expected text before <|im_end|>"),
    ],
)
def test_the_field_that_is_odd_is_named(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(DataError) as refused:
        read_preference(row)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    "end",
    [
        *("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<|end|>", "<|END_OF_TURN_TOKEN|>"),
        *("</s>", "<eos>", "<end_of_turn>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
    ],
)
def test_exactly_one_end_token_behind_a_reply_is_taken_off(end: str) -> None:
    found = read_preference({**TEXT, "chosen": f"{GOOD}{end}", "rejected": f"{BAD} {end}{end}\n"})
    assert (found.chosen.text, found.chosen.end) == (GOOD, end)
    assert (found.rejected.text, found.rejected.end) == (f"{BAD} {end}", end)
    inside = read_preference({**TEXT, "chosen": f"{end}{GOOD}"}).chosen
    assert (inside.text, inside.end) == (f"{end}{GOOD}", "")


def test_an_end_token_says_where_a_solution_ends() -> None:
    row = {**STEP, "chosen": "2 + 3 = 5<|im_end|>"}
    stops = [pair_of(row, 1, terminal) for terminal in Terminal]
    assert [(pair.chosen.stop, pair.rejected.stop) for pair in stops] == [
        (Stop.EOS, None),
        (Stop.EOS, Stop.EOS),
        (None, None),
    ]


def test_replies_that_differ_by_their_end_token_alone_are_the_same() -> None:
    with pytest.raises(DataError, match="rejected: expected another text than chosen"):
        pair_of({**TEXT, "rejected": f"{GOOD}</s>"}, 1, Terminal.AUTO)


def test_a_first_step_of_a_table_is_null_and_still_a_step() -> None:
    made = pair_of({**STEP, "initial_reason_steps": None}, 1, Terminal.AUTO)
    assert made.prefix.steps == ()
    assert (made.chosen.stop, made.rejected.stop) == (None, None)


def test_what_is_taken_off_and_not_read_is_noted(tmp_path: Path) -> None:
    rows = [
        {**TEXT, "chosen": f"{GOOD}</s>", "score": 1, "empty": None},
        {**TEXT, "rejected": f"{BAD}<|im_end|>", **{f"c{number}": "x" for number in range(8)}},
        {**TEXT, "score": 0, "tools": "refused, so its columns do not count", "other": 1},
    ]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ends, columns = read_pairs(path).notes
    assert ends.startswith("2 replies end with </s> or <|im_end|>, which is taken off")
    assert columns == "columns that are not read: score, c0, c1, c2, c3, c4, c5, c6 and 1 more"


def test_a_row_of_ours_has_nothing_to_note(tmp_path: Path) -> None:
    step = {"text": "5</s>", "tokens": None, "stop": None}
    prefix = {"problem": {"id": "p", "question": Q}, "steps": []}
    row = {"id": "p/1", "prefix": prefix, "chosen": step, "rejected": {**step, "text": "6"}, "margin": 0.5}
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(row))
    found = read_pairs(path)
    assert found.notes == ()
    assert found.pairs[0].chosen.text == "5</s>"


@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
@pytest.mark.parametrize("row", [TEXT, STEP], ids=["TRL", "Step-DPO"])
def test_every_table_gives_the_same_pairs(tmp_path: Path, suffix: str, row: dict[str, str]) -> None:
    path = tmp_path / f"pairs{suffix}"
    match suffix:
        case ".jsonl":
            path.write_text(json.dumps(row))
        case ".json":
            path.write_text(json.dumps([row], indent=2))
        case ".csv":
            import csv

            with path.open("w", newline="") as file:
                writer = csv.DictWriter(file, list(row))
                writer.writeheader()
                writer.writerow(row)
        case ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    assert read_pairs(path).pairs == (pair_of(row, 1, Terminal.AUTO),)


def test_messages_written_as_json_into_a_table_are_read(tmp_path: Path) -> None:
    import csv

    path = tmp_path / "pairs.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ["prompt", "chosen", "rejected"],
                [json.dumps([user(Q)]), *(json.dumps([assistant(t)]) for t in (GOOD, BAD))],
            ]
        )
    assert read_pairs(path).pairs == (pair_of(TEXT, 1, Terminal.AUTO),)


NAMES = st.sampled_from(
    [
        *("prompt", "question", "instruction", "input", "conversations", "messages", "chosen", "rejected"),
        *("rejected_response", "initial_reason_steps", "system", "history", "role", "content", "from", "value"),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.integers(0, 2)
    | st.sampled_from(["", "user", "assistant", "a", "b", "\n\nHuman: a\n\nAssistant: b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_any_row_is_read_or_refused(row: dict[str, Any]) -> None:
    try:
        found = pair_of(row, 1, Terminal.AUTO)
    except DataError:
        return
    assert found.prefix.problem.question.strip()
    assert found.chosen.text != found.rejected.text


@pytest.mark.parametrize(
    ("prompt", "reply", "notes"),
    [
        ("Human:\nHow much is 2 + 3?\nAssistant:\n", "{}", ["1 prompts end with the heading of a reply"]),
        ("Add.\n\n### Response:\n", "{}", ["1 prompts end with the heading of a reply"]),
        ("How much is 2 + 3?", "How much is 2 + 3? {}", []),  # three words may come by chance
        ("How much is it, 2 + 3?", "How much is it, 2 + 3? {}", ["in 1 pair the replies begin with the whole"]),
        ("Name the best response: a or b", "{}", []),
    ],
)
def test_a_template_or_a_prompt_that_came_with_the_text_is_said(
    tmp_path: Path, prompt: str, reply: str, notes: list[str]
) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps({"prompt": prompt, "chosen": reply.format(GOOD), "rejected": reply.format(BAD)}) + "\n")
    said = read_pairs(path).notes
    assert len(said) == len(notes)
    assert all(note in line for note, line in zip(notes, said, strict=True))
