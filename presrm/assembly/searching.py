"""The search stage by itself: problems -> trees, the rows of an iteration's ``trees.jsonl``."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from presrm.assembly.inputs import hash_inputs
from presrm.assembly.parts import Parts
from presrm.config import Config
from presrm.engines.hf_files import policy_at, policy_hash
from presrm.errors import RequestError
from presrm.files.journal import Journal
from presrm.files.jsonl import plain
from presrm.files.ledger import Ledger
from presrm.files.run import LEDGER
from presrm.groups import Groups, seconds_spent
from presrm.judging.recording import RecordingEngine
from presrm.methods.parts import Progress
from presrm.protocols import Engine
from presrm.types import Checkpoint, Problem

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
                with progress.stage("load the policy", None):
                    opened = parts.engine(policy)
                with opened as engine:
                    progress.watch(engine)
                    _search(parts, engine, problems, journal, iteration, advance)
            journal.finish()
    totals = journal.totals
    counts = (int(totals.get(name, 0)) for name in ("solved", "expansions", "candidates", "unknown"))
    return Searched(journal.num_rows, *counts)


def _search(
    parts: Parts, engine: Engine, problems: list[Problem], journal: Journal, iteration: int, advance: Any
) -> None:
    """Search the problems that are left, in the groups of a run."""
    config, out = parts.config, journal.path
    with (
        Ledger(out.with_name(f"{out.name}.{LEDGER}")) as ledger,
        RecordingEngine(
            engine,
            ledger,
            policy=config.model.id,
            stage="search",
            template_hash=parts.prompts.hash,
            iteration=iteration,
        ) as recording,
    ):
        searcher, judge, have = parts.searcher(iteration), parts.judge(recording), journal.num_rows
        spent = partial(seconds_spent, engine)
        sizes = Groups(config.search.group_size, spent, journal.notes.get("group_size"), is_begun=have > 0)
        while have < len(problems):
            with sizes.measured():
                trees = list(searcher.search(problems[have : have + sizes.next], engine, judge, start=have))
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
            have += len(trees)
            advance(len(trees))


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
