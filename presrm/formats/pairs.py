r"""Rows -> preference pairs: our own, and those of neighbouring tools, told apart row by row.

Foreign text is taken verbatim, but for one end token behind a reply: the prompt is the user turn, the reasoning so far
is the prefix, and equal prompts are one problem, so that pairs on one path meet in one tree. What the policy would have
to be shown besides turns of text (tools, pictures, documents) is refused by name; other columns are named.

>>> row = {"prompt": "1 + 1?", "initial_reason_steps": "", "chosen": "The answer is 2.", "rejected": "1 + 1 = 3."}
>>> pair = pair_of(row, 1, Terminal.AUTO)
>>> pair.prefix.problem.question, pair.chosen.stop, pair.rejected.stop
('1 + 1?', <Stop.EOS: 'eos'>, None)
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from presrm.answers.find import after_hashes, after_phrases, last_boxed
from presrm.errors import DataError, counted
from presrm.files.jsonl import BadRow, NoGoodRowError
from presrm.files.spool import Spool
from presrm.files.tables import read_table
from presrm.formats.fields import check_text
from presrm.formats.preferences import Reply, read_preference
from presrm.types import PreferencePair, Problem, Step, Stop, Trajectory

_MAX_ID = 2**31
_PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
_FORMULA = re.compile(r"[0-9$\\]")
_MOST_COLUMNS = 8
_HEADING = re.compile(r"(?:\A|\n)[^\w\n]*(?:assistant|response|bot|gpt|ai|model)[^\w\n]*:[^\w\n]*\s*\Z", re.IGNORECASE)
_FEWEST_WORDS = 4
"""Of a prompt that a reply does not begin with by chance, as that to "2 + 3" may with "2 + 3 = 5"."""


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
        pairs: The pairs of all good rows, in order; of many, most stand on disk.
        num_own: How many of them are ours, with the stops and ids of the policy that wrote them.
        rejected: The bad rows, each with the field and what was expected.
        notes: What was not taken as it stands, a line each.
    """

    pairs: Sequence[PreferencePair]
    num_own: int
    rejected: tuple[BadRow, ...]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Left:
    """What foreign rows hold that does not come into a pair (end tokens by name, columns), or should not stand in it.

    `num_headed` questions end with the heading of a reply, `num_repeating` pairs of replies begin with the question.
    """

    ends: Counter[str] = field(default_factory=Counter)
    columns: dict[str, None] = field(default_factory=dict)
    num_headed: int = 0
    num_repeating: int = 0

    def notes(self) -> tuple[str, ...]:
        lines = []
        if self.ends:
            lines.append(
                f"{self.ends.total()} replies end with {' or '.join(sorted(self.ends))}, which is taken off: the "
                "policy's own end token is trained where a reply ends a solution (--terminal)"
            )
        if self.num_headed:
            lines.append(
                f"{self.num_headed} prompts end with the heading of a reply, as 'Assistant:', which stays as text: a "
                "template has been applied, and the policy's own comes around it"
            )
        if self.num_repeating:
            lines.append(
                f"in {counted(self.num_repeating, 'pair')} the replies begin with the whole prompt, which is trained "
                "as their text"
            )
        if self.columns:
            shown = list(self.columns)[:_MOST_COLUMNS]
            more = f" and {len(self.columns) - len(shown)} more" if len(self.columns) > len(shown) else ""
            lines.append(f"columns that are not read: {', '.join(shown)}{more}")
        return tuple(lines)


def read_pairs(path: Path, terminal: Terminal = Terminal.AUTO) -> PairFile:
    """Read a table of pairs (JSON Lines, JSON, CSV, Parquet) in any of the formats, or in several.

    Raises:
        DataError: if there is no such file, or it is empty.
        NoGoodRowError: if no row can be used.
    """
    pairs = Spool(PreferencePair)
    rejected: list[BadRow] = []
    left = _Left()
    before: PreferencePair | None = None
    num_own = 0
    for row in read_table(path):
        if isinstance(row, BadRow):
            rejected.append(row)
            continue
        try:
            if is_own(row.value):
                before = _own(row.value) if before is None else _sharing(_own(row.value), before)
                pairs.append(before)
                num_own += 1
            else:
                pairs.append(_foreign(row.value, row.line, terminal, left))
        except DataError as error:
            rejected.append(BadRow(row.line, str(error), ""))
    if not pairs:
        raise NoGoodRowError(path, rejected)
    return PairFile(pairs, num_own, tuple(rejected), left.notes())


def _sharing(pair: PreferencePair, before: PreferencePair) -> PreferencePair:
    """Hold what a pair has in common with the one before once: in a tree, most of its prefix."""
    known = {step: step for step in (*before.prefix.steps, before.chosen)}
    problem = before.prefix.problem if pair.prefix.problem == before.prefix.problem else pair.prefix.problem
    steps = tuple(known.get(step, step) for step in pair.prefix.steps)
    return replace(pair, prefix=Trajectory(problem, steps))


def pair_of(row: Mapping[str, Any], line: int, terminal: Terminal) -> PreferencePair:
    """Make the pair of one row.

    Args:
        row: In our format, or one that `presrm.formats.preferences` knows.
        line: Its number; with the problem's id it names the pair.
        terminal: Where foreign solutions end; ours know.

    Raises:
        DataError: naming the field and what was expected.
    """
    return _own(row) if is_own(row) else _foreign(row, line, terminal, _Left())


def _foreign(row: Mapping[str, Any], line: int, terminal: Terminal, left: _Left) -> PreferencePair:
    found = read_preference(row)
    chosen, rejected = found.chosen, found.rejected
    _require_different(chosen.text, rejected.text)
    left.ends.update(reply.end for reply in (chosen, rejected) if reply.end)
    left.columns |= dict.fromkeys(found.unread)
    left.num_headed += bool(_HEADING.search(found.question))
    left.num_repeating += _is_repeated(found.question, chosen.text, rejected.text)

    def stop(reply: Reply) -> Stop | None:
        may_be_end = found.so_far is None or bool(reply.end) or holds_answer(reply.text)
        is_end = terminal is Terminal.ALWAYS or (terminal is Terminal.AUTO and may_be_end)
        return Stop.EOS if is_end else None

    shown = repr((found.system, found.history, found.question)) if found.system or found.history else found.question
    name = sha256(shown.encode()).hexdigest()[:16]
    problem = Problem(name, found.question, system=found.system, history=found.history)
    return PreferencePair(
        id=f"{problem.id}/{line}",
        prefix=Trajectory(problem, (Step(found.so_far),) if found.so_far else ()),
        chosen=Step(chosen.text, stop=stop(chosen)),
        rejected=Step(rejected.text, stop=stop(rejected)),
        margin=1.0,
    )


def is_own(row: Mapping[str, Any]) -> bool:
    """Whether a row is one that we wrote: its prefix is a trajectory, its steps are no bare text."""
    chosen = row.get("chosen")
    return isinstance(row.get("prefix"), dict) or (isinstance(chosen, dict) and "text" in chosen)


def holds_answer(step: str) -> bool:
    r"""Whether a step states a final answer: in ``\boxed{}``, after ``####``, or after *the answer is*.

    Behind the latter two only a value counts: ``#### Step 2: add`` and *whether the answer is right* hold none.
    """
    said = [rest for rest in after_phrases(step) if _FORMULA.search(rest) or _is_value(rest)]
    return bool(last_boxed(step)) or _is_value(after_hashes(step) or "") or bool(said)


def _is_value(text: str) -> bool:
    return bool(text.strip(" \t.:*")) and not _PROSE.search(text)


def _own(row: Mapping[str, Any]) -> PreferencePair:
    for name, what in (("reply", "a demonstration"), ("completion", "an attempt")):
        if name in row and "rejected" not in row:
            raise DataError(
                f"expected a pair, chosen and rejected, found {what} of a run: pairs alone are learned from"
            )
    if unknown := [name for name in row if name not in PreferencePair.__dataclass_fields__]:
        raise DataError(f"{unknown[0]}: expected no such field in a pair of a run")
    try:
        pair: PreferencePair = _own_rows().validate_python(row)
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    check_text(pair.prefix.problem.question, "prefix.problem.question")
    before = [(f"prefix.steps.{number}", step) for number, step in enumerate(pair.prefix.steps)]
    for name, step in (*before, ("chosen", pair.chosen), ("rejected", pair.rejected)):
        check_text(step.text, f"{name}.text", may_be_blank=name.startswith("prefix"))
        if not all(0 <= token < _MAX_ID for token in step.tokens or ()):
            raise DataError(f"{name}.tokens: expected token ids, found a number that is none")
    if not 0 < pair.margin <= 1:
        raise DataError(f"margin: expected more than 0 and at most 1, found {pair.margin:g}")
    _require_different(pair.chosen.text, pair.rejected.text)
    return pair


@cache
def _own_rows() -> TypeAdapter[PreferencePair]:
    return TypeAdapter(PreferencePair)


def _is_repeated(question: str, *replies: str) -> bool:
    asked = question.strip()
    return len(_PROSE.findall(asked)) >= _FEWEST_WORDS and all(reply.lstrip().startswith(asked) for reply in replies)


def _require_different(chosen: str, rejected: str) -> None:
    if chosen == rejected:
        raise DataError("rejected: expected another text than chosen, found the same")
