"""A short probe of this machine and a policy: how fast it reads and writes, and whether its verdicts can be read."""

import time
from dataclasses import dataclass

from presrm.assembly.engines import limit_threads, open_engine
from presrm.assembly.judges import asks_policy, make_judge
from presrm.config import Config
from presrm.engines.hf_files import locate, policy_at
from presrm.errors import RequestError
from presrm.judging.labels import perturbed
from presrm.methods.parts import Progress
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.protocols import Engine, ask_judge
from presrm.splitters import SPLITTERS
from presrm.statistics import Figure, share
from presrm.types import Candidates, Checkpoint, LabelledSteps

_NUM_PAIRS = 4


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second of a small batch; larger batches are faster, on a GPU far faster."""

    read: float
    written: float

    def seconds(self, num_read: int, num_written: int) -> float:
        """How long tokens take at this speed."""
        return num_read / self.read + num_written / self.written


def is_here(model: str) -> bool:
    """Whether a policy can be loaded without a network."""
    if Checkpoint(model).is_remote:
        return False
    try:
        return locate(model).is_local
    except RequestError:
        return False


def probe_speed(config: Config, progress: Progress) -> Speed | None:
    """Measure how fast the policy of `config` reads and writes; none where it is not on this machine.

    Raises:
        PresrmError: if it cannot be loaded.
    """
    if not is_here(config.model.id):
        return None
    with progress.stage("probe: speed of this machine", None), _open(config, progress) as engine:
        asked, prompts = _pairs(), PromptSet(config.prompts)
        questions = [
            prompts.pairwise(pair.prefix, pair.good, pair.bad, direct=True) for pair in asked if pair.good and pair.bad
        ]
        began, before = time.monotonic(), _count(engine)
        engine.logprobs(questions, ("A", "B"))
        read = (_count(engine)[0] - before[0]) / (time.monotonic() - began)
        began, before = time.monotonic(), _count(engine)
        _judge(config, engine, asked)
        seconds, after = time.monotonic() - began, _count(engine)
        writing = seconds - (after[0] - before[0]) / read
        return Speed(read, max(1, after[1] - before[1]) / max(writing, 0.1 * seconds))


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
    limit_threads(config.threads)
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
