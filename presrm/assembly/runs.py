"""Whole jobs, from a config to a folder: a run of the loop, and training on pairs from anywhere."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from presrm.assembly.engines import limit_threads, open_encoder, require_weights, versions
from presrm.assembly.inputs import hash_inputs
from presrm.assembly.parts import Parts
from presrm.config import Config
from presrm.engines.hf_files import policy_at
from presrm.errors import PresrmError, RequestError, counted
from presrm.files.aside import end_rerun, set_aside
from presrm.files.content import replace_file
from presrm.files.run import RunDir
from presrm.iteration import IterationSummary
from presrm.iteration import train as run_loop
from presrm.methods.parts import Progress
from presrm.prompts import PromptSet
from presrm.protocols import Tracker
from presrm.report import to_json, to_markdown
from presrm.report.behind import to_lines, to_plain
from presrm.report.facts import read_facts
from presrm.report.html.run import write_run_page
from presrm.report.summary import escape, to_line
from presrm.report.tracking import track
from presrm.seeding import derive_seed
from presrm.trackers import TRACKERS
from presrm.training.objectives import make_objective
from presrm.types import Checkpoint, PreferencePair

if TYPE_CHECKING:
    from presrm.training.pair_files import TokenRatio

TRACKED = "trackers"
_SHARE_DRAWN = 0.1
"""Of the time of a run that drawing its page may take before the end."""


def train(config: Config, out: Path, progress: Progress) -> list[IterationSummary]:
    """Run the whole loop in the folder `out`, or resume it; the report is written after every assessment.

    Its page, ``report.html``, is drawn as often as that takes little time, and at the end, however the run ends.

    Args:
        config: Settings; those that a run fixes must not change between two starts.
        out: The run folder.
        progress: Where to tell what is going on.

    Raises:
        PresrmError: with one plain line that says what to do.
    """
    _prepare(config, progress)
    note_sampling(config, progress)
    with RunDir(out, config, versions(), hash_inputs(config)) as run:
        parts = Parts(config, progress, run.log)
        parts.held_out()
        if config.iterations:
            parts.source(2)  # a misspelt file is reported at once, not after M1 has been assessed
        drawing, trackers = _Drawing(out, progress), open_trackers(config, out)

        def report(rows: Sequence[IterationSummary]) -> None:
            write_report(config, run, rows)
            progress.note(to_line(rows[-1]))
            drawing.after_assessment()
            if trackers:
                track(read_facts(out), trackers, out / TRACKED / "sent.json")

        try:
            summaries = run_loop(config, parts.method, parts, run, progress, report)
            end_rerun(run)
            return summaries
        finally:
            if parts.runner is not None:
                parts.runner.close()
            drawing.at_the_end()
            for tracker in trackers.values():
                tracker.close()


def rerun(config: Config, out: Path, stage: str, iteration: int, progress: Progress) -> list[IterationSummary]:
    """Set aside what a run has made from a stage of an iteration on, and `train` again; or resume that.

    Args:
        config: The settings of the run.
        out: The run folder.
        stage: One of `presrm.files.aside.STAGES`.
        iteration: T of the M(T) that it is for.
        progress: Where to tell what is going on, and where the artefacts are now.

    Raises:
        PresrmError: with one plain line that says what to do.
    """
    _prepare(config, progress)
    with RunDir(out, config, versions(), hash_inputs(config)) as run:
        moved = set_aside(run, stage, iteration)
    if moved is not None:
        num, folder = moved
        progress.note(f"{num} artefacts from '{stage}' of M{iteration} on are set aside: {folder}")
    return train(config, out, progress)


def _prepare(config: Config, progress: Progress) -> None:
    """Refuse what cannot work, before the run folder is touched."""
    require_weights(config.model.id)
    Parts(config, progress, lambda **_: None).check()
    if config.training.launch is not None:
        from presrm.training.launched import check_launch

        check_launch(config)


def open_trackers(config: Config, run: Path) -> dict[str, Tracker]:
    """Open what ``report_to`` names, below the run folder.

    Raises:
        RequestError: if one needs a package that is not there, or is unknown.
    """
    factories, settings = {name: TRACKERS.factory(name) for name in config.report_to}, flatten(config)
    trackers = {}
    for name, factory in factories.items():
        folder = run / TRACKED / name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            trackers[name] = factory(folder=folder, name=run.name, settings=settings)
        except ImportError as error:
            raise RequestError(f"tracker {name!r} needs: pip install 'presrm[{name}]'") from error
    return trackers


def flatten(config: Config) -> dict[str, str]:
    """Give every setting by its whole name."""

    def walk(value: object, prefix: str) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict) and value:
            for key, inner in value.items():
                yield from walk(inner, f"{prefix}.{key}" if prefix else key)
        else:
            yield prefix, str(value)

    return dict(walk(config.model_dump(mode="json"), ""))


class _Drawing:
    """Draws the page of a run after an assessment where that takes no time to speak of, and at the end.

    Without clocks: equal runs give equal pages. ``presrm report`` adds time and tokens.
    """

    def __init__(self, run: Path, progress: Progress) -> None:
        self._run = run
        self._progress = progress
        self._seconds, self._drawn = 1.0, time.monotonic()  # what it takes, about; when it was done
        self._is_behind = False

    def after_assessment(self) -> None:
        """Draw, unless that would take much of the time since it was done last."""
        self._is_behind = True
        if self._seconds < _SHARE_DRAWN * (time.monotonic() - self._drawn):
            self.at_the_end()

    def at_the_end(self) -> None:
        """Draw, if there is something new."""
        if self._is_behind:
            began = time.monotonic()
            try:
                with self._progress.stage("draw the report", None):
                    write_run_page(self._run, clocks=False, plots=False)
            except PresrmError as error:  # whoever needs what cannot be read refuses it, and says how to go on
                self._progress.note(f"the page of the run is not drawn: {error}")
            self._drawn, self._is_behind = time.monotonic(), False
            self._seconds = self._drawn - began


def note_sampling(config: Config, progress: Progress) -> None:
    """Say what a policy gradient approximates where attempts are not drawn from the policy's own distribution."""
    search = config.search
    if "start" in make_objective(config.objective).reads and (search.temperature, search.top_p) != (1, 1):
        progress.note(
            f"attempts are drawn at temperature {search.temperature:g} and top_p {search.top_p:g}, while the objective "
            "takes the log-probabilities at 1 and 1: the gradient is that of the policy, at attempts that are likelier "
            "than its own. For an unbiased gradient set search.temperature=1 and search.top_p=1"
        )


def write_report(config: Config, run: RunDir, rows: Sequence[IterationSummary]) -> None:
    """Write ``report.md`` and ``report.json``: what is known of the policies so far."""
    about = {"name": config.name, "policy": config.model.id, **run.facts, "seed": str(config.seed), **versions()}
    facts = read_facts(run.path)
    run.write("report.md", to_markdown(rows, about, to_lines(facts, escape)))
    run.write("report.json", json.dumps(to_json(rows, about, to_plain(facts)), indent=1) + "\n")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What `fit_pairs` made.

    Attributes:
        policy: The policy.
        num_held_out: Pairs that were not trained on.
        held_out: Figures on those, by name, before and after training: ``loss``, ``margin`` (mean log-probability of
            the chosen reply less that of the rejected one, nats), ``accuracy`` (share of pairs with a margin above 0).
    """

    policy: Checkpoint
    num_held_out: int = 0
    held_out: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def fit_pairs(
    pairs: Sequence[PreferencePair],
    config: Config,
    out: Path,
    progress: Progress,
    *,
    share_held_out: float = 0.1,
    facts: Mapping[str, str] = MappingProxyType({}),
) -> Fitted:
    """Train the policy that `config` names on pairs from anywhere; the result, and its metrics, stand in `out`.

    Args:
        pairs: From anywhere.
        config: The settings.
        out: Where the policy is to stand.
        progress: Where to tell what is going on.
        share_held_out: Of the problems, whose pairs are measured on and not trained on.
        facts: What the policy's card says besides, a line each.

    Raises:
        PresrmError: with one plain line that says what to do.
    """
    require_weights(config.model.id)
    with progress.stage("load the tokenizer", None):  # and torch
        from presrm.training.pair_files import adopt_pairs, hold_out
        from presrm.training.tokens import name_limit
        from presrm.training.trainer import PackedTrainer

        limit_threads(config.threads)
        objective = make_objective(config.objective)
        start = policy_at(config.model.id)
        encoder = open_encoder(start.model, config.model.chat_template)
    ours = adopt_pairs(pairs, encoder, progress.note)
    trained, aside = hold_out(ours, share_held_out, derive_seed(config.seed, "held out pairs"))
    if share_held_out and not aside:
        progress.note("no pairs are held out to measure on: there are too few problems")
    rows: list[Mapping[str, float]] = []
    with progress.stage(f"fit on {len(trained)} pairs", None):
        prompts, seed = PromptSet(config.prompts), derive_seed(config.seed, "training")
        trainer = PackedTrainer(
            config.training,
            objective,
            config.model,
            prompts,
            seed=seed,
            on_log=rows.append,
            stage=progress.stage,
            held_out=aside,
            facts=facts,
        )
        policy = trainer.fit(trained, start, out)
    if num_too_long := rows[0].get("lessons/too_long"):
        limit = name_limit(int(rows[0]["lessons/longest"]), config.training.max_tokens)
        progress.note(f"left out {counted(int(num_too_long), 'pair')}: longer than {limit}")
    if any("optimiser_step" in row for row in rows):  # not in the other processes of a launch
        replace_file(out / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    before = {
        name: value
        for name in ("loss", "margin", "accuracy")
        if (value := rows[-1].get(f"held_out/before/{name}")) is not None
    }
    figures = {name: (value, rows[-1][f"held_out/after/{name}"]) for name, value in before.items()}
    return Fitted(policy, len(aside), figures)


def fit_prm_file(
    file: Path, config: Config, out: Path, progress: Progress, *, labels: Literal["hard", "soft"], separator: str
) -> int:
    """Train a process reward model on a file of labelled steps; the result, and its metrics, stand in `out`.

    Returns:
        The number of solutions that it was trained on.

    Raises:
        PresrmError: with one plain line that says what to do.
    """
    require_weights(config.model.id)
    with progress.stage("load torch", None):
        from presrm.training.prm import fit_prm, read_labelled_texts

        limit_threads(config.threads)
    texts = read_labelled_texts(file)
    rows: list[Mapping[str, float]] = []
    with progress.stage(f"fit a process reward model on {len(texts)} solutions", None):
        fit_prm(
            texts,
            config.model,
            config.training,
            out,
            labels=labels,
            separator=separator,
            seed=derive_seed(config.seed, "prm"),
            on_log=rows.append,
            stage=progress.stage,
        )
    if num_too_long := rows[0]["lessons/too_long"]:
        progress.note(f"left out {counted(int(num_too_long), 'solution')}: longer than training.max_tokens")
    replace_file(out / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return int(rows[0]["lessons/trained"])


def token_ratio(
    pairs: Sequence[PreferencePair], config: Config, progress: Progress, *, share_held_out: float = 0.1
) -> "TokenRatio":
    """Count what `fit_pairs` would compute; loads the tokenizer, not the weights."""
    base = policy_at(config.model.id).model
    with progress.stage("load the tokenizer", None):  # and torch
        from presrm.engines.hf_loading import load_positions
        from presrm.training.pair_files import adopt_pairs, count_tokens, hold_out

        encoder = open_encoder(base, config.model.chat_template)
    ours = adopt_pairs(pairs, encoder, progress.note)
    trained, _ = hold_out(ours, share_held_out, derive_seed(config.seed, "held out pairs"))
    seed = derive_seed(config.seed, "training")
    return count_tokens(
        trained,
        encoder,
        PromptSet(config.prompts),
        config.training,
        make_objective(config.objective),
        seed,
        num_positions=load_positions(base),
    )
