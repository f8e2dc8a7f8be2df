"""What a method may do: the stages of an iteration, over the parts of a run."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

from pydantic import TypeAdapter

from presrm.config import Config, JudgeConfig
from presrm.credit.accepted import accept, trace_pairs
from presrm.errors import ConfigError, NoLessonsError, RunError
from presrm.evaluation.answers import Answer
from presrm.evaluation.shadow import Shadow, explain_shadow, shadow
from presrm.files.jsonl import dump, load_typed
from presrm.files.ledger import Call, CallStage, short_hash
from presrm.files.run import LEDGER, IterationDir, RunDir
from presrm.groups import Groups, seconds_spent
from presrm.judging.gate import REFUSED
from presrm.judging.health import Health, LabelledCandidates, StepLabeller, with_alarms
from presrm.judging.problems import Judgements, LabelledProblem
from presrm.judging.recording import RecordingEngine
from presrm.judging.signs import Shadowed, measure_shadow
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Judge, Searcher, Trainer, ask_judge, keeping, silent_stage
from presrm.runners.work import Done, Open, Runner, Work
from presrm.seeding import derive_seed
from presrm.types import (
    Attempt,
    Candidates,
    Checkpoint,
    Demonstration,
    Judgement,
    Lesson,
    PreferencePair,
    Problem,
    SearchTree,
    Step,
    Trajectory,
)
from presrm.writing.writer import Writer, Written, explain, summarise

T = TypeVar("T")
HEALTH = "health"
"""The folder, inside of an iteration's, of what is finished of the health of a judge."""
_LESSON_FILES: Mapping[type[Lesson], str] = {
    PreferencePair: "pairs.jsonl",
    Demonstration: "demonstrations.jsonl",
    Attempt: "attempts.jsonl",
}


class Progress(Protocol):
    """Where a run tells what it does."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Announce a stage of `total` units; call what it gives with the units done."""
        ...

    def note(self, text: str) -> None:
        """Say something in one line."""
        ...

    def watch(self, worker: object) -> None:
        """Show, from now on, what `worker` counts while it works, if it does (`presrm.protocols.Worker`)."""
        ...


class SilentProgress:
    """Progress that nobody watches."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def watch(self, worker: object) -> None:
        """Look at nothing."""

    def stage(self, name: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
        """Count nothing."""
        return silent_stage(name, total)


class Parts(Protocol):
    """The parts of a run, as `presrm.assembly` puts them together."""

    config: Config

    @property
    def prompts(self) -> PromptSet:
        """What policy and judge are asked by."""
        ...

    @property
    def trainer(self) -> Trainer:
        """Lessons -> policy."""
        ...

    def searcher(self, purpose: int | str) -> Searcher:
        """Problems -> trees; the draws derive from the purpose, such as the number of the iteration."""
        ...

    def problems(self, iteration: int) -> list[Problem]:
        """The problems searched to make M(iteration), decontaminated."""
        ...

    def writer(self, iteration: int) -> Writer:
        """What has the policy write the problems searched to make M(iteration)."""
        ...

    def held_out(self) -> list[Problem]:
        """The problems that score every iteration."""
        ...

    def validation(self) -> list[Problem]:
        """The problems by which policies are chosen: none of them is reported."""
        ...

    def seed(self, out: Path) -> Checkpoint | None:
        """Run the seed stage; none where the policy is already an M1."""
        ...

    def engine(self, policy: Checkpoint) -> Engine:
        """Load a policy."""
        ...

    @property
    def runner(self) -> Runner | None:
        """Where groups of problems are worked; none: in this process."""
        ...

    def worker(self, policy: Checkpoint, judging: Checkpoint, name: str) -> Open:
        """What loads `policy` elsewhere, and `judging`, which the ledger calls `name`, and does groups with them."""
        ...

    def judge(self, engine: Engine) -> Judge:
        """The judge that `engine` runs."""
        ...

    def answers(self, problems: Sequence[Problem], engine: Engine, start: int) -> Iterator[list[Answer]]:
        """Solve problems greedily and grade them, in lockstep groups; `start` is the number of the first one."""
        ...

    @property
    def labeller(self) -> StepLabeller | None:
        """What tells right steps of held-out problems from wrong ones; none where nothing can."""
        ...

    def testing(self) -> list[Problem]:
        """The held-out problems that test the judge: fixed pairs and siblings are made from them."""
        ...

    def siblings(self, problems: Sequence[Problem], engine: Engine) -> Iterator[list[LabelledCandidates]]:
        """Sample the policy's own candidates on problems, and label them; only with a `labeller`."""
        ...

    def watched(self) -> list[Problem]:
        """The held-out problems searched to measure the habits of the judge; none where they are not."""
        ...

    def health(
        self,
        judge: Callable[[str], Judge],
        trees: Sequence[SearchTree],
        calls: Iterable[Call],
        last: Sequence[SearchTree],
        own: Sequence[LabelledCandidates],
        first: Sequence[LabelledCandidates],
        shadow: Callable[[Sequence[SearchTree]], Shadowed] | None = None,
    ) -> Health:
        """Measure the judge on held-out problems.

        Args:
            judge: Gives it, for the measurement that the text names.
            trees: The problems of `watched`, searched with it.
            calls: The judge's pairwise calls up to when it is first read.
            last: What the judge before judged, for a comparison with it.
            own: The policy's own candidates.
            first: Those of the run's first policy.
            shadow: Compares it with the judge that only watches, if there is one, in trees. It may load another policy:
                call it last.
        """
        ...

    def shadow(self, engine: Callable[[], Engine]) -> Judge:
        """The judge that only watches; `engine` gives the run's first policy, and is called if it asks one."""
        ...

    def second_judge(self, engine: Engine) -> Judge:
        """The judge that ``pairs.second_judge`` names."""
        ...

    def tracer(self, purpose: int | str) -> Searcher:
        """Draws judgements, whole replies, for problems whose solution is one."""
        ...

    @property
    def label_judge(self) -> Judge:
        """Judges judgements by the right verdict."""
        ...

    def label(
        self, problems: Sequence[Problem], iteration: int, engine: Engine | None = None, judging: Engine | None = None
    ) -> list[LabelledProblem]:
        """Say what is known of steps of problems, as ``judge_problems.labels`` says.

        Where the labels ask a policy, `engine` proposes steps, and `judging` judges them: the same, but recorded.
        """
        ...

    def judge_problems(self, labelled: Sequence[LabelledProblem], iteration: int) -> list[Problem]:
        """Make problems whose solution is a judgement."""
        ...

    def judge_lessons(self, engine: Engine, num: int, iteration: int) -> list[Demonstration]:
        """Make up to `num` demonstrations of right verdicts on steps of training problems."""
        ...

    def propose(self, engine: Engine, prefixes: Sequence[Trajectory], purpose: str) -> list[Step]:
        """Draw one next step after each prefix, as the search draws."""
        ...

    def check_step(self, solution: Trajectory) -> bool | None:
        """Say exactly whether the last step of a solution is right; none where nothing can tell."""
        ...

    def average(self, policies: Sequence[Checkpoint], out: Path) -> Checkpoint:
        """Average the weights of policies, each after the first with the share that ``policies.ema_decay`` leaves."""
        ...


class Kept:
    """A judge whose judgements are kept.

    Args:
        keep: Gives the judgements of a batch, as read or as they are made.
        scale: Of the judge, where that is asked for.
    """

    def __init__(
        self,
        keep: Callable[[Sequence[Candidates]], list[Judgements]],
        scale: Literal["absolute", "relative"] = "relative",
    ) -> None:
        self._keep = keep
        self.scale = scale

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item."""
        return [row.judgements for row in self._keep(batch)]


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """One load of a policy's weights, with which it solves, judges and is measured."""

    policy: Checkpoint
    engine: Engine


class Stages:
    """What a method may do. Each stage has its progress, its clock and its artefact, and resumes where it was stopped.

    A policy is loaded when it is first needed, and once: what measures M(t) and what searches for M(t+1) share the
    load, until another policy is needed or training begins. An engine that says ``can_adopt`` stays through training
    and is asked to ``adopt`` the next policy, as a server can that runs the base of an adapter.

    Attributes:
        parts: What the run is put together from.
        run: Its folder.
        progress: Where to tell what is going on.
        names: What the ledger calls the policies of the run: ``M1``, ``M2``, ...; another one goes by its model.
    """

    def __init__(self, parts: Parts, run: RunDir, progress: Progress) -> None:
        self.parts = parts
        self.run = run
        self.progress = progress
        self.names: dict[Checkpoint, str] = {}
        self._loaded: LoadedPolicy | None = None
        self._starts: dict[int, Checkpoint] = {}

    def start(self) -> Checkpoint:
        """M0 -> M1 by the seed stage, or the given policy as M1."""
        given = Checkpoint(self.parts.config.model.id)
        if self.parts.config.seed_stage is None:
            return given
        first = self.run.iteration(1)

        def make(out: Path) -> Checkpoint:
            with self.progress.stage("M1: seed stage", None):
                return self.parts.seed(out) or given

        return timed(first, "seed", "policy", lambda: first.policy(make))

    def engine(self, policy: Checkpoint) -> Engine:
        """The engine that runs `policy`, loaded if it is not; an engine that can ``adopt`` it stays."""
        if self._loaded is not None and self._loaded.policy != policy:
            if _can_adopt(self._loaded.engine) and self._loaded.engine.adopt(policy):  # type: ignore[attr-defined]
                self._loaded = LoadedPolicy(policy, self._loaded.engine)
            else:
                self.release()
        if self._loaded is None:
            with self.progress.stage("load the policy", None):
                self._loaded = LoadedPolicy(policy, self.parts.engine(policy).__enter__())
            self.progress.watch(self._loaded.engine)
        return self._loaded.engine

    def release(self) -> None:
        """Free the device."""
        if self._loaded is not None:
            engine, self._loaded = self._loaded.engine, None
            engine.__exit__(None, None, None)

    def problems(self, iteration: IterationDir, policy: Checkpoint | None = None) -> list[Problem]:
        """The problems of an iteration: ``problems.jsonl``.

        Where ``problems.train`` is self, `policy` writes them: ``written.jsonl`` has everything that it wrote, and why
        what was left out was.

        Raises:
            NoLessonsError: if nothing that it wrote is a problem; says why, with counts.
            ConfigError: if the policy is to write problems, and the method does not say which policy that is.
        """
        if self.parts.config.problems.train == "self":
            return self._written(iteration, policy)
        return iteration.rows(Problem, "problems.jsonl", lambda have: [self.parts.problems(iteration.number)[have:]])

    def _written(self, iteration: IterationDir, policy: Checkpoint | None) -> list[Problem]:
        if policy is None:
            raise ConfigError("problems.train: self: this method does not have problems written")

        def make(have: int) -> Iterator[list[Written]]:
            earlier = list(load_typed(Written, iteration.path / "written.jsonl")) if have else []
            writer, kept = self.parts.writer(iteration.number), sum(row.problem is not None for row in earlier)
            with self.progress.stage(f"M{iteration.number}: write problems", writer.num) as advance:
                advance(kept)
                if self.parts.runner is not None:
                    done = self._whole_elsewhere(policy, Work("write", iteration.number, given=(earlier,)))
                    yield from done.rows
                    iteration.run.log(stage="write", iteration=iteration.number, **done.counts)
                    return
                engine = self.engine(policy)
                before = counts(engine)
                for group in writer.write(engine, earlier):
                    yield group
                    advance(sum(row.problem is not None for row in group))
                iteration.run.log(stage="write", iteration=iteration.number, **counts(engine, before))

        rows = timed(iteration, "write", "written.jsonl", lambda: iteration.rows(Written, "written.jsonl", make))
        summary = iteration.value("written.json", lambda: summarise(rows))
        self.progress.note(f"M{iteration.number}: {explain(summary)}")
        problems = [row.problem for row in rows if row.problem]
        if not problems:
            raise NoLessonsError(f"M{iteration.number} cannot be trained: {explain(summary)}")
        return iteration.rows(Problem, "problems.jsonl", lambda have: [problems[have:]])

    def rounds(
        self, problems: Sequence[T], iteration: IterationDir, num: int
    ) -> list[tuple[Sequence[T], IterationDir]]:
        """Deal problems out to `num` rounds within an iteration, in order: each round's share, and its folder.

        The last round has the folder of the iteration itself, those before it ``rounds/1``, ``rounds/2``, ...
        """
        ends = [len(problems) * number // num for number in range(num + 1)]
        folders = [*(iteration.inside(f"rounds/{number}") for number in range(1, num)), iteration]
        return [(problems[a:b], folder) for a, b, folder in zip(ends, ends[1:], folders, strict=False)]

    def search(self, policy: Checkpoint, problems: Sequence[Problem], iteration: IterationDir) -> list[SearchTree]:
        """Search, judged by the weights that ``judge.weights`` says: one tree a problem, ``trees.jsonl``."""
        size, number = self.parts.config.search.group_size, iteration.number
        self._starts.setdefault(number, policy)

        def make(have: int) -> Iterator[list[SearchTree]]:
            with self.progress.stage(f"M{iteration.name}: search and judge", len(problems)) as advance:
                advance(have)
                bounds = (have, len(problems), size)
                if self.parts.runner is not None:
                    worker, purpose = self._worker(policy, self._judge_of(policy, iteration)), iteration.name
                    yield from self._elsewhere(
                        worker,
                        "trees.jsonl",
                        iteration,
                        bounds,
                        lambda a, b: Work("search", number, problems[a:b], a, purpose if iteration.part else number),
                        advance,
                    )
                    return
                engine = self.engine(policy)
                before = counts(engine)
                with self._judging(policy, engine, iteration, "search") as recording:
                    searcher = self.parts.searcher(iteration.name if iteration.part else number)
                    judge = self.parts.judge(recording)

                    def work(start: int, end: int) -> list[SearchTree]:
                        with keeping(recording):  # it may be another engine than that which solves
                            return list(searcher.search(problems[start:end], engine, judge, start=start))

                    num_expansions = 0
                    for group in self._in_groups("trees.jsonl", iteration, engine, bounds, work, advance):
                        num_expansions += sum(len(tree.expansions) for tree in group)
                        yield group
                spent = {**counts(engine, before), "expansions": num_expansions}
                iteration.run.log(stage="search", iteration=number, **spent)

        return timed(iteration, "search", "trees.jsonl", lambda: iteration.rows(SearchTree, "trees.jsonl", make))

    def judge_problems(self, policy: Checkpoint, iteration: IterationDir) -> list[Problem]:
        """Problems whose solution is a judgement, about those of the iteration: ``judge_problems.jsonl``.

        What is known of the steps, a row for each problem, stands in ``labelled.jsonl``.

        Raises:
            NoLessonsError: if nothing is known from which a problem could be made.
        """
        given, number = self.problems(iteration, policy), iteration.number
        asks = self.parts.config.judge_problems.labels in ("checker", "rollouts", "agreement")

        def make(have: int) -> Iterator[list[LabelledProblem]]:
            with self.progress.stage(f"M{iteration.name}: label steps", len(given)) as advance:
                advance(have)
                if not asks:
                    yield self.parts.label(given, number)[have:]
                    return
                engine = self.engine(policy)
                before = counts(engine)
                with self._recording(policy, engine, iteration, "label") as recording:
                    bounds = (have, len(given), self.parts.config.search.group_size)

                    def work(start: int, end: int) -> list[LabelledProblem]:
                        return self.parts.label(given[start:end], number, engine, recording)

                    yield from self._in_groups("labelled.jsonl", iteration, engine, bounds, work, advance)
                self.run.log(stage="label", iteration=number, **counts(engine, before))

        name = "labelled.jsonl"
        labelled = timed(iteration, "label", name, lambda: iteration.rows(LabelledProblem, name, make))
        made = iteration.rows(
            Problem, "judge_problems.jsonl", lambda have: [self.parts.judge_problems(labelled, number)[have:]]
        )
        if not made:
            raise NoLessonsError(
                f"M{number}: no problems whose solution is a judgement: of {len(labelled)} problems none has steps "
                "known to be right and wrong; choose other judge_problems.labels, or raise search.temperature"
            )
        return made

    def trace(self, policy: Checkpoint, problems: Sequence[Problem], iteration: IterationDir) -> list[SearchTree]:
        """Draw judgements, each scored by the right verdict: one tree a problem, ``traces.jsonl``."""

        def make(have: int) -> Iterator[list[SearchTree]]:
            with self.progress.stage(f"M{iteration.name}: draw judgements", len(problems)) as advance:
                engine = self.engine(policy)
                before = counts(engine)
                advance(have)
                searcher, judge = self.parts.tracer(iteration.name), self.parts.label_judge
                bounds = (have, len(problems), self.parts.config.search.group_size)

                def work(start: int, end: int) -> list[SearchTree]:
                    return list(searcher.search(problems[start:end], engine, judge, start=start))

                yield from self._in_groups("traces.jsonl", iteration, engine, bounds, work, advance)
                self.run.log(stage="trace", iteration=iteration.number, **counts(engine, before))

        name = "traces.jsonl"
        return timed(iteration, "trace", name, lambda: iteration.rows(SearchTree, name, make))

    def judge_again(
        self,
        items: Sequence[Candidates],
        policy: Checkpoint,
        iteration: IterationDir,
        name: str,
        *,
        second: bool = False,
    ) -> list[Judgements]:
        """Have the judge that `policy` is judge candidates again, or the second judge: the artefact `name`."""

        def make(have: int) -> Iterator[list[Judgements]]:
            with self.progress.stage(
                f"M{iteration.name}: judge again ({name.partition('.')[0]})", len(items)
            ) as advance:
                advance(have)
                engine = self.engine(policy)
                before = counts(engine)
                with self._recording(policy, engine, iteration, "again") as recording:
                    judge = self.parts.second_judge(recording) if second else self.parts.judge(recording)
                    bounds = (have, len(items), self.parts.config.search.group_size)

                    def work(start: int, end: int) -> list[Judgements]:
                        return [Judgements(judged) for judged in ask_judge(judge, items[start:end])]

                    yield from self._in_groups(name, iteration, engine, bounds, work, advance)
                self.run.log(stage="again", iteration=iteration.number, **counts(engine, before))

        return timed(iteration, "again", name, lambda: iteration.rows(Judgements, name, make))

    def propose(
        self, prefixes: Sequence[Trajectory], policy: Checkpoint, iteration: IterationDir, name: str
    ) -> list[Step]:
        """Have a policy propose one next step after each prefix, drawn as the search draws: the artefact `name`."""

        def make(have: int) -> Iterator[list[Step]]:
            with self.progress.stage(
                f"M{iteration.name}: propose ({name.partition('.')[0]})", len(prefixes)
            ) as advance:
                advance(have)
                engine = self.engine(policy)
                before = counts(engine)
                bounds = (have, len(prefixes), self.parts.config.search.group_size)

                def work(start: int, end: int) -> list[Step]:
                    return self.parts.propose(engine, prefixes[start:end], f"{iteration.name}/{start}")

                yield from self._in_groups(name, iteration, engine, bounds, work, advance)
                self.run.log(stage="propose", iteration=iteration.number, **counts(engine, before))

        return timed(iteration, "propose", name, lambda: iteration.rows(Step, name, make))

    def before(self, policy: Checkpoint, iteration: IterationDir) -> Checkpoint | None:
        """The policy that stands before `policy` in the run: M(n-1) of M(n); none before M1."""
        earlier = [self.start(), *(self.run.iteration(n).policy(missing) for n in range(2, iteration.number))]
        place = earlier.index(policy)
        return earlier[place - 1] if place else None

    def fit(
        self,
        lessons: Sequence[Lesson],
        policy: Checkpoint,
        iteration: IterationDir,
        *,
        parent: Checkpoint | None = None,
    ) -> Checkpoint:
        """Train `policy` on lessons, and on those that ``policies`` adds: ``policy/``.

        The lessons of the iteration stand in ``pairs.jsonl``, ``demonstrations.jsonl`` or ``attempts.jsonl``.

        Args:
            lessons: Of this iteration, or of a round of it.
            policy: Where training starts.
            iteration: The folder.
            parent: The policy that the iteration started from, where rounds have trained since: what
                ``policies.reference: previous`` names. None: `policy`.
        """
        for kind, name in _LESSON_FILES.items():
            ours = [lesson for lesson in lessons if isinstance(lesson, kind)]
            if ours:
                iteration.rows(kind, name, lambda have, ours=ours: [ours[have:]])  # type: ignore[misc]

        def make(out: Path) -> Checkpoint:
            chosen = [*lessons, *self._earlier(lessons, iteration)]
            chosen += self._replayed(policy, len(chosen), iteration)
            reference = self._reference(policy, iteration) or (None if parent in (None, policy) else parent)
            if self._loaded is not None and not _can_adopt(self._loaded.engine):
                self.release()
            with self.progress.stage(f"M{iteration.name}: train on {len(chosen)} lessons", None):
                return self.parts.trainer.fit(chosen, policy, out, reference=reference)

        trained = timed(iteration, "fit", "policy", lambda: iteration.policy(make))
        self.names[trained] = f"M{iteration.name}"
        return trained

    def keep(self, policy: Checkpoint, iteration: IterationDir) -> Checkpoint:
        """Take a policy that a round made for the one that the iteration makes: a copy in ``policy/``."""

        def make(out: Path) -> Checkpoint:
            shutil.copytree(policy.adapter or policy.model, out, dirs_exist_ok=True)
            return Checkpoint(policy.model, out) if policy.adapter else Checkpoint(str(out))

        return iteration.policy(make)

    def _earlier(self, fresh: Sequence[Lesson], iteration: IterationDir) -> list[Lesson]:
        """Lessons of earlier iterations, as ``policies.lessons`` says."""
        wanted = self.parts.config.policies.lessons
        if wanted == "fresh":
            return []
        found: list[Lesson] = []
        for number in range(2, iteration.number):
            earlier = self.run.iteration(number)
            for kind, name in _LESSON_FILES.items():
                if earlier.is_done(name):
                    found += earlier.rows(kind, name, lambda _: [])
        if wanted == "mix" and len(found) > len(fresh):
            found = _draw(
                found, len(fresh), random.Random(derive_seed(self.parts.config.seed, "mix", iteration.number))
            )
        return found

    def _replayed(self, policy: Checkpoint, num: int, iteration: IterationDir) -> Sequence[Lesson]:
        """Lessons in judging beside `num` others, as ``policies.replay`` says: ``replay.jsonl``."""
        options = self.parts.config.policies
        share, seed = options.replay, derive_seed(self.parts.config.seed, "replay", iteration.name)
        if not share:
            return []
        wanted = round(num * share / (1 - share))
        if options.replay_as != "verdicts":
            traces = self.trace(policy, self.judge_problems(policy, iteration), iteration.inside("judging"))
            name, rng = f"replay/{iteration.name}", random.Random(seed)
            if options.replay_as == "pairs":
                pairs = _draw(trace_pairs(traces, name), wanted, rng)
                return iteration.rows(PreferencePair, "replay.jsonl", lambda have: [pairs[have:]])
            shown = _draw(accept(traces, name).demonstrations, wanted, rng)
            return iteration.rows(Demonstration, "replay.jsonl", lambda have: [shown[have:]])

        def make(have: int) -> list[list[Demonstration]]:
            return [self.parts.judge_lessons(self.engine(policy), wanted, iteration.number)[have:]]

        return iteration.rows(Demonstration, "replay.jsonl", make)

    def _reference(self, policy: Checkpoint, iteration: IterationDir) -> Checkpoint | None:
        """What the objective is held to, none for `policy` itself."""
        wanted = self.parts.config.policies.reference
        if wanted == "previous":
            return None
        earlier = [self.start(), *(self.run.iteration(n).policy(missing) for n in range(2, iteration.number))]
        if wanted == "initial" or len(earlier) == 1:
            return None if earlier[0] == policy else earlier[0]
        return iteration.policy(lambda out: self.parts.average(earlier, out), "reference")

    def answers(self, policy: Checkpoint, iteration: IterationDir, *, validation: bool = False) -> list[Answer]:
        """Solve the held-out problems greedily: ``answers.jsonl``; or those of validation: ``validation.jsonl``."""
        stage = "validation" if validation else "answers"
        problems = self.parts.validation() if validation else self.parts.held_out()
        if validation and not problems:
            return []

        def make(have: int) -> Iterator[list[Answer]]:
            kind = "validation" if validation else "held-out"
            with self.progress.stage(f"M{iteration.number}: {kind} problems", len(problems)) as advance:
                advance(have)
                bounds = (have, len(problems), self.parts.config.evaluation.group_size)
                if self.parts.runner is not None:
                    yield from self._elsewhere(
                        self._worker(policy, policy),
                        f"{stage}.jsonl",
                        iteration,
                        bounds,
                        lambda a, b: Work("answers", iteration.number, problems[a:b], a),
                        advance,
                    )
                    return
                engine = self.engine(policy)
                before = counts(engine)
                self.run.remember(facts(engine))
                yield from self._in_groups(
                    f"{stage}.jsonl",
                    iteration,
                    engine,
                    bounds,
                    lambda start, end: [*chain.from_iterable(self.parts.answers(problems[start:end], engine, start))],
                    advance,
                )
                self.run.log(stage=stage, iteration=iteration.number, **facts(engine), **counts(engine, before))

        return timed(iteration, stage, f"{stage}.jsonl", lambda: iteration.rows(Answer, f"{stage}.jsonl", make))

    def health(self, policy: Checkpoint, iteration: IterationDir) -> Health:
        """Measure the judge on a fixed set, on the policy's own siblings, and for signs that it goes bad.

        What is finished stands in the iteration's folder ``health``, to be read by a start after a kill, until the
        loop discards it.
        """
        number = iteration.number
        if not (self.run.path / LEDGER).exists():
            iteration.discard(HEALTH)  # the calls of what is finished count, too
        part = iteration.inside(HEALTH)
        last = iteration.rows(SearchTree, "trees.jsonl", lambda _: []) if iteration.is_done("trees.jsonl") else []
        calls = self.run.ledger.calls(iteration=number, stage="health", template="pairwise")
        with self.progress.stage(f"M{number}: judge health", None):
            own = self._siblings(policy, iteration)
            first = own if number == 1 else self._siblings(None, self.run.iteration(1))

            def measure() -> Health:
                trees = self._watched(policy, part)
                judge, shadow = partial(self._health_judge, policy, part), partial(self._beside_shadow, policy, part)
                is_watched = self.parts.config.watch.shadow is not None
                return self.parts.health(judge, trees, calls, last, own, first, shadow if is_watched else None)

            health = timed(iteration, "health", "health.json", measure)
        return with_alarms(health, self.parts.config.watch)

    def _siblings(self, policy: Checkpoint | None, iteration: IterationDir) -> list[LabelledCandidates]:
        """The policy's own candidates, each right or wrong: ``siblings.jsonl``.

        Empty where nothing can label them, and, without a `policy` to sample them, where a run has none.
        """
        name = "siblings.jsonl"
        if self.parts.labeller is None or (policy is None and not iteration.is_done(name)):
            return []
        if policy is None or iteration.is_done(name):
            return iteration.rows(LabelledCandidates, name, lambda _: [])
        problems = self.parts.testing()

        def num_done(have: int) -> int:  # every problem has rows, and a group is whole
            rows = load_typed(LabelledCandidates, iteration.path / name) if have else ()
            return len({row.candidates.prefix.problem.id for row in rows})

        def here(start: int, end: int) -> list[LabelledCandidates]:
            return [*chain.from_iterable(self.parts.siblings(problems[start:end], self.engine(policy)))]

        def there(start: int, end: int) -> Work:
            return Work("siblings", iteration.number, problems[start:end], start)

        make = self._making("own siblings", name, policy, iteration, len(problems), here, there, num_done)
        return iteration.rows(LabelledCandidates, name, make)

    def _watched(self, policy: Checkpoint, part: IterationDir) -> list[SearchTree]:
        """Search the held-out problems on which the habits of the judge are measured."""
        problems, name = self.parts.watched(), "trees.jsonl"

        def here(start: int, end: int) -> list[SearchTree]:
            engine, searcher = self.engine(policy), self.parts.searcher("health")
            with self._recording(policy, engine, part, "health") as recording, keeping(recording):
                return list(searcher.search(problems[start:end], engine, self.parts.judge(recording), start=start))

        def there(start: int, end: int) -> Work:
            return Work("watch", part.number, problems[start:end], start, "health")

        make = self._making("search of held-out problems", name, policy, part, len(problems), here, there)
        return part.rows(SearchTree, name, make)

    def _health_judge(self, policy: Checkpoint, part: IterationDir, title: str) -> Judge:
        """The judge that `policy` is, for one of the measurements, as `title` says: what it says is kept."""

        def keep(batch: Sequence[Candidates]) -> list[Judgements]:
            def here(start: int, end: int) -> list[Judgements]:
                with self._recording(policy, self.engine(policy), part, "health") as recording:
                    return [Judgements(judged) for judged in ask_judge(self.parts.judge(recording), batch[start:end])]

            def there(start: int, end: int) -> Work:
                return Work("health", part.number, given=(batch[start:end],))

            name = _name_of(title, batch)
            return part.rows(Judgements, name, self._making(title, name, policy, part, len(batch), here, there))

        return Kept(keep)

    def _beside_shadow(self, policy: Checkpoint, part: IterationDir, trees: Sequence[SearchTree]) -> Shadowed:
        """Compare the judge that `policy` is with the one that only watches, in trees that it judged.

        If that one asks a policy, the first one of the run is loaded: it is never trained.
        """
        if self.parts.runner is not None:
            seen: Shadowed = self._whole_elsewhere(
                policy, Work("shadow", part.number, given=(trees, self.start()))
            ).rows[0]
            return seen
        judge = self.parts.judge(self.engine(policy))
        shadow = self.parts.shadow(lambda: self.engine(self.start()))
        settings = TypeAdapter(str | JudgeConfig | None).dump_json(self.parts.config.watch.shadow).decode()

        def keep(batch: Sequence[Candidates]) -> list[Judgements]:
            def here(start: int, end: int) -> list[Judgements]:
                return [Judgements(judged) for judged in ask_judge(shadow, batch[start:end])]

            name = _name_of(f"shadow judge {settings}", batch)
            return part.rows(Judgements, name, self._making("shadow judge", name, None, part, len(batch), here))

        return measure_shadow(trees, judge, Kept(keep, shadow.scale))

    def _making(
        self,
        title: str,
        name: str,
        policy: Checkpoint | None,
        part: IterationDir,
        num: int,
        here: Callable[[int, int], list[T]],
        there: Callable[[int, int], Work] | None = None,
        num_done: Callable[[int], int] = int,
    ) -> Callable[[int], Iterator[list[T]]]:
        """What makes an artefact of the health of the judge group by group, in this process or by a runner.

        Args:
            title: What progress calls it.
            name: Of the artefact.
            policy: Does it; none: what is loaded.
            part: Where the artefact stands.
            num: Items in all.
            here: Makes the rows of the items from a first to before a last one.
            there: Says what a worker makes them of, where one may.
            num_done: Items of which there are rows, given the number of rows.
        """

        def make(have: int) -> Iterator[list[T]]:
            with self.progress.stage(title, num) as advance:
                bounds = (num_done(have), num, self.parts.config.search.group_size)
                advance(bounds[0])
                if policy is not None and there is not None and self.parts.runner is not None:
                    yield from self._elsewhere(self._worker(policy, policy), name, part, bounds, there, advance)
                else:
                    loaded = self._loaded.engine if self._loaded else None
                    engine = self.engine(policy) if policy else loaded
                    yield from self._in_groups(name, part, engine, bounds, here, advance)

        return make

    def shadow(self, trees: Sequence[SearchTree], iteration: IterationDir) -> Shadow | None:
        """Compare the judge's scores with the exact checker, where there is one: ``shadow.json``. No reward changes."""
        found = iteration.value("shadow.json", lambda: _plain(shadow(trees, self.parts.check_step, REFUSED)))
        if found is None:
            return None
        seen = TypeAdapter(Shadow).validate_python(found)
        self.progress.note(f"M{iteration.name}: {explain_shadow(seen)}")
        return seen

    def _judge_of(self, policy: Checkpoint, iteration: IterationDir) -> Checkpoint:
        """The weights that judge in an iteration, as ``judge.weights`` says."""
        weights = self.parts.config.judge.weights
        return {"live": policy, "start": self._starts.get(iteration.number, policy), "first": self.start()}[weights]

    @contextmanager
    def _judging(
        self, policy: Checkpoint, engine: Engine, iteration: IterationDir, stage: CallStage
    ) -> Iterator[RecordingEngine]:
        """The engine that judges in an iteration, recorded: `engine`, or one that runs earlier weights."""
        judging = self._judge_of(policy, iteration)
        if judging == policy:
            with self._recording(policy, engine, iteration, stage) as recording:
                yield recording
        else:
            with (
                self.parts.engine(judging) as other,
                self._recording(judging, other, iteration, stage) as recording,
            ):
                yield recording

    def _in_groups(
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

    def _elsewhere(
        self,
        worker: Open,
        name: str,
        iteration: IterationDir,
        bounds: tuple[int, int, int],
        work: Callable[[int, int], Work],
        advance: Callable[[int], None],
    ) -> Iterator[list[Any]]:
        """Have the rows of an artefact made group by group by a runner; the other arguments are those of `_in_groups`.

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
            totals.update(expansions=sum(len(row.expansions) for row in done.rows if isinstance(row, SearchTree)))
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
        if stage in ("search", "answers"):
            told = {kind: count for kind, count in totals.items() if count}
            self.run.log(stage=stage, iteration=iteration.number, **told)

    def _worker(self, policy: Checkpoint, judging: Checkpoint) -> Open:
        return self.parts.worker(policy, judging, self.names.get(judging, judging.model))

    def _whole_elsewhere(self, policy: Checkpoint, work: Work) -> Done:
        """Have a stage done by one worker of a runner, and record what it asked of the judge."""
        assert self.parts.runner is not None
        [done] = self.parts.runner.map(self._worker(policy, policy), [work])
        self.run.ledger.record(done.calls)
        return done

    def _recording(
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


def _draw(lessons: Sequence[T], num: int, rng: random.Random) -> list[T]:
    """Draw lessons, in their order; all if there are no more."""
    return [lessons[i] for i in sorted(rng.sample(range(len(lessons)), min(num, len(lessons))))]


def _name_of(title: str, batch: Sequence[Candidates]) -> str:
    """Name the file of what a judge says of a batch: of another one it is another file."""
    asked = short_hash("\n".join([title, *map(dump, batch)]))
    return f"{'-'.join(title.split()[:2])}-{asked}.jsonl"


def _plain(value: Shadow | None) -> Any:
    return None if value is None else TypeAdapter(Shadow).dump_python(value, mode="json")


def _can_adopt(engine: Engine) -> bool:
    return bool(getattr(engine, "can_adopt", False))


def missing(path: Path) -> Checkpoint:
    """Refuse to make a policy that should be there."""
    raise RunError(f"{path} is missing; restore it, or choose another --out")


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
