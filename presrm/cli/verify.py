"""``presrm verify``: is a run what it was when it was made?"""

from pathlib import Path
from typing import Annotated

import typer

from presrm.errors import RunError

_NUM_SHOWN = 3


def verify(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or in progress.")]) -> None:
    """Check a run against the hashes in its manifest.

    Every artefact is compared, nothing is changed, and no model is loaded. If one is missing or differs, unfinished
    ones included, the command names it, says what to do, and ends with exit code 1. The verdict ledger and the metrics
    hold clocks and have no hashes; they only have to be readable.

    \b
      $ presrm verify runs/embedded
    """
    from presrm.files.manifest import check_run

    num, differences = check_run(run)
    if differences:
        more = f"; and {len(differences) - _NUM_SHOWN} more" if len(differences) > _NUM_SHOWN else ""
        raise RunError(f"{len(differences)} of {num} artefacts differ: {'; '.join(differences[:_NUM_SHOWN])}{more}")
    print(f"{num} artefacts are what the run wrote")
