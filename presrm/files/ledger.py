"""The verdict ledger: every question to a judge and what came back, on disk.

A SQLite file (WAL), one row a call, so that a verdict can be traced long after: which template, which policy, what it
was shown in which order, what it replied, what was read from that. Rows hold clocks, so the file stands outside of
what determinism covers.
"""

import json
import shutil
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from hashlib import sha256
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal

from presrm.errors import RunError
from presrm.types import Status

CallStage = Literal["search", "health", "judge-steps", "again", "label"]
_FORMAT = 1
_PATIENCE = 10.0
_ROOM = 1 << 16  # bytes: SQLite asks for half of that to open a file in WAL


@dataclass(frozen=True, slots=True)
class Call:
    """One question to a judge and what came back.

    Attributes:
        template: What was asked, as ``pairwise``.
        template_hash: Of the prompt set that it stands in.
        policy: Who was asked: ``M1`` ... in a run, else the model.
        iteration: Of the run, none outside of one.
        stage: What it was asked for.
        problem: Id of the problem.
        prefix: `short_hash` of the text of the prefix; of the whole solution where no single step is shown.
        shown: `short_hash` of the text of each step asked about, in the order shown.
        sampling: How the reply was drawn, a JSON object; ``options`` are the words of a direct verdict.
        seed: Of the draw; 0 where nothing is drawn.
        reply: Verbatim; of a direct verdict the log-probability (nats) of each option, a JSON object, null if unknown.
        verdict: As read, nothing if it is unreadable.
        value: pairwise: the probability that the first step shown is better; pointwise: that the step is right;
            others: their score of one step, if that is what they give. None if there is none.
        status: Whether the reply could be read; none if the judge did not tell.
        tokens_read: Equal share of the prompt tokens read for all questions asked at once; none if not counted.
        tokens_generated: Tokens of the reply, or an equal share of all; none if not counted.
        seconds: Equal share of the time that all questions asked at once took.
        prompt: `short_hash` of all parts of the prompt.
        number: Of the reply, where several were drawn for one request.
    """

    template: str
    template_hash: str
    policy: str
    iteration: int | None
    stage: CallStage
    problem: str
    prefix: str
    shown: tuple[str, ...]
    sampling: str
    seed: int
    reply: str
    verdict: str
    value: float | None
    status: Status | None
    tokens_read: int | None
    tokens_generated: int | None
    seconds: float
    prompt: str = ""
    number: int = 0

    @property
    def key(self) -> bytes:
        """Which call it is, whatever came back: the same question to the same policy, drawn by the same seed."""
        asked = (self.template, self.template_hash, self.policy, self.iteration, self.stage, self.problem)
        return _digest(repr((*asked, self.prefix, self.shown, self.prompt, self.seed, self.number)))[:16]


_COLUMNS = tuple(field.name for field in fields(Call))
_values = attrgetter(*_COLUMNS)
_CREATE = f"CREATE TABLE IF NOT EXISTS calls (key BLOB PRIMARY KEY, {', '.join(_COLUMNS)})"
_INSERT = f"INSERT OR REPLACE INTO calls VALUES ({', '.join('?' * (1 + len(_COLUMNS)))})"


class Ledger:
    """Calls on disk. A context manager: leaving it closes the file.

    A call that is recorded again replaces itself, so work that was interrupted and repeated leaves the same calls.

    Args:
        path: The file, made if absent.
        read_only: Only read it; it must be there.

    Raises:
        RunError: if the file cannot be opened, or is no ledger.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        with self._plainly("open"):
            mode = "ro" if read_only else "rwc"
            self._file = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", timeout=_PATIENCE, uri=True)
        try:
            with self._plainly("open"):
                self._prepare(read_only)
        except BaseException:
            self._file.close()
            raise

    def _prepare(self, read_only: bool) -> None:
        [(found,)] = self._file.execute("PRAGMA user_version")
        if not read_only and found == 0:
            # In WAL a writer never waits for readers, and what is committed survives a kill.
            self._file.execute("PRAGMA journal_mode = WAL")
            with self._file:
                self._file.execute(_CREATE)
                self._file.execute(f"PRAGMA user_version = {_FORMAT}")
        elif found != _FORMAT:
            raise RunError(f"{self.path} is no ledger of this version of presrm (format {found})")
        self._file.execute("PRAGMA synchronous = NORMAL")

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def record(self, calls: Iterable[Call]) -> None:
        """Write calls, in one transaction: once this returns, a kill does not lose them.

        Raises:
            RunError: if they cannot be written: the disk is full, or another process holds the file.
        """
        rows = [(call.key, *_cells(call)) for call in calls]
        with self._plainly("write"), self._file:
            self._file.executemany(_INSERT, rows)

    def calls(
        self,
        *,
        iteration: int | None = None,
        stage: CallStage | None = None,
        template: str | None = None,
        problem: str | None = None,
        problems: Collection[str] | None = None,
    ) -> Iterator[Call]:
        """Give the calls for which all that is named holds, in the order recorded; `problems`: about one of these.

        Raises:
            RunError: if the file cannot be read.
        """
        named = {"iteration": iteration, "stage": stage, "template": template, "problem": problem}
        wanted = {name: _cell(value) for name, value in named.items() if value is not None}
        where = " AND ".join(f"{name} = :{name}" for name in wanted) or "TRUE"
        if problems is not None:
            where += " AND problem IN (SELECT value FROM json_each(:problems))"
            wanted["problems"] = json.dumps(sorted(problems))
        query = f"SELECT {', '.join(_COLUMNS)} FROM calls WHERE {where} ORDER BY rowid"
        with self._plainly("read"), closing(self._file.execute(query, wanted)) as rows:
            yield from map(_call, rows)

    @contextmanager
    def _plainly(self, verb: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if shutil.disk_usage(self.path.parent).free < _ROOM:  # told in many ways, such as "disk I/O error"
                raise RunError(
                    f"the disk is full; nothing already computed is lost: free some space for {self.path} and run the "
                    "same command again to resume"
                ) from error
            raise RunError(
                f"cannot {verb} the verdict ledger {self.path}: {error}; nothing finished is lost, run the same "
                "command again when that is mended"
            ) from error


def explain_damage(path: Path) -> str | None:
    """Say what is damaged about a ledger, or none; nothing is changed, nor made beside it."""
    is_written = path.with_name(f"{path.name}-wal").exists()  # then there is a writer, or there was one that was killed
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?{'mode=ro' if is_written else 'immutable=1'}", uri=True)
        ) as file:
            [(found,)] = file.execute("PRAGMA quick_check(1)")
            file.execute("SELECT 1 FROM calls LIMIT 1")
    except sqlite3.Error as error:
        return str(error)
    return None if found == "ok" else " ".join(str(found).split())


def short_hash(text: str) -> str:
    """Give the first 16 hexadecimal digits of a text's SHA-256: how the ledger points to it.

    >>> short_hash("2 + 3 = 5")
    '1dca3b6bf58ea6bb'
    """
    return _digest(text).hex()[:16]


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _cells(call: Call) -> tuple[Any, ...]:
    return tuple(_cell(" ".join(value) if isinstance(value, tuple) else value) for value in _values(call))


def _cell(value: Any) -> Any:
    """Give text that SQLite does not hold as text (lone surrogates, NUL) as bytes."""
    if not isinstance(value, str):
        return value
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")
    return encoded if "\0" in value else str(value)


def _call(cells: Sequence[Any]) -> Call:
    texts = (cell.decode("utf-8", "surrogatepass") if isinstance(cell, bytes) else cell for cell in cells)
    values: dict[str, Any] = dict(zip(_COLUMNS, texts, strict=True))
    values["shown"] = tuple(values["shown"].split())
    values["status"] = values["status"] and Status(values["status"])
    return Call(**values)
