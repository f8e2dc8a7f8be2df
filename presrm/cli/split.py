"""``presrm split``: cut solutions into steps."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from presrm.cli.files import (
    STANDARD,
    FileArgument,
    QuestionOption,
    SolutionOption,
    input_file,
    rejected_path,
    transform_rows,
    warn_of_uncut,
)
from presrm.cli.progress import RichProgress
from presrm.cli.settings import EMBEDDED, SplitterOption
from presrm.cli.show import print_steps
from presrm.config import load_config
from presrm.errors import DataError, RequestError, counted
from presrm.registry import allow_code

_USUAL = "newline"
_Work = Callable[[dict[str, Any]], dict[str, Any]]


def split(
    file: FileArgument = None,
    splitter: SplitterOption = None,
    out: Annotated[
        str | None,
        typer.Option("--out", metavar="FILE", help="Output file for the rows with 'steps'; - is standard output."),
    ] = None,
    segmenter: Annotated[
        Literal["rules", "model"],
        typer.Option("--segmenter", help="Cut by the rules of a splitter, or let a model insert 'Step n:' markers."),
    ] = "rules",
    solution: SolutionOption = None,
    question: QuestionOption = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="M", help="With --segmenter model: Hub id, folder or .gguf file. [embedded]"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="a.b=c", help="With --segmenter model: change any setting. May be repeated."),
    ] = None,
) -> None:
    """Cut solutions into steps.

    On a terminal, the steps are shown in colours. Elsewhere, or with --out, the rows are written as JSON Lines with
    'steps' added. The rows that can be read are those of judge-steps.

    With --segmenter model, a reply is accepted only if it is the unchanged solution with markers. Rows then also gain
    'segmented', the solution with its markers; rows whose reply is refused are set aside.

    \b
      $ presrm split solutions.jsonl --splitter marker
      $ presrm split solution.md --splitter paragraph
      $ presrm split solutions.jsonl --out split.jsonl
      $ presrm split solutions.jsonl --segmenter model --model DIR --out steps.jsonl
    """
    is_shown = sys.stdout.isatty() and out != STANDARD
    console = Console()
    by_model = segmenter == "model"
    allow_code([splitter] if splitter else [])
    if by_model and splitter is not None:
        raise RequestError("--splitter cuts by rules; leave it out with --segmenter model")
    if not by_model and (model is not None or settings):
        raise RequestError("--model and --set need --segmenter model")
    row = None if solution is None else {"solution": solution}
    with (
        input_file(file, row) as source,
        _by_model(source, question, model, settings) if by_model else _by_rules(splitter, question) as cut,
    ):
        num, num_uncut = 0, 0

        def work(row: dict[str, Any]) -> dict[str, Any]:
            nonlocal num, num_uncut
            done = cut(row)
            num += 1
            num_uncut += len(done["steps"]) < 2
            if is_shown:
                print_steps(console, done["steps"])
            return done

        to = None if is_shown and out is None else out or STANDARD
        transform_rows(source, to, work, rejected_path(file, to))
        warn_of_uncut("the model" if by_model else f"splitter {splitter or _USUAL!r}", num_uncut, num)


@contextmanager
def _by_rules(splitter: str | None, question: str | None) -> Iterator[_Work]:
    from presrm.assembly.problem_parts import make_splitter
    from presrm.formats.solutions import solution_text, with_question
    from presrm.protocols import split_steps

    cutter = make_splitter(splitter or _USUAL)
    yield lambda row: {**with_question(row, question), "steps": split_steps(cutter, solution_text(row))}


@contextmanager
def _by_model(source: Path, question: str | None, model: str | None, settings: list[str] | None) -> Iterator[_Work]:
    """Give a function that segments the rows of `source` in their order; report the counts at the end."""
    from presrm.assembly.engines import limit_threads, open_engine
    from presrm.engines.hf_files import policy_at
    from presrm.files.jsonl import BadRow
    from presrm.files.tables import count_rows, read_table
    from presrm.formats.solutions import with_question
    from presrm.prompts import PromptSet
    from presrm.training.segmenting import SegmentationError, segment_rows

    name = model or EMBEDDED
    overrides = [f"model.id={json.dumps(name)}", *(settings or [])]
    config = load_config(EMBEDDED if name == EMBEDDED else None, overrides)
    counts, progress = Counter[str](), RichProgress()
    with progress.stage("load the policy", None):
        limit_threads(config.threads, config.model)
        opened = open_engine(policy_at(config.model.id), config.model)
    with opened as engine, progress.stage("segment", count_rows(source)) as advance:
        progress.watch(engine)
        rows = (with_question(row.value, question) for row in read_table(source) if not isinstance(row, BadRow))
        advance(0)
        segmented = segment_rows(rows, engine, PromptSet(config.prompts), group_size=config.search.group_size)

        def work(row: dict[str, Any]) -> dict[str, Any]:
            done = next(segmented)  # those of the rows that `transform_rows` asks for, in the same order
            advance(1)
            if isinstance(done, DataError):
                counts["refused"] += isinstance(done, SegmentationError)
                raise done
            counts["segmented"] += 1
            return done

        try:
            yield work
        finally:
            progress.note(f"{counted(counts['segmented'], 'solution')} segmented, {counts['refused']} refused")
