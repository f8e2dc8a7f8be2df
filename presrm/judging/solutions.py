"""Judge the solutions in a file, step by step, by any absolute judge: the library side of ``presrm judge-steps``.

Rows are worked in lockstep groups. At least every second, and however the work ends, what is finished is synced and
``<out>.state.json`` replaced: from there the same call goes on, and gives the same bytes as one that was never stopped.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from functools import cache
from heapq import nsmallest
from itertools import islice
from pathlib import Path
from typing import Any

from presrm.errors import DataError, RequestError
from presrm.files.content import hash_path, replace_file
from presrm.files.journal import Journal
from presrm.files.jsonl import BadRow, NoGoodRowError, Row, read_rejected
from presrm.files.tables import count_rows, read_table
from presrm.formats.solutions import Solution, find_first_error, read_solution, with_question
from presrm.groups import Groups, work_in_order
from presrm.judging.card import JudgeCard, JudgedSolution, make_card
from presrm.judging.tally import JudgeTally
from presrm.protocols import Judge, Stage, StepSplitter, ask_judge
from presrm.types import Candidates, Judgement

Elsewhere = Callable[[Iterable[Sequence[Candidates]]], Iterator[list[tuple[Judgement, ...]]]]
"""Batches -> what a judge says of each, in order."""


@dataclass(frozen=True, slots=True)
class JudgedFile:
    """What became of a file: the counts, the card where rows carry labels, and the first rows set aside."""

    tally: JudgeTally
    card: JudgeCard | None
    rejected: tuple[BadRow, ...] = ()


@dataclass(frozen=True, slots=True)
class WrongStep:
    """A step found wrong, the first of its solution; steps before it may have no score.

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

    @property
    def num_unscored(self) -> int:
        """Steps before it without a score: with one or more, ``first_error`` of the row is null."""
        return sum(judgement["score"] is None for judgement in self.judgements)


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
    spent: Callable[[], float | None] = lambda: None,
    question: str | None = None,
    elsewhere: Elsewhere | None = None,
) -> JudgedFile:
    """Judge every step of the solutions in `source`, or go on with it.

    Args:
        source: Rows as `presrm.files.tables.read_table` reads them: a question, a solution as text or as a list of
            steps, and perhaps a label.
        out: Gets each row with ``judged`` and ``first_error``, as JSON Lines. Bad rows go to ``<out>.rejected.jsonl``,
            the card to ``<out>.card.json``.
        open_judge: Gives the judge; called only if there is something left to judge.
        splitter: Cuts solutions that are text.
        settings: What the judgements depend on, as plain JSON values; another start with other ones is refused.
        stage: Where to tell what is going on: given a name and a total, a context that is told of rows done.
        group_size: Rows in one lockstep group at most: the unit of batching, and of what a further start can build on.
        threshold: A step scored below is wrong.
        spent: Seconds of work so far, as `presrm.groups.Groups` takes them.
        question: Of rows that have none.
        elsewhere: Has groups judged by other processes, in order; none: `open_judge` does.

    Raises:
        NoGoodRowError: if no row can be judged.
        RequestError: if the judge is relative, or `out` is the input or belongs to something else.
        RunConfigError: if `out` was begun with another input or other settings.
    """
    if out.resolve() == source.resolve():
        raise RequestError(f"--out {out} would overwrite the input")
    num_rows = count_rows(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    request = {"input_sha256": hash_path(source), **settings, "group_size": group_size, "threshold": threshold}
    request |= {} if question is None else {"question": question}
    journal = Journal(out, request)
    tally = JudgeTally.load(journal.notes.get("tally", {}))
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
            table = read_table(source, start=journal.notes.get("next_line", 1))
            sizes = Groups(group_size, spent, journal.notes.get("group_size"), is_begun=journal.num_rows > 0)

            def write(group: _Group, judgements: Sequence[tuple[Judgement, ...]]) -> None:
                rows = _write_group(group, judgements, threshold, tally)
                notes = {"next_line": group.next_line, "tally": tally.dump(), "group_size": sizes.size}
                journal.append(rows, group.rejected, notes)
                advance(group.num_rows)

            def read() -> _Group | None:
                rows = list(islice(table, sizes.next))
                return _read_group(rows, splitter, question) if rows else None

            ask = elsewhere or (lambda batches: (ask_judge(judge(), batch) if batch else [] for batch in batches))
            work_in_order(sizes, read, lambda groups: ask(group.batch for group in groups), write)
            if journal.num_rows:
                journal.finish()
    rejected = read_rejected(journal.rejected)
    if not journal.num_rows:
        journal.discard()
        raise NoGoodRowError(source, rejected)
    return JudgedFile(tally, _write_card(out, splitter) if tally.num_labelled else None, tuple(rejected))


def find_worst(out: Path, num: int, splitter: StepSplitter, threshold: float = 0.5) -> list[WrongStep]:
    """Find the steps of a judged file with the lowest scores among the first wrong ones, lowest first, at most `num`.

    A row whose ``first_error`` is null, because a step before has no score, counts like any other.

    Args:
        out: As `judge_file` wrote it.
        num: How many.
        splitter: As for `judge_file`.
        threshold: As for `judge_file`.
    """
    found = ((place, row, _first_below(row, threshold)) for place, row in enumerate(_judged_rows(out), 1))
    wrong = ((place, row, index) for place, row, index in found if index is not None)
    worst = nsmallest(num, wrong, key=lambda item: item[1]["judged"][item[2]]["score"])
    return [
        WrongStep(place, read_solution(row, splitter), index, tuple(row["judged"][: index + 1]))
        for place, row, index in worst
    ]


def _first_below(row: Mapping[str, Any], threshold: float) -> int | None:
    """Find the first step of a judged row with a score below the threshold; none if there is none."""
    scores = (step["score"] for step in row["judged"])
    return next((i for i, score in enumerate(scores) if score is not None and score < threshold), None)


def read_first_errors(out: Path) -> list[int | None]:
    """Read what a judged file says of each solution."""
    return [row["first_error"] for row in _judged_rows(out)]


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows that are judged together.

    Attributes:
        solutions: What can be judged.
        rejected: What cannot.
        batch: The steps, solution after solution.
        num_rows: All of them.
        next_line: Where the next group begins.
    """

    solutions: list[Solution]
    rejected: list[BadRow]
    batch: list[Candidates]
    num_rows: int
    next_line: int


def _read_group(rows: Sequence[Row | BadRow], splitter: StepSplitter, question: str | None) -> _Group:
    """Make of rows what is judged, and set aside those that cannot be."""
    good: list[tuple[int, Solution]] = []
    rejected: list[BadRow] = []
    for row in rows:
        if isinstance(row, BadRow):
            rejected.append(row)
            continue
        try:
            good.append((row.line, read_solution(with_question(row.value, question), splitter)))
        except DataError as error:
            rejected.append(BadRow(row.line, str(error), ""))
    batch = [item for line, solution in good for item in solution.candidates(f"line {line}")]
    return _Group([solution for _, solution in good], rejected, batch, len(rows), rows[-1].line + 1)


def _write_group(
    group: _Group, judgements: Sequence[tuple[Judgement, ...]], threshold: float, tally: JudgeTally
) -> list[dict[str, Any]]:
    """Make rows of what was judged, and count them."""
    rest = iter([judgement for (judgement,) in judgements])
    judged = []
    for solution in group.solutions:
        of_row = list(islice(rest, len(solution.steps)))
        first_error = find_first_error(of_row, threshold)
        tally.add_solution(of_row, first_error, is_labelled=solution.label is not None, is_split=solution.are_delimited)
        steps = [_plain(text, judgement) for text, judgement in zip(solution.steps, of_row, strict=True)]
        judged.append({**solution.row, "judged": steps, "first_error": first_error})
    tally.add_rejected(row.reason for row in group.rejected)
    return judged


def _plain(text: str, judgement: Judgement) -> dict[str, Any]:
    return {
        "text": text,
        "score": judgement.score,
        "status": judgement.status,
        "rationale": judgement.rationale,
    }


def _judged_rows(out: Path) -> Iterator[dict[str, Any]]:
    with out.open("rb") as file:
        for line in file:
            yield json.loads(line)


def _write_card(out: Path, splitter: StepSplitter) -> JudgeCard:
    labelled = ((read_solution(row, splitter).label, row) for row in _judged_rows(out))
    card = make_card([JudgedSolution.of_row(row, label) for label, row in labelled if label is not None])
    replace_file(Path(f"{out}.card.json"), json.dumps(asdict(card), indent=1) + "\n")
    return card
