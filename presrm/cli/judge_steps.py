"""``presrm judge-steps``: judge every step of the solutions in a file."""

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from presrm.cli.files import (
    STANDARD,
    FileArgument,
    QuestionOption,
    SolutionOption,
    default_out,
    input_file,
    rejected_path,
    warn_of_uncut,
)
from presrm.cli.policies import PolicyOnDemand
from presrm.cli.progress import RichProgress
from presrm.cli.settings import (
    EMBEDDED,
    EngineOption,
    JudgeOption,
    ModelOption,
    SettingsOption,
    SplitterOption,
    settings_to_judge,
)
from presrm.cli.show import one_line
from presrm.cli.world import questions_in, warn_outside
from presrm.config import Config
from presrm.errors import RequestError, counted
from presrm.files.jsonl import NoGoodRowError, explain_rejected
from presrm.files.tables import is_text
from presrm.types import Status

if TYPE_CHECKING:
    from presrm.judging.solutions import JudgedFile
    from presrm.protocols import Judge

_POINTWISE = "pointwise"


def judge_steps(
    file: FileArgument = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Output file; - is standard output. [<stem>.judged.jsonl]"),
    ] = None,
    model: ModelOption = EMBEDDED,
    judge: JudgeOption = None,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="J1,J2,...",
            help="Judge with each of these judges and compare them; writes <stem>.<judge>.judged.jsonl for each.",
        ),
    ] = None,
    show: Annotated[
        int,
        typer.Option("--show", metavar="N", min=0, help="Show the N worst solutions, up to the wrong step of each."),
    ] = 0,
    splitter: SplitterOption = None,
    engine: EngineOption = None,
    solution: SolutionOption = None,
    question: QuestionOption = None,
    settings: SettingsOption = None,
) -> None:
    """Judge every step of the solutions in a file.

    Each row has a question ('problem', 'question' or 'prompt') and a solution: either 'steps', a list of texts (in CSV,
    a JSON list), or one text under 'solution', 'completion', 'response' or, as in GSM8K, 'answer', which --splitter
    cuts into steps. A text or Markdown file is one solution; --question gives its question. Rows of
    PRM800K, TRL, Math-Shepherd, RLHFlow, OpenR, OpenRLHF and BIG-Bench-Mistake are recognised as well; docs/formats.md
    shows one of each.

    The output is JSON Lines. Rows keep their order and content and gain 'judged' (text, score, status and rationale of
    each step) and 'first_error': the 0-based index of the first step with a score below 0.5, -1 if there is none, null
    if an unreadable step comes before it. A step whose verdict is unreadable is not wrong: it has no score.

    Rows that cannot be judged are written to <out>.rejected.jsonl, with line and reason. If rows have a 'label'
    (0-based index of the first wrong step, -1 for none) or 'labels' (one for each step), a judge card is written to
    <out>.card.json: it shows how far the judge can be trusted. <out>.report.html shows all of it as one page, with the
    solutions.

    If interrupted, run the same command again: it resumes after the last finished group of rows. A group is half a
    minute of work, as estimated from the first row, but at most search.group_size rows. Another judge, model or input
    needs another --out.

    \b
      $ presrm judge-steps solutions.jsonl
      $ presrm judge-steps solutions.parquet --model DIR --show 5
      $ presrm judge-steps solution.md --question "What is 2 + 3?"
      $ presrm judge-steps --question "What is 2 + 3?" --solution "2 + 3 = 6"
      $ presrm judge-steps processbench.jsonl --model DIR --set judge.verdict=direct
      $ presrm judge-steps processbench.jsonl --compare pointwise,first-error
      $ cat solutions.jsonl | presrm judge-steps - > judged.jsonl
    """
    if compare is not None:
        _refuse_with_compare(file, out, judge)
    parts = {"model.id": model, "model.engine": engine, "splitter": splitter}
    configs = {kind: settings_to_judge(parts | {"judge.kind": kind}, settings) for kind in _kinds(compare, judge)}
    if question is None and (solution is not None or (file not in (None, STANDARD) and is_text(Path(str(file))))):
        raise RequestError(f"{'--solution' if file is None else file} has no question: give it with --question")
    row = None if solution is None else {"question": question, "solution": solution}
    with input_file(file, row) as source, ExitStack() as stack:
        warn_outside(model, questions_in(source) if question is None else [question])
        first = next(iter(configs.values()))
        policy = PolicyOnDemand(first.model, first.threads, stack, RichProgress())
        if compare is not None:
            _compare(source, str(file), configs, policy, question, show)
            return
        [config] = configs.values()
        if out != STANDARD and (out or file) not in (None, STANDARD):
            path = default_out(str(file), "judged") if out is None else Path(out)
            judged = _judge(source, path, config, policy, question)
            _print_summary(judged, path, Console())
            _print_worst(path, show, judged, config, Console())
            print(f"The report is {_draw(path, judged, config)}")
            return
        with _scratch_file(rejected_path(file, STANDARD)) as path:
            judged = _judge(source, path, config, policy, question, rejected_to=rejected_path(file, STANDARD))
            if solution is not None and out is None:
                _print_single(path)
                return
            with path.open("rb") as rows:
                shutil.copyfileobj(rows, sys.stdout.buffer)
            _print_summary(judged, None, Console(stderr=True))
            _print_worst(path, show, judged, config, Console(stderr=True))


def _draw(path: Path, judged: "JudgedFile", config: Config) -> Path:
    """Write the page of a judged file."""
    from presrm.assembly.problem_parts import make_splitter
    from presrm.report.html.judged import write_judged_page

    about = {
        "judge": config.judge.kind,
        "verdict": config.judge.verdict,
        "model": config.model.id,
        "threshold": f"{config.judge.threshold:g}",
        "splitter": config.splitter,
        "prompts": config.prompts,
    }
    splitter = make_splitter(config.splitter, config.splitter_options)
    with RichProgress(is_brief=True).stage("draw the report", None):
        return write_judged_page(path, judged.tally, judged.card, splitter, about)


@contextmanager
def _scratch_file(rejected_to: Path | None) -> Iterator[Path]:
    """Give the path of an output that is then written to a stream; the rows that it sets aside are kept."""
    with tempfile.TemporaryDirectory(prefix="presrm-") as folder:
        path = Path(folder) / "judged.jsonl"
        try:
            yield path
        finally:
            rejected = Path(f"{path}.rejected.jsonl")
            if rejected_to is not None and rejected.exists():
                shutil.copyfile(rejected, rejected_to)


def _refuse_with_compare(file: str | None, out: str | None, judge: str | None) -> None:
    for flag, value in (("--out", out), ("--judge", judge)):
        if value is not None:
            raise RequestError(f"{flag} and --compare contradict each other: --compare names the judges and the files")
    if file in (None, STANDARD):
        raise RequestError("--compare writes one file for each judge beside FILE, so FILE has to be a file")


def _kinds(compare: str | None, judge: str | None) -> list[str]:
    if compare is None:
        return [judge or _POINTWISE]
    kinds = [kind.strip() for kind in compare.split(",")]
    if len(kinds) < 2 or len(set(kinds)) < len(kinds):
        raise RequestError(
            f"--compare {compare}: expected two or more different judges, for example pointwise,first-error"
        )
    return kinds


def _judge(
    source: Path,
    out: Path,
    config: Config,
    policy: PolicyOnDemand,
    question: str | None,
    *,
    progress_prefix: str = "",
    rejected_to: Path | None = None,
) -> "JudgedFile":
    """Judge into `out`; `rejected_to` is where its rows set aside can be read later, if not beside it."""
    from presrm.assembly import judges
    from presrm.assembly.inputs import hash_judging
    from presrm.assembly.problem_parts import make_splitter
    from presrm.assembly.workers import judging_elsewhere
    from presrm.files.ledger import Ledger
    from presrm.files.run import LEDGER
    from presrm.judging.recording import RecordingEngine
    from presrm.judging.solutions import judge_file
    from presrm.prompts import PromptSet

    prompts = PromptSet(config.prompts)
    asks_policy = judges.asks_policy(config.judge)
    ledger_path = out.with_name(f"{out.name}.{LEDGER}")

    @contextmanager
    def open_judge() -> "Iterator[Judge]":
        judges.check_judge(config.judge, None, prompts)  # before the policy is loaded
        if not asks_policy:
            yield judges.make_judge(config.judge, None, prompts)
            return
        with (
            Ledger(ledger_path) as ledger,
            RecordingEngine(
                policy.engine(), ledger, policy=config.model.id, stage="judge-steps", template_hash=prompts.hash
            ) as recording,
        ):
            yield judges.make_judge(config.judge, recording, prompts)

    depends_on = {
        **hash_judging(config, asks_policy=asks_policy),
        "prompts": prompts.hash,
        "seed": config.seed,
    }
    where = f", see {rejected_to or rejected_path(None, out)}"
    try:
        with judging_elsewhere(config, ledger_path) if asks_policy else nullcontext() as elsewhere:
            judged = judge_file(
                source,
                out,
                open_judge,
                make_splitter(config.splitter, config.splitter_options),
                depends_on,
                lambda name, total: policy.progress.stage(progress_prefix + name, total),
                group_size=config.search.group_size,
                threshold=config.judge.threshold,
                spent=elsewhere.spent if elsewhere else policy.seconds_spent if asks_policy else lambda: None,
                question=question,
                elsewhere=elsewhere,
            )
    except NoGoodRowError as error:
        error.args = (f"{error}{where}",)
        raise
    if judged.rejected:
        told = f"{counted(judged.tally.num_rejected, 'row')} set aside{where}; {explain_rejected(judged.rejected)}"
        print(f"presrm: {one_line(told)}", file=sys.stderr)
    _warn_of_unread(judged, config)
    warn_of_uncut(f"splitter {config.splitter!r}", judged.tally.num_uncut, judged.tally.num_split)
    return judged


def _warn_of_unread(judged: "JudgedFile", config: Config) -> None:
    """Say why most explained verdicts gave no score, and what may help."""
    from presrm.assembly.judges import reads_directly

    tally = judged.tally
    if config.judge.verdict != "explained" or 2 * tally.num_scored >= tally.num_steps:
        return
    why = ", ".join(f"{num} {status}" for status, num in sorted(tally.statuses.items()) if status != Status.OK)
    advice = []
    if tally.statuses.get(Status.TRUNCATED):
        advice.append("a higher judge.max_tokens lets replies come to their verdict")
    if reads_directly(config.judge):
        advice.append("--set judge.verdict=direct reads the verdict from token probabilities")
    told = "; ".join([f"only {tally.num_scored} of {tally.num_steps} steps have a score ({why})", *advice])
    print(f"presrm: {told}{' (with another --out)' if advice else ''}", file=sys.stderr)


def _compare(
    source: Path,
    file: str,
    configs: Mapping[str, Config],
    policy: PolicyOnDemand,
    question: str | None,
    show: int,
) -> None:
    """Judge with each judge, and print the results side by side."""
    from presrm.judging.card import agreement
    from presrm.judging.solutions import read_first_errors
    from presrm.report.judged import agreement_table, comparison_table

    paths = {kind: default_out(file, f"{re.sub(r'[^A-Za-z0-9._-]+', '-', kind)}.judged") for kind in configs}
    judged = {
        kind: _judge(source, paths[kind], config, policy, question, progress_prefix=f"{kind}: ")
        for kind, config in configs.items()
    }
    console = Console()
    for kind, found in judged.items():
        _print_line(found, paths[kind], console)
    cards = {kind: found.card for kind, found in judged.items() if found.card is not None}
    console.print(comparison_table({kind: found.tally for kind, found in judged.items()}, cards))
    console.print(agreement_table(agreement({kind: read_first_errors(path) for kind, path in paths.items()})))
    for kind, config in configs.items():
        if show:
            console.print(f"{kind}:", style="bold", markup=False, highlight=False)
        _print_worst(paths[kind], show, judged[kind], config, console)


def _print_line(judged: "JudgedFile", out: Path | None, console: Console) -> None:
    set_aside = f", {judged.tally.num_rejected} set aside" if judged.tally.num_rejected else ""
    if set_aside and out is not None:
        set_aside += f" ({out}.rejected.jsonl)"
    console.print(
        f"{judged.tally.num_judged} solutions judged: {out or 'standard output'}{set_aside}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _print_summary(judged: "JudgedFile", out: Path | None, console: Console) -> None:
    """Print what came out, and the card; `out` is where rows went, none for standard output."""
    from presrm.report.judged import card_table, tally_tables
    from presrm.report.verdicts import card_verdict

    _print_line(judged, out, console)
    console.print(tally_tables(judged.tally))
    if judged.card is not None:
        console.print(card_table(judged.card))
        console.print(f"Verdict: {card_verdict(judged.card)}\n", markup=False, highlight=False)


def _print_single(path: Path) -> None:
    """Print every step of the only solution of a judged file, with its score."""
    from presrm.files.jsonl import Row, read_rows
    from presrm.report.judged import WIDTH, judged_steps

    [row] = read_rows(path)
    assert isinstance(row, Row)
    console = Console()
    console.print(judged_steps(row.value["judged"], row.value["first_error"]), width=min(WIDTH, console.width))


def _print_worst(path: Path, num: int, judged: "JudgedFile", config: Config, console: Console) -> None:
    """Print the `num` worst solutions of a judged file."""
    if not num:
        return
    from presrm.assembly.problem_parts import make_splitter
    from presrm.judging.solutions import find_worst
    from presrm.report.judged import WIDTH, wrong_step

    threshold = config.judge.threshold
    worst = find_worst(path, num, make_splitter(config.splitter, config.splitter_options), threshold)
    if not worst:
        unscored = judged.tally.num_steps - judged.tally.num_scored
        without = f"; {unscored} of {judged.tally.num_steps} steps have no score" if unscored else ""
        console.print(f"no step has a score below {threshold:g}{without}", highlight=False)
    for rank, found in enumerate(worst, 1):
        console.print(wrong_step(found, f"{rank} of {len(worst)}"), width=min(WIDTH, console.width))
