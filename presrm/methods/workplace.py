"""Where the stages of a run are worked: one loaded policy, groups of rows, and the clock."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from presrm.files.ledger import CallStage
from presrm.files.run import IterationDir, RunDir
from presrm.groups import Groups, seconds_spent
from presrm.judging.recording import RecordingEngine
from presrm.methods.parts import Parts, Progress
from presrm.protocols import Engine
from presrm.runners.work import Done, Open, Work
from presrm.types import Checkpoint, SearchTree

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """One load of a policy's weights, with which it solves, judges and is measured."""

    policy: Checkpoint
    engine: Engine


class Workplace:
    """What works: a policy that is loaded when it is first needed, in this process, or a runner with many.

    A policy is loaded once: what measures M(t) and what searches for M(t+1) share the load, until another policy is
    needed or training begins. An engine that says ``can_adopt`` stays through training and is asked to ``adopt`` the
    next policy, as a server can that runs the base of an adapter.

    Attributes:
        parts: What the run is put together from.
        run: Its folder.
        progress: Where to tell what is going on.
        names: What the ledger calls the policies of the run: ``M1``, ``M2``, ...; another one goes by its model.
        loaded: The policy that is loaded in this process.
    """

    def __init__(self, parts: Parts, run: RunDir, progress: Progress) -> None:
        self.parts = parts
        self.run = run
        self.progress = progress
        self.names: dict[Checkpoint, str] = {}
        self.loaded: LoadedPolicy | None = None

    def engine(self, policy: Checkpoint) -> Engine:
        """The engine that runs `policy`, loaded if it is not; an engine that can ``adopt`` it stays."""
        if self.loaded is not None and self.loaded.policy != policy:
            if can_adopt(self.loaded.engine) and self.loaded.engine.adopt(policy):  # type: ignore[attr-defined]
                self.loaded = LoadedPolicy(policy, self.loaded.engine)
            else:
                self.release()
        if self.loaded is None:
            with self.progress.stage("load the policy", None):
                self.loaded = LoadedPolicy(policy, self.parts.engine(policy).__enter__())
            self.progress.watch(self.loaded.engine)
        return self.loaded.engine

    def release(self) -> None:
        """Free the device."""
        if self.loaded is not None:
            engine, self.loaded = self.loaded.engine, None
            engine.__exit__(None, None, None)

    def rows(
        self,
        kind: type[T],
        name: str,
        iteration: IterationDir,
        stage: str,
        told: str,
        size: tuple[int, int],
        policy: Checkpoint,
        here: Callable[[Engine], Iterator[Callable[[int, int], list[T]]]],
        elsewhere: Callable[[int, int], Work] | None = None,
        *,
        judging: Checkpoint | None = None,
    ) -> list[T]:
        """Make an artefact group by group, by a runner where there is one; timed, told, logged and resumed.

        Args:
            kind: Of its rows.
            name: Of the artefact.
            iteration: Where it stands.
            stage: What metrics call it.
            told: What progress calls it.
            size: How many items there are, and how many a group has at most.
            policy: The policy that works.
            here: With the engine of `policy` gives what makes the rows of the items from a first to before a last one;
                a generator, which is closed when all are made.
            elsewhere: Makes the work of such a group for a runner; none where the stage is always worked here.
            judging: The policy that judges elsewhere, if it is another one.
        """
        num, largest = size

        def make(have: int) -> Iterator[list[T]]:
            with self.progress.stage(f"M{iteration.name}: {told}", num) as advance:
                advance(have)
                bounds = (have, num, largest)
                if elsewhere is not None and self.parts.runner is not None:
                    worker = self.worker(policy, judging or policy)
                    yield from self.elsewhere(worker, name, iteration, bounds, elsewhere, advance)
                    return
                engine = self.engine(policy)
                before, totals, about = counts(engine), Counter[str](), {}
                if stage in ("answers", "validation"):
                    about = facts(engine)
                    self.run.remember(about)
                with contextmanager(here)(engine) as work:
                    for group in self.in_groups(name, iteration, engine, bounds, work, advance):
                        totals.update(_expansions(group))
                        yield group
                self.run.log(stage=stage, iteration=iteration.number, **about, **counts(engine, before), **totals)

        return timed(iteration, stage, name, lambda: iteration.rows(kind, name, make))

    def in_groups(
        self,
        name: str,
        iteration: IterationDir,
        engine: Engine | None,
        bounds: tuple[int, int, int],
        work: Callable[[int, int], list[T]],
        advance: Callable[[int], None],
    ) -> Iterator[list[T]]:
        """Make the rows of an artefact group by group.

        Args:
            name: Of the artefact.
            iteration: Where it stands.
            engine: Does the work, if it takes any.
            bounds: How many items are done, how many there are, and how many a group has at most.
            work: Makes the rows of the items from a first to before a last one.
            advance: Told of every item that is done.
        """
        have, num, largest = bounds
        sizes = Groups(largest, partial(seconds_spent, engine), iteration.group_size(name), is_begun=have > 0)
        while have < num:
            end = min(num, have + sizes.next)
            with sizes.measured():
                group = work(have, end)
            iteration.set_group_size(name, sizes.size)
            yield group
            advance(end - have)
            have = end

    def elsewhere(
        self,
        worker: Open,
        name: str,
        iteration: IterationDir,
        bounds: tuple[int, int, int],
        work: Callable[[int, int], Work],
        advance: Callable[[int], None],
    ) -> Iterator[list[Any]]:
        """Have the rows of an artefact made group by group by a runner; the other arguments are those of `in_groups`.

        The groups are those that one process would make: the first item alone, then as many as that says. This
        process alone writes: rows, the ledger and metrics.
        """
        runner = self.parts.runner
        assert runner is not None
        stage, (have, num, largest) = work(0, 0).stage, bounds
        spent: list[float | None] = [0.0]
        totals: Counter[str] = Counter()
        sizes = Groups(largest, lambda: spent[0], iteration.group_size(name), is_begun=have > 0)

        def taken(done: Done) -> list[Any]:
            self.run.ledger.record(done.calls)
            totals.update(done.counts)
            totals.update(_expansions(done.rows))
            if done.facts and stage == "answers":
                self.run.remember(done.facts)
            iteration.set_group_size(name, sizes.size)
            return done.rows

        while have < num and sizes.size is None:
            end = min(num, have + sizes.next)
            with sizes.measured():
                [done] = runner.map(worker, [work(have, end)])
                spent[0] = None if done.seconds is None or spent[0] is None else spent[0] + done.seconds
            yield taken(done)
            advance(end - have)
            have = end
        size = sizes.next
        ends = [(start, min(num, start + size)) for start in range(have, num, size)]
        for (start, end), done in zip(ends, runner.map(worker, (work(*each) for each in ends)), strict=True):
            yield taken(done)
            advance(end - start)
        if stage in ("search", "answers", "label", "trace"):
            told = {kind: count for kind, count in totals.items() if count}
            self.run.log(stage=stage, iteration=iteration.number, **told)

    def worker(self, policy: Checkpoint, judging: Checkpoint) -> Open:
        """What loads two policies elsewhere: one that solves, and one that judges."""
        return self.parts.worker(policy, judging, self.names.get(judging, judging.model))

    def whole_elsewhere(self, policy: Checkpoint, work: Work) -> Done:
        """Have a stage done by one worker of a runner, and record what it asked of the judge."""
        assert self.parts.runner is not None
        [done] = self.parts.runner.map(self.worker(policy, policy), [work])
        self.run.ledger.record(done.calls)
        return done

    def recording(
        self, policy: Checkpoint, engine: Engine, iteration: IterationDir, stage: CallStage
    ) -> RecordingEngine:
        """The engine that runs `policy`, whose calls as a judge are recorded in the run's ledger."""
        return RecordingEngine(
            engine,
            self.run.ledger,
            policy=self.names.get(policy, policy.model),
            stage=stage,
            template_hash=self.parts.prompts.hash,
            iteration=iteration.number,
        )


def _expansions(rows: Sequence[Any]) -> dict[str, int]:
    """How many expansions trees hold; nothing of other rows."""
    trees = [row for row in rows if isinstance(row, SearchTree)]
    return {"expansions": sum(len(tree.expansions) for tree in trees)} if trees else {}


def can_adopt(engine: Engine) -> bool:
    """Whether an engine stays through training and goes on with the next policy."""
    return bool(getattr(engine, "can_adopt", False))


def facts(engine: Engine) -> dict[str, str]:
    """Device, dtype and number of parameters, where an engine tells them."""
    told = engine.describe() if hasattr(engine, "describe") else {}
    return {name: str(told[name]) for name in ("device", "dtype", "parameters") if name in told}


def counts(engine: Engine, before: Mapping[str, int] = MappingProxyType({})) -> dict[str, int]:
    """Tokens an engine wrote, read and did not have to read again since `before`, where it counts them."""
    names = ("tokens_generated", "tokens_read", "tokens_recalled")
    now = {name: getattr(engine, name, None) for name in names}
    return {name: count - before.get(name, 0) for name, count in now.items() if count is not None}


def timed(iteration: IterationDir, stage: str, artefact: str, work: Callable[[], T]) -> T:
    """Do `work`, which makes `artefact`, and log how long it took (seconds), if it was not made before."""
    if iteration.is_done(artefact):
        return work()
    began = time.monotonic()
    result = work()
    iteration.run.log(stage=stage, iteration=iteration.number, seconds=round(time.monotonic() - began, 3))
    return result
