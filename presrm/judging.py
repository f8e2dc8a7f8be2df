"""Judge the solutions in a file, step by step, by any absolute judge: the library side of ``presrm judge-steps``.

Rows are worked in lockstep groups. After each group everything written is synced and ``<out>.state.json`` is replaced:
from there the same call goes on, and gives the same bytes as one that was never stopped.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from presrm.errors import DataError, JudgeError, RequestError, RunConfigError, RunError, SplitterError, boundary
from presrm.jsonl import BadRow, Row, dump_row, read_rows
from presrm.protocols import Judge, StepSplitter
from presrm.rundir import hash_path, replace_file
from presrm.statistics import wilson_interval
from presrm.types import Candidates, Judgement, Problem, Step, Trajectory

QUESTION_KEYS = ("problem", "question", "prompt")
SOLUTION_KEYS = ("solution", "completion", "response")
Stage = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class Solution:
    """What a row asks to have judged.

    Attributes:
        row: The row as read.
        question: What was to be solved.
        steps: The steps, verbatim.
        label: 0-based index of the first wrong step, -1 if none is wrong, or none where the row does not say.
    """

    row: Mapping[str, Any]
    question: str
    steps: tuple[str, ...]
    label: int | None

    def candidates(self, problem_id: str) -> list[Candidates]:
        """Ask for every step after its prefix.

        Steps of a list come without their delimiters: those before another are given a line end, lest the judge see
        them run together.
        """
        ends = ["" if text[-1:].isspace() else "\n" for text in self.steps[:-1]] if "steps" in self.row else []
        texts = [text + end for text, end in zip(self.steps, [*ends, *[""] * len(self.steps)], strict=False)]
        shown = tuple(Step(text) for text in texts)
        problem = Problem(problem_id, self.question)
        return [Candidates(Trajectory(problem, shown[:i]), (step,)) for i, step in enumerate(shown)]


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % Wilson interval; both none where there is nothing to count."""

    num: int
    num_right: int
    value: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class JudgeCard:
    """How well the judge found the first error of labelled solutions, as ProcessBench (arXiv 2412.06559) counts.

    Attributes:
        erroneous: Solutions with an error whose first error was named exactly.
        clean: Solutions without an error that were found clean.
        f1: Harmonic mean of both accuracies, or none where a kind is missing.
        f1_interval: From both lower to both upper ends: conservative.
        unknown: Solutions of which the judge could not say (null). They count as wrong above.
    """

    erroneous: Share
    clean: Share
    f1: float | None
    f1_interval: tuple[float, float] | None
    unknown: Share


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """What became of a file: rows judged, rows set aside, and the card where rows carry labels."""

    num_judged: int
    num_rejected: int
    card: JudgeCard | None


def solution_text(row: Mapping[str, Any]) -> str:
    """Find the solution of a row.

    Raises:
        DataError: if there is none, or it is not text.
    """
    return _text(row, SOLUTION_KEYS, "a solution")


def read_solution(row: Any, splitter: StepSplitter) -> Solution:
    """Read what a row asks to have judged.

    Raises:
        DataError: saying what was expected.
    """
    if not isinstance(row, Mapping):
        raise DataError(f"expected an object, found {type(row).__name__}")
    question = _text(row, QUESTION_KEYS, "a question")
    if row.get("steps") is None:
        with boundary(SplitterError, f"splitter {type(splitter).__name__}"):
            steps = splitter.split(solution_text(row))
    else:
        steps = row["steps"]
    if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
        raise DataError("expected a list of texts under 'steps'")
    if not steps:
        raise DataError("the solution has no steps")
    if any("\ud800" <= character <= "\udfff" for character in "".join((question, *steps))):
        raise DataError("half a surrogate pair in the text, which no tokenizer takes")
    label = row.get("label")
    if label is not None and (type(label) is not int or not -1 <= label < len(steps)):
        raise DataError(
            f"label {label!r:.40}: expected the 0-based index of the first wrong of {len(steps)} steps, or -1"
        )
    return Solution(row, question, tuple(steps), label)


def find_first_error(judgements: Sequence[Judgement], threshold: float = 0.5) -> int | None:
    """Find the first step scored below `threshold`.

    Returns:
        Its 0-based index; -1 if all are readable and none is below; none if an unreadable one comes first.
    """
    for i, judgement in enumerate(judgements):
        if judgement.score is None:
            return None
        if judgement.score < threshold:
            return i
    return -1


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
        source: JSON Lines: a question, a solution as text or as a list of steps, and perhaps a label.
        out: Gets each row with ``judged`` and ``first_error``. Bad rows go to ``<out>.rejected.jsonl``, the card to
            ``<out>.card.json``.
        open_judge: Gives the judge; called only if there is something left to judge.
        splitter: Cuts solutions that are text.
        settings: What the judgements depend on, as plain JSON values; another start with other ones is refused.
        stage: Where to tell what is going on: given a name and a total, a context that is told of rows done.
        group_size: Rows in one lockstep group: the unit of batching and of durability.
        threshold: A step scored below is wrong.

    Raises:
        DataError: if no row can be judged.
        RequestError: if the judge is relative, or `out` is the input or belongs to something else.
        RunConfigError: if `out` was begun with another input or other settings.
    """
    if out.resolve() == source.resolve():
        raise RequestError(f"--out {out}: would overwrite the input")
    num_rows = sum(1 for _ in read_rows(source))
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = _Journal.open(source, out, {**settings, "group_size": group_size, "threshold": threshold})
    if not journal.is_done:
        with ExitStack() as stack:

            @cache
            def judge() -> Judge:
                opened = stack.enter_context(open_judge())
                require_absolute(str(settings.get("judge", type(opened).__name__)), opened)
                return opened

            advance = stack.enter_context(stage("judge steps", num_rows))
            advance(journal.num_judged + journal.num_rejected)
            for group in _groups(source, journal.state["next_line"], group_size):
                journal.commit(group[-1].line + 1, *_judge_group(group, judge, splitter, threshold))
                advance(len(group))
        if journal.num_judged:
            journal.finish()
    if not journal.num_judged:
        journal.discard()
        raise DataError(f"{source}: no row can be judged, the reasons are in {journal.rejected}")
    return JudgedFile(journal.num_judged, journal.num_rejected, _write_card(out))


def make_card(found: Sequence[tuple[int, int | None]]) -> JudgeCard:
    """Make the card of a judge from (label, first error found) of each labelled solution."""
    erroneous = _share([first == label for label, first in found if label >= 0])
    clean = _share([first == label for label, first in found if label < 0])
    f1 = interval = None
    if erroneous.value is not None and clean.value is not None:
        f1 = _harmonic(erroneous.value, clean.value)
    if erroneous.interval and clean.interval:
        low, high = (_harmonic(*ends) for ends in zip(erroneous.interval, clean.interval, strict=True))
        interval = (low, high)
    return JudgeCard(erroneous, clean, f1, interval, _share([first is None for _, first in found]))


@dataclass
class _Journal:
    """What is finished of an output: all that a further start trusts."""

    out: Path
    state: dict[str, Any]

    @classmethod
    def open(cls, source: Path, out: Path, settings: Mapping[str, Any]) -> "_Journal":
        """Begin an output, or go on with it if input and settings are the same."""
        journal = cls(out, {"input_sha256": hash_path(source), "settings": json.loads(json.dumps(settings))})
        journal.state |= {"next_line": 1, "num_judged": 0, "num_rejected": 0, "bytes": {}, "is_done": False}
        if not journal._path.exists():
            if out.exists():
                raise RequestError(
                    f"--out {out}: the file exists and is no unfinished output; remove it or choose another"
                )
            return journal
        try:
            old = json.loads(journal._path.read_text("utf-8"))
            changes = [
                f"{key}: {old['settings'].get(key)!r} -> {value!r}"
                for key, value in journal.state["settings"].items()
                if old["settings"].get(key) != value
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{journal._path} is damaged; remove it and {out} to begin anew") from error
        if old["input_sha256"] != journal.state["input_sha256"]:
            changes.insert(0, "the input has changed")
        if changes:
            raise RunConfigError(
                f"{out} was begun with another request ({'; '.join(changes)}); choose another --out, "
                f"or remove it and {journal._path}"
            )
        journal.state = old
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
    def num_judged(self) -> int:
        return int(self.state["num_judged"])

    @property
    def num_rejected(self) -> int:
        return int(self.state["num_rejected"])

    def commit(self, next_line: int, judged: Sequence[Mapping[str, Any]], rejected: Sequence[BadRow]) -> None:
        """Write the rows of a group, sync them, and only then say so in the state."""
        if not self._path.exists():
            self._save()
        self._append(self.out, judged)
        self._append(self.rejected, [{"line": row.line, "reason": row.reason} for row in rejected])
        self.state["next_line"] = next_line
        self.state["num_judged"] += len(judged)
        self.state["num_rejected"] += len(rejected)
        self._save()

    def finish(self) -> None:
        """Say that all rows are done."""
        self.state["is_done"] = True
        self._save()

    def discard(self) -> None:
        """Take back an output without a row, so that the same command may follow once the input is mended."""
        self.out.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    def _append(self, path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        size = self.state["bytes"].get(path.name, 0)
        if not rows and not size and path != self.out:
            path.unlink(missing_ok=True)
            return
        with path.open("ab") as file:
            if file.tell() < size:
                raise RunError(
                    f"{path} is shorter than it was when the last group was finished; remove it to begin anew"
                )
            file.truncate(size)
            file.write(b"".join(dump_row(row) for row in rows))
            file.flush()
            os.fsync(file.fileno())
            self.state["bytes"][path.name] = file.tell()

    def _save(self) -> None:
        replace_file(self._path, json.dumps(self.state, indent=1) + "\n")


def _groups(source: Path, next_line: int, size: int) -> Iterator[list[Row | BadRow]]:
    """Cut the rows from `next_line` on into lockstep groups."""
    rows = (row for row in read_rows(source) if row.line >= next_line)
    while group := list(islice(rows, size)):
        yield group


def _judge_group(
    group: Sequence[Row | BadRow], judge: Callable[[], Judge], splitter: StepSplitter, threshold: float
) -> tuple[list[dict[str, Any]], list[BadRow]]:
    """Judge a group; `judge` is called only if a row of it can be judged."""
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
    judgements = iter(
        _judge_all([item for line, solution in good for item in solution.candidates(f"line {line}")], judge)
    )
    judged = []
    for _, solution in good:
        of_row = list(islice(judgements, len(solution.steps)))
        steps = [{"text": text, **asdict(judgement)} for text, judgement in zip(solution.steps, of_row, strict=True)]
        judged.append({**solution.row, "judged": steps, "first_error": find_first_error(of_row, threshold)})
    return judged, rejected


def _judge_all(batch: Sequence[Candidates], judge: Callable[[], Judge]) -> list[Judgement]:
    if not batch:
        return []
    opened = judge()
    with boundary(JudgeError, f"judge {type(opened).__name__}"):
        judged = opened.judge(batch)
    if [len(judgements) for judgements in judged] != [1] * len(batch):
        raise JudgeError(f"judge {type(opened).__name__} did not give one judgement for each of {len(batch)} steps")
    return [judgement for (judgement,) in judged]


def _write_card(out: Path) -> JudgeCard | None:
    found = []
    with out.open("rb") as file:
        for line in file:
            row = json.loads(line)
            if row.get("label") is not None:
                found.append((row["label"], row["first_error"]))
    if not found:
        return None
    card = make_card(found)
    replace_file(Path(f"{out}.card.json"), json.dumps(asdict(card), indent=1) + "\n")
    return card


def _share(flags: Sequence[bool]) -> Share:
    if not flags:
        return Share(0, 0, None, None)
    return Share(len(flags), sum(flags), sum(flags) / len(flags), wilson_interval(sum(flags), len(flags)))


def _harmonic(a: float, b: float) -> float:
    return 2 * a * b / (a + b) if a + b else 0.0


def _text(row: Mapping[str, Any], keys: Sequence[str], what: str) -> str:
    found = next((row[key] for key in keys if row.get(key) is not None), None)
    names = ", ".join(repr(key) for key in keys)
    if not isinstance(found, str) or not found.strip():
        raise DataError(f"expected {what} as text under one of {names}")
    return found
