"""What a method may do: the stages of an iteration, over the parts of a run."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from presrm.errors import ConfigError, NoLessonsError
from presrm.evaluation.answers import Answer
from presrm.evaluation.shadow import Shadow, explain_shadow, shadow
from presrm.files.jsonl import load_typed
from presrm.files.ledger import CallStage
from presrm.files.run import IterationDir, RunDir
from presrm.judging.gate import REFUSED
from presrm.judging.health import Health
from presrm.judging.problems import Judgements, LabelledProblem
from presrm.judging.recording import RecordingEngine
from presrm.methods.checkup import Checkup
from presrm.methods.fitting import Fitting
from presrm.methods.parts import Parts, Progress
from presrm.methods.workplace import Workplace, counts, timed
from presrm.protocols import Engine, ask_judge, keeping
from presrm.runners.work import Work
from presrm.searchers.checked import search_trees
from presrm.types import (
    Candidates,
    Checkpoint,
    Lesson,
    Problem,
    SearchTree,
    Step,
    Trajectory,
)
from presrm.writing.writer import Written, explain, summarise

T = TypeVar("T")


class Stages:
    """What a method may do. Each stage has its progress, its clock and its artefact, and resumes where it was stopped.

    Attributes:
        parts: What the run is put together from.
        run: Its folder.
        progress: Where to tell what is going on.
        names: What the ledger calls the policies of the run, see `Workplace`.
    """

    def __init__(self, parts: Parts, run: RunDir, progress: Progress) -> None:
        self._place = Workplace(parts, run, progress)
        self._checkup = Checkup(self._place, self.start)
        self._fitting = Fitting(self._place, self.start, self._judgements)
        self._starts: dict[int, Checkpoint] = {}
        self.parts, self.run, self.progress, self.names = parts, run, progress, self._place.names

    def release(self) -> None:
        """Free the device."""
        self._place.release()

    def health(self, policy: Checkpoint, iteration: IterationDir) -> Health:
        """Measure the judge on a fixed set, on the policy's own siblings, and for signs that it goes bad."""
        return self._checkup.health(policy, iteration)

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
                    done = self._place.whole_elsewhere(policy, Work("write", iteration.number, given=(earlier,)))
                    yield from done.rows
                    iteration.run.log(stage="write", iteration=iteration.number, **done.counts)
                    return
                engine = self._place.engine(policy)
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
        purpose = iteration.name if iteration.part else iteration.number
        self._starts.setdefault(iteration.number, policy)

        def here(engine: Engine) -> Iterator[Callable[[int, int], list[SearchTree]]]:
            with self._judging(policy, engine, iteration, "search") as recording:
                searcher, judge = self.parts.searcher(purpose), self.parts.judge(recording)

                def work(start: int, end: int) -> list[SearchTree]:
                    with keeping(recording):  # it may be another engine than that which solves
                        return list(search_trees(searcher, problems[start:end], engine, judge, start))

                yield work

        return self._place.rows(
            SearchTree,
            "trees.jsonl",
            iteration,
            "search",
            "search and judge",
            (len(problems), self.parts.config.search.group_size),
            policy,
            here,
            lambda a, b: Work("search", iteration.number, problems[a:b], a, purpose),
            judging=self._judge_of(policy, iteration),
        )

    def judge_problems(self, policy: Checkpoint, iteration: IterationDir) -> list[Problem]:
        """Problems whose solution is a judgement, about those of the iteration: ``judge_problems.jsonl``.

        What is known of the steps, a row for each problem, stands in ``labelled.jsonl``.

        Raises:
            NoLessonsError: if nothing is known from which a problem could be made.
        """
        given, number = self.problems(iteration, policy), iteration.number

        def here(engine: Engine) -> Iterator[Callable[[int, int], list[LabelledProblem]]]:
            with self._place.recording(policy, engine, iteration, "label") as recording:
                yield lambda a, b: self.parts.label(given[a:b], number, engine, recording)

        if self.parts.config.judge_problems.labels in ("checker", "rollouts", "agreement"):
            labelled = self._place.rows(
                LabelledProblem,
                "labelled.jsonl",
                iteration,
                "label",
                "label steps",
                (len(given), self.parts.config.search.group_size),
                policy,
                here,
                lambda a, b: Work("label", number, given[a:b], a),
            )
        else:  # they are known
            name = "labelled.jsonl"
            labelled = timed(
                iteration,
                "label",
                name,
                lambda: iteration.rows(LabelledProblem, name, lambda have: [self.parts.label(given, number)[have:]]),
            )
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

        def here(engine: Engine) -> Iterator[Callable[[int, int], list[SearchTree]]]:
            searcher, judge = self.parts.tracer(iteration.name), self.parts.label_judge
            yield lambda a, b: list(search_trees(searcher, problems[a:b], engine, judge, a))

        return self._place.rows(
            SearchTree,
            "traces.jsonl",
            iteration,
            "trace",
            "draw judgements",
            (len(problems), self.parts.config.search.group_size),
            policy,
            here,
            lambda a, b: Work("trace", iteration.number, problems[a:b], a, iteration.name),
        )

    def _judgements(self, policy: Checkpoint, iteration: IterationDir) -> list[SearchTree]:
        """Judgements about the problems of an iteration, to be replayed beside its lessons."""
        return self.trace(policy, self.judge_problems(policy, iteration), iteration.inside("judging"))

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

        def here(engine: Engine) -> Iterator[Callable[[int, int], list[Judgements]]]:
            with self._place.recording(policy, engine, iteration, "again") as recording:
                judge = self.parts.second_judge(recording) if second else self.parts.judge(recording)
                yield lambda a, b: [Judgements(judged) for judged in ask_judge(judge, items[a:b])]

        told, size = f"judge again ({name.partition('.')[0]})", (len(items), self.parts.config.search.group_size)
        return self._place.rows(Judgements, name, iteration, "again", told, size, policy, here)

    def propose(
        self, prefixes: Sequence[Trajectory], policy: Checkpoint, iteration: IterationDir, name: str
    ) -> list[Step]:
        """Have a policy propose one next step after each prefix, drawn as the search draws: the artefact `name`."""

        def here(engine: Engine) -> Iterator[Callable[[int, int], list[Step]]]:
            yield lambda a, b: self.parts.propose(engine, prefixes[a:b], f"{iteration.name}/{a}")

        told, size = f"propose ({name.partition('.')[0]})", (len(prefixes), self.parts.config.search.group_size)
        return self._place.rows(Step, name, iteration, "propose", told, size, policy, here)

    def before(self, policy: Checkpoint, iteration: IterationDir) -> Checkpoint | None:
        """The policy that stands before `policy` in the run: M(n-1) of M(n); none before M1."""
        earlier = self._fitting.earlier_policies(iteration)
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
        return self._fitting.fit(lessons, policy, iteration, parent)

    def keep(self, policy: Checkpoint, iteration: IterationDir) -> Checkpoint:
        """Take a policy that a round made for the one that the iteration makes: a copy in ``policy/``."""

        def make(out: Path) -> Checkpoint:
            shutil.copytree(policy.adapter or policy.model, out, dirs_exist_ok=True)
            return Checkpoint(policy.model, out) if policy.adapter else Checkpoint(str(out))

        return iteration.policy(make)

    def answers(self, policy: Checkpoint, iteration: IterationDir, *, validation: bool = False) -> list[Answer]:
        """Solve the held-out problems greedily: ``answers.jsonl``; or those of validation: ``validation.jsonl``."""
        stage = "validation" if validation else "answers"
        problems = self.parts.validation() if validation else self.parts.held_out()
        if validation and not problems:
            return []

        def here(engine: Engine) -> Iterator[Callable[[int, int], list[Answer]]]:
            yield lambda a, b: [*chain.from_iterable(self.parts.answers(problems[a:b], engine, a))]

        return self._place.rows(
            Answer,
            f"{stage}.jsonl",
            iteration,
            stage,
            f"{'validation' if validation else 'held-out'} problems",
            (len(problems), self.parts.config.evaluation.group_size),
            policy,
            here,
            lambda a, b: Work("answers", iteration.number, problems[a:b], a),
        )

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
            with self._place.recording(policy, engine, iteration, stage) as recording:
                yield recording
        else:
            with (
                self.parts.engine(judging) as other,
                self._place.recording(judging, other, iteration, stage) as recording,
            ):
                yield recording


def _plain(value: Shadow | None) -> Any:
    return None if value is None else TypeAdapter(Shadow).dump_python(value, mode="json")
