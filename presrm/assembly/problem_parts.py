"""Config -> the parts of a run that give problems, and read and grade solutions of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from presrm.assembly.options import arguments_of
from presrm.config import Config, explain_invalid
from presrm.errors import ConfigError, DataError, SplitterError, boundary, counted, named
from presrm.evaluation.decontamination import RUN, Twins, decontaminate
from presrm.graders.checked import make_grader
from presrm.judging.labels import solution_steps
from presrm.methods.parts import Progress
from presrm.problems import PROBLEMS, RECOGNISERS, load_problems, split_source
from presrm.prompts import PromptSet
from presrm.protocols import Grader, StepSplitter
from presrm.registry import nearest
from presrm.seeding import derive_seed
from presrm.splitters import SPLITTERS
from presrm.types import Demonstration, Problem, Step, Stop, Trajectory
from presrm.writing import WAYS
from presrm.writing.writer import Filters, Way, Writer

_WRITING = Filters.model_fields.keys()
_SHARED = f"also in the evaluation set, by id, by question or by {RUN} words in a row"


def make_splitter(name: str, options: Mapping[str, Any] | None = None) -> StepSplitter:
    """Make the registered splitter `name`."""
    factory = SPLITTERS.factory(name)
    arguments = arguments_of(factory, options or {}, {}, "splitter_options")
    with boundary(SplitterError, f"splitter {name!r}"):
        return factory(**arguments)


def check_source(source: str, options: Mapping[str, Any], where: str) -> None:
    """Refuse options that the problem set of `source` does not take; `where` is their key in the config.

    Raises:
        ConfigError: naming each wrong option and the nearest valid one.
    """
    name, _ = split_source(source)
    if options:
        arguments_of(PROBLEMS.factory(name), options, dict.fromkeys(("path", "split", "num", "seed")), where)


@dataclass
class ProblemParts:
    """The parts that concern problems: which ones an iteration takes, which ones score it, who writes them."""

    config: Config
    progress: Progress
    log: Callable[..., None]

    @cached_property
    def prompts(self) -> PromptSet:
        """The prompt set."""
        return PromptSet(self.config.prompts)

    @cached_property
    def splitter(self) -> StepSplitter:
        """The splitter."""
        return make_splitter(self.config.splitter, self.config.splitter_options)

    @cached_property
    def grader(self) -> Grader:
        """The grader."""
        return make_grader(self.config.evaluation.grader)

    @cached_property
    def _scored(self) -> list[Problem]:
        """The problems that score policies: the held-out ones, and behind them those of validation."""
        options = self.config.problems
        found = load_problems(
            options.held_out,
            split="test",
            num=options.num_held_out + options.num_validation,
            seed=derive_seed(self.config.seed, "held out"),
            **options.held_out_options,
        )
        without = sum(problem.answer is None for problem in found)
        if without:
            raise DataError(f"{without} of {len(found)} held-out problems have no answer to score against")
        if options.num_validation and len(found) < options.num_held_out + options.num_validation:
            raise DataError(
                f"{options.held_out} has {len(found)} problems, too few for problems.num_held_out and "
                "problems.num_validation together"
            )
        return found

    def held_out(self) -> list[Problem]:
        """The problems that score every iteration."""
        return self._scored[: self.config.problems.num_held_out]

    def validation(self) -> list[Problem]:
        """The problems by which policies are chosen: none of them is reported."""
        return self._scored[self.config.problems.num_held_out :]

    def testing(self) -> list[Problem]:
        """The held-out problems that test the judge."""
        return self.held_out()[: self.config.evaluation.num_judge_problems]

    def watched(self) -> list[Problem]:
        """The held-out problems searched to measure the habits of the judge."""
        return self.held_out()[: self.config.watch.num_problems]

    @property
    def writes(self) -> bool:
        """Whether the policy writes the problems that it is trained on."""
        return self.config.problems.train == "self"

    def source(self, iteration: int) -> list[Problem]:
        """The problems of the source that the iterations up to M(iteration) take, if it has so many; or the seeds."""
        options = self.config.problems
        source, source_options = options.given
        return load_problems(
            source,
            split="train",
            num=options.num_seeds if self.writes else options.num_train * (iteration - 1),
            seed=derive_seed(self.config.seed, "train"),
            **source_options,
        )

    def problems(self, iteration: int) -> list[Problem]:
        """The problems searched to make M(iteration): new ones each time, while the source lasts; or the seeds."""
        options, found = self.config.problems, self.source(iteration)
        if self.writes:
            return self._decontaminated(iteration, options.given[0], found)
        first = options.num_train * (iteration - 2)
        ours = [found[i % len(found)] for i in range(first, first + min(options.num_train, len(found)))]
        return self._decontaminated(iteration, options.train, ours)

    def way(self, iteration: int) -> Way:
        """How the policy is asked for problems."""
        options = {"way": "instruct", **self.config.problems.train_options}
        name = options.pop("way")
        if name not in WAYS.names():
            raise ConfigError(
                f"problems.train_options.way: {name!r:.40} is unknown; {nearest(str(name), WAYS.names())}"
            )
        options = {key: value for key, value in options.items() if key not in _WRITING}
        offered = {"prompts": self.prompts, "seed": derive_seed(self.config.seed, "problems", iteration)}
        return WAYS.factory(name)(**arguments_of(WAYS.factory(name), options, offered, "problems.train_options"))

    def filters(self) -> Filters:
        """What is taken for a new problem."""
        chosen = {key: value for key, value in self.config.problems.train_options.items() if key in _WRITING}
        try:
            return Filters.model_validate(chosen)
        except ValidationError as error:
            raise ConfigError(explain_invalid(error, Filters, "problems.train_options")) from error

    def writer(self, iteration: int) -> Writer:
        """What has the policy write the problems searched to make M(iteration)."""
        problems, seeds = self.config.problems, self.problems(iteration)
        kinds = {problem.kind for problem in seeds} & {*RECOGNISERS.names()}
        return Writer(
            self.way(iteration),
            seeds,
            Twins(self._scored).cause,
            RECOGNISERS.factory(kinds.pop()) if len(kinds) == 1 else None,
            name=f"self/{iteration}",
            seed=derive_seed(self.config.seed, "write", iteration),
            num=problems.num_train,
            group_size=self.config.search.group_size,
            **self.filters().model_dump(),
        )

    @cached_property
    def replayed(self) -> dict[str, list[Problem]]:
        """The problems of ``policies.replay_from``, by source.

        Raises:
            DataError: if a source cannot be read, or if no problem there has a solution.
        """
        return {source: self._replayed(source) for source in self.config.policies.replayed_sources}

    def _replayed(self, source: str) -> list[Problem]:
        with named("policies.replay_from"):
            solved = [problem for problem in load_problems(source, split="train") if problem.solution]
            if not solved:
                raise DataError(f"no problem of {source} has a solution")
        return solved

    def solution_lessons(self, name: str, iteration: int) -> dict[str, list[Demonstration]]:
        """Demonstrate the solutions that are replayed, end token and all, by source."""
        several = len(self.replayed) > 1
        lessons = {}
        for number, (source, problems) in enumerate(self.replayed.items()):
            within = f"{name}/{number}" if several else name
            kept = self._decontaminated(iteration, source, problems)
            texts = ["".join(step.text for step in solution_steps(problem, self.splitter)) for problem in kept]
            lessons[source] = [
                Demonstration(f"{within}/{problem.id}", Trajectory(problem), Step(text, None, Stop.EOS))
                for problem, text in zip(kept, texts, strict=True)
            ]
        return lessons

    def _decontaminated(self, iteration: int, source: str, problems: Sequence[Problem]) -> list[Problem]:
        kept, contamination = decontaminate(problems, self._scored)
        if removed := len(problems) - len(kept):
            self.progress.note(f"removed {counted(removed, 'problem')} of {source}: {_SHARED}")
        self.log(stage="problems", iteration=iteration, source=source, kept=len(kept), removed=asdict(contamination))
        if not kept:
            raise DataError(f"no problem of {source} is left: all are {_SHARED}")
        return kept
