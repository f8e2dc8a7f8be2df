"""Config -> the parts of a run that judge, and those that say how well: labels, health, problems about judging."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain

from presrm.assembly.judges import asks_policy, make_judge, tie_tolerance
from presrm.assembly.problem_parts import ProblemParts
from presrm.checkers import CHECKERS
from presrm.config import JudgeConfig
from presrm.errors import ConfigError, DataError, named
from presrm.files.ledger import Call
from presrm.formats.labelled import rows
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
    JudgementGrader,
    LabelJudge,
    LabelledProblem,
    balance,
    judge_problems,
    of_perturbed,
    of_steps,
)
from presrm.judging.signs import Shadowed
from presrm.protocols import Engine, Grader, Judge, Sampling, Searcher
from presrm.searchers import SEARCHERS
from presrm.seeding import derive_seed
from presrm.types import Demonstration, Grade, LabelledSteps, Problem, SearchTree, Step, Trajectory


class JudgeParts(ProblemParts):
    """The parts that concern the judge."""

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

    def _is_right(self, solution: Trajectory) -> bool | None:
        answer = solution.problem.answer
        return None if answer is None else self.grader.grade(solution.text, answer) is Grade.CORRECT

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

    def second_judge(self, engine: Engine) -> Judge:
        """The judge that ``pairs.second_judge`` names; a kind alone has the settings of the judge besides."""
        return make_judge(self._second_settings, engine, self.prompts)

    @property
    def _second_settings(self) -> JudgeConfig:
        return self._like_the_judge(self.config.pairs.second_judge)

    @cached_property
    def labeller(self) -> StepLabeller | None:
        """What tells right steps of the problems that test the judge from wrong ones; none where nothing can."""
        return step_labeller(self.testing())

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
            return self._rows_of(iteration)
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

    @cached_property
    def labelled_rows(self) -> list[LabelledSteps]:
        """The rows of ``judge_problems.path``.

        Raises:
            DataError: if it cannot be read, or a row has no labels.
        """
        path = self.config.judge_problems.path
        assert path is not None  # the settings see to it
        with named("judge_problems.path"):
            return list(rows(path))

    def _rows_of(self, iteration: int) -> list[LabelledProblem]:
        """The rows of the file that an iteration takes: others each time, while there are any."""
        path, num, found = self.config.judge_problems.path, self.config.problems.num_train, self.labelled_rows
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

    def solution_sampling(self, num: int) -> Sampling:
        """How whole solutions are drawn: a single one greedily, several as the search draws."""
        search, longest = self.config.search, self.config.evaluation.max_tokens
        return Sampling(max_tokens=longest) if num == 1 else Sampling(search.temperature, search.top_p, longest)


def step_labeller(problems: Sequence[Problem]) -> StepLabeller | None:
    """What tells right steps of these problems from wrong ones, exactly; none where nothing can."""
    kinds = {problem.kind for problem in problems}
    if len(kinds) != 1 or not kinds.issubset(CHECKERS.names()):
        return None
    checker = CHECKERS.create(kinds.pop())

    def label(prefix: Trajectory, step: Step) -> bool | None:
        return checker.check([prefix.extend(step)])[0][-1]

    return label
