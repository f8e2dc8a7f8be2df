"""The verbs: what each kind of part does. Any object with these members is one; there are no base classes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

from presrm.errors import JudgeError, SplitterError, boundary
from presrm.prompts import Prompt
from presrm.types import (
    Candidates,
    Checkpoint,
    Grade,
    Judgement,
    Lesson,
    Problem,
    SearchTree,
    Stop,
    Trajectory,
)

if TYPE_CHECKING:
    from presrm.files.run import IterationDir
    from presrm.methods.stages import Stages


@runtime_checkable
class StepSplitter(Protocol):
    """Text -> steps.

    Attributes:
        stop: Strings after which generation may pause to look for a boundary: a hint, may be empty.
    """

    stop: Sequence[str]

    def split(self, text: str) -> list[str]:
        """Cut `text` into non-empty steps; ``"".join(split(text)) == text`` for any text, ``split("") == []``."""
        ...


def split_steps(splitter: StepSplitter, text: str) -> list[str]:
    """Cut `text` with a splitter, and check that its law holds.

    Raises:
        SplitterError: naming the splitter, if it raises, or does not give a list of steps that join to the text.
    """
    culprit = f"splitter {type(splitter).__name__}"
    with boundary(SplitterError, culprit):
        steps = splitter.split(text)
    if not isinstance(steps, list | tuple) or not all(isinstance(step, str) for step in steps):
        raise SplitterError(f"{culprit} cut {text!r:.80} into {steps!r:.80}: expected a list of strings")
    if "".join(steps) != text:
        raise SplitterError(f"{culprit} cut {text!r:.80} into {steps!r:.80}: the pieces do not join to the text")
    if "" in steps:
        raise SplitterError(f"{culprit} cut {text!r:.80} into {steps!r:.80}: a piece is empty")
    return list(steps)


def stop_hints(splitter: StepSplitter) -> Sequence[str]:
    """Ask a splitter after which strings generation may pause.

    Raises:
        SplitterError: naming the splitter, if it does not say.
    """
    stop = getattr(splitter, "stop", None)
    if not isinstance(stop, list | tuple) or not all(isinstance(mark, str) and mark for mark in stop):
        culprit = f"splitter {type(splitter).__name__}"
        raise SplitterError(f"{culprit} has {stop!r:.80} for 'stop': expected a tuple of strings, which may be empty")
    return stop


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw tokens.

    Attributes:
        temperature: 0 is greedy.
        top_p: Nucleus mass, 1 for all.
        max_tokens: Longest completion, in tokens.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to complete.

    Attributes:
        prompt: What is completed; its `reply` is continued.
        num: How many completions to draw.
        sampling: How.
        splitter: With one, a completion ends at its first step boundary; without, at the end token.
        seed: Determines, with a completion's number, the random numbers that it is drawn with, and nothing else does:
            neither the other requests of the call nor batches or machines. Requests of equal seeds share their numbers,
            so give each a seed of its own (`presrm.seeding.derive_seed`).
    """

    prompt: Prompt
    num: int = 1
    sampling: Sampling = Sampling()
    splitter: StepSplitter | None = None
    seed: int = 0

    @property
    def kind(self) -> Literal["questions", "steps", "solutions"]:
        """What it is, to be counted: a question to a judge, a step or a whole solution."""
        if self.prompt.subject is not None:
            return "questions"
        return "solutions" if self.splitter is None else "steps"


@dataclass(frozen=True, slots=True)
class Completion:
    """What a policy wrote.

    Attributes:
        text: ``decode(tokens)``, where they are known.
        tokens: As generated, without the end token; none where the engine does not tell.
        stop: `Stop.EOS`, `Stop.MAX_TOKENS` (cut off, by the request or by what the policy reads), `Stop.NO_ROOM`
            (nothing was written: the prompt leaves no room for a token), or none at a step boundary.
    """

    text: str
    tokens: tuple[int, ...] | None
    stop: Stop | None


class Generator(Protocol):
    """Prompts -> completions."""

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Complete every request: one list of ``request.num`` completions each, in order.

        ``generate(a + b) == generate(a) + generate(b)``: company changes nothing but, now and then, the last bits of a
        logit. A prompt without room for a token is no error: each of its completions is empty, with `Stop.NO_ROOM`.
        """
        ...


class Scorer(Protocol):
    """Prompts -> log-probabilities."""

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give, for each prompt, the log-probability (nats) that its reply goes on with each option.

        None for a prompt behind which there is no room for the options.
        """
        ...


class Engine(Generator, Scorer, Protocol):
    """Runs a policy. A context manager: leaving it frees the device.

    An engine may keep what it reads from one call to the next, where `keeping` asks it to: what a call gives, and what
    is kept, then follows from the calls inside alone. It may count what it does in `Worker.work`, and estimate in
    ``seconds(tokens_read, tokens_generated)`` how long tokens take it; `presrm.groups` sizes groups by that.
    """

    def __enter__(self) -> "Engine": ...

    def __exit__(self, *exception: object) -> None: ...


@contextmanager
def keeping(engine: object) -> Iterator[None]:
    """Have an engine keep what it reads, if it can, for the calls inside: those of a search begin alike.

    Entered for one lockstep group, since a group is done again as a whole.
    """
    kept = getattr(engine, "keeping", None)
    with nullcontext() if kept is None else kept():
        yield


@runtime_checkable
class Worker(Protocol):
    """Counts what it does, while it does it."""

    def work(self) -> Mapping[str, int]:
        """Say how many of what were done so far, as ``tokens read``, ``tokens written`` and ``questions``.

        Asked from another thread while a call runs.
        """
        ...


Stage = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Where work tells how far it is: given a name and a total (none: unknown), a context that is told of units done."""


@contextmanager
def silent_stage(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A `Stage` that nobody watches."""
    yield lambda units: None


_SCALES = ("absolute", "relative")
Composition = Literal["product", "last", "min"]
"""How the scores of steps make that of a path: their product, the last one, which is of the whole, or the least."""


class Judge(Protocol):
    """Prefix + candidates -> judgements.

    A judge of absolute scale may say in an attribute ``composition`` how its scores compose (`composition_of`):
    ``product`` where a score is the probability that a step is right after those before it, as is taken of a judge that
    does not say; ``last`` where it is the score of the whole up to a step; ``min`` where a path is as good as its worst
    step. Scores of relative scale do not compose.

    Attributes:
        scale: ``absolute`` scores compare across prefixes (0.5 divides right from wrong), ``relative`` ones only among
            the candidates of one call.
    """

    scale: Literal["absolute", "relative"]

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item: one tuple an item, one judgement a candidate, in order."""
        ...


def composition_of(judge: Judge) -> Composition:
    """Ask a judge how its scores compose; by their product unless it says."""
    composition: Composition = getattr(judge, "composition", "product")
    return composition


def check_scale(judge: Judge, name: str | None = None) -> None:
    """Refuse a judge that does not say what its scores are; `name` as for `ask_judge`.

    Raises:
        JudgeError: naming the judge, its scale or its composition, and what may stand there.
    """
    scale, composition = getattr(judge, "scale", None), composition_of(judge)
    if scale not in _SCALES or composition not in get_args(Composition):
        expected = f"one of {', '.join(_SCALES)}, and one of {', '.join(get_args(Composition))}"
        culprit = f"judge {name or type(judge).__name__!r}"
        raise JudgeError(f"{culprit} has scale {scale!r:.80} and composition {composition!r:.80}: expected {expected}")


def ask_judge(judge: Judge, batch: Sequence[Candidates], name: str | None = None) -> list[tuple[Judgement, ...]]:
    """Call a judge once, not at all for an empty batch, and check the shape of what it gives.

    Args:
        judge: Is asked.
        batch: What it is shown.
        name: What errors call it; the name of its class unless said.

    Returns:
        One tuple an item, one judgement a candidate, in order.

    Raises:
        JudgeError: naming the judge, if it raises, does not give one `Judgement` for each candidate of each item, or
            does not say what its scores are (`check_scale`).
    """
    if not batch:
        return []
    check_scale(judge, name)
    culprit = f"judge {name or type(judge).__name__!r}"
    with boundary(JudgeError, culprit):
        judged = [tuple(judgements) for judgements in judge.judge(batch)]
    if len(judged) != len(batch):
        raise JudgeError(f"{culprit} gave results for {len(judged)} items of {len(batch)}")
    for number, (item, judgements) in enumerate(zip(batch, judged, strict=True), start=1):
        if len(judgements) != len(item.steps) or not all(isinstance(one, Judgement) for one in judgements):
            raise JudgeError(
                f"{culprit} gave {judgements!r:.200} for the {len(item.steps)} candidates of item {number} of "
                f"{len(batch)}: expected one Judgement each"
            )
    return judged


class Searcher(Protocol):
    """Problems -> trees."""

    def search(
        self, problems: Sequence[Problem], generator: Generator, judge: Judge, start: int = 0
    ) -> Iterator[SearchTree]:
        """Search every problem, in order; trees come in lockstep groups.

        `start` is the index of the first problem in the whole list: a group does not depend on those before it.
        """
        ...


class Grader(Protocol):
    """Compares a final answer with the reference; evaluation only."""

    def extract(self, solution: str) -> str | None:
        """Find the final answer in a solution, or none."""
        ...

    def grade(self, solution: str, answer: str) -> Grade:
        """Grade `solution` against the reference `answer`."""
        ...


class Checker(Protocol):
    """Exact labels of steps, where a kind of problem has them."""

    def check(self, items: Sequence[Trajectory]) -> list[list[bool | None]]:
        """Label every step of every trajectory: right, wrong, or none where that cannot be told.

        A step may be a whole solution (``search.unit: solution``): it is right if everything in it is.
        """
        ...


class Trainer(Protocol):
    """Lessons + policy -> policy."""

    def fit(
        self, lessons: Sequence[Lesson], policy: Checkpoint, out: Path, *, reference: Checkpoint | None = None
    ) -> Checkpoint:
        """Train `policy` on `lessons` and save the result under `out`.

        `reference` is what the objective is held to; none: `policy` itself.
        """
        ...


@dataclass(frozen=True, slots=True)
class Improved:
    """What a method made.

    Attributes:
        policy: The next policy.
        num_lessons: Lessons of this iteration that it was trained on; what is imitated or replayed beside them apart.
        dropped: What gave no lesson, by cause.
        num_contradicted: Lessons on which the two orders in which the judge was asked contradict each other; none where
            it was not asked in both.
    """

    policy: Checkpoint
    num_lessons: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    num_contradicted: int | None = None


class Method(Protocol):
    """Which problems, search, judge and credit make M(t) from a policy before it."""

    def improve(self, policy: Checkpoint, stages: "Stages", iteration: "IterationDir") -> Improved:
        """Make the next policy.

        Args:
            policy: Where to start from.
            stages: What can be done, each with its artefact: problems, search, fit, ...
            iteration: The folder of the artefacts.

        Raises:
            NoLessonsError: if there is nothing to train on.
        """
        ...


class Tracker(Protocol):
    """Where figures are sent while a run goes on."""

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Take figures by their names at a step: an iteration, or for those of training an optimiser step."""
        ...

    def text(self, name: str, text: str, step: int) -> None:
        """Take a text, such as a search tree; it is from a model, and never markup."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...
