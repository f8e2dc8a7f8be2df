"""``presrm export``: what a run or a training made, for other tools."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from presrm.cli.settings import EMBEDDED
from presrm.errors import DataError, RequestError

if TYPE_CHECKING:
    from presrm.types import PreferencePair


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help=f"With --merge a policy (a folder, or '{EMBEDDED}'); with --to a run or a file of pairs.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="With --merge a new folder; with --to a file.")],
    merge: Annotated[bool, typer.Option("--merge", help="Add the adapter to its base: one whole model.")] = False,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option("--dtype", help="With --merge: number format of the weights. float32 rounds nothing."),
    ] = "float32",
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TRAINER", help="Write pairs for step-dpo, trl, openrlhf or llama-factory."),
    ] = None,
) -> None:
    """Write a policy, or preference pairs, for other tools.

    A policy of a run (RUN/iterations/3/policy) or of fit is a folder that transformers or PEFT load as it is. An
    adapter also needs its base; with --merge the two become one model, with tokenizer, chat template and card.

    With --to, the pairs of all iterations of a run, or of a file in any format that fit reads, are written as JSON
    Lines for another trainer. Trainers other than Step-DPO's know whole answers only: both replies then begin with the
    steps before. They also put their end token behind every reply; the command says for how many pairs that is wrong.

    \b
      $ presrm export runs/mine/iterations/3/policy --merge --out whole
      $ presrm export runs/mine --to step-dpo --out pairs.jsonl
    """
    if merge is (to is not None):
        raise RequestError("say what to export: --merge makes one model of a policy, --to TRAINER writes pairs")
    if to is not None:
        _export_pairs(source, to, out)
        return
    from presrm.cli.fit import new_folder
    from presrm.engines.hf_files import policy_at
    from presrm.training.merging import merge_adapter

    new_folder(out)
    policy = policy_at(source)
    merge_adapter(policy, out, dtype)
    print(f"The model is in {out}" + ("" if policy.adapter else f"; {source} has no adapter, so it is a copy"))


def _export_pairs(source: str, to: str, out: Path) -> None:
    from presrm.files.run import replace_file
    from presrm.formats.exports import WRITERS, ends_inside
    from presrm.registry import nearest

    if to not in WRITERS:
        raise RequestError(f"--to {to}: no such trainer; {nearest(to, WRITERS)}")
    if out.exists():
        raise RequestError(f"--out {out} is there already; choose a new file, because its content would be lost")
    write = WRITERS[to]
    lines, num_inside = [], 0
    for pair in _pairs(Path(source)):
        lines.append(json.dumps(write(pair), ensure_ascii=False) + "\n")
        num_inside += ends_inside(pair)
    out.parent.mkdir(parents=True, exist_ok=True)
    replace_file(out, "".join(lines))
    print(f"{len(lines)} pairs are in {out}")
    if num_inside:
        print(
            f"presrm: {num_inside} of them are steps that do not end their solution; a trainer that puts its end token "
            "behind every reply, as most do, would teach the policy to stop there (presrm fit does not)",
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
    files = sorted(source.glob("iterations/*/pairs.jsonl"), key=lambda path: int(path.parent.name))
    if not files:
        raise DataError(f"{source} holds no pairs: no iterations/*/pairs.jsonl")
    for path in files:
        yield from load_typed(PreferencePair, path)
