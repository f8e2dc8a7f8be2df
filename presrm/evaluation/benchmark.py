"""A policy on a benchmark, into a folder: ``samples_<benchmark>_<way>.jsonl`` problem by problem, and ``results.json``.

Both in the shape of lm-evaluation-harness, with our own fields besides. Problems are worked in lockstep groups, the
longest questions first, so that those of a group are alike; a killed evaluation resumes after its last finished group,
to the same samples. Beside them ``audit_<benchmark>_<way>.jsonl`` lists where two extractors disagree.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from presrm.errors import DataError
from presrm.evaluation.answers import Answer
from presrm.evaluation.audit import Audit, SecondExtractor, compare_extractors, second_readings, write_disagreements
from presrm.evaluation.samples import summarize
from presrm.files.content import replace_file
from presrm.files.journal import Journal
from presrm.files.jsonl import Row, load_typed, read_rows
from presrm.groups import Groups, work_in_order
from presrm.protocols import Stage
from presrm.runners.work import Done, Work
from presrm.statistics import Figure
from presrm.types import Problem

_HARNESS_NAME = {"accuracy": "exact_match"}
_COUNTED = ("tokens_generated", "tokens_read")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Problems to evaluate on.

    Attributes:
        name: As in the table and in file names.
        source: Where the problems come from.
        problems: With reference answers.
        grader: The registered grader of its answers.
    """

    name: str
    source: str
    problems: tuple[Problem, ...]
    grader: str

    @property
    def hash(self) -> str:
        """SHA-256 over ids, questions and answers, in hexadecimal."""
        digest = sha256()
        for problem in self.problems:
            digest.update(json.dumps([problem.id, problem.question, problem.answer]).encode())
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Result:
    """What a policy comes to on a benchmark.

    Attributes:
        policy: Which.
        benchmark: Name.
        way: How it solved: ``greedy``, ``sample-8``, ``beam``, ...
        num: Problems.
        benchmark_hash: SHA-256 of the problems.
        metrics: By name.
        tokens_generated: Tokens drawn for all problems; none where the engine does not count.
        tokens_read: Prompt tokens read for all problems, the judge's included; likewise.
        seconds: Of work.
        audit: What a second extractor makes of the solutions; none where there is no second one.
    """

    policy: str
    benchmark: str
    way: str
    num: int
    benchmark_hash: str
    metrics: Mapping[str, Figure]
    tokens_generated: int | None
    tokens_read: int | None
    seconds: float
    audit: Audit | None = None


class Workers(Protocol):
    """What solves and grades: this process, or a runner's."""

    def spent(self) -> float | None:
        """Seconds of work so far, as `presrm.groups.Groups` takes them."""
        ...

    def __call__(self, work: Iterable[Work]) -> Iterator[Done]:
        """Do groups; rows are answers, and come in order."""
        ...


def run_benchmark(
    benchmark: Benchmark,
    policy: str,
    way: str,
    folder: Path,
    request: Mapping[str, Any],
    open_workers: Callable[[], AbstractContextManager[Workers]],
    given: tuple[Any, ...],
    stage: Stage,
    group_size: int,
    second: SecondExtractor | None = None,
) -> Result:
    """Evaluate, or resume an evaluation.

    Args:
        benchmark: The problems.
        policy: Names what is evaluated.
        way: Names how it solves.
        folder: Gets the samples.
        request: What they depend on, as plain JSON values; another start with other ones is refused.
        open_workers: Gives what solves and grades; called only if something is left to do.
        given: What it is told besides the problems (`presrm.runners.work.Work`).
        stage: Where to tell what is going on.
        group_size: Problems that are solved together at most.
        second: Reads every solution besides the grader, if there is such an extractor.

    Raises:
        RunConfigError: if the folder holds samples of another request.
    """
    path = folder / f"samples_{benchmark.name}_{way}.jsonl"
    order = sorted(range(len(benchmark.problems)), key=lambda i: -len(benchmark.problems[i].question))
    journal = Journal(path, {**request, "way": way, "problems": benchmark.hash, "grader": benchmark.grader})
    if not journal.is_done:
        with stage(f"{policy}: {benchmark.name}, {way}", len(order)) as advance, open_workers() as workers:
            advance(journal.num_rows)
            sizes = Groups(group_size, workers.spent, journal.notes.get("group_size"), is_begun=journal.num_rows > 0)
            place, began = journal.num_rows, time.monotonic()

            def read() -> Work | None:
                nonlocal place
                start, members = place, order[place : place + sizes.next]
                place += len(members)
                problems = [benchmark.problems[i] for i in members]
                return Work("eval", None, problems, start, given=given) if members else None

            def write(work: Work, done: Done) -> None:
                nonlocal began
                numbered = zip(order[work.start :], done.rows, strict=False)
                rows = [_to_row(replace(answer, number=number), second) for number, answer in numbered]
                spent = {name: done.counts[name] for name in _COUNTED if name in done.counts}
                spent |= {f"groups_without_{name}": 1 for name in _COUNTED if name not in done.counts}
                clock = time.monotonic()
                journal.append(rows, (), {"group_size": sizes.size}, seconds=clock - began, **spent)
                began = clock
                advance(len(rows))

            work_in_order(sizes, read, workers, write)
        journal.finish()
    totals = journal.totals
    return Result(
        policy,
        benchmark.name,
        way,
        len(benchmark.problems),
        benchmark.hash,
        summarize(read_answers(path, len(benchmark.problems))),
        tokens_generated=_total(totals, "tokens_generated"),
        tokens_read=_total(totals, "tokens_read"),
        seconds=totals["seconds"],
        audit=None if second is None else _audit(path, second),
    )


def read_answers(path: Path, num: int) -> list[Answer]:
    """Read the answers to `num` problems back, in the order of the problems.

    Raises:
        DataError: if the file is not what was written.
    """
    answers = {answer.number: answer for answer in load_typed(Answer, path)}
    if answers.keys() != set(range(num)):
        raise DataError(f"{path} does not hold one row for each of {num} problems")
    return [answers[number] for number in range(num)]


def write_results(folder: Path, results: Sequence[Result], about: Mapping[str, Any], num_shots: int = 0) -> None:
    """Write ``results.json`` as lm-evaluation-harness does, one entry a benchmark and way; others there stay.

    `num_shots` is the number of worked examples before every question.
    """
    path = folder / "results.json"
    whole: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for result in results:
        name = f"{result.benchmark}_{result.way}"
        entry: dict[str, Any] = {"alias": f"{result.benchmark} ({result.way})"}
        for metric_name, metric in result.metrics.items():
            key = _HARNESS_NAME.get(metric_name, metric_name)
            entry[f"{key},none"] = metric.value
            entry[f"{key}_interval,none"] = metric.interval
        spent = {"tokens_generated": result.tokens_generated, "tokens_read": result.tokens_read}
        entry |= {f"{key},none": value for key, value in spent.items()} | {"seconds": round(result.seconds, 3)}
        whole.setdefault("results", {})[name] = entry
        whole.setdefault("n-samples", {})[name] = {"original": result.num, "effective": result.num}
        whole.setdefault("n-shot", {})[name] = num_shots
        whole.setdefault("higher_is_better", {})[name] = {"exact_match": True}
        whole.setdefault("task_hashes", {})[name] = result.benchmark_hash
        if result.audit is not None:
            whole.setdefault("audit", {})[name] = _audit_entry(result.audit)
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(path, json.dumps(whole | {"config": dict(about)}, indent=1) + "\n")


def _audit(path: Path, second: SecondExtractor) -> Audit:
    """Sum up what both extractors make of finished samples, and list the disagreements beside them."""
    rows = [row.value for row in read_rows(path) if isinstance(row, Row)]
    audit = compare_extractors(rows, second.name)
    write_disagreements(path.with_name(path.name.replace("samples_", "audit_", 1)), audit)
    return audit


def _audit_entry(audit: Audit) -> dict[str, Any]:
    return {
        "second_extractor": audit.second,
        "num": audit.num,
        "num_unread": audit.num_unread,
        "num_graded_differently": len(audit.disagreements),
        "num_right_for_one_only": audit.num_decisive,
        "num_not_extracted": audit.num_unextracted,
        "num_not_extracted_by_second": audit.num_unextracted_by_second,
    }


def file_label(policy: str) -> str:
    """A folder name for a policy: its last parts, without what a file system may not like.

    >>> file_label("runs/embedded/iterations/2/policy")
    'embedded-iterations-2-policy'
    """
    parts = [part for part in Path(policy).parts if part not in ("/", "..", "runs")]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts[-4:])).strip("-.") or "policy"


def distinguish(benchmarks: Sequence[Benchmark]) -> list[Benchmark]:
    """Give benchmarks of one name, such as files of one name in two folders, the folder in front."""
    names = Counter(benchmark.name for benchmark in benchmarks)
    return [
        replace(each, name=file_label(str(Path(each.source.rpartition(":")[2]).with_suffix(""))))
        if names[each.name] > 1
        else each
        for each in benchmarks
    ]


def _to_row(answer: Answer, second: SecondExtractor | None) -> dict[str, Any]:
    """Give the row of an answer, with what a second extractor makes of its solutions behind."""
    row = answer.to_row()
    if second is not None and answer.problem.answer is not None:
        row["audit"] = second_readings(second, [one.text for one in answer.solutions], answer.problem.answer)
    return row


def _total(totals: Mapping[str, float], name: str) -> int | None:
    """Tokens of all groups; none where those of one are unknown."""
    return None if f"groups_without_{name}" in totals or name not in totals else int(totals[name])
