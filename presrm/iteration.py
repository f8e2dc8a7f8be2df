"""The loop: search, judge, pair, train, assess, again.

`train` reads top to bottom. Each stage is a function of the artefacts before it, and every artefact is made once: a
killed run goes on from its last finished group of problems.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import TypeAdapter

from presrm.config import Config, WatchConfig
from presrm.credit.pairs import explain_no_pairs, mine_pairs
from presrm.errors import AlarmError, NoPairsError
from presrm.evaluation.answers import Answer, Comparison, Scores, compare, score
from presrm.files.ledger import Call
from presrm.files.run import IterationDir, RunDir
from presrm.judging.health import Health, with_alarms
from presrm.judging.recording import RecordingEngine
from presrm.judging.signs import Alarm
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Judge, Searcher, Trainer
from presrm.types import Checkpoint, PreferencePair, Problem, SearchTree

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IterationSummary:
    """What is known of one policy.

    Attributes:
        name: ``M1``, ``M2`` ...
        scores: On the held-out problems.
        health: Of its judge.
        num_pairs: Pairs it was trained on; none for M1.
        dropped: Expansions that gave no pair, by cause.
        vs_previous: Paired with the policy before.
        vs_first: Paired with M1.
    """

    name: str
    scores: Scores
    health: Health
    num_pairs: int | None = None
    dropped: dict[str, int] | None = None
    vs_previous: Comparison | None = None
    vs_first: Comparison | None = None


class Progress(Protocol):
    """Where a run tells what it does."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Announce a stage of `total` units; call what it gives with the units done."""
        ...

    def note(self, text: str) -> None:
        """Say something in one line."""
        ...


class SilentProgress:
    """Progress that nobody watches."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Count nothing."""
        return nullcontext(lambda units: None)


class Stages(Protocol):
    """The parts of a run, as `presrm.assembly` puts them together."""

    config: Config

    @property
    def prompts(self) -> PromptSet:
        """What policy and judge are asked by."""
        ...

    @property
    def searcher(self) -> Searcher:
        """Problems -> trees."""
        ...

    @property
    def trainer(self) -> Trainer:
        """Pairs -> policy."""
        ...

    def problems(self, iteration: int) -> list[Problem]:
        """The problems searched to make M(iteration), decontaminated."""
        ...

    def held_out(self) -> list[Problem]:
        """The problems that score every iteration."""
        ...

    def seed(self, out: Path) -> Checkpoint | None:
        """Run the seed stage; none where the policy is already an M1."""
        ...

    def engine(self, policy: Checkpoint) -> Engine:
        """Load a policy."""
        ...

    def judge(self, engine: Engine) -> Judge:
        """The judge that `engine` runs."""
        ...

    def answers(self, problems: Sequence[Problem], engine: Engine) -> Iterator[list[Answer]]:
        """Solve problems greedily and grade them, in lockstep groups."""
        ...

    def health(self, engine: Engine, judge: Judge, calls: Iterable[Call], last: Sequence[SearchTree]) -> Health:
        """Measure the judge on held-out problems, and against the judge before on what that judged in `last`.

        `calls` gives the judge's pairwise calls up to when it is first read.
        """
        ...


def train(config: Config, stages: Stages, run: RunDir, progress: Progress) -> list[IterationSummary]:
    """Run, or go on with, the loop M1 -> M(1 + iterations).

    Raises:
        NoPairsError: if an iteration mined nothing to train on; says why.
    """
    policy = start(stages, run.iteration(1), progress)
    assessments = [assess(policy, stages, run.iteration(1), [], progress)]
    for number in range(2, 2 + config.iterations):
        iteration = run.iteration(number)
        trees = search(policy, stages, iteration, progress)
        mined = mine_pairs(trees, config.pairs, number)
        if not mined.pairs:
            raise NoPairsError(f"M{number} cannot be trained: {explain_no_pairs(trees, mined)}")
        pairs = iteration.rows(PreferencePair, "pairs.jsonl", partial(_rest, mined.pairs))
        policy = fit(pairs, policy, stages, iteration, progress)
        extra = {"num_pairs": len(pairs), "dropped": dict(mined.dropped)}
        assessments.append(assess(policy, stages, iteration, assessments, progress, **extra))
    return assessments


def _rest(pairs: Sequence[PreferencePair], have: int) -> list[list[PreferencePair]]:
    """What is to be written behind the first `have` pairs, in one group."""
    return [list(pairs[have:])]


def start(stages: Stages, iteration: IterationDir, progress: Progress) -> Checkpoint:
    """M0 -> M1 by the seed stage, or the given policy as M1."""
    given = Checkpoint(stages.config.model.id)
    if stages.config.seed_stage is None:
        return given

    def make(out: Path) -> Checkpoint:
        with progress.stage("M1: seed stage", None):
            return stages.seed(out) or given

    return timed(iteration, "seed", lambda: iteration.policy(make))


def search(policy: Checkpoint, stages: Stages, iteration: IterationDir, progress: Progress) -> list[SearchTree]:
    """The same weights solve and judge: one tree a problem."""
    if iteration.is_done("trees.jsonl"):
        return iteration.rows(SearchTree, "trees.jsonl", lambda _: [])
    problems = stages.problems(iteration.number)
    size = stages.config.search.group_size

    def make(have: int) -> Iterator[list[SearchTree]]:
        with (
            progress.stage(f"M{iteration.number}: search and judge", len(problems)) as advance,
            stages.engine(policy) as engine,
            RecordingEngine(
                engine,
                iteration.run.ledger,
                policy=f"M{iteration.number - 1}",
                stage="search",
                template_hash=stages.prompts.hash,
                iteration=iteration.number,
            ) as recording,
        ):
            advance(have)
            judge = stages.judge(recording)
            found = stages.searcher.search(problems[have:], engine, judge, start=have)
            for group in groups(found, size):
                yield group
                advance(len(group))
            iteration.run.log(stage="search", iteration=iteration.number, **counts(engine))

    return timed(iteration, "search", lambda: iteration.rows(SearchTree, "trees.jsonl", make))


def fit(
    pairs: Sequence[PreferencePair], policy: Checkpoint, stages: Stages, iteration: IterationDir, progress: Progress
) -> Checkpoint:
    """Step-wise DPO from the last policy."""

    def make(out: Path) -> Checkpoint:
        with progress.stage(f"M{iteration.number}: train on {len(pairs)} pairs", None):
            return stages.trainer.fit(pairs, policy, out)

    return timed(iteration, "fit", lambda: iteration.policy(make))


def assess(
    policy: Checkpoint,
    stages: Stages,
    iteration: IterationDir,
    before: Sequence[IterationSummary],
    progress: Progress,
    **mined: Any,
) -> IterationSummary:
    """Score a policy on the held-out problems, test it against those before, and measure its judge.

    Raises:
        AlarmError: if the judge raises an alarm that is to stop the run.
    """
    answers = assess_answers(policy, stages, iteration, progress)
    measured = iteration.value("health.json", lambda: plain(assess_judge(policy, stages, iteration, progress)))
    health = with_alarms(read(Health, measured), stages.config.watch)
    heed(health.alarms, stages.config.watch, iteration, progress)

    def paired(number: int) -> Comparison:
        earlier = iteration.run.iteration(number).rows(Answer, "answers.jsonl", lambda _: [])
        return compare(earlier, answers)

    def make() -> Any:
        summary = IterationSummary(f"M{iteration.number}", score(answers), health, **mined)
        if before:
            summary = replace(summary, vs_previous=paired(iteration.number - 1), vs_first=paired(1))
        return plain(summary)

    return replace(read(IterationSummary, iteration.value("scores.json", make)), health=health)


def heed(alarms: Sequence[Alarm], options: WatchConfig, iteration: IterationDir, progress: Progress) -> None:
    """Say what alarms the judge raises; the bounds are those of this start, so that looser ones let a run go on.

    Raises:
        AlarmError: if they are to stop the run.
    """
    if not alarms:
        return
    told = f"M{iteration.number}, judge: {'; '.join(map(str, alarms))}"
    if options.on_alarm == "stop":
        raise AlarmError(
            f"{told}. All signs are in {iteration.path / 'health.json'}; to go on all the same, "
            "set watch.on_alarm=warn or move the bound"
        )
    progress.note(f"alarm: {told}")


def assess_answers(policy: Checkpoint, stages: Stages, iteration: IterationDir, progress: Progress) -> list[Answer]:
    """Solve the held-out problems greedily."""
    if iteration.is_done("answers.jsonl"):
        return iteration.rows(Answer, "answers.jsonl", lambda _: [])
    problems = stages.held_out()

    def make(have: int) -> Iterator[list[Answer]]:
        with (
            progress.stage(f"M{iteration.number}: held-out problems", len(problems)) as advance,
            stages.engine(policy) as engine,
        ):
            advance(have)
            iteration.run.remember(facts(engine))
            for group in stages.answers(problems[have:], engine):
                yield group
                advance(len(group))
            iteration.run.log(stage="answers", iteration=iteration.number, **facts(engine), **counts(engine))

    return timed(iteration, "answers", lambda: iteration.rows(Answer, "answers.jsonl", make))


def assess_judge(policy: Checkpoint, stages: Stages, iteration: IterationDir, progress: Progress) -> Health:
    """Measure the judge on a fixed set, on the policy's own siblings, and for signs that it goes bad."""
    last = iteration.rows(SearchTree, "trees.jsonl", lambda _: []) if iteration.is_done("trees.jsonl") else []
    number, ledger = iteration.number, iteration.run.ledger
    calls = ledger.calls(iteration=number, stage="health", template="pairwise")
    with (
        progress.stage(f"M{number}: judge health", None),
        stages.engine(policy) as engine,
        RecordingEngine(
            engine,
            ledger,
            policy=f"M{number}",
            stage="health",
            template_hash=stages.prompts.hash,
            iteration=number,
        ) as recording,
    ):
        health = timed(iteration, "health", lambda: stages.health(engine, stages.judge(recording), calls, last))
    return with_alarms(health, stages.config.watch)


def groups(items: Iterator[T], size: int) -> Iterator[list[T]]:
    """Cut a stream into lists of `size`, the last one shorter."""
    group: list[T] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def facts(engine: Engine) -> dict[str, str]:
    """Device, dtype and number of parameters, where an engine tells them."""
    told = engine.describe() if hasattr(engine, "describe") else {}
    return {name: str(told[name]) for name in ("device", "dtype", "parameters") if name in told}


def counts(engine: Engine) -> dict[str, int]:
    """Tokens an engine wrote and read, where it counts them."""
    names = ("tokens_generated", "tokens_read")
    return {name: found for name in names if (found := getattr(engine, name, None)) is not None}


def timed(iteration: IterationDir, stage: str, work: Callable[[], T]) -> T:
    """Do `work` and log how long it took (seconds)."""
    began = time.monotonic()
    result = work()
    iteration.run.log(stage=stage, iteration=iteration.number, seconds=round(time.monotonic() - began, 3))
    return result


def plain(value: Any) -> Any:
    """Turn a dataclass into plain JSON data."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def read(kind: type[T], data: Any) -> T:
    """Turn plain JSON data into a dataclass."""
    return TypeAdapter(kind).validate_python(data)
