"""A short probe of this machine and a policy: how fast it reads and writes, and whether its verdicts can be read."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean
from typing import Literal, TypeVar

from presrm.assembly.engines import limit_threads, open_engine
from presrm.assembly.judges import asks_policy, make_judge
from presrm.assembly.parts import Parts
from presrm.config import Config
from presrm.engines import ENGINES
from presrm.engines.hf_files import locate, policy_at
from presrm.errors import RequestError
from presrm.judging.labels import perturbed
from presrm.methods.parts import Progress, SilentProgress
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Judge, ask_judge, composition_of, keeping
from presrm.searchers.checked import search_trees
from presrm.splitters import SPLITTERS
from presrm.statistics import Figure, share
from presrm.types import Attempt, Candidates, Checkpoint, Judgement, LabelledSteps, Problem, SearchTree, Trajectory

T = TypeVar("T")
_NUM_PAIRS = 4
_NUM_ASKED = 32
"""Questions to a judge that are read in a batch."""
_GROWTH, _PATIENCE = 8, 25.0
"""Batches grow by at most so much, for about so many seconds."""


Unit = Literal["load", "answer", "draw", "judge", "question", "read", "lesson"]
"""What a stage is made of: a load of the policy; a problem solved greedily; a problem searched, without its judge; the
judge's part of that; two steps that the judge compares; a token read forwards; a problem whose lessons are learned."""
TRAINING = 4
"""Reading a token, in training: once for the log-probabilities to start from, forwards, and twice as much backwards."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a policy takes on this machine, in batches like those of the run.

    Attributes:
        seconds: Of each unit.
        read: Tokens read a second.
        written: Tokens written a second, all that happens meanwhile included.
        tried: Problems of the largest batches that were solved and searched.
    """

    seconds: Mapping[Unit, float]
    read: float
    written: float
    tried: tuple[int, int]

    def of(self, work: Mapping[Unit, float]) -> float:
        """Seconds that units of work take."""
        return sum(num * self.seconds[unit] for unit, num in work.items())

    def of_tokens(self, num_read: int, num_written: int) -> float:
        """Seconds that tokens take."""
        return num_read / self.read + num_written / self.written


def is_here(model: str) -> bool:
    """Whether a policy can be loaded without a network."""
    if Checkpoint(model).is_remote:
        return False
    try:
        return locate(model).is_local
    except RequestError:
        return False


def probe_pace(config: Config, progress: Progress) -> Pace | None:
    """Measure how long the policy of `config` takes, on the run's own problems; none where it is not on this machine.

    It solves and searches problems as the run does. The first one warms up, then batches grow up to the size of the
    run's groups, as long as they take a short time.

    Raises:
        PresrmError: if it cannot be loaded, or a part fails.
    """
    if not is_here(config.model.id):
        return None
    parts = Parts(config, SilentProgress(), lambda **_: None)
    answered = parts.held_out()
    searched = answered if parts.writes else parts.problems(2)
    with progress.stage("probe: load the policy", None):
        ENGINES.factory(config.model.engine)  # imports what a run imports once, and a load does not again
        limit_threads(config.threads, config.model)
        began = time.monotonic()
        opened = open_engine(policy_at(config.model.id), config.model)
        load = time.monotonic() - began
    with opened as engine:
        progress.watch(engine)
        with progress.stage("probe: solve held-out problems", None):
            answer, num_answered = _growing(
                lambda some: [*chain.from_iterable(parts.answers(some, engine))],
                answered,
                config.evaluation.group_size,
            )
        with progress.stage("probe: read questions to a judge", None):
            read, question = _reading(parts, engine, answered)
        judge = _Timed(parts.judge(engine))
        before, began = _count(engine), time.monotonic()
        with progress.stage("probe: search problems", None):
            found = list[SearchTree]()

            def search(some: Sequence[Problem]) -> None:
                judge.seconds = 0.0
                with keeping(engine):
                    found[:] = search_trees(parts.searcher("probe"), some, engine, judge)

            both, num_searched = _growing(search, searched, config.search.group_size)
        written = (_count(engine)[1] - before[1]) / (time.monotonic() - began)
    judging = judge.seconds / num_searched
    seconds: dict[Unit, float] = {"load": load, "answer": answer, "draw": max(both - judging, 0.0), "judge": judging}
    seconds |= {"question": question, "read": 1 / read, "lesson": TRAINING * _lesson_tokens(found, parts) / read}
    return Pace(seconds, read, max(written, 1e-9), (num_answered, num_searched))


def _growing(work: Callable[[Sequence[T]], object], items: Sequence[T], largest: int) -> tuple[float, int]:
    """Work batches of items, each larger than the one before; give the last one's seconds an item, and its size."""
    num, left = 1, _PATIENCE
    while True:
        began = time.monotonic()
        work(items[:num])
        seconds = max(time.monotonic() - began, 1e-6)
        left -= seconds
        following = min(largest, len(items), _GROWTH * num, int(left * num / seconds))
        if following < 2 * num:
            return seconds / num, num
        num = following


def _reading(parts: Parts, engine: Engine, problems: Sequence[Problem]) -> tuple[float, float]:
    """Have right steps compared with wrong ones; give tokens read a second, and seconds a pair."""
    pairs = perturbed(problems[:_NUM_ASKED], parts.splitter, _NUM_ASKED, 0)
    items = [Candidates(pair.prefix, (pair.good, pair.bad)) for pair in pairs or _pairs() if pair.good and pair.bad]
    prompts = [parts.prompts.pairwise(item.prefix, *item.steps, direct=True) for item in items]
    engine.logprobs(prompts[:1], ("A", "B"))
    began, before = time.monotonic(), _count(engine)
    engine.logprobs(prompts, ("A", "B"))
    read = max(_count(engine)[0] - before[0], 1) / (time.monotonic() - began)
    judge = parts.judge(engine)
    question, _ = _growing(lambda some: ask_judge(judge, some), items, len(items))
    return read, question


def _lesson_tokens(trees: Sequence[SearchTree], parts: Parts) -> float:
    """Estimate the tokens that lessons of one problem have: its question, and the steps that are trained on."""
    takes_attempts, num, letters, total = Attempt in parts.objective.takes, 0, 0, 0.0
    for tree in trees:
        trained = 0.0
        for expansion in tree.expansions:
            steps = [candidate.step for candidate in expansion.candidates]
            sizes = [len(step.tokens or ()) for step in steps]
            num, letters = num + sum(sizes), letters + sum(len(step.text) for step in steps)
            if takes_attempts or len(expansion.whole) > 1:
                trained += sum(sizes) if takes_attempts else 2 * fmean(sizes)
        if trained:
            total += trained + len(parts.prompts.solve(Trajectory(tree.problem)).text) * num / max(letters, 1)
    return total / max(len(trees), 1)


class _Timed:
    """A judge on a clock."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self.scale = judge.scale
        self.composition = composition_of(judge)
        self.seconds = 0.0

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge, as it does."""
        began = time.monotonic()
        judged = ask_judge(self._judge, batch)
        self.seconds += time.monotonic() - began
        return judged


def probe_verdicts(config: Config, progress: Progress) -> Figure | None:
    """Ask the policy of `config` a few questions as a judge, and count the judgements that can be read.

    None where the policy is not on this machine, or the judge asks none.

    Raises:
        PresrmError: if it cannot be loaded.
    """
    if not is_here(config.model.id) or not asks_policy(config.judge):
        return None
    with progress.stage("probe: can its verdicts be read?", None), _open(config, progress) as engine:
        return _judge(config, engine, _pairs())


def _open(config: Config, progress: Progress) -> Engine:
    limit_threads(config.threads, config.model)
    engine = open_engine(policy_at(config.model.id), config.model)
    progress.watch(engine)
    return engine


def _pairs() -> list[LabelledSteps]:
    """A few right steps beside the same with a number changed."""
    problems = load_problems("arithmetic", split="train", num=_NUM_PAIRS, seed=0)
    return perturbed(problems, SPLITTERS.create("newline"), _NUM_PAIRS, 0)


def _judge(config: Config, engine: Engine, asked: list[LabelledSteps]) -> Figure:
    """Count the judgements that can be read."""
    judge = make_judge(config.judge, engine, PromptSet(config.prompts))
    items = [Candidates(pair.prefix, (pair.good, pair.bad)) for pair in asked if pair.good and pair.bad]
    judged = ask_judge(judge, items)
    return share([judgement.score is not None for judgements in judged for judgement in judgements])


def _count(engine: Engine) -> tuple[int, int]:
    return getattr(engine, "tokens_read", None) or 0, getattr(engine, "tokens_generated", None) or 0
