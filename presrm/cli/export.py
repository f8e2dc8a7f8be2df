"""``presrm export``: what a run or a training made, for other tools."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from presrm.cli.files import output_rows, rejected_path, report_rejected, telling_rejected
from presrm.cli.progress import RichProgress
from presrm.cli.settings import EMBEDDED
from presrm.errors import DataError, RequestError, UnknownNameError, counted
from presrm.files.jsonl import BadRow, NoGoodRowError

if TYPE_CHECKING:
    from presrm.formats.step_exports import JudgedPath
    from presrm.types import PreferencePair

_THRESHOLD = 0.5
_HUB = "hub"


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help=f"With --merge a policy (a folder, or '{EMBEDDED}'); with --to a run, or a file of pairs, trees "
            "or judged solutions.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="PATH", help="With --merge or --to hub a new folder; else a new file.")
    ],
    merge: Annotated[bool, typer.Option("--merge", help="Add adapters to their base: whole models.")] = False,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option("--dtype", help="With --merge: number format of the weights. float32 rounds nothing."),
    ] = "float32",
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Write pairs for step-dpo, trl, openrlhf or llama-factory, judged steps as prm800k, math-shepherd or "
            "trl-stepwise, or a run for the hub.",
        ),
    ] = None,
    push_to_hub: Annotated[
        str | None,
        typer.Option("--push-to-hub", metavar="USER/NAME", help="With --to hub: upload what is written."),
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="With --push-to-hub: a new repository can be seen by everybody.")
    ] = False,
) -> None:
    """Write a policy, preference pairs or judged steps for other tools, or a run for the Hub.

    A policy of a run (RUN/iterations/3/policy) or of fit is a folder that transformers or PEFT load as it is. An
    adapter also needs its base; with --merge the two become one model, with tokenizer, chat template and card.

    With --to, the pairs of all iterations of a run, or of a file in any format that fit reads, are written as JSON
    Lines for another trainer. Trainers other than Step-DPO's know whole answers only: both replies then begin with the
    steps before. They also put their end token behind every reply; the command says for how many pairs that is wrong.

    Judged steps are those of a run's search, or of a file that judge-steps wrote. A step is right if its score is at
    least judge.threshold of the run (0.5 for a file). A step without a score gets no label.

    --to hub writes a run as it is handed on: every policy with a model card, and its lessons with a data-set card.
    Nothing is uploaded unless --push-to-hub names a repository: then the model goes to USER/NAME and the lessons to
    USER/NAME-lessons, private if they are new, with a revision M2, M3, ... for every iteration. The token is taken from
    HF_TOKEN or 'hf auth login'.

    \b
      $ presrm export runs/mine/iterations/3/policy --merge --out whole
      $ presrm export runs/mine --to step-dpo --out pairs.jsonl
      $ presrm export checked.jsonl --to math-shepherd --out shepherd.jsonl
      $ presrm export runs/mine --to hub --out published
    """
    if ((push_to_hub or public) and to != _HUB) or (public and not push_to_hub):
        raise RequestError("--push-to-hub goes with --to hub, and --public with --push-to-hub")
    if to == _HUB:
        _export_run(Path(source), out, push_to_hub, public=public, merge=merge, dtype=dtype)
        return
    if merge is (to is not None):
        raise RequestError("say what to export: --merge makes one model of a policy, --to FORMAT writes pairs or steps")
    if to is not None:
        _export_rows(Path(source), to, out)
        return
    from presrm.cli.fit import new_folder
    from presrm.engines.hf_files import policy_at

    new_folder(out)
    policy = policy_at(source)
    with RichProgress().stage("load and write the model", None):
        from presrm.training.merging import merge_adapter  # and torch

        merge_adapter(policy, out, dtype)
    print(f"The model is in {out}" + ("" if policy.adapter else f"; {source} has no adapter, so it is a copy"))


def _export_run(run: Path, out: Path, repository: str | None, *, public: bool, merge: bool, dtype: str) -> None:
    from presrm.assembly.publishing import check_repository, is_publication, push, write_publication
    from presrm.cli.fit import new_folder

    if repository:
        check_repository(repository)
    if not (repository and is_publication(run, out)):
        numbers = write_publication(run, new_folder(out), merge=merge, dtype=dtype)
        print(f"{', '.join(f'M{number}' for number in numbers)} of {run} with cards, and the lessons, are in {out}")
    if repository:
        push(out, repository, print, public=public)


def _export_rows(source: Path, to: str, out: Path) -> None:
    from presrm.formats.exports import WRITERS
    from presrm.formats.step_exports import STEP_WRITERS
    from presrm.registry import nearest

    known = [*WRITERS, *STEP_WRITERS, _HUB]
    if to not in known:
        raise RequestError(f"--to {to}: no such format; {nearest(to, known)}")
    if out.exists():
        raise RequestError(f"--out {out} is there already; choose a new file, because its content would be lost")
    out.parent.mkdir(parents=True, exist_ok=True)
    if to in WRITERS:
        _export_pairs(source, to, out)
    else:
        _export_steps(source, to, out)


def _export_pairs(source: Path, to: str, out: Path) -> None:
    from presrm.formats.exports import WRITERS, ends_inside

    num = num_inside = 0
    with output_rows(str(out)) as write:
        for pair in _pairs(source):
            write(WRITERS[to](pair))
            num += 1
            num_inside += ends_inside(pair)
    print(f"Wrote {counted(num, 'pair')} to {out}")
    if num_inside:
        print(
            f"presrm: {num_inside} of them are steps that do not end their solution; a trainer that puts its end token "
            "behind every reply, as most do, would teach the policy to stop there (presrm fit does not; 'presrm "
            "check-pairs' shows them)",
            file=sys.stderr,
        )


def _pairs(source: Path) -> "Iterator[PreferencePair]":
    """Read the pairs of all iterations of a run, or of a file."""
    from presrm.files.jsonl import load_typed
    from presrm.formats.pairs import read_pairs
    from presrm.types import PreferencePair

    if not source.is_dir():
        yield from read_pairs(source).pairs
        return
    for path in _of_run(source, "pairs.jsonl"):
        yield from load_typed(PreferencePair, path)


def _of_run(run: Path, name: str) -> list[Path]:
    """Find an artefact in all iterations of a run, those of their rounds first."""
    found = [*run.glob(f"iterations/*/{name}"), *run.glob(f"iterations/*/rounds/*/{name}")]
    places = {path: path.relative_to(run / "iterations").parts for path in found}
    found = [path for path in found if places[path][0].isdecimal()]
    if not found:
        raise DataError(f"{run} holds no {name.partition('.')[0]}: no iterations/*/{name}")
    return sorted(found, key=lambda path: (int(places[path][0]), len(places[path]) < 3, places[path]))


def _export_steps(source: Path, to: str, out: Path) -> None:
    from presrm.files.jsonl import read_rows
    from presrm.formats.step_exports import STEP_WRITERS

    threshold = _threshold_of(source)
    rejected: list[BadRow] = []
    num = num_rows = 0
    rejected_to = rejected_path(None, str(out))
    with telling_rejected(rejected_to), output_rows(str(out)) as write:
        for path in _of_run(source, "trees.jsonl") if source.is_dir() else [source]:
            for row in read_rows(path, sys.maxsize - 1):
                try:
                    if isinstance(row, BadRow):
                        raise DataError(row.reason)
                    for judged in _judged_paths(row.value, threshold):
                        made = STEP_WRITERS[to](judged)
                        num, num_rows = num + bool(made), num_rows + len(made)
                        for each in made:
                            write(each)
                except DataError as error:
                    rejected.append(BadRow(row.line, str(error), ""))
        if not num:
            raise NoGoodRowError(source, rejected or [BadRow(1, "no step has a score", "")])
    report_rejected(rejected, rejected_to, str(source))
    print(f"Wrote {counted(num_rows, 'row')} of {counted(num, 'solution')} to {out}")


def _judged_paths(row: dict[str, Any], threshold: float) -> "Iterator[JudgedPath]":
    """Read a row of trees.jsonl, or one that judge-steps wrote."""
    from presrm.formats.fields import question_of
    from presrm.formats.step_exports import path_of_judged, paths_of
    from presrm.formats.step_labels import read_step_labels
    from presrm.formats.trees import tree_of

    if "judged" in row:
        labelled = read_step_labels(row)
        question = question_of(row) if labelled is None else labelled.question
        return iter([path_of_judged(question, row["judged"], threshold)])
    return paths_of(tree_of(row), threshold)


def _threshold_of(source: Path) -> float:
    """Read from which score on a step of a run is right; say so where its scores only compare siblings."""
    from presrm.config import load_config
    from presrm.judges import JUDGES

    config = source / "config.yaml"
    if not config.is_file():
        return _THRESHOLD
    judge = load_config(config, is_typed=False).judge
    try:
        scale = getattr(JUDGES.factory(judge.kind), "scale", None)
    except UnknownNameError:  # a judge of the user's own: it is not loaded for this
        scale = None
    if scale == "relative":
        print(
            f"presrm: scores of judge {judge.kind!r} compare the candidates for one step: a step that is labelled "
            "wrong has lost against the others, and may be right; an absolute judge (presrm judge-steps) labels "
            "steps by themselves",
            file=sys.stderr,
        )
    return judge.threshold
