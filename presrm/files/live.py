"""What a run is doing just now: a small file in its folder, replaced every few seconds, gone when the command ends.

It is for people who look at a run beside it, and nothing resumes from it: it is not synced, and holds clocks.
"""

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

_NAME = "live.json"


@dataclass(frozen=True, slots=True)
class Live:
    """What is being done.

    Attributes:
        stage: Its name.
        text: How far it is, in words.
        time: When that was so (seconds since the epoch).
    """

    stage: str
    text: str
    time: float


def write_live(run: Path, stage: str, text: str) -> None:
    """Say what the run in a folder is doing; without the folder nothing is said."""
    temporary = run / f".{_NAME}.tmp"
    try:
        number = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(asdict(Live(stage, text, time.time())), file)
        temporary.replace(run / _NAME)
    except OSError:
        pass  # a view for people: a full disk is told by whoever writes results


def read_live(run: Path) -> Live | None:
    """Read it; none where there is none, or it is damaged."""
    try:
        return TypeAdapter(Live).validate_json((run / _NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def end_live(run: Path) -> None:
    """Take it away."""
    for name in (_NAME, f".{_NAME}.tmp"):
        with suppress(OSError):  # whoever needs the folder says what it is instead
            (run / name).unlink()
