"""Says where questions lie outside the world of the embedded policy, which knows little."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from presrm.errors import DataError
from presrm.files.jsonl import BadRow, read_rows
from presrm.formats.fields import question_of
from presrm.problems.arithmetic.plan import LARGEST

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_NUMBER = re.compile(r"\d[\d.,]*")
_WORD = re.compile(r"[^\W\d_]+")
_UNKNOWN_WORDS = 0.35
"""Of the words of a question: with a larger share known only by their letters, it is not in plain English."""


def warn_outside(model: str, questions: Iterable[str]) -> None:
    """Say in one line on standard error how many questions the embedded policy, or one trained from it, cannot know.

    Args:
        model: As the user names it; others than the embedded policy and those with its tokenizer know more.
        questions: What it is asked.
    """
    if not _is_of_this_world(model):
        return
    reasons = [reason for question in questions if (reason := why_outside(question))]
    if reasons:
        what = "the question lies" if len(reasons) == 1 else f"{len(reasons)} questions lie"
        typer.echo(
            f"note: {what} outside what the embedded policy knows ({reasons[0]}); name a model that knows more with "
            "--model",
            err=True,
        )


def questions_in(path: Path) -> Iterator[str]:
    """The questions of the rows of a file, as far as they stand in a field of their own."""
    for row in read_rows(path):
        if not isinstance(row, BadRow):
            with suppress(DataError):
                yield question_of(row.value)


def why_outside(question: str) -> str | None:
    """Why the embedded policy cannot know a question, in a few words; none if it may.

    >>> why_outside("Tom has 3 apples and buys 4 more. How many has he?")
    >>> why_outside("Tom has 3.5 apples and buys 4 more. How many has he?")
    'the number 3.5'
    """
    for found in _NUMBER.finditer(question):
        number = found[0].rstrip(".,")
        if not number.isdigit() or int(number) > LARGEST:
            return f"the number {number[:20]}"
    words = _WORD.findall(question)
    spelt = [word for word in words if _is_spelt(word)]
    if len(spelt) > max(1, _UNKNOWN_WORDS * len(words)):
        return f"words such as {', '.join(dict.fromkeys(spelt[:2]))}"[:60]
    return None if re.search(r"\d", question) or words else "no words and no numbers"


@cache
def _is_spelt(word: str) -> bool:
    """Whether a word has no token longer than two letters: it is known by its letters alone."""
    ways = (_tokenizer().encode(text, add_special_tokens=False).tokens for text in (f" {word}", word))
    return max(len(piece.removeprefix("Ġ")) for pieces in ways for piece in pieces) < min(3, len(word))


@cache
def _tokenizer() -> "Tokenizer":
    from tokenizers import Tokenizer

    return Tokenizer.from_str(_shipped().decode())


@cache
def _shipped() -> bytes:
    return (resources.files("presrm") / "embedded" / "tokenizer.json").read_bytes()


def _is_of_this_world(model: str) -> bool:
    if model == "embedded":
        return True
    file = Path(model) / "tokenizer.json"
    return file.is_file() and file.stat().st_size == len(_shipped()) and file.read_bytes() == _shipped()
