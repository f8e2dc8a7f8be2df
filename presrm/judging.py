"""Judge the solutions in a file, step by step, by any absolute judge: the library side of ``presrm judge-steps``.

Rows are worked in lockstep groups. At least every second, and however the work ends, what is finished is synced and
``<out>.state.json`` replaced: from there the same call goes on, and gives the same bytes as one that was never stopped.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Self

from presrm.errors import DataError, JudgeError, RequestError, RunConfigError, RunError, boundary
from presrm.jsonl import BadRow, Row, dump_row
from presrm.judge_card import JudgeCard, JudgedSolution, make_card
from presrm.judge_tally import JudgeTally
from presrm.protocols import Judge, StepSplitter
from presrm.rundir import hash_path, replace_file
from presrm.solution_rows import Solution, find_first_error, read_solution
from presrm.tables import count_rows, read_table
from presrm.types import Candidates, Judgement

Stage = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
_FORMAT = 2
_SECONDS_BETWEEN_SYNCS = 1.0


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """What became of a file: the counts, and the card where rows carry labels."""

    tally: JudgeTally
    card: JudgeCard | None


@dataclass(frozen=True, slots=True)
class WrongStep:
    """A step found wrong, the first of its solution.

    Attributes:
        place: Number of the row among those judged, from 1.
        solution: What was judged.
        index: 0-based index of the step.
        judgements: Of the steps up to this one: plain data, as in the row.
    """

    place: int
    solution: Solution
    index: int
    judgements: tuple[Mapping[str, Any], ...]

    @property
    def score(self) -> float:
        """The score of the step."""
        return float(self.judgements[-1]["score"])


def require_absolute(name: str, judge: Any) -> None:
    """Refuse a judge (or its class) whose scores compare only among the candidates of one call.

    Raises:
        RequestError: naming it.
    """
    if getattr(judge, "scale", None) == "relative":
        raise RequestError(
            f"judge {name!r} is relative: its scores compare candidates for one step, and a file has one for "
            "each step; choose an absolute judge such as 'pointwise'"
        )


def judge_file(
    source: Path,
    out: Path,
    open_judge: Callable[[], AbstractContextManager[Judge]],
    splitter: StepSplitter,
    settings: Mapping[str, Any],
    stage: Stage,
    *,
    group_size: int = 64,
    threshold: float = 0.5,
) -> JudgedFile:
    """Judge every step of the solutions in `source`, or go on with it.

    Args:
        source: Rows as `presrm.tables.read_table` reads them: a question, a solution as text or as a list of steps,
            and perhaps a label.
        out: Gets each row with ``judged`` and ``first_error``, as JSON Lines. Bad rows go to ``<out>.rejected.jsonl``,
            the card to ``<out>.card.json``.
        open_judge: Gives the judge; called only if there is something left to judge.
        splitter: Cuts solutions that are text.
        settings: What the judgements depend on, as plain JSON values; another start with other ones is refused.
        stage: Where to tell what is going on: given a name and a total, a context that is told of rows done.
        group_size: Rows in one lockstep group: the unit of batching, and of what a further start can build on.
        threshold: A step scored below is wrong.

    Raises:
        DataError: if no row can be judged.
        RequestError: if the judge is relative, or `out` is the input or belongs to something else.
        RunConfigError: if `out` was begun with another input or other settings.
    """
    if out.resolve() == source.resolve():
        raise RequestError(f"--out {out}: would overwrite the input")
    num_rows = count_rows(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = _Journal.open(source, out, {**settings, "group_size": group_size, "threshold": threshold})
    tally = journal.tally
    if not journal.is_done:
        with ExitStack() as stack:

            @cache
            def judge() -> Judge:
                opened = stack.enter_context(open_judge())
                require_absolute(str(settings.get("judge", type(opened).__name__)), opened)
                return opened

            advance = stack.enter_context(stage("judge steps", num_rows))
            advance(tally.num_judged + tally.num_rejected)
            stack.enter_context(journal)
            for group in _groups(source, journal.next_row, group_size):
                journal.add(group[-1].line + 1, *_judge_group(group, judge, splitter, threshold, tally))
                advance(len(group))
            if tally.num_judged:
                journal.finish()
    if not tally.num_judged:
        journal.discard()
        raise DataError(f"{source}: no row can be judged, the reasons are in {journal.rejected}")
    return JudgedFile(tally, _write_card(out, splitter) if tally.num_labelled else None)


def find_worst(out: Path, num: int, splitter: StepSplitter) -> list[WrongStep]:
    """Find the steps of a judged file with the lowest scores among first errors, lowest first, at most `num`.

    Args:
        out: As `judge_file` wrote it.
        num: How many.
        splitter: As for `judge_file`.
    """
    wrong = (item for item in enumerate(_judged_rows(out), 1) if item[1]["first_error"] not in (None, -1))
    worst = nsmallest(num, wrong, key=lambda item: item[1]["judged"][item[1]["first_error"]]["score"])
    return [
        WrongStep(
            place, read_solution(row, splitter), row["first_error"], tuple(row["judged"][: row["first_error"] + 1])
        )
        for place, row in worst
    ]


def read_first_errors(out: Path) -> list[int | None]:
    """Read what a judged file says of each solution."""
    return [row["first_error"] for row in _judged_rows(out)]


@dataclass
class _Journal:
    """What is finished of an output: all that a further start trusts. Leaving it syncs what was added."""

    out: Path
    state: dict[str, Any]
    tally: JudgeTally

    def __post_init__(self) -> None:
        self._files: dict[Path, BinaryIO] = {}
        self._synced = time.monotonic()

    @classmethod
    def open(cls, source: Path, out: Path, settings: Mapping[str, Any]) -> "_Journal":
        """Begin an output, or go on with it if input and settings are the same."""
        state = {"format": _FORMAT, "input_sha256": hash_path(source), "settings": json.loads(json.dumps(settings))}
        journal = cls(out, {**state, "next_row": 1, "bytes": {}, "is_done": False}, JudgeTally())
        if not journal._path.exists():
            if out.exists():
                raise RequestError(
                    f"--out {out}: the file exists and is no unfinished output; remove it or choose another"
                )
            return journal
        try:
            old = json.loads(journal._path.read_text("utf-8"))
            before = {"input_sha256": old["input_sha256"], **old["settings"]}
            changes = [
                f"{key}: {before.get(key)!r} -> {value!r}"
                for key, value in state["settings"].items()
                if before.get(key) != value
            ]
            if before["input_sha256"] != state["input_sha256"]:
                changes.insert(0, "the input has changed")
            if old.get("format") != _FORMAT:
                changes.insert(0, "it is of another version of presrm")
            if not changes:
                journal.state, journal.tally = {**journal.state, **old}, JudgeTally.load(old["tally"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{journal._path} is damaged; remove it and {out} to begin anew") from error
        if changes:
            raise RunConfigError(
                f"{out} was begun with another request ({'; '.join(changes)}); choose another --out, "
                f"or remove it and {journal._path}"
            )
        return journal

    @property
    def _path(self) -> Path:
        return Path(f"{self.out}.state.json")

    @property
    def rejected(self) -> Path:
        return Path(f"{self.out}.rejected.jsonl")

    @property
    def is_done(self) -> bool:
        return bool(self.state["is_done"])

    @property
    def next_row(self) -> int:
        return int(self.state["next_row"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._sync()
        finally:
            for file in self._files.values():
                file.close()

    def add(self, next_row: int, judged: Sequence[Mapping[str, Any]], rejected: Sequence[BadRow]) -> None:
        """Write the rows of a group; it counts as finished once synced."""
        sizes = [
            self._append(self.out, judged),
            self._append(self.rejected, [{"line": row.line, "reason": row.reason} for row in rejected]),
        ]
        self.state["bytes"] |= {path.name: size for path, size in zip((self.out, self.rejected), sizes, strict=True)}
        self.state |= {"next_row": next_row, "tally": self.tally.dump()}
        if time.monotonic() - self._synced >= _SECONDS_BETWEEN_SYNCS:
            self._sync()

    def finish(self) -> None:
        """Say that all rows are done."""
        self.state["is_done"] = True

    def discard(self) -> None:
        """Take back an output without a row, so that the same command may follow once the input is mended."""
        self.out.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    def _append(self, path: Path, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write rows; gives the size of the file with them."""
        if path not in self._files:
            size = self.state["bytes"].get(path.name, 0)
            if not rows and not size and path != self.out:
                path.unlink(missing_ok=True)
                return 0
            self._files[path] = self._open(path, size)
        self._files[path].write(b"".join(dump_row(row) for row in rows))
        return self._files[path].tell()

    def _open(self, path: Path, size: int) -> BinaryIO:
        if not self._path.exists():
            self._save()
        file = path.open("ab")
        if file.tell() < size:
            file.close()
            raise RunError(f"{path} is shorter than it was when the last group was finished; remove it to begin anew")
        file.seek(file.truncate(size))
        return file

    def _sync(self) -> None:
        """Make durable what was added, and only then say so in the state."""
        if not self._files:
            return
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._save()
        self._synced = time.monotonic()

    def _save(self) -> None:
        replace_file(self._path, json.dumps(self.state, indent=1) + "\n")


def _groups(source: Path, next_row: int, size: int) -> Iterator[list[Row | BadRow]]:
    """Cut the rows from `next_row` on into lockstep groups."""
    rows = read_table(source, start=next_row)
    while group := list(islice(rows, size)):
        yield group


def _judge_group(
    group: Sequence[Row | BadRow],
    judge: Callable[[], Judge],
    splitter: StepSplitter,
    threshold: float,
    tally: JudgeTally,
) -> tuple[list[dict[str, Any]], list[BadRow]]:
    """Judge a group and count it; `judge` is called only if a row of it can be judged."""
    good: list[tuple[int, Solution]] = []
    rejected: list[BadRow] = []
    for row in group:
        if isinstance(row, BadRow):
            rejected.append(row)
            continue
        try:
            good.append((row.line, read_solution(row.value, splitter)))
        except DataError as error:
            rejected.append(BadRow(row.line, str(error), ""))
    batch = [item for line, solution in good for item in solution.candidates(f"line {line}")]
    judgements = iter(_judge_all(batch, judge))
    judged = []
    for _, solution in good:
        of_row = list(islice(judgements, len(solution.steps)))
        first_error = find_first_error(of_row, threshold)
        tally.add_solution(of_row, first_error, is_labelled=solution.label is not None)
        steps = [_plain(text, judgement) for text, judgement in zip(solution.steps, of_row, strict=True)]
        judged.append({**solution.row, "judged": steps, "first_error": first_error})
    tally.add_rejected(row.reason for row in rejected)
    return judged, rejected


def _plain(text: str, judgement: Judgement) -> dict[str, Any]:
    return {
        "text": text,
        "score": judgement.score,
        "status": judgement.status,
        "rationale": judgement.rationale,
    }


def _judge_all(batch: Sequence[Candidates], judge: Callable[[], Judge]) -> list[Judgement]:
    if not batch:
        return []
    opened = judge()
    with boundary(JudgeError, f"judge {type(opened).__name__}"):
        judged = opened.judge(batch)
    if [len(judgements) for judgements in judged] != [1] * len(batch):
        raise JudgeError(f"judge {type(opened).__name__} did not give one judgement for each of {len(batch)} steps")
    return [judgement for (judgement,) in judged]


def _judged_rows(out: Path) -> Iterator[dict[str, Any]]:
    with out.open("rb") as file:
        for line in file:
            yield json.loads(line)


def _write_card(out: Path, splitter: StepSplitter) -> JudgeCard:
    labelled = ((read_solution(row, splitter).label, row) for row in _judged_rows(out))
    card = make_card([JudgedSolution.of_row(row, label) for label, row in labelled if label is not None])
    replace_file(Path(f"{out}.card.json"), json.dumps(asdict(card), indent=1) + "\n")
    return card
