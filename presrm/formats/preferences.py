r"""Rows of neighbouring tools -> a question, perhaps the reasoning so far, and two replies.

Known are TRL (text or messages, explicit prompt or implicit), Step-DPO, LLaMA-Factory (Alpaca, ShareGPT), ms-swift,
Axolotl, OpenAI, UltraFeedback and the ``\n\nHuman: ... \n\nAssistant: ...`` of HH-RLHF; `docs/formats.md` has a row of
each.

>>> row = {"instruction": "Add.", "input": "1 + 1", "chosen": "2<|im_end|>\n", "rejected": "3", "dataset": "sums"}
>>> found = read_preference(row)
>>> found.question, found.chosen, found.unread
('Add.\n1 + 1', Reply(text='2', end='<|im_end|>'), ('dataset',))
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from presrm.errors import DataError
from presrm.formats.fields import (
    ASSISTANT,
    SYSTEM,
    USER,
    Turn,
    check_text,
    name_kind_of,
    read_turns,
    require_roles,
    require_text,
)

_SO_FAR = ("initial_reason_steps", "prefix")
_PROMPT = ("prompt", "question", "instruction", "query", "conversations", "trajectory", "input")
_CHOSEN = ("chosen", "chosen_response", "preferred_output", "response")
_REJECTED = ("rejected", "rejected_response", "rejected_messages", "non_preferred_output")
_SYSTEM = ("system", "system_prompt", "system_message")
_ALONE = ("completion", "output", "response", "reply", "solution", "answer")
"""What a reply is called that stands alone: in demonstrations (TRL, Alpaca, problems) and attempts."""
_NO_TURN = re.compile(
    r"(?:chosen_|rejected_)?(?:tools|functions|images?|videos?|audios?|objects|documents|context)|chosen_system"
    r"|rejected_system"
)
_ONLY_TEXT = "as the policy is shown turns of text alone"
_HUMAN_OR_ASSISTANT = re.compile(r"(?:\A|\n\n)(Human|Assistant):[^\S\n]?")
_END = re.compile(
    r"(<\|[^|<>\s]*(?:end|eos|eot|eom|return)[^|<>\s]*\|>|<\uff5cend\u2581of\u2581sentence\uff5c>|</s>|<eos>"
    r"|<end_of_turn>|<turn\|>)\s*\Z",
    re.IGNORECASE,
)


_Sides = tuple[Sequence[Turn], str, str]
"""What both replies answer, chosen, rejected."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is preferred, or not.

    Attributes:
        text: Verbatim, without the end token.
        end: The end token of whatever model that stood behind it, or nothing.
    """

    text: str
    end: str = ""


@dataclass(frozen=True, slots=True)
class Preference:
    """What a foreign row says.

    Attributes:
        question: The user turn.
        so_far: The reasoning that both replies continue; none where they are whole answers.
        chosen: The preferred reply.
        rejected: The other.
        system: The system turn, or none.
        history: Earlier turns, as `presrm.types.Problem` has them.
        unread: Columns that hold something and are not read.
    """

    question: str
    so_far: str | None
    chosen: Reply
    rejected: Reply
    system: str | None = None
    history: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()


def read_preference(row: Mapping[str, Any]) -> Preference:
    """Read a row of any of the formats.

    Raises:
        DataError: naming the field and what was expected, also where more is to be shown than turns of text.
    """
    _refuse_what_is_no_pair(row)
    _refuse_what_is_no_turn(row)
    names = tuple(_first(row, names) for names in (_PROMPT, _CHOSEN, _REJECTED))
    so_far_name = next((name for name in _SO_FAR if name in row), None)
    if row.get(names[1]) is None and isinstance(row.get("messages"), list):
        names = ("messages", "messages", names[2])
    elif row.get(names[0]) is None and _asks(row.get("messages")):
        names = ("messages", *names[1:])
    used = {*names, so_far_name, "chat_template_kwargs", "history", *_SYSTEM}
    so_far = None
    if so_far_name is not None:
        # A column without text is that of a first step: what is empty in CSV and in Parquet is null.
        so_far = "" if row[so_far_name] is None else require_text(row, so_far_name, may_be_blank=True)
        asked, chosen, rejected = (require_text(row, name) for name in names)
        before: Sequence[Turn] = [Turn(USER, asked)]
    else:
        before, chosen, rejected = _whole_answers(row, *names)
    system, history, question = _context(row, before, names[0])
    if "input" not in names and not _is_empty(row.get("input")):
        used.add("input")
        if names[0] != "instruction":
            raise DataError(f"input: expected none beside {names[0]!r}, found {name_kind_of(row, 'input')}")
        question += "\n" + require_text(row, "input")
    unread = tuple(name for name, value in row.items() if name not in used and not _is_empty(value))
    replies = _reply(chosen, names[1]), _reply(rejected, names[2])
    return Preference(question, so_far, *replies, system, history, unread)


def _whole_answers(row: Mapping[str, Any], prompt: str, chosen: str, rejected: str) -> _Sides:
    """Read a row whose fields have these names."""
    if prompt == chosen:
        return _swift(row, rejected)
    if any(isinstance(row.get(name), list | Mapping) for name in (prompt, chosen, rejected)):
        return _conversation(row, prompt, chosen, rejected)
    if _is_dialogue(row.get(chosen)) and (row.get(prompt) is None or _is_dialogue(row[prompt])):
        found = _sides([], (_dialogue(row, chosen), _dialogue(row, rejected)))
        if row.get(prompt) is not None and _prompt(row, prompt) != found[0]:
            raise DataError(f"{prompt}: expected the turns that chosen and rejected begin with, found others")
        return found
    return _prompt(row, prompt), require_text(row, chosen), require_text(row, rejected)


def _context(
    row: Mapping[str, Any], before: Sequence[Turn], field: str
) -> tuple[str | None, tuple[tuple[str, str], ...], str]:
    """Give the system turn, the earlier turns and the question: of the columns for them, and of the turns `before`."""
    systems = [require_text(row, name) for name in _SYSTEM if not _is_empty(row.get(name))]
    if before and before[0].role == SYSTEM:
        systems.append(before[0].text)
        before = before[1:]
    if len(set(systems)) > 1:
        raise DataError("system: expected one, found another one besides")
    history = _history(row.get("history"))
    roles = [turn.role for turn in before]
    if not before or roles != [USER, *(ASSISTANT, USER) * (len(before) // 2)]:
        shown = ", ".join(roles[:4]) + (", ..." if len(roles) > 4 else "") or "none"
        raise DataError(f"{field}: expected turns of user and assistant in turn, a user's last, found {shown}")
    if history and len(before) > 1:
        raise DataError(f"history: expected none beside the earlier turns in {field!r}")
    texts = [turn.text for turn in before]
    history += tuple(zip(texts[:-1:2], texts[1::2], strict=True))
    return next(iter(systems), None), history, texts[-1]


def _history(value: Any) -> tuple[tuple[str, str], ...]:
    """Read LLaMA-Factory's pairs of what was asked and the reply."""
    if _is_empty(value):
        return ()
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise DataError("history: expected a list of pairs, what was asked and the reply")
    for number, (asked, reply) in enumerate(value):
        for place, text in enumerate((asked, reply)):
            require_text({"text": text}, "text", f"history.{number}.{place}")
    return tuple((asked, reply) for asked, reply in value)


def _refuse_what_is_no_pair(row: Mapping[str, Any]) -> None:
    """Say what a row is that shows one reply alone."""
    if any(name in row for name in (*_CHOSEN, *_REJECTED) if name != "response"):
        return
    named = [name for name in (*_ALONE, *_PROMPT, "messages") if name in row]
    if not any(name in row for name in (*_ALONE, "messages")):
        return
    has_reward = any(name in row for name in ("reward", "rewards", "label", "score", "advantage"))
    what = "one reply and what it got" if has_reward else "one reply to imitate"
    raise DataError(
        f"expected a pair of replies, chosen and rejected, found {what} ({', '.join(named)}): pairs alone are learned "
        "from; docs/formats.md has a row of each format"
    )


def _refuse_what_is_no_turn(row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        if _NO_TURN.fullmatch(name) and not _is_empty(value):
            raise DataError(f"{name}: expected none, {_ONLY_TEXT}")
    if row.get("instruction") and any(row.get(name) for name in ("prompt", "question")):
        raise DataError("instruction: expected none beside 'prompt' or 'question', as only one of them would be read")
    options = row.get("chat_template_kwargs")
    if isinstance(options, Mapping) and not all(
        value is None or (name, value) == ("enable_thinking", False) for name, value in options.items()
    ):
        raise DataError("chat_template_kwargs: expected nothing but enable_thinking: false")


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """The first of several names that has a value, else the first that is there, else the usual one."""
    with_value = (name for name in names if row.get(name) is not None)
    return next(with_value, next((name for name in names if name in row), names[0]))


def _is_empty(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in ("", "[]", "{}")
    if isinstance(value, list):
        return all(map(_is_empty, value))
    return value is None or value == {}


def _reply(text: str, field: str) -> Reply:
    end = _END.search(text)
    if end is None:
        return Reply(text)
    if not text[: end.start()].strip():
        raise DataError(f"{field}: expected text before {end[1]}")
    return Reply(text[: end.start()], end[1])


def _sides(before: Sequence[Turn], replies: tuple[Sequence[Turn], Sequence[Turn]]) -> _Sides:
    """Give what comes before the replies, and the replies: one assistant turn each.

    Without turns in `before`, they are what both replies begin with alike.
    """
    chosen, rejected = replies
    if not before:
        both = zip(chosen[:-1], rejected[:-1], strict=False)
        before = [turn for turn, _ in takewhile(lambda turns: turns[0] == turns[1], both)]
        if not before:
            raise DataError("prompt: expected turns that chosen and rejected begin with alike, found none")
        chosen, rejected = chosen[len(before) :], rejected[len(before) :]
    require_roles(chosen, [ASSISTANT], "chosen", " behind the prompt")
    require_roles(rejected, [ASSISTANT], "rejected", " behind the prompt")
    return before, chosen[0].text, rejected[0].text


def _conversation(row: Mapping[str, Any], prompt: str, chosen: str, rejected: str) -> _Sides:
    """Read a row of which some field holds messages."""
    value = row.get(prompt)
    if isinstance(value, Mapping) and "messages" in value:  # OpenAI
        if not _is_empty(value.get("tools")):
            raise DataError(f"{prompt}.tools: expected none, {_ONLY_TEXT}")
        value, prompt = value["messages"], f"{prompt}.messages"
    if isinstance(value, list | Mapping):
        before = read_turns(value, prompt)
        if not before:
            raise DataError(f"{prompt}: expected a user turn, found none")
        return _sides(before, _replies(row, chosen, rejected, may_be_text=True))
    replies = _replies(row, chosen, rejected)
    if value is None or len(replies[0]) > 1:
        found = _sides([], replies)
        if value is not None and require_text(row, prompt) not in [turn.text for turn in found[0]]:
            raise DataError(f"{prompt}: expected the turns that chosen and rejected begin with, found another text")
        return found
    return _sides([Turn(USER, require_text(row, prompt))], replies)


def _replies(
    row: Mapping[str, Any], chosen: str, rejected: str, *, may_be_text: bool = False
) -> tuple[list[Turn], list[Turn]]:
    """Read both as turns; where they may be text, both are."""
    names = (chosen, rejected)
    if may_be_text and all(isinstance(row.get(name), str) for name in names):
        return [Turn(ASSISTANT, require_text(row, chosen))], [Turn(ASSISTANT, require_text(row, rejected))]
    turns = {name: read_turns(row[name], name) for name in names if isinstance(row.get(name), list | Mapping)}
    for name in names:
        if name not in turns:
            raise DataError(f"{name}: expected a list of messages, found {name_kind_of(row, name)}")
    return turns[chosen], turns[rejected]


def _swift(row: Mapping[str, Any], rejected: str) -> _Sides:
    """Read ms-swift's ``messages``, which end with the preferred reply."""
    *before, chosen = read_turns(row["messages"], "messages") or [Turn(USER, "")]
    require_roles([chosen], [ASSISTANT], "messages", " at their end")
    if isinstance(row.get(rejected), str):
        return before, chosen.text, require_text(row, rejected)
    _, other = _replies(row, "messages", rejected)
    return _sides(before, ([chosen], other[len(before) :] if other[: len(before)] == before else other))


def _asks(messages: Any) -> bool:
    """Whether these are messages of which the last one waits for a reply."""
    return isinstance(messages, list) and [turn.role for turn in read_turns(messages, "messages")][-1:] == [USER]


def _is_dialogue(value: Any) -> bool:
    return isinstance(value, str) and value.lstrip().startswith("Human:")


def _dialogue(row: Mapping[str, Any], name: str) -> list[Turn]:
    r"""Read ``\n\nHuman: ...\n\nAssistant: ...``."""
    text = require_text(row, name).lstrip()
    before, *pieces = _HUMAN_OR_ASSISTANT.split(text)
    if before:
        raise DataError(f"{name}: expected text that begins with 'Human:', as chosen does")
    sides = {"Human": USER, "Assistant": ASSISTANT}
    turns = [Turn(sides[side], said) for side, said in zip(pieces[::2], pieces[1::2], strict=True)]
    for number, turn in enumerate(turns):
        check_text(turn.text, f"{name}, turn {number + 1}")
    return turns


def _prompt(row: Mapping[str, Any], name: str) -> list[Turn]:
    r"""Read a prompt that is text, also one that ends in ``\n\nAssistant:``."""
    text = require_text(row, name)
    if not (_is_dialogue(text) and text.rstrip().endswith("\n\nAssistant:")):
        return [Turn(USER, text)]
    return _dialogue({name: text.rstrip().removesuffix("Assistant:").rstrip()}, name)
