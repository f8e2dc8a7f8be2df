"""``presrm eval``: policies on benchmarks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from presrm.cli.files import report_rejected, telling_rejected
from presrm.cli.progress import RichProgress
from presrm.cli.settings import (
    EMBEDDED,
    EngineOption,
    JudgeOption,
    SearcherOption,
    SettingsOption,
    SplitterOption,
    as_overrides,
    settings_for,
)
from presrm.cli.show import print_table
from presrm.cli.world import warn_outside
from presrm.config import load_config
from presrm.errors import RequestError
from presrm.registry import allow_code

if TYPE_CHECKING:
    from presrm.evaluation.audit import Audit
    from presrm.evaluation.benchmark import Result


def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Option("--model", metavar="M", help="Hub id, folder, .gguf file, 'embedded' or server. May be repeated."),
    ] = None,
    problems: Annotated[
        list[str] | None,
        typer.Option(
            "--problems", metavar="P", help="For example gsm8k, gsm8k:PATH or a JSON Lines file. May be repeated."
        ),
    ] = None,
    num: Annotated[
        int | None, typer.Option("--num", metavar="N", min=1, help="Problems of each benchmark, drawn by seed. [all]")
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", metavar="K", min=1, help="Number of solutions per problem; 1 is greedy.")
    ] = 1,
    search: SearcherOption = None,
    judge: JudgeOption = None,
    splitter: SplitterOption = None,
    engine: EngineOption = None,
    shots: Annotated[
        int | None, typer.Option("--shots", metavar="N", min=0, help="Worked examples before every question. [0]")
    ] = None,
    examples: Annotated[
        str | None,
        typer.Option("--examples", metavar="P", help="Source of the worked examples, for example gsm8k:train.jsonl."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", file_okay=False, help="Output folder for the samples and results.")
    ] = Path("evals"),
    settings: SettingsOption = None,
) -> None:
    """Score policies on benchmarks.

    Every share comes with its 95 % interval. If interrupted, run the same command again: it resumes after the last
    finished group of problems.

    By default, solutions are generated greedily. --samples K also gives unbiased pass@k and maj@k. With --search, the
    policy judges (--judge) at test time: step by step (greedy, as in the paper), with beams, or among whole solutions
    (best-of-n, which also gives the judge-weighted vote). Samples and results.json have the shape of
    lm-evaluation-harness. A second, independent extractor also reads every solution; audit_*.jsonl lists the solutions
    that it grades differently. report.html shows all of it as one page.

    --shots N shows the same N worked examples before every question, without further instructions. The examples are
    drawn from --examples by seed; problems that also occur in the benchmark are skipped. For a base model, add --set
    model.chat_template=plain: the prompt is then "Question: ... Answer: ..." without chat markup, and the next
    "Question:" ends a reply.

    \b
      $ presrm eval
      $ presrm eval --model embedded --model runs/embedded/iterations/4/policy
      $ presrm eval --model DIR --problems gsm8k:test.jsonl --problems math500:math500.jsonl
      $ presrm eval --model DIR --problems gsm8k --samples 16
      $ presrm eval --model BASE --problems gsm8k --shots 5 --examples gsm8k --set model.chat_template=plain
      $ presrm eval --model DIR --problems gsm8k --search best-of-n --judge pointwise --set search.num_candidates=16
    """
    chosen = models or [EMBEDDED]
    if samples > 1 and search is not None:
        raise RequestError(
            "--samples and --search exclude each other; for best-of-n, use --set search.num_candidates=K"
        )
    if (shots is None) is not (examples is None):
        raise RequestError("--shots N and --examples P need each other: the number of examples and their source")
    judge = judge or ("pointwise" if search in ("beam", "best-of-n") else None)
    flags = {"search.kind": search, "judge.kind": judge, "splitter": splitter, "model.engine": engine}
    config = settings_for(chosen, as_overrides(flags, settings))
    allow_code([*(problems or []), *([examples] if examples else [])])
    from presrm.assembly.evaluation import evaluate_policies, load_benchmark, load_examples
    from presrm.evaluation.benchmark import distinguish
    from presrm.formats.problems import collect_rejected

    if problems is None and config.name == "custom":
        raise RequestError(
            "--problems is missing: name what to evaluate on, for example gsm8k, gsm8k:PATH or a JSON Lines file"
        )
    own = load_config(None, settings or []).evaluation  # those of a run's config are for its own problems
    grader = own.grader if "grader" in own.model_fields_set else None
    with collect_rejected() as set_aside, telling_rejected(out / "problems.rejected.jsonl"):
        benchmarks = [load_benchmark(source, config, num, grader) for source in problems or [config.problems.held_out]]
    benchmarks = distinguish(benchmarks)
    for each in benchmarks:
        path = each.source if each.source in set_aside else each.source.partition(":")[2]
        report_rejected(set_aside.get(path, ()), out / f"{each.name}.rejected.jsonl", path)
    for name in chosen:
        warn_outside(name, (problem.question for benchmark in benchmarks for problem in benchmark.problems))
    progress, shown = RichProgress(), {}
    if examples is not None and shots:
        shown = {each.source: load_examples(examples, shots, each, config, progress) for each in benchmarks}
    results = evaluate_policies(
        chosen, benchmarks, config, out, progress, num_samples=samples, search=search is not None, examples=shown
    )
    _print(results, Console(), out)
    from presrm.assembly.engines import versions
    from presrm.report.html.evaluation import write_evaluation_page

    about = {"models": ", ".join(chosen), "seed": str(config.seed), **versions()}
    with RichProgress(is_brief=True).stage("draw the report", None):
        page = write_evaluation_page(out, results, about)
    print(f"The report is {page}")


def _print(results: "list[Result]", console: Console, out: Path) -> None:
    from presrm.report.figures import interval_text, value_text

    for result in results:
        spent = f"{_thousands(result.tokens_generated)} tokens drawn, {_thousands(result.tokens_read)} read"
        head = f"{result.policy} on {result.benchmark}, {result.way}: {result.num} problems, {spent}"
        console.print(head, markup=False, highlight=False, soft_wrap=True)
        rows = [
            (f"  {name}", value_text(figure.value, "share"), interval_text(figure, "share"))
            for name, figure in result.metrics.items()
        ]
        print_table(console, ("  share of the problems", "", "95 % interval"), rows)
        told = "no second extractor for its grader" if result.audit is None else _in_words(result.audit)
        console.print(f"  audit: {told}", markup=False, highlight=False, soft_wrap=True)
    if len(results) > 1:
        table = [(result.policy, result.benchmark, *_headline(result)) for result in results]
        console.print()
        print_table(console, ("policy", "benchmark", "", "share", "95 %", "tokens"), table)
    print(f"Samples and results.json are in {out}/")


def _headline(result: "Result") -> tuple[str, str, str, str]:
    """The share by which a result is known: that of its answers, or of k samples, of which none is chosen, pass@1."""
    from presrm.report.figures import interval_text, value_text

    answered = (name for name in result.metrics if name == "accuracy" or name.startswith("best of"))
    name = next(answered, "pass@1")
    figure = result.metrics[name]
    shown = value_text(figure.value, "share"), interval_text(figure, "share")
    return name, *shown, _thousands(result.tokens_generated)


def _in_words(audit: "Audit") -> str:
    from presrm.report.figures import value_text

    unread = f"; {audit.num_unread} not read by it" if audit.num_unread else ""
    if not audit.num:
        return f"{audit.second} has read none of the solutions"
    return (
        f"{len(audit.disagreements)} of {audit.num} solutions are graded differently by {audit.second}, "
        f"{audit.num_decisive} of them right for one only{unread}; not extracted: "
        f"{value_text(audit.num_unextracted / audit.num, 'share')}, "
        f"by it {value_text(audit.num_unextracted_by_second / audit.num, 'share')}"
    )


def _thousands(count: int | None) -> str:
    return "?" if count is None else f"{count:,}"
