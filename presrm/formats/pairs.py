r"""Rows -> preference pairs: our own, TRL's and Step-DPO's, told apart row by row.

Foreign text is taken verbatim: the prompt is the user turn, the reasoning so far is the prefix, and equal prompts are
one problem, so that pairs on one path meet in one tree.

>>> row = {"prompt": "1 + 1?", "initial_reason_steps": "", "chosen": "The answer is 2.", "rejected": "1 + 1 = 3."}
>>> pair = pair_of(row, 1, Terminal.AUTO)
>>> pair.prefix.problem.question, pair.chosen.stop, pair.rejected.stop
('1 + 1?', <Stop.EOS: 'eos'>, None)
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from presrm.answers.find import after_hashes, after_phrases, last_boxed
from presrm.errors import DataError
from presrm.files.jsonl import BadRow, read_rows
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

_NUM_SHOWN = 3
_MAX_ID = 2**31
_ROLES = ("user", "assistant", "system")
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_FORMULA = re.compile(r"[0-9$\\]")
_KINDS = {"NoneType": "null", "str": "text", "dict": "an object", "list": "a list", "bool": "true or false"}
Turns = list[tuple[str, str]]


class Terminal(StrEnum):
    """Which steps of foreign rows end a solution, so that the end token is trained behind them.

    AUTO: whole answers (TRL), and steps (Step-DPO) that hold a final answer.
    """

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class PairFile:
    """What a file of pairs holds.

    Attributes:
        pairs: The pairs of all good rows, in order.
        num_own: How many of them are ours, with the stops and ids of the policy that wrote them.
        rejected: The bad rows, each with the field and what was expected.
    """

    pairs: tuple[PreferencePair, ...]
    num_own: int
    rejected: tuple[BadRow, ...]


def read_pairs(path: Path, terminal: Terminal = Terminal.AUTO) -> PairFile:
    """Read a JSON Lines file of pairs in any of the formats, or in several.

    Raises:
        DataError: if there is no such file, it is empty, or no row can be used.
    """
    pairs: list[PreferencePair] = []
    rejected: list[BadRow] = []
    num_own = 0
    for row in read_rows(path):
        if isinstance(row, BadRow):
            rejected.append(row)
            continue
        try:
            pairs.append(pair_of(row.value, row.line, terminal))
        except ValueError as error:
            rejected.append(BadRow(row.line, str(error), ""))
        else:
            num_own += is_own(row.value)
    if not pairs:
        raise DataError(f"{path}: no row can be used; {explain_rejected(rejected)}")
    return PairFile(tuple(pairs), num_own, tuple(rejected))


def explain_rejected(rejected: Sequence[BadRow]) -> str:
    """Name the first bad rows and what is wrong with them, on one line."""
    shown = [f"line {row.line}: {row.reason}" for row in rejected[:_NUM_SHOWN]]
    return "; ".join([*shown, *(["..."] if len(rejected) > _NUM_SHOWN else [])])


def pair_of(row: Mapping[str, Any], line: int, terminal: Terminal) -> PreferencePair:
    """Make the pair of one row.

    Args:
        row: In our format, TRL's (text or messages) or Step-DPO's.
        line: Its number; with the problem's id it names the pair.
        terminal: Where foreign solutions end; ours know.

    Raises:
        ValueError: naming the field and what was expected.
    """
    if is_own(row):
        return _own(row)
    so_far = next((name for name in ("initial_reason_steps", "prefix") if name in row), None)
    steps = ""
    if so_far is None and any(isinstance(row.get(name), list) for name in ("prompt", "chosen", "rejected")):
        question, chosen, rejected = _conversation(row)
    else:
        question = _text(row, "question" if "question" in row and row.get("prompt") is None else "prompt")
        steps = "" if so_far is None else _text(row, so_far, may_be_blank=True)
        chosen, rejected = _text(row, "chosen"), _text(row, "rejected")
    _require_different(chosen, rejected)

    def stop(text: str) -> Stop | None:
        is_end = terminal is Terminal.ALWAYS or (terminal is Terminal.AUTO and (so_far is None or holds_answer(text)))
        return Stop.EOS if is_end else None

    problem = Problem(sha256(question.encode()).hexdigest()[:16], question)
    return PreferencePair(
        id=f"{problem.id}/{line}",
        prefix=Trajectory(problem, (Step(steps),) if steps else ()),
        chosen=Step(chosen, stop=stop(chosen)),
        rejected=Step(rejected, stop=stop(rejected)),
        margin=1.0,
    )


def is_own(row: Mapping[str, Any]) -> bool:
    """Whether a row is one that we wrote: its prefix is a trajectory, its steps are no bare text."""
    return isinstance(row.get("prefix"), dict) or isinstance(row.get("chosen"), dict)


def holds_answer(step: str) -> bool:
    r"""Whether a step states a final answer: in ``\boxed{}``, after ``####``, or after *the answer is*.

    Behind the latter two only a value counts: ``#### Step 2: add`` and *whether the answer is right* hold none.
    """
    said = [rest for rest in after_phrases(step) if _FORMULA.search(rest) or _is_value(rest)]
    return bool(last_boxed(step)) or _is_value(after_hashes(step) or "") or bool(said)


def _is_value(text: str) -> bool:
    return bool(text.strip(" \t.:*")) and not _PROSE.search(text)


def _own(row: Mapping[str, Any]) -> PreferencePair:
    try:
        pair: PreferencePair = _own_rows().validate_python(row)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    _check_text(pair.prefix.problem.question, "prefix.problem.question")
    before = [(f"prefix.steps.{number}", step) for number, step in enumerate(pair.prefix.steps)]
    for name, step in (*before, ("chosen", pair.chosen), ("rejected", pair.rejected)):
        _check_text(step.text, f"{name}.text", may_be_blank=name.startswith("prefix"))
        if not all(0 <= token < _MAX_ID for token in step.tokens or ()):
            raise ValueError(f"{name}.tokens: expected token ids, found a number that is none")
    if not 0 < pair.margin <= 1:
        raise ValueError(f"margin: expected more than 0 and at most 1, found {pair.margin:g}")
    _require_different(pair.chosen.text, pair.rejected.text)
    return pair


@cache
def _own_rows() -> TypeAdapter[PreferencePair]:
    return TypeAdapter(PreferencePair)


def _conversation(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Question, chosen and rejected of messages: one user turn and its replies; a pair can show the policy no more.

    Without a list under ``prompt``, the prompt is what chosen and rejected begin with alike.
    """
    chosen, rejected = _turns(row, "chosen"), _turns(row, "rejected")
    prompt = row.get("prompt")
    if isinstance(prompt, list):
        before = _turns(row, "prompt")
    else:
        both = zip(chosen[:-1], rejected[:-1], strict=False)
        before = [turn for turn, _ in takewhile(lambda turns: turns[0] == turns[1], both)]
        chosen, rejected = chosen[len(before) :], rejected[len(before) :]
        if prompt is not None:
            asked = [("user", _text(row, "prompt"))]
            if before not in ([], asked):
                raise ValueError("prompt: expected the turns that chosen and rejected begin with, found another text")
            before = asked
    if row.get("tools"):
        raise ValueError("tools: expected none, as the policy is shown one user turn alone")
    for name, turns, role in (
        ("prompt", before, "user"),
        ("chosen", chosen, "assistant"),
        ("rejected", rejected, "assistant"),
    ):
        found = [role for role, _ in turns]
        if found != [role]:
            behind = "" if name == "prompt" else " behind the prompt"
            shown = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "") or "none"
            raise ValueError(f"{name}: expected one {role} turn{behind} and no other, found {shown}")
    return before[0][1], chosen[0][1], rejected[0][1]


def _turns(row: Mapping[str, Any], name: str) -> Turns:
    messages = row.get(name)
    if not isinstance(messages, list):
        raise ValueError(f"{name}: expected a list of messages, found {_kind(row, name)}")
    turns: Turns = []
    for number, message in enumerate(messages):
        field = f"{name}.{number}"
        if not isinstance(message, dict):
            raise ValueError(f"{field}: expected a message with role and content")
        if message.get("role") not in _ROLES:
            raise ValueError(f"{field}.role: expected {', '.join(_ROLES)}, found {message.get('role')!r:.40}")
        turns.append((message["role"], _text(message, "content", f"{field}.content")))
    return turns


def _text(row: Mapping[str, Any], name: str, field: str | None = None, *, may_be_blank: bool = False) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise ValueError(f"{field or name}: expected text, found {_kind(row, name)}")
    _check_text(value, field or name, may_be_blank=may_be_blank)
    return value


def _check_text(text: str, field: str, *, may_be_blank: bool = False) -> None:
    if not (may_be_blank or text.strip()):
        raise ValueError(f"{field}: expected text, found {'blanks' if text else 'an empty string'}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{field}: half a surrogate pair at character {error.start + 1}") from error


def _kind(row: Mapping[str, Any], name: str) -> str:
    return _KINDS.get(type(row[name]).__name__, "a number") if name in row else "no such field"


def _require_different(chosen: str, rejected: str) -> None:
    if chosen == rejected:
        raise ValueError("rejected: expected another text than chosen, found the same")
