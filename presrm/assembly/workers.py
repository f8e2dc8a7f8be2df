"""Config -> the runner of a run, and the worker that does a group of problems in another process."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from presrm.assembly.judges import make_judge
from presrm.assembly.options import arguments_of
from presrm.config import Config, RunnerConfig
from presrm.errors import RequestError, UnknownNameError
from presrm.files.ledger import Call, CallStage
from presrm.groups import seconds_spent
from presrm.judging.problems import Judgements
from presrm.judging.recording import CallLog, RecordingEngine
from presrm.judging.signs import Shadowed, measure_shadow
from presrm.methods.parts import SilentProgress
from presrm.methods.workplace import counts, facts
from presrm.protocols import Engine, ask_judge, keeping
from presrm.registry import allow_code, allowed_code, nearest
from presrm.runners import RUNNERS
from presrm.runners.work import Done, Runner, Stage, Work
from presrm.types import Candidates, Checkpoint, Judgement, SearchTree

if TYPE_CHECKING:
    from presrm.assembly.parts import Parts


_RECORDED: Mapping[Stage, CallStage] = {
    "search": "search",
    "watch": "health",
    "health": "health",
    "judge": "judge-steps",
    "label": "label",
}
"""What the ledger calls the stages whose judge is recorded."""


def make_runner(settings: RunnerConfig) -> Runner | None:
    """Make the runner that the settings name; none where groups are worked in this process.

    Raises:
        ConfigError: naming each wrong option and the nearest valid one.
        RequestError: if it needs a package that is not there.
        UnknownNameError: naming the nearest runner.
    """
    if settings.kind == "local":
        return None
    if settings.kind not in RUNNERS:
        names = ["local", *RUNNERS.names()]
        raise UnknownNameError(f"unknown runner {settings.kind!r}; {nearest(settings.kind, names)}")
    try:
        factory = RUNNERS.factory(settings.kind)
    except ImportError as error:
        raise RequestError(f"runner {settings.kind!r} needs: pip install 'presrm[{settings.kind}]'") from error
    return factory(**arguments_of(factory, settings.options, {}, "runner.options"))


@dataclass(frozen=True)
class Worker:
    """Loads a policy where it is called, and does groups of problems with it: a `presrm.runners.work.Open`.

    Attributes:
        config: Of the run, as JSON: what is sent to a worker compares and hashes.
        policy: Solves.
        judging: Judges the steps of a search.
        name: What the ledger calls the one that judges.
        code: Names of code that the user typed.
    """

    config: str
    policy: Checkpoint
    judging: Checkpoint
    name: str
    code: frozenset[str] = frozenset()

    @contextmanager
    def __call__(self) -> Iterator[Callable[[Work], Done]]:
        """Load; gives what does a group."""
        from presrm.assembly.parts import Parts  # which makes workers

        allow_code(self.code)
        config = Config.model_validate_json(self.config)
        parts = Parts(config, SilentProgress(), _drop)
        with ExitStack() as stack:
            engine = judging = stack.enter_context(parts.engine(self.policy))
            if self.judging != self.policy:
                judging = stack.enter_context(parts.engine(self.judging))
            yield partial(self._do, parts, engine, judging)

    def _do(self, parts: "Parts", engine: Engine, judging: Engine, work: Work) -> Done:
        calls, before, seconds = _Calls(), counts(engine), seconds_spent(engine)
        rows: list[Any]
        if work.stage == "answers":
            rows = [*chain.from_iterable(parts.answers(work.problems, engine, work.start))]
        elif work.stage == "eval":
            [solve] = work.given
            rows = [*solve(parts, engine, work)]
        elif work.stage == "siblings":
            rows = [*chain.from_iterable(parts.siblings(work.problems, engine))]
        elif work.stage == "write":
            assert work.iteration is not None
            rows = [*parts.writer(work.iteration).write(engine, *work.given)]
        elif work.stage == "judge":
            [batch] = work.given
            with self._recording(parts, engine, calls, work) as recording:
                rows = [*ask_judge(make_judge(parts.config.judge, recording, parts.prompts), batch)]
        elif work.stage == "health":
            [batch] = work.given
            with self._recording(parts, engine, calls, work) as recording:
                rows = [Judgements(judged) for judged in ask_judge(parts.judge(recording), batch)]
        elif work.stage == "label":
            assert work.iteration is not None
            with self._recording(parts, engine, calls, work) as recording:
                rows = parts.label(work.problems, work.iteration, engine, recording)
        elif work.stage == "trace":
            rows = list(parts.tracer(work.purpose).search(work.problems, engine, parts.label_judge, start=work.start))
        elif work.stage == "shadow":
            rows = [self._beside_shadow(parts, engine, *work.given)]
        else:
            with self._recording(parts, judging, calls, work) as recording, keeping(recording):
                searcher = parts.searcher(work.purpose)
                rows = list(searcher.search(work.problems, engine, parts.judge(recording), start=work.start))
        now = seconds_spent(engine)
        took = None if now is None or seconds is None else now - seconds
        return Done(rows, tuple(calls.kept), counts(engine, before), took, facts(engine))

    def _recording(self, parts: "Parts", engine: Engine, calls: "_Calls", work: Work) -> RecordingEngine:
        return RecordingEngine(
            engine,
            calls,
            policy=self.name,
            stage=_RECORDED[work.stage],
            template_hash=parts.prompts.hash,
            iteration=work.iteration,
        )

    def _beside_shadow(
        self, parts: "Parts", engine: Engine, trees: Sequence[SearchTree], start: Checkpoint
    ) -> Shadowed:
        """Compare the judge with the one that only watches, which may ask `start`, the first policy of the run."""
        with ExitStack() as stack:
            shadow = parts.shadow(lambda: engine if start == self.policy else stack.enter_context(parts.engine(start)))
            return measure_shadow(trees, parts.judge(engine), shadow)


class Elsewhere:
    """Work that a runner's workers do, in order.

    Args:
        runner: Has it done.
        worker: What it opens.
    """

    def __init__(self, runner: Runner, worker: Worker) -> None:
        self._runner = runner
        self._worker = worker
        self._spent: float | None = 0.0

    def spent(self) -> float | None:
        """Seconds of work so far, as `presrm.groups.Groups` takes them."""
        return self._spent

    def __call__(self, work: Iterable[Work]) -> Iterator[Done]:
        """Do work."""
        for done in self._runner.map(self._worker, work):
            self._spent = None if self._spent is None or done.seconds is None else self._spent + done.seconds
            yield done


class JudgeElsewhere:
    """A judge that a runner's workers run, batch by batch: for `presrm.judging.solutions.judge_file`.

    Args:
        runner: Has it done.
        config: The settings; ``model.id`` judges.
        policy: What that names.
        ledger: Gets the calls.
    """

    def __init__(self, runner: Runner, config: Config, policy: Checkpoint, ledger: CallLog) -> None:
        self._ledger = ledger
        worker = Worker(config.model_dump_json(), policy, policy, config.model.id, allowed_code())
        self._elsewhere = Elsewhere(runner, worker)
        self.spent = self._elsewhere.spent

    def __call__(self, batches: Iterable[Sequence[Candidates]]) -> Iterator[list[tuple[Judgement, ...]]]:
        """Judge batches, in order."""
        for done in self._elsewhere(Work("judge", given=(list(batch),)) for batch in batches):
            self._ledger.record(list(done.calls))
            yield done.rows


class _Calls:
    """Keeps calls for the process that writes the ledger."""

    def __init__(self) -> None:
        self.kept: list[Call] = []

    def record(self, calls: list[Call]) -> None:
        self.kept += calls


def _drop(**row: Any) -> None:
    """A worker keeps no metrics.jsonl."""
