"""Config -> evaluation: policies on benchmarks, solved in one way or by a search."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any

from presrm.assembly.engines import limit_threads, open_engine, versions
from presrm.assembly.inputs import hash_code, hash_judge
from presrm.assembly.judges import check_judge, tie_tolerance
from presrm.assembly.parts import Parts
from presrm.assembly.workers import Elsewhere, Worker, make_runner
from presrm.config import Config
from presrm.engines.hf_files import policy_at, policy_hash
from presrm.errors import DataError, RequestError, counted
from presrm.evaluation.answers import Answer, evaluate_search
from presrm.evaluation.audit import SECOND_OF
from presrm.evaluation.benchmark import Benchmark, Result, Workers, file_label, run_benchmark, write_results
from presrm.evaluation.examples import Examples, draw_examples
from presrm.graders.checked import make_grader
from presrm.groups import seconds_spent
from presrm.methods.parts import Progress, SilentProgress
from presrm.methods.workplace import counts
from presrm.problems import load_problems, split_source
from presrm.prompts import Example, PromptSet
from presrm.prompts.encoding import TurnSplitter
from presrm.protocols import Engine, Judge, Request, ask_judge, composition_of, split_steps
from presrm.registry import allowed_code
from presrm.runners.work import Done, Work
from presrm.searchers.checked import search_trees
from presrm.seeding import derive_seed
from presrm.types import Candidates, Checkpoint, Judgement, Problem, SearchTree, Step, Trajectory

Watch = Callable[[Candidates, Sequence[Judgement]], None]

GRADER_OF = {
    "gsm8k": "gsm8k",
    "arithmetic": "auto",
    "jsonl": "auto",
    "countdown": "countdown",
    "judge": "judgement",
    "mit_bee": "integral",
}
"""What grades a problem set; ``math`` all others. A grader that the user names wins, and so does that of a run, for its
held-out problems."""


def load_benchmark(source: str, config: Config, num: int | None, grader: str | None) -> Benchmark:
    """Load the test problems of a source.

    Raises:
        DataError: if one has no reference answer.
    """
    own = source == config.problems.held_out
    name, path = split_source(source)
    problems = load_problems(
        source,
        split="test",
        num=(config.problems.num_held_out if own else None) if num is None else num,
        seed=derive_seed(config.seed, "held out"),
        **(config.problems.held_out_options if own else {}),
    )
    if without := sum(problem.answer is None for problem in problems):
        raise DataError(f"{source}: {without} of {len(problems)} problems have no answer to score against")
    stem = Path(str(path)).stem if name == "jsonl" else name.rpartition(":")[2]
    if grader is None and own and "grader" in config.evaluation.model_fields_set:
        grader = config.evaluation.grader
    return Benchmark(stem, source, tuple(problems), grader or GRADER_OF.get(name, "auto" if stem != name else "math"))


def load_examples(source: str, num: int, benchmark: Benchmark, config: Config, progress: Progress) -> Examples:
    """Draw `num` worked examples for a benchmark from the training problems of a source.

    Raises:
        DataError: if there are not so many.
    """
    grader, seed = make_grader(benchmark.grader), derive_seed(config.seed, "examples")
    problems = load_problems(source, split="train")
    drawn = draw_examples(source, problems, num, benchmark.problems, grader, seed)
    if drawn.num_evaluated or drawn.num_unread:
        progress.note(
            f"{source}: passed over {counted(drawn.num_evaluated, 'problem')} also in {benchmark.name}, "
            f"{drawn.num_unread} in whose solution its grader does not find the right answer"
        )
    return drawn


def evaluate_policies(
    models: Sequence[str],
    benchmarks: Sequence[Benchmark],
    config: Config,
    out: Path,
    progress: Progress,
    *,
    num_samples: int = 1,
    search: bool = False,
    examples: Mapping[str, Examples] = MappingProxyType({}),
) -> list[Result]:
    """Evaluate every policy on every benchmark, or resume that.

    Args:
        models: As ``model.id``.
        benchmarks: The problems.
        config: All other settings. With `search`, ``search.kind`` and ``judge`` decide.
        out: Gets a folder for each policy.
        progress: Where to tell what is going on.
        num_samples: Solutions a problem; 1 is greedy, more are drawn as ``search.temperature`` and ``top_p`` say.
        search: Solve by a search with a judge.
        examples: What is shown before every question, by the benchmark's source; of one not named nothing.

    Raises:
        PresrmError: with one plain line that says what to do.
    """
    labels = [file_label(model) for model in models]
    if len(set(labels)) < len(labels):
        raise RequestError(f"two of the models would share a folder of {out}: {', '.join(labels)}")
    results = []
    runner = make_runner(config.runner)
    with nullcontext() if runner is None else closing(runner):
        for model, label in zip(models, labels, strict=True):
            settings = config.model_copy(update={"model": config.model.model_copy(update={"id": model})})
            settings = _bounded(settings) if search else settings
            found = []
            for benchmark in benchmarks:
                shown = examples.get(benchmark.source, Examples())
                parts = Parts(settings, progress, _drop)
                parts.runner = runner
                solve = Solve(benchmark.grader, None if search else num_samples, shown.shown)
                way = _search_way(parts) if search else _sample_way(parts, num_samples)
                found.append(_run(benchmark, label, way, solve, out / label, parts, shown))
            about = {"model": "presrm", "model_args": model, "seed": config.seed, **versions()}
            if examples:
                about["examples"] = {benchmark.name: examples[benchmark.source].about for benchmark in benchmarks}
            num_shots = max((len(shown.shown) for shown in examples.values()), default=0)
            write_results(out / label, found, about, num_shots)
            results += found
    return results


@dataclass(frozen=True, slots=True)
class Solve:
    """How the problems of a group are solved and graded, in this process or in another one.

    Attributes:
        grader: Registered name.
        num: Solutions a problem; none: a search solves.
        shown: Worked examples before every question.
    """

    grader: str
    num: int | None
    shown: tuple[Example, ...]

    def __call__(self, parts: Parts, engine: Engine, work: Work) -> Iterator[Answer]:
        """Solve and grade."""
        parts.prompts = PromptSet(parts.config.prompts, self.shown)
        grader = _grader(self.grader)
        if self.num is not None:
            groups = parts.answers(work.problems, engine, work.start, num=self.num, grader=grader)
        else:
            search = parts.config.search
            groups = evaluate_search(
                work.problems,
                engine,
                parts.judge(engine),
                parts.searcher("evaluation"),
                grader,
                splitter=parts.splitter,
                group_size=search.group_size,
                start=work.start,
                whole=search.kind == "best-of-n",
            )
        return chain.from_iterable(groups)


_grader = cache(make_grader)
"""One of a name: some have a process of their own."""


class _Here:
    """Solves in this process; see `presrm.evaluation.benchmark.Workers`."""

    def __init__(self, parts: Parts, engine: Engine) -> None:
        self._parts = parts
        self._engine = engine

    def spent(self) -> float | None:
        return seconds_spent(self._engine)

    def __call__(self, work: Iterable[Work]) -> Iterator[Done]:
        for item in work:
            [solve], before = item.given, counts(self._engine)
            rows = [*solve(self._parts, self._engine, item)]
            yield Done(rows, counts=counts(self._engine, before))


@contextmanager
def _workers(policy: Checkpoint, parts: Parts) -> Iterator[Workers]:
    """Load a policy in this process, or have it loaded by a runner's workers."""
    config, runner = parts.config, parts.runner
    if runner is None:
        with _watched_engine(policy, config, parts.progress) as engine:
            yield _Here(parts, engine)
        return
    training = config.training.model_copy(update={"lora": None})  # no server is to stay for adapters to come
    settings = config.model_copy(update={"training": training}).model_dump_json()
    yield Elsewhere(runner, Worker(settings, policy, policy, config.model.id, allowed_code()))


def _run(
    benchmark: Benchmark, label: str, way: "_Way", solve: Solve, folder: Path, parts: Parts, examples: Examples
) -> Result:
    """Evaluate one policy on one benchmark, or resume that."""
    model, num_shots = parts.config.model, len(examples.shown)
    policy = policy_at(model.id)
    request = {
        "model": model.id,
        "model_sha256": policy_hash(policy),
        "dtype": model.dtype,
        "chat_template": model.chat_template,
        "prompts": PromptSet(parts.config.prompts, examples.shown).hash,
        "num_fewshot": num_shots,
        "examples": examples.hash if num_shots else None,
        "seed": parts.config.seed,
        **{f"{name}_sha256": found for name, found in hash_code(parts.config).items()},
        **way.request,
    }
    return run_benchmark(
        benchmark,
        label,
        f"{way.name}-{num_shots}-shot" if num_shots else way.name,
        folder,
        request,
        partial(_workers, policy, parts),
        (solve,),
        parts.progress.stage,
        way.group_size,
        SECOND_OF[benchmark.grader]() if benchmark.grader in SECOND_OF else None,
    )


def _watched_engine(policy: Checkpoint, config: Config, progress: Progress) -> Engine:
    """Load a policy, whose work is then shown."""
    with progress.stage("load the policy", None):
        limit_threads(config.threads, config.model)
        engine = open_engine(policy, config.model)
    progress.watch(engine)
    return engine


@dataclass(frozen=True, slots=True)
class _Way:
    """The name of a way to solve, the settings that it depends on, and how many are solved together at most."""

    name: str
    request: Mapping[str, Any]
    group_size: int


def _sample_way(parts: Parts, num: int) -> _Way:
    sampling = parts.solution_sampling(num)
    request = {
        "sampling": [sampling.temperature, sampling.top_p, sampling.max_tokens],
        "group_size": parts.config.evaluation.group_size,
        "splitter": parts.config.splitter,
        "splitter_options": parts.config.splitter_options,
    }
    name = "greedy" if num == 1 else f"sample-{num}"
    return _Way(name, request, parts.config.evaluation.group_size)


def _search_way(parts: Parts) -> _Way:
    judge, search = parts.config.judge, parts.config.search
    _require_end(parts.config)
    check_judge(judge, None, parts.prompts)  # a misspelt name is told before a model is loaded
    bounds = _bounds(parts.config)
    request = {
        "search": search.model_dump(mode="json", exclude=set(bounds)),
        "max_tokens": parts.config.evaluation.max_tokens if bounds else None,
        "judge": judge.model_dump(mode="json"),
        **{f"{name}_sha256": found for name, found in hash_judge(parts.config).items()},
        "splitter": parts.config.splitter,
        "splitter_options": parts.config.splitter_options,
    }
    name = f"{search.kind.rpartition(':')[2]}-{search.num_candidates}"
    return _Way(name, request, search.group_size)


def _bounds(config: Config) -> dict[str, int]:
    """Give what bounds the whole solutions that a search draws as those that are drawn without one."""
    is_whole = config.search.kind == "best-of-n" or config.search.unit == "solution"
    return {"max_steps": 1, "max_step_tokens": config.evaluation.max_tokens} if is_whole else {}


def _bounded(config: Config) -> Config:
    """Give the settings of a search at test time."""
    return config.model_copy(update={"search": config.search.model_copy(update=_bounds(config))})


def _require_end(config: Config) -> None:
    """Refuse a search for a policy that does not end its solutions and is not told how they end."""
    if config.model.chat_template != "plain":
        return
    if config.search.kind == "best-of-n":
        raise RequestError("model.chat_template: plain cannot be searched by best-of-n: use --samples")
    if not config.search.answer_marks:
        raise RequestError(
            "with model.chat_template: plain a search has to be told which step is the last, as with "
            """--set 'search.answer_marks=["####"]'"""
        )


def _drop(**row: Any) -> None:
    """Evaluation keeps no metrics.jsonl."""


@dataclass(frozen=True, slots=True)
class Solved:
    """What became of one question.

    Attributes:
        tree: The search.
        tie_tolerance: Spread of scores up to which its candidates were tied.
        unjudged: Where the search gave up for want of a choice: the steps that it kept, the first candidate of the
            last expansion, and what the policy writes after it; none otherwise.
        num_kept: Steps of `unjudged` that the search kept.
    """

    tree: SearchTree
    tie_tolerance: float
    unjudged: Trajectory | None = None
    num_kept: int = 0


def draw_question(config: Config) -> str:
    """Draw one of the held-out problems by the seed of the settings."""
    problems, seed = config.problems, derive_seed(config.seed, "solve")
    [problem] = load_problems(problems.held_out, split="test", num=1, seed=seed, **problems.held_out_options)
    return problem.question


def solve_one(question: str, config: Config, watch: Watch | None = None, progress: Progress | None = None) -> Solved:
    """Solve one question by the search that `config` names.

    Args:
        question: The problem.
        config: Model, search, judge and prompts.
        watch: Told of every item judged, with its judgements, as soon as they are there.
        progress: Where to tell what is going on; none: nowhere.

    Raises:
        PresrmError: with one plain line that says what to do.
    """
    _require_end(config)
    config = _bounded(config)
    progress = progress or SilentProgress()
    parts = Parts(config, progress, _drop)
    with _watched_engine(policy_at(config.model.id), config, progress) as engine, progress.stage("search", None):
        judge = parts.judge(engine)
        watched = judge if watch is None else _Watched(judge, watch)
        (tree,) = search_trees(parts.searcher("solve"), [Problem("question", question)], engine, watched)
        if not (tree.given_up and tree.expansions and tree.expansions[-1].whole):
            return Solved(tree, tie_tolerance(config.judge))
        last = len(tree.expansions) - 1
        first = next(i for i, one in enumerate(tree.expansions[last].candidates) if one.step.is_whole)
        start = tree.trajectory((last, first))
        return Solved(tree, tie_tolerance(config.judge), _finish(start, parts, engine), len(start.steps) - 1)


def _finish(start: Trajectory, parts: Parts, engine: Engine) -> Trajectory:
    """Let the policy write the rest of a solution greedily, without a judge."""
    if start.is_complete:
        return start
    turns = TurnSplitter() if parts.config.model.chat_template == "plain" else None
    request = Request(parts.prompts.solve(start), 1, parts.solution_sampling(1), turns)
    ((written,),) = engine.generate([request])
    steps = [Step(text) for text in split_steps(parts.splitter, written.text)]
    return Trajectory(start.problem, (*start.steps, *steps))


class _Watched:
    """A judge that is looked at while it judges."""

    def __init__(self, judge: Judge, watch: Watch) -> None:
        self.scale = judge.scale
        self.composition = composition_of(judge)
        self._judge = judge
        self._watch = watch

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge, and tell of every item."""
        judged = ask_judge(self._judge, batch)
        for item, judgements in zip(batch, judged, strict=True):
            self._watch(item, judgements)
        return judged
