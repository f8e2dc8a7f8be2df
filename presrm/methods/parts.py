"""What a run is put together from, as methods and the loop see it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from presrm.config import Config
from presrm.evaluation.answers import Answer
from presrm.files.ledger import Call
from presrm.judging.health import Health, LabelledCandidates, StepLabeller
from presrm.judging.problems import LabelledProblem
from presrm.judging.signs import Shadowed
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Judge, Searcher, Trainer, silent_stage
from presrm.runners.work import Open, Runner
from presrm.types import Checkpoint, Demonstration, Problem, SearchTree, Step, Trajectory
from presrm.writing.writer import Writer


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

    def solution_lessons(self, name: str, iteration: int) -> dict[str, list[Demonstration]]:
        """Demonstrate the solutions of ``policies.replay_from``, by source."""
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
