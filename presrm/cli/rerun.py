"""``presrm rerun``: a part of a run anew."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from presrm.cli.progress import RichProgress
from presrm.cli.settings import SettingsOption, settings_of_run
from presrm.cli.train import print_summaries
from presrm.files.aside import STAGES

Since = StrEnum("Since", {name: name for name in STAGES})  # type: ignore[misc]


def rerun(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, finished or not.")],
    since: Annotated[Since, typer.Option("--from", help="The first stage to make anew.")],
    iteration: Annotated[
        int, typer.Option("--iteration", metavar="T", min=1, help="T of the M(T) that the stage is for.")
    ],
    config: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="CONFIG", help="A YAML file with the settings of the run. [config.yaml of the run]"
        ),
    ] = None,
    settings: SettingsOption = None,
) -> None:
    """Make a part of a run anew; what was there is set aside.

    Everything that the stage and all stages behind it have made, in this iteration and in later ones, is moved to
    RUN/aside/1 (2, 3, ...) and stays there. Then the run is trained to its end, as by 'presrm train'. Settings that a
    run fixes stay as they are; those that may change between two starts can be set.

    Stages are, in this order: problems, search (with the judge), pairs (or what else the method learns from), fit,
    answers (held-out problems) and health (of the judge). M1 has fit (its seed stage), answers and health. If
    interrupted, run the same command again: it resumes.

    \b
      $ presrm rerun runs/mine --from fit --iteration 3
      $ presrm rerun runs/mine --from health --iteration 1 --set watch.on_alarm=stop
    """
    resolved = settings_of_run(run, config, settings or [])
    progress = RichProgress()
    progress.run = run
    from presrm.assembly import runs

    print_summaries(runs.rerun(resolved, run, since.value, iteration, progress), run)
