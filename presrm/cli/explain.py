"""``presrm explain``: where a preference pair comes from."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

_WIDTH_OF_PIPES = 100


def explain(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    pair: Annotated[
        str | None, typer.Argument(metavar="[PAIR]", help="The id of a pair, from pairs.jsonl. [none: list all pairs]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines instead of text.")] = False,
) -> None:
    """Explain where a preference pair comes from.

    Prints the problem, the steps before, both steps of the pair, every verdict of the judge on them in both orders, and
    the scores that made the pair. Without PAIR, lists all pairs of the run. This also works while the run is in
    progress.

    \b
      $ presrm explain runs/embedded
      $ presrm explain runs/embedded "2/arithmetic:7-1*9-2/1"
    """
    from presrm.assembly.judges import tie_tolerance
    from presrm.config import load_config
    from presrm.report.explain import draw, draw_list, explain_pair, pairs_of, to_plain

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:
        console.width = _WIDTH_OF_PIPES
    if pair is None:
        pairs = pairs_of(run)
        if not as_json:
            console.print(draw_list(pairs))
        for iteration, found in pairs if as_json else ():
            print(json.dumps({"pair": found.id, "iteration": iteration, "margin": found.margin}))
        return
    pairs_of(run)
    config = load_config(run / "config.yaml", is_typed=False)
    for explanation in explain_pair(run, pair, tie_tolerance(config.judge)):
        if as_json:
            print(json.dumps(to_plain(explanation)))
        else:
            console.print(draw(explanation, console.width))
