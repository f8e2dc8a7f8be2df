"""Config -> the runner of a run, and the worker that does a group of problems in another process."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presrm.assembly.judges import make_judge
from presrm.assembly.options import arguments_of
from presrm.config import Config, RunnerConfig
from presrm.engines.hf_files import policy_at
from presrm.errors import RequestError, UnknownNameError
from presrm.files.ledger import Call, CallStage, Ledger
from presrm.groups import seconds_spent
from presrm.judging.problems import Judgements
from presrm.judging.recording import CallLog, RecordingEngine
from presrm.judging.signs import Shadowed, measure_shadow
from presrm.methods.parts import SilentProgress
from presrm.methods.workplace import counts, facts
from presrm.prompts import PromptSet
from presrm.protocols import Completion, Engine, Request, ask_judge, keeping
from presrm.registry import allow_code, allowed_code, nearest
from presrm.runners import RUNNERS
from presrm.runners.work import Done, Open, Runner, Stage, Work
from presrm.searchers.checked import search_trees
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
        if work.stage in _RECORDED:
            rows = self._judged(parts, engine, judging, work, calls)
        else:
            rows = self._solved(parts, engine, work)
        now = seconds_spent(engine)
        took = None if now is None or seconds is None else now - seconds
        return Done(rows, tuple(calls.kept), counts(engine, before), took, facts(engine))

    def _solved(self, parts: "Parts", engine: Engine, work: Work) -> list[Any]:
        """Do what is not recorded."""
        if work.stage == "answers":
            return [*chain.from_iterable(parts.answers(work.problems, engine, work.start))]
        if work.stage == "siblings":
            return [*chain.from_iterable(parts.siblings(work.problems, engine))]
        if work.stage == "trace":
            searcher = parts.tracer(work.purpose)
            return list(search_trees(searcher, work.problems, engine, parts.label_judge, work.start))
        if work.stage == "write":
            assert work.iteration is not None
            return [*parts.writer(work.iteration).write(engine, *work.given)]
        if work.stage == "shadow":
            return [self._beside_shadow(parts, engine, *work.given)]
        [given] = work.given
        if work.stage == "eval":
            return [*given(parts, engine, work)]
        assert work.stage == "reflect"
        return engine.generate(given)

    def _judged(self, parts: "Parts", engine: Engine, judging: Engine, work: Work, calls: "_Calls") -> list[Any]:
        """Do what asks a judge, whose calls are recorded."""
        with RecordingEngine(
            judging,
            calls,
            policy=self.name,
            stage=_RECORDED[work.stage],
            template_hash=parts.prompts.hash,
            iteration=work.iteration,
        ) as recording:
            if work.stage == "judge":
                batch, sources = work.given
                return [*ask_judge(make_judge(parts.config.judge, recording, parts.prompts.edited(sources)), batch)]
            if work.stage == "health":
                [batch] = work.given
                return [Judgements(judged) for judged in ask_judge(parts.judge(recording), batch)]
            if work.stage == "label":
                assert work.iteration is not None
                return parts.label(work.problems, work.iteration, engine, recording)
            with keeping(recording):
                searcher = parts.searcher(work.purpose)
                return list(search_trees(searcher, work.problems, engine, parts.judge(recording), work.start))

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
        ledger: Gets the calls; none: nobody does.
    """

    def __init__(self, runner: Runner, worker: Open, ledger: CallLog | None = None) -> None:
        self._runner = runner
        self._worker = worker
        self._ledger = ledger
        self._spent: float | None = 0.0

    def spent(self) -> float | None:
        """Seconds of work so far, as `presrm.groups.Groups` takes them."""
        return self._spent

    def __call__(self, work: Iterable[Work]) -> Iterator[Done]:
        """Do work."""
        for done in self._runner.map(self._worker, work):
            self._spent = None if self._spent is None or done.seconds is None else self._spent + done.seconds
            if self._ledger is not None:
                self._ledger.record(list(done.calls))
            yield done


class JudgeElsewhere:
    """A judge that a runner's workers run, batch by batch, for verbs that judge files; and the policy that it asks.

    Args:
        runner: Has it done.
        config: The settings; ``model.id`` judges.
        policy: What that names.
        ledger: Gets the calls; none: nobody does.
    """

    def __init__(self, runner: Runner, config: Config, policy: Checkpoint, ledger: CallLog | None) -> None:
        worker = Worker(config.model_dump_json(), policy, policy, config.model.id, allowed_code())
        self._elsewhere = Elsewhere(runner, worker, ledger)
        self.spent = self._elsewhere.spent

    def __call__(
        self, batches: Iterable[Sequence[Candidates]], prompts: PromptSet | None = None
    ) -> Iterator[list[tuple[Judgement, ...]]]:
        """Judge batches, in order, with the prompts of the settings or with an edited set of them."""
        sources = {} if prompts is None else dict(prompts.sources)
        for done in self._elsewhere(Work("judge", given=(list(batch), sources)) for batch in batches):
            yield done.rows

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Have the policy itself complete requests, as an engine does."""
        [done] = self._elsewhere([Work("reflect", given=(list(requests),))])
        return done.rows


@contextmanager
def judging_elsewhere(config: Config, ledger: Path | None) -> Iterator[JudgeElsewhere | None]:
    """Give what has other processes judge, its calls written to `ledger`; none where the settings name no runner."""
    runner = make_runner(config.runner)
    if runner is None:
        yield None
        return
    with closing(runner), nullcontext() if ledger is None else Ledger(ledger) as calls:
        yield JudgeElsewhere(runner, config, policy_at(config.model.id), calls)


class _Calls:
    """Keeps calls for the process that writes the ledger."""

    def __init__(self) -> None:
        self.kept: list[Call] = []

    def record(self, calls: list[Call]) -> None:
        self.kept += calls


def _drop(**row: Any) -> None:
    """A worker keeps no metrics.jsonl."""
