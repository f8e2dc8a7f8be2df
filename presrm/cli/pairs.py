"""``presrm pairs``: search trees -> preference pairs, the credit stage by itself."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from presrm.cli.files import (
    STANDARD,
    input_file,
    output_rows,
    rejected_path,
    report_rejected,
    telling_rejected,
)
from presrm.cli.settings import EMBEDDED, SettingsOption
from presrm.config import load_config
from presrm.errors import DataError, NoLessonsError, RequestError, counted
from presrm.files.jsonl import BadRow, NoGoodRowError, read_rows

if TYPE_CHECKING:
    from presrm.credit.pairs import MinedPairs


def pairs(
    file: Annotated[
        str,
        typer.Argument(metavar="TREES", help="A trees.jsonl, of a run or of 'presrm search'; - is standard input."),
    ],
    out: Annotated[str, typer.Option("--out", metavar="PAIRS", help="Output file; - writes to standard output.")],
    config: Annotated[
        str,
        typer.Option("--config", metavar="CONFIG", help="A YAML file or a shipped config, for its section 'pairs'."),
    ] = EMBEDDED,
    iteration: Annotated[
        int | None,
        typer.Option("--iteration", metavar="T", min=2, help="Begin the ids of pairs with this number, as a run does."),
    ] = None,
    settings: SettingsOption = None,
) -> None:
    """Make preference pairs from search trees.

    Every expansion that was kept gives at most one pair: the kept candidate over the one with the lowest score. The
    settings are those of the section 'pairs'; causes why an expansion gave none are counted. No model is loaded. With
    the config and the number of a run's iteration, the output is that run's pairs.jsonl to the byte. Train on it with
    'presrm fit'.

    \b
      $ presrm pairs trees.jsonl --out pairs.jsonl
      $ presrm pairs trees.jsonl --out wide.jsonl --set pairs.min_margin=0.5
      $ presrm pairs runs/mine/iterations/2/trees.jsonl --config runs/mine/config.yaml --iteration 2 --out again.jsonl
    """
    from presrm.credit.pairs import explain_dropped, explain_no_pairs

    options = load_config(config, settings or []).pairs
    if options.anchor or options.second_judge is not None or options.consistency != "off":
        raise RequestError(
            "pairs.anchor, pairs.second_judge and pairs.consistency ask a policy, which only a run does; leave them out"
        )
    rejected_to = rejected_path(file, out)
    with input_file(file) as source, telling_rejected(rejected_to):
        if out != STANDARD and Path(out).resolve() == source.resolve():
            raise RequestError(f"--out {out} would overwrite the input")
        with output_rows(out) as write:
            mined, num, rejected = _mine(source, options, iteration, write)
            if not mined.num_problems:
                raise NoGoodRowError(source, rejected)
            if not num:
                raise NoLessonsError(explain_no_pairs(mined))
    report_rejected(rejected, rejected_to)
    dropped = f"; without one: {told}" if (told := explain_dropped(mined)) else ""
    came = f"{counted(mined.num_expansions, 'expansion')} of {counted(mined.num_problems, 'problem')}"
    print(f"{counted(num, 'pair')} from {came}{dropped}", file=sys.stderr if out == STANDARD else sys.stdout)


def _mine(source: Path, options: Any, iteration: int | None, write: Any) -> "tuple[MinedPairs, int, list[BadRow]]":
    """Write the pairs of every tree as it is read: what was mined, without the pairs; their number; the bad rows."""
    from presrm.credit.pairs import MinedPairs, mine_pairs
    from presrm.files.jsonl import plain
    from presrm.formats.trees import tree_of

    total, num, rejected = MinedPairs((), {}), 0, list[BadRow]()
    for row in read_rows(source, sys.maxsize - 1):
        if isinstance(row, BadRow):
            rejected.append(row)
            continue
        try:
            tree = tree_of(row.value)
        except DataError as error:
            rejected.append(BadRow(row.line, str(error), ""))
            continue
        mined = mine_pairs([tree], options, iteration)
        for pair in mined.pairs:
            write(plain(pair))
        num += len(mined.pairs)
        total += replace(mined, pairs=(), both_orders=())
    return total, num, rejected
