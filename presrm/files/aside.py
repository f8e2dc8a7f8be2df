"""Setting aside what a run has made from a stage on, so that it is made anew; nothing is deleted.

```
aside/<n>        what was set aside, 1 first
    manifest.json    as it was before; the hashes of what is here stand in it
    iterations/      the artefacts, by the names that they had
    report.*         as they were
```
The manifest says that artefacts are being moved, and where, until it forgets them: a kill in between loses nothing, and
the same call goes on.
"""

import shutil
from functools import partial
from itertools import count
from pathlib import Path

from presrm.errors import RequestError, RunError
from presrm.files.run import RunDir

STAGES = ("problems", "search", "pairs", "fit", "answers", "health")
"""The stages of an iteration, in order."""
_MADE_BY = {
    "written.jsonl": "problems",
    "written.json": "problems",
    "problems.jsonl": "problems",
    "trees.jsonl": "search",
    "shadow.json": "search",
    "anchors.jsonl": "pairs",
    "anchored.jsonl": "pairs",
    "second.jsonl": "pairs",
    "before.jsonl": "pairs",
    "pairs.jsonl": "pairs",
    "demonstrations.jsonl": "pairs",
    "attempts.jsonl": "pairs",
    "answers.jsonl": "answers",
    "validation.jsonl": "answers",
    "siblings.jsonl": "health",
    "health": "health",
    "health.json": "health",
    "scores.json": "health",
}
_FOLDER, _ROUNDS = "aside", "rounds"


def set_aside(run: RunDir, stage: str, iteration: int) -> tuple[int, Path] | None:
    """Set aside what `stage` of `iteration` and everything behind it has made.

    Args:
        run: Open.
        stage: One of `STAGES`.
        iteration: T of the M(T) that it is for.

    Returns:
        How many artefacts that were, and where they are now. None if the last call asked for the same, and what it made
        room for is not finished: then that is to be resumed.

    Raises:
        RequestError: if there is nothing, or no such stage.
    """
    if iteration == 1 and STAGES.index(stage) < STAGES.index("fit"):
        raise RequestError(f"M1 is not made by '{stage}': give --from fit (the seed stage), answers or health")
    if run.manifest.get("rerun") == [stage, iteration]:
        return None
    is_later = partial(_is_later, stage, iteration, (run.path / "iterations" / str(iteration) / _ROUNDS).is_dir())
    names = [name for name, entry in run.manifest["artefacts"].items() if entry and is_later(name)]
    if not names:
        raise RequestError(
            f"{run.path} has made nothing yet from '{stage}' of M{iteration} on; 'presrm train' makes it"
        )
    folder = _folder(run)
    for path in _artefacts(run.path / "iterations"):
        if is_later(path.relative_to(run.path / "iterations").as_posix()):
            target = folder / path.relative_to(run.path)
            if target.exists():
                raise RunError(f"{target} is there already: move it elsewhere, because its content would be lost")
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
    for name in names:
        del run.manifest["artefacts"][name]
    del run.manifest["moving"]
    run.manifest["rerun"] = [stage, iteration]
    run.commit()
    run.log(stage="rerun", since=stage, iteration=iteration)
    return len(names), folder


def end_rerun(run: RunDir) -> None:
    """Say that the run is finished, so that the next `set_aside` is a new one."""
    if run.manifest.pop("rerun", None):
        run.commit()


def _folder(run: RunDir) -> Path:
    """The folder to move to: a new one, or that of a call that was killed while it moved."""
    number = run.manifest.get("moving")
    if isinstance(number, int):
        return run.path / _FOLDER / str(number)
    number = next(number for number in count(1) if not (run.path / _FOLDER / str(number)).exists())
    folder = run.path / _FOLDER / str(number)
    folder.mkdir(parents=True)
    for path in (run.path / "manifest.json", *run.path.glob("report.*")):
        shutil.copyfile(path, folder / path.name)
    run.manifest["moving"] = number
    run.commit()
    return folder


def _artefacts(iterations: Path) -> list[Path]:
    """Files and folders of all iterations, unfinished ones and those of rounds included."""
    found = (*iterations.glob("*/*"), *iterations.glob(f"*/{_ROUNDS}/*/*"))
    return sorted(path for path in found if path.name != _ROUNDS)


def _is_later(stage: str, iteration: int, has_rounds: bool, name: str) -> bool:
    """Whether an artefact is made by `stage` of `iteration`, or later.

    Where an iteration has rounds, its stages from the search to the fit happen in each: the stage meant is that of the
    first round, and all further rounds, of which the last has the iteration's own folder, come behind it.
    """
    number, *parts, last = name.split("/")
    if not number.isdecimal() or int(number) != iteration:
        return number.isdecimal() and int(number) > iteration
    # What is in no table is a policy, what it is trained on besides, or an artefact of the method's own.
    made_by = STAGES.index(_MADE_BY.get("health" if "health" in parts else last, "fit"))
    if has_rounds and parts != [_ROUNDS, "1"] and STAGES[made_by] in ("search", "pairs"):
        made_by = STAGES.index("fit")
    return made_by >= STAGES.index(stage)
