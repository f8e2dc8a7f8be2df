"""The search stage by itself: problems -> trees, the rows of an iteration's ``trees.jsonl``."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from presrm.assembly.inputs import hash_inputs
from presrm.assembly.parts import Parts
from presrm.assembly.workers import Elsewhere
from presrm.config import Config
from presrm.engines.hf_files import policy_at, policy_hash
from presrm.errors import RequestError
from presrm.files.journal import Journal
from presrm.files.jsonl import plain
from presrm.files.ledger import Ledger
from presrm.files.run import LEDGER
from presrm.groups import Groups, seconds_spent, work_in_order
from presrm.judging.recording import RecordingEngine
from presrm.methods.parts import Progress
from presrm.runners.work import Work
from presrm.searchers.checked import search_trees
from presrm.types import Checkpoint, Problem, SearchTree

_SECTIONS = ("seed", "prompts", "splitter", "splitter_options", "problems", "search", "judge")


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search came to.

    Attributes:
        num_problems: Trees written.
        num_solved: Those with a solution.
        num_expansions: Of all trees.
        num_candidates: Likewise.
        num_unknown: Candidates without a score.
    """

    num_problems: int
    num_solved: int
    num_expansions: int
    num_candidates: int
    num_unknown: int


def search_problems(config: Config, out: Path, progress: Progress, iteration: int = 2) -> Searched:
    """Search the problems of an iteration with the policy that the settings name, or resume that.

    The trees are those of a run with these settings whose policy before M(iteration) is this one, to the byte.

    Args:
        config: Settings.
        out: Gets a tree a line; ``<out>.ledger.sqlite`` beside it every question to the judge.
        progress: Where to tell what is going on.
        iteration: T of the M(T) that the trees are for: which problems are taken and what is drawn follow from it.

    Raises:
        RequestError: if the policy is to write the problems, which only a run can have it do.
        RunConfigError: if `out` was begun with other settings.
    """
    parts = Parts(config, progress, lambda **_: None)
    parts.check()
    if parts.writes:
        raise RequestError(
            "problems.train: self: in a run the policy writes its problems; name those to search with --problems, for "
            "example the problems.jsonl of an iteration"
        )
    policy, problems = policy_at(config.model.id), parts.problems(iteration)
    out.parent.mkdir(parents=True, exist_ok=True)
    journal = Journal(out, _request(config, policy, iteration))
    if not journal.is_done:
        with progress.stage("search and judge", len(problems)) as advance, journal:
            advance(journal.num_rows)
            if journal.num_rows < len(problems):
                workers = _here if parts.runner is None else _elsewhere
                with (
                    Ledger(out.with_name(f"{out.name}.{LEDGER}")) as ledger,
                    workers(parts, policy, ledger, iteration) as (search, spent),
                ):
                    begun, size = journal.num_rows > 0, journal.notes.get("group_size")
                    sizes = Groups(config.search.group_size, spent, size, is_begun=begun)
                    _search(problems, iteration, journal, sizes, search, advance)
            journal.finish()
    totals = journal.totals
    counts = (int(totals.get(name, 0)) for name in ("solved", "expansions", "candidates", "unknown"))
    return Searched(journal.num_rows, *counts)


Search: TypeAlias = Callable[[Iterable[Work]], Iterator[list[SearchTree]]]
Spent: TypeAlias = Callable[[], float | None]


@contextmanager
def _here(parts: Parts, policy: Checkpoint, ledger: Ledger, iteration: int) -> Iterator[tuple[Search, Spent]]:
    """What searches groups in this process, and what tells the seconds of work so far."""
    with parts.progress.stage("load the policy", None):
        opened = parts.engine(policy)
    with (
        opened as engine,
        RecordingEngine(
            engine,
            ledger,
            policy=parts.config.model.id,
            stage="search",
            template_hash=parts.prompts.hash,
            iteration=iteration,
        ) as recording,
    ):
        parts.progress.watch(engine)
        searcher, judge = parts.searcher(iteration), parts.judge(recording)
        yield (
            lambda work: (list(search_trees(searcher, each.problems, engine, judge, each.start)) for each in work),
            partial(seconds_spent, engine),
        )


@contextmanager
def _elsewhere(parts: Parts, policy: Checkpoint, ledger: Ledger, iteration: int) -> Iterator[tuple[Search, Spent]]:
    """The same by the workers of a runner."""
    assert parts.runner is not None
    with closing(parts.runner) as runner:
        elsewhere = Elsewhere(runner, parts.worker(policy, policy, parts.config.model.id), ledger)
        yield lambda work: (done.rows for done in elsewhere(work)), elsewhere.spent


def _search(
    problems: Sequence[Problem],
    iteration: int,
    journal: Journal,
    sizes: Groups,
    search: Search,
    advance: Callable[[int], None],
) -> None:
    """Search the problems that are left, in the groups of a run."""
    begun = journal.num_rows

    def read() -> Work | None:
        nonlocal begun
        group = problems[begun : begun + sizes.next]
        work = Work("search", iteration, group, begun, iteration)
        begun += len(group)
        return work if group else None

    def write(work: Work, trees: list[SearchTree]) -> None:
        candidates = [one for tree in trees for made in tree.expansions for one in made.candidates]
        journal.append(
            [plain(tree) for tree in trees],
            (),
            {"group_size": sizes.size},
            solved=sum(bool(tree.solutions) for tree in trees),
            expansions=sum(len(tree.expansions) for tree in trees),
            candidates=len(candidates),
            unknown=sum(one.judgement.score is None for one in candidates),
        )
        advance(len(trees))

    work_in_order(sizes, read, search, write)


def _request(config: Config, policy: Checkpoint, iteration: int) -> Mapping[str, Any]:
    """What the trees depend on; files by their content."""
    settings = config.model_dump(mode="json", include={*_SECTIONS})
    inputs = {key: value for key, value in hash_inputs(config).items() if not key.startswith("model.id")}
    return {
        "iteration": iteration,
        "model": config.model.model_dump(mode="json", include={"id", "chat_template", "dtype", "engine"}),
        "model_sha256": policy_hash(policy),
        **settings,
        **{f"{key}_sha256": value for key, value in inputs.items()},
    }
