"""Config -> parts: the only room that names concrete parts.

What concerns problems is in `presrm.assembly.problem_parts`, what concerns the judge in `presrm.assembly.judge_parts`.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from presrm.assembly.engines import check_engine, importing, limit_threads, open_engine
from presrm.assembly.judge_parts import JudgeParts
from presrm.assembly.judges import check_judge, tie_tolerance
from presrm.assembly.options import arguments_of
from presrm.assembly.problem_parts import check_source
from presrm.assembly.workers import Worker, make_runner
from presrm.errors import ConfigError, DataError
from presrm.evaluation.answers import Answer, evaluate
from presrm.graders import GRADERS
from presrm.judging.problems import KINDS
from presrm.methods import METHODS
from presrm.problems import load_problems
from presrm.prompts.encoding import TurnSplitter
from presrm.protocols import Engine, Grader, Method, Request, Sampling, Searcher, Trainer
from presrm.registry import allowed_code, nearest
from presrm.runners.work import Open, Runner
from presrm.searchers import SEARCHERS
from presrm.seeding import derive_seed
from presrm.training.launch import LaunchedTrainer
from presrm.training.objectives import Objective, make_objective
from presrm.types import Attempt, Checkpoint, Problem, Step, Trajectory


class Parts(JudgeParts):
    """The parts of one run, `presrm.methods.parts.Parts`: here what solves, searches and trains."""

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
        if self.config.judge_problems.path is not None:
            _ = self.labelled_rows  # as the file below
        GRADERS.factory(self.config.evaluation.grader)
        make_runner(self.config.runner)
        problems, policies = self.config.problems, self.config.policies
        source, options = problems.given
        check_source(source, options, f"problems.{'seeds' if self.writes else 'train'}_options")
        if policies.replay and policies.replay_as == "solutions":
            _ = self.replayed  # a file that is missing is not to be found out behind the first search
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

    def average(self, policies: Sequence[Checkpoint], out: Path) -> Checkpoint:
        """Average the weights of policies, each after the first with the share that ``policies.ema_decay`` leaves."""
        from presrm.training.averaging import average_weights

        return average_weights(policies, self.config.policies.ema_decay, out)
