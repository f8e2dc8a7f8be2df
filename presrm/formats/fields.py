"""What rows of all formats are made of: text, turns, a question. A bad field is named with its place."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from presrm.answers.find import after_hashes
from presrm.errors import DataError

QUESTION_KEYS = ("problem", "question", "prompt")
SOLUTION_KEYS = ("solution", "completion", "response")
USER, ASSISTANT, SYSTEM = "user", "assistant", "system"
_ROLES = {
    "user": USER,
    "human": USER,
    "prompter": USER,
    "assistant": ASSISTANT,
    "gpt": ASSISTANT,
    "chatgpt": ASSISTANT,
    "bot": ASSISTANT,
    "model": ASSISTANT,
    "system": SYSTEM,
    "developer": SYSTEM,
}
_BESIDE_TEXT = ("tool_calls", "function_call", "reasoning_content", "reasoning", "thinking")
_KINDS = {"NoneType": "null", "str": "text", "dict": "an object", "list": "a list", "bool": "true or false"}
_WRITTEN_AS_TEXT = re.compile(r"\s*\[\s*\{\s*[\"'](?:role|content|from|value)[\"']")


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says: `role` is ``user``, ``assistant`` or ``system``."""

    role: str
    text: str


def name_kind(value: Any) -> str:
    """Say in words what a value of JSON is."""
    return _KINDS.get(type(value).__name__, "a number")


def name_kind_of(row: Mapping[str, Any], name: str) -> str:
    """Say in words what stands in a field, if there is one."""
    return name_kind(row[name]) if name in row else "no such field"


def require_text(row: Mapping[str, Any], name: str, field: str | None = None, *, may_be_blank: bool = False) -> str:
    """Give the text under `name`; `field` is what an error calls it.

    Raises:
        DataError: if it is something else (a list of messages written as text, too), or what `check_text` refuses.
    """
    value = row.get(name)
    if not isinstance(value, str):
        raise DataError(f"{field or name}: expected text, found {name_kind_of(row, name)}")
    check_text(value, field or name, may_be_blank=may_be_blank)
    if _WRITTEN_AS_TEXT.match(value):
        raise DataError(f"{field or name}: expected text or a list of messages, found such a list written as text")
    return value


def check_text(text: str, field: str, *, may_be_blank: bool = False) -> None:
    """Refuse text that says nothing, or that no tokenizer takes.

    Raises:
        DataError: if it is blank, or holds half a surrogate pair.
    """
    if not (may_be_blank or text.strip()):
        raise DataError(f"{field}: expected text, found {'blanks' if text else 'an empty string'}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{field}: half a surrogate pair at character {error.start + 1}") from error


def read_turns(value: Any, field: str) -> list[Turn]:
    """Read messages: ``role`` and ``content``, or ``from`` and ``value`` as ShareGPT has them; one may stand alone.

    Content is text, or a list of parts that are text. System turns without text are left out.

    Raises:
        DataError: naming the message and its field, also for what text alone does not show (calls of tools, reasoning
            that stands apart, pictures).
    """
    messages = [value] if isinstance(value, Mapping) else value
    if not isinstance(messages, list):
        raise DataError(f"{field}: expected a list of messages, found {name_kind(value)}")
    turns = (
        _turn(message, field if messages is not value else f"{field}.{number}")
        for number, message in enumerate(messages)
    )
    return [turn for turn in turns if turn.role != SYSTEM or turn.text.strip()]


def _turn(message: Any, field: str) -> Turn:
    if not isinstance(message, Mapping):
        raise DataError(f"{field}: expected a message with role and content")
    role_name, text_name = ("role", "content") if "role" in message else ("from", "value")
    if role_name not in message:
        raise DataError(f"{field}: expected a message with role and content")
    said = message[role_name]
    role = _ROLES.get(said.lower()) if isinstance(said, str) else None
    if role is None:
        raise DataError(f"{field}.{role_name}: expected {USER}, {ASSISTANT}, {SYSTEM}, found {said!r:.40}")
    for name in _BESIDE_TEXT:
        if message.get(name):
            raise DataError(f"{field}.{name}: expected none, as only text is read")
    content = message.get(text_name)
    if isinstance(content, list) and content:
        parts = [_part(part, f"{field}.{text_name}.{number}") for number, part in enumerate(content)]
        message = {text_name: "".join(parts)}
    return Turn(role, require_text(message, text_name, f"{field}.{text_name}", may_be_blank=role == SYSTEM))


def _part(part: Any, field: str) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping) or part.get("type", "text") != "text":
        kind = part.get("type") if isinstance(part, Mapping) else name_kind(part)
        raise DataError(f"{field}: expected a part that is text, found {kind!r:.40}")
    return require_text(part, "text", f"{field}.text", may_be_blank=True)


def require_roles(turns: Sequence[Turn], roles: Sequence[str], field: str, behind: str = "") -> None:
    """Check who speaks.

    Raises:
        DataError: if it is not `roles`, one turn each.
    """
    found = [turn.role for turn in turns]
    if found != list(roles):
        shown = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "") or "none"
        raise DataError(f"{field}: expected one {' and one '.join(roles)} turn{behind} and no other, found {shown}")


def question_of(row: Mapping[str, Any]) -> str:
    """Give the question of a row: text, or messages of which one is a user's.

    Raises:
        DataError: if there is none.
    """
    name = next((key for key in QUESTION_KEYS if row.get(key) is not None), None)
    if name is None:
        raise DataError(f"expected a question as text under one of {', '.join(map(repr, QUESTION_KEYS))}")
    return one_turn(row, name, USER)


def one_turn(row: Mapping[str, Any], name: str, role: str) -> str:
    """Give text, or what the one message of a list says.

    Raises:
        DataError: if it is something else.
    """
    if not isinstance(row[name], list):
        return require_text(row, name)
    turns = read_turns(row[name], name)
    require_roles(turns, [role], name)
    return turns[0].text


def worked_answer(row: Mapping[str, Any]) -> tuple[str, str] | None:
    r"""Give the solution and the final answer of a row that has both under ``answer``, as GSM8K does; else none.

    >>> worked_answer({"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"})
    ('1 + 1 = 2\n#### 2', '2')
    """
    text = row.get("answer")
    if not isinstance(text, str) or not text.rpartition("####")[0].strip():
        return None
    final = after_hashes(text)
    return None if final is None else (text, final)
