"""Config -> parts: the only place that names concrete parts.

Long, since each part is made by a method of its own: read any of them alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from presrm.assembly.engines import check_engine, importing, limit_threads, open_engine
from presrm.assembly.judges import asks_policy, check_judge, make_judge, tie_tolerance
from presrm.assembly.options import arguments_of
from presrm.assembly.workers import Worker, make_runner
from presrm.checkers import CHECKERS
from presrm.config import Config, JudgeConfig, explain_invalid
from presrm.errors import ConfigError, DataError, SplitterError, boundary
from presrm.evaluation.answers import Answer, evaluate
from presrm.evaluation.decontamination import Twins, decontaminate
from presrm.files.ledger import Call
from presrm.formats.labelled import rows as labelled_rows
from presrm.graders import GRADERS
from presrm.judges.voted import Reseeded
from presrm.judging.agreement import label_by_agreement
from presrm.judging.first_errors import find_first_errors
from presrm.judging.gate import GatedJudge
from presrm.judging.health import (
    Health,
    LabelledCandidates,
    StepLabeller,
    judge_again,
    judge_pairs,
    judge_siblings,
    judge_solicited,
    measure_signs,
    sample_siblings,
)
from presrm.judging.labels import demonstrations, explain, perturbed, questions
from presrm.judging.problems import (
    KINDS,
    JudgementGrader,
    LabelJudge,
    LabelledProblem,
    balance,
    judge_problems,
    of_perturbed,
    of_steps,
)
from presrm.judging.signs import Shadowed
from presrm.methods import METHODS
from presrm.methods.parts import Progress
from presrm.problems import PROBLEMS, RECOGNISERS, load_problems, split_source
from presrm.prompts import PromptSet
from presrm.prompts.encoding import TurnSplitter
from presrm.protocols import Engine, Grader, Judge, Method, Request, Sampling, Searcher, StepSplitter, Trainer
from presrm.registry import allowed_code, nearest
from presrm.runners.work import Open, Runner
from presrm.searchers import SEARCHERS
from presrm.seeding import derive_seed
from presrm.splitters import SPLITTERS
from presrm.training.launch import LaunchedTrainer
from presrm.training.objectives import Objective, make_objective
from presrm.types import Attempt, Checkpoint, Demonstration, Grade, Problem, SearchTree, Step, Trajectory
from presrm.writing import WAYS
from presrm.writing.writer import Filters, Way, Writer

_WRITING = Filters.model_fields.keys()


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
class Parts:
    """The parts of one run: `presrm.methods.parts.Parts`."""

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

    def check(self) -> None:
        """Make or check every part that needs no policy, so that a wrong name or option is refused before any work.

        Raises:
            ConfigError: naming each wrong option and the nearest valid one.
            UnknownNameError: naming the nearest registered part.
        """
        check_engine(self.config.model)
        self.searcher()
        check_judge(self.config.judge, None, self.prompts)
        check_judge(self._shadow_settings, None, self.prompts)
        if self.config.pairs.second_judge is not None:
            check_judge(self._second_settings, None, self.prompts)
        if odd := [kind for kind in self.config.judge_problems.kinds if kind not in KINDS]:
            raise ConfigError(f"judge_problems.kinds: {odd[0]!r:.40} is unknown; {nearest(odd[0], KINDS)}")
        with self.progress.stage("load torch", None):
            takes = self.objective.takes
        lesson = getattr(self.method, "lesson", None)
        if lesson and not issubclass(lesson, takes):
            raise ConfigError(
                f"method {self.config.method.kind!r} gives lessons of kind {lesson.__name__}, and objective "
                f"{self.objective.name!r} does not learn from them: set objective.kind to one that does"
            )
        if lesson is Attempt and self.config.policies.lessons != "fresh":
            raise ConfigError(
                f"policies.lessons: {self.config.policies.lessons}: attempts are compared with the policy that made "
                "them, so those of earlier iterations cannot be learned from again; set it to fresh"
            )
        GRADERS.factory(self.config.evaluation.grader)
        make_runner(self.config.runner)
        problems = self.config.problems
        source, options = problems.given
        check_source(source, options, f"problems.{'seeds' if self.writes else 'train'}_options")
        if self.writes:
            self.way(0)
            self.filters()
        check_source(problems.held_out, problems.held_out_options, "problems.held_out_options")

    def searcher(self, purpose: int | str = 0) -> Searcher:
        """The searcher; its draws derive from the run's seed and from what it is for: an iteration, or a purpose."""
        settings = self.config.search
        factory = SEARCHERS.factory(settings.kind)
        offered = {
            "prompts": self.prompts,
            "splitter": self.splitter,
            "settings": settings,
            "tie_tolerance": tie_tolerance(self.config.judge),
            "seed": derive_seed(self.config.seed, "search", purpose),
        }
        return factory(**arguments_of(factory, settings.options, offered, "search.options"))

    @cached_property
    def method(self) -> Method:
        """The method."""
        settings = self.config.method
        factory = METHODS.factory(settings.kind)
        offered = {
            "pairs": self.config.pairs,
            "search": self.config.search,
            "judge": self.config.judge,
            "seed": derive_seed(self.config.seed, "method"),
        }
        return factory(**arguments_of(factory, settings.options, offered, "method.options"))

    @cached_property
    def objective(self) -> Objective:
        """What training minimises."""
        return make_objective(self.config.objective)

    @cached_property
    def trainer(self) -> Trainer:
        """The trainer: in this process, or in those that ``training.launch`` starts."""
        how: dict[str, Any] = {
            "seed": derive_seed(self.config.seed, "training"),
            "on_log": lambda row: self.log(stage="fit", **row),
            "facts": {"run": self.config.name},
            "stage": self.progress.stage,
        }
        if self.config.training.launch is not None:
            return LaunchedTrainer(self.config, **how)
        with importing():
            from presrm.training.trainer import PackedTrainer

        limit_threads(self.config.threads)
        return PackedTrainer(self.config.training, self.objective, self.config.model, self.prompts, **how)

    @cached_property
    def grader(self) -> Grader:
        """The grader."""
        return GRADERS.create(self.config.evaluation.grader)

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

    def _decontaminated(self, iteration: int, source: str, problems: Sequence[Problem]) -> list[Problem]:
        kept, contamination = decontaminate(problems, self._scored)
        if removed := len(problems) - len(kept):
            self.progress.note(f"{removed} problems of {source} that also stand in the evaluation set were removed")
        self.log(stage="problems", iteration=iteration, source=source, kept=len(kept), removed=asdict(contamination))
        if not kept:
            raise DataError(f"every problem of {source} also stands in the evaluation set")
        return kept

    def seed(self, out: Path) -> Checkpoint | None:
        """Run the seed stage; none where the policy is already an M1."""
        options = self.config.seed_stage
        if options is None:
            return None
        with importing():
            from presrm.training.seed import SeedStage

        given, given_options = self.config.problems.given
        source = options.ift or given
        problems = load_problems(
            source,
            split="train",
            num=options.num_ift,
            seed=derive_seed(self.config.seed, "ift"),
            **({} if options.ift else given_options),
        )
        solved = [problem for problem in problems if problem.solution]
        if not solved:
            raise DataError(f"seed stage: no problem of {source} has a solution to imitate")
        limit_threads(self.config.threads)
        stage = SeedStage(
            options,
            self.config.model,
            self.prompts,
            self.splitter,
            lora=self.config.training.lora,
            pack_tokens=self.config.training.pack_tokens,
            checkpoint_seconds=self.config.training.checkpoint_seconds,
            judge=self.config.judge,
            seed=derive_seed(self.config.seed, "seed stage"),
            on_log=lambda row: self.log(stage="seed", **row),
            stage=self.progress.stage,
            open_engine=self._watched,
            grader=self.grader,
            decontaminate=partial(self._decontaminated, 1, str(options.eft_path)),
        )
        return stage.fit(Checkpoint(self.config.model.id), self._decontaminated(1, source, solved), out)

    def engine(self, policy: Checkpoint) -> Engine:
        """Load a policy."""
        limit_threads(self.config.threads, self.config.model)  # imports torch: not before a policy is needed
        lora = self.config.training.lora
        return open_engine(policy, self.config.model, lora_rank=lora.r if lora is not None else None)

    def _watched(self, policy: Checkpoint) -> Engine:
        """Load a policy, whose work is then shown."""
        engine = self.engine(policy)
        self.progress.watch(engine)
        return engine

    @cached_property
    def runner(self) -> Runner | None:
        """Where groups are worked; none: in this process."""
        return make_runner(self.config.runner)

    def worker(self, policy: Checkpoint, judging: Checkpoint, name: str) -> Open:
        """What loads `policy` elsewhere, and `judging`, which the ledger calls `name`, and does groups with them."""
        return Worker(self.config.model_dump_json(), policy, judging, name, allowed_code())

    def judge(self, engine: Engine) -> Judge:
        """The judge that `engine` runs, behind the gate where ``judge.gate`` is set."""
        judge = make_judge(self.config.judge, engine, self.prompts)
        return GatedJudge(judge, self._grader_of) if self.config.judge.gate else judge

    def _grader_of(self, problem: Problem) -> Grader:
        """The grader that the kind of a problem names, else that of the run."""
        return self._graders.get(problem.kind, self.grader)

    @cached_property
    def _graders(self) -> dict[str, Grader]:
        return {kind: GRADERS.create(kind) for kind in ("countdown", "integral", "reasoning-gym")}

    def check_step(self, solution: Trajectory) -> bool | None:
        """Say exactly whether the last step of a solution is right: by its answer if it is complete, else by a checker.

        None where neither can tell.
        """
        problem = solution.problem
        if solution.is_complete and problem.answer is not None:
            return self._grader_of(problem).grade(solution.text, problem.answer) is Grade.CORRECT
        if solution.is_complete or problem.kind not in CHECKERS.names():
            return None
        return CHECKERS.create(problem.kind).check([solution])[0][-1]

    @cached_property
    def _shadow_settings(self) -> JudgeConfig:
        """The settings of the judge that only watches."""
        return self._like_the_judge(self.config.watch.shadow)

    def _like_the_judge(self, named: str | JudgeConfig | None) -> JudgeConfig:
        """The settings of another judge: a kind alone has those of the judge besides; none is the judge itself."""
        if not isinstance(named, str):
            return named or self.config.judge
        return JudgeConfig(kind=named, **self.config.judge.model_dump(exclude={"kind", "options", "votes"}))

    def shadow(self, engine: Callable[[], Engine]) -> Judge:
        """The judge that only watches; `engine` gives the run's first policy, and is called if it asks one."""
        settings = self._shadow_settings
        return make_judge(settings, engine() if asks_policy(settings) else None, self.prompts)

    def solution_sampling(self, num: int) -> Sampling:
        """How whole solutions are drawn: a single one greedily, several as the search draws."""
        search, longest = self.config.search, self.config.evaluation.max_tokens
        return Sampling(max_tokens=longest) if num == 1 else Sampling(search.temperature, search.top_p, longest)

    def answers(
        self,
        problems: Sequence[Problem],
        engine: Engine,
        start: int = 0,
        *,
        num: int = 1,
        grader: Grader | None = None,
    ) -> Iterator[list[Answer]]:
        """Solve problems and grade the solutions, in lockstep groups; `start` is the number of the first problem."""
        return evaluate(
            problems,
            engine,
            self.prompts,
            grader or self.grader,
            sampling=self.solution_sampling(num),
            splitter=self.splitter,
            group_size=self.config.evaluation.group_size,
            num=num,
            seed=derive_seed(self.config.seed, "evaluation"),
            start=start,
            turns=TurnSplitter() if self.config.model.chat_template == "plain" else None,
        )

    @cached_property
    def labeller(self) -> StepLabeller | None:
        """What tells right steps of the problems that test the judge from wrong ones; none where nothing can."""
        return step_labeller(self.testing())

    def testing(self) -> list[Problem]:
        """The held-out problems that test the judge."""
        return self.held_out()[: self.config.evaluation.num_judge_problems]

    def watched(self) -> list[Problem]:
        """The held-out problems searched to measure the habits of the judge."""
        return self.held_out()[: self.config.watch.num_problems]

    def siblings(self, problems: Sequence[Problem], engine: Engine) -> Iterator[list[LabelledCandidates]]:
        """Sample the policy's own candidates on problems, and label them."""
        label = self.labeller
        assert label is not None
        return self._sampled(problems, engine, label, derive_seed(self.config.seed, "health"))

    def _sampled(
        self, problems: Sequence[Problem], engine: Engine, label: StepLabeller, seed: int
    ) -> Iterator[list[LabelledCandidates]]:
        search = self.config.search
        return sample_siblings(
            problems,
            engine,
            self.prompts,
            self.splitter,
            label,
            num=search.num_candidates,
            sampling=Sampling(search.temperature, search.top_p, search.max_step_tokens),
            max_steps=search.max_steps,
            seed=seed,
        )

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
        """Measure the judge on held-out problems: on a fixed set, on the policy's own siblings, and its habits.

        `shadow` compares it with the judge that only watches; it is called last, since it may load another policy.
        """
        watch, problems, seed = self.config.watch, self.testing(), derive_seed(self.config.seed, "health")
        fixed = perturbed(problems, self.splitter, len(problems), seed)
        siblings = judge_siblings(own, judge("own siblings")) if own else None
        accuracy = judge_pairs(fixed, judge("fixed pairs"))
        signs = None
        if watch.num_problems:
            tolerance = tie_tolerance(self.config.judge)
            spoken = fixed[: watch.num_problems]
            signs = measure_signs(
                trees,
                fixed,
                calls,
                self._is_right,
                tie_tolerance=tolerance,
                caught=accuracy.right,
                talked_into=judge_solicited(spoken, judge("steps that praise themselves"), tolerance),
                agreement=judge_again(last, judge("last search"), num=watch.num_rejudged, seed=seed),
            )
        same = siblings
        if first is not own:
            same = judge_siblings(first, judge("siblings of M1")) if first else None
        return Health(
            accuracy if fixed else None,
            siblings,
            signs,
            first_siblings=same.accuracy if same else None,
            shadow=shadow(trees) if shadow is not None and trees else None,
        )

    def second_judge(self, engine: Engine) -> Judge:
        """The judge that ``pairs.second_judge`` names; a kind alone has the settings of the judge besides."""
        return make_judge(self._second_settings, engine, self.prompts)

    @property
    def _second_settings(self) -> JudgeConfig:
        return self._like_the_judge(self.config.pairs.second_judge)

    def tracer(self, purpose: int | str) -> Searcher:
        """Draws judgements, whole replies of ``judge.max_tokens`` at most, as the search draws."""
        search = self.config.search
        settings = search.model_copy(
            update={"unit": "solution", "max_steps": 1, "max_step_tokens": self.config.judge.max_tokens}
        )
        seed = derive_seed(self.config.seed, "traces", purpose)
        return SEARCHERS.create("best-of-n", prompts=self.prompts, splitter=self.splitter, settings=settings, seed=seed)

    @property
    def label_judge(self) -> Judge:
        """Judges judgements by the right verdict."""
        return LabelJudge(JudgementGrader())

    def propose(self, engine: Engine, prefixes: Sequence[Trajectory], purpose: str) -> list[Step]:
        """Draw one next step after each prefix, as the search draws."""
        search = self.config.search
        is_whole = search.unit == "solution"
        longest = search.max_step_tokens * (search.max_steps if is_whole else 1)
        sampling = Sampling(search.temperature, search.top_p, longest)
        requests = [
            Request(
                self.prompts.solve(prefix),
                sampling=sampling,
                splitter=None if is_whole else self.splitter,
                seed=derive_seed(self.config.seed, "propose", purpose, place),
            )
            for place, prefix in enumerate(prefixes)
        ]
        drawn = engine.generate(requests) if requests else []
        return [Step(one.text, one.tokens, one.stop) for (one,) in drawn]

    def label(
        self, problems: Sequence[Problem], iteration: int, engine: Engine | None = None, judging: Engine | None = None
    ) -> list[LabelledProblem]:
        """Say what is known of steps of problems, as ``judge_problems.labels`` says.

        Args:
            problems: What the steps are about; rows of a file bring problems of their own.
            iteration: T of the M(T) that is made.
            engine: Runs the policy whose steps are labelled; none where the labels ask no policy.
            judging: The same, for what is asked of a judge.

        Raises:
            ConfigError: if no checker can label steps of these problems, or there is no file.
        """
        options, seed = self.config.judge_problems, derive_seed(self.config.seed, "label", iteration)
        if options.labels == "perturbed":
            return [of_perturbed(problem, self.splitter, seed) for problem in problems]
        if options.labels == "rows":
            return self._labelled_rows(iteration)
        assert engine is not None
        assert judging is not None
        if options.labels == "rollouts":
            return find_first_errors(
                problems,
                engine,
                self.grader,
                self.prompts,
                self.splitter,
                self.solution_sampling(2),
                num_completions=options.num_completions,
                seed=seed,
            )
        label = step_labeller(problems) if options.labels == "checker" else lambda prefix, step: None
        if label is None:
            raise ConfigError("judge_problems.labels: checker: no checker can label steps of these problems")
        found: dict[str, list[LabelledCandidates]] = {problem.id: [] for problem in problems}
        for one in chain.from_iterable(self._sampled(problems, engine, label, seed)):
            found[one.candidates.prefix.problem.id].append(one)
        if options.labels == "agreement":
            siblings = [one.candidates for of in found.values() for one in of]
            votes = self.config.judge.model_copy(update={"votes": 1})
            judges = [
                make_judge(votes, Reseeded(judging, vote) if vote else judging, self.prompts)
                for vote in range(self.config.judge.votes)
            ]
            found = {problem.id: [] for problem in problems}
            for one in label_by_agreement(siblings, judges, seed):
                found[one.candidates.prefix.problem.id].append(one)
        return [LabelledProblem(name, tuple(candidates)) for name, candidates in found.items()]

    def _labelled_rows(self, iteration: int) -> list[LabelledProblem]:
        """The rows of the file that an iteration takes: others each time, while there are any."""
        path, num = self.config.judge_problems.path, self.config.problems.num_train
        if path is None:
            raise ConfigError("judge_problems.labels: rows needs judge_problems.path")
        found = list(labelled_rows(path))
        about = {one.prefix.problem.id: one.prefix.problem for one in found}
        kept = {problem.id for problem in self._decontaminated(iteration, str(path), list(about.values()))}
        labelled = of_steps([one for one in found if one.prefix.problem.id in kept])
        first = num * (iteration - 2)
        return [labelled[i % len(labelled)] for i in range(first, first + min(num, len(labelled)))]

    def judge_problems(self, labelled: Sequence[LabelledProblem], iteration: int) -> list[Problem]:
        """Make problems whose solution is a judgement, of ``judge_problems.kinds``."""
        options, seed = self.config.judge_problems, derive_seed(self.config.seed, "judge problems", iteration)
        made = judge_problems(labelled, options.kinds, seed)
        return balance(made, seed) if options.balance else made

    def judge_lessons(self, engine: Engine, num: int, iteration: int) -> list[Demonstration]:
        """Make up to `num` demonstrations of right verdicts on steps of training problems.

        Explained verdicts are the policy's own, kept where they come out right.

        Raises:
            DataError: if no training problem has a solution, whose steps are known to be right.
        """
        solved = [problem for problem in self.problems(iteration) if problem.solution]
        if not solved:
            raise DataError(f"policies.replay: no problem of {self.config.problems.given[0]} has a solution")
        judge, seed = self.config.judge, derive_seed(self.config.seed, "replay", iteration)
        labelled = perturbed(solved, self.splitter, num, seed)
        asked = [questions(one, self.prompts, direct=judge.verdict == "direct") for one in labelled]
        asked = [[question for question in group if question.kind == judge.kind] or group for group in asked]
        if judge.verdict == "explained":
            asked = explain(asked, engine, Sampling(max_tokens=judge.max_tokens))
        return demonstrations([question for group in asked for question in group][:num], f"replay/{iteration}")

    def average(self, policies: Sequence[Checkpoint], out: Path) -> Checkpoint:
        """Average the weights of policies, each after the first with the share that ``policies.ema_decay`` leaves."""
        from presrm.training.averaging import average_weights

        return average_weights(policies, self.config.policies.ema_decay, out)

    def _is_right(self, solution: Trajectory) -> bool | None:
        answer = solution.problem.answer
        return None if answer is None else self.grader.grade(solution.text, answer) is Grade.CORRECT


def step_labeller(problems: Sequence[Problem]) -> StepLabeller | None:
    """What tells right steps of these problems from wrong ones, exactly; none where nothing can."""
    kinds = {problem.kind for problem in problems}
    if len(kinds) != 1 or not kinds.issubset(CHECKERS.names()):
        return None
    checker = CHECKERS.create(kinds.pop())

    def label(prefix: Trajectory, step: Step) -> bool | None:
        return checker.check([prefix.extend(step)])[0][-1]

    return label
