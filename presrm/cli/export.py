"""``presrm export``: what a run or a training made, for other tools."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from presrm.cli.fit import new_folder
from presrm.cli.settings import EMBEDDED
from presrm.errors import RequestError


def export(
    source: Annotated[
        str, typer.Argument(metavar="POLICY", help=f"A policy: the folder of a model or an adapter, or '{EMBEDDED}'.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Output folder, new or empty.")],
    merge: Annotated[bool, typer.Option("--merge", help="Add the adapter to its base: one whole model.")] = False,
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        typer.Option("--dtype", help="With --merge: number format of the weights. float32 rounds nothing."),
    ] = "float32",
) -> None:
    """Write a policy for other tools.

    A policy of a run (RUN/iterations/3/policy) or of fit is a folder that transformers or PEFT load as it is. An
    adapter also needs its base; with --merge the two become one model, with tokenizer, chat template and card.

    \b
      $ presrm export runs/mine/iterations/3/policy --merge --out whole
    """
    if not merge:
        raise RequestError("say what to export: --merge makes one model of an adapter and its base")
    new_folder(out)
    from presrm.engines.hf_files import policy_at
    from presrm.training.merging import merge_adapter

    policy = policy_at(source)
    merge_adapter(policy, out, dtype)
    print(f"The model is in {out}" + ("" if policy.adapter else f"; {source} has no adapter, so it is a copy"))
