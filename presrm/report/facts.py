"""The facts of a run, in one place: the page, Markdown, JSON and the terminal draw on these.

A run is read without its lock, so that it can be looked at while it is in progress: what the manifest lists counts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from presrm.config import Config, parse_config
from presrm.errors import DataError, counted
from presrm.files.jsonl import Row, parse_row
from presrm.files.manifest import explain_settings
from presrm.iteration import IterationSummary, read
from presrm.judging.health import with_alarms

ANSWERS, LESSONS, TREES = "answers.jsonl", ("pairs.jsonl", "demonstrations.jsonl", "attempts.jsonl"), "trees.jsonl"
SEARCHES = (TREES, "traces.jsonl")
"""Trees of solutions, and of judgements, where these are what is drawn."""
STAGES = {
    "seed": "seed stage",
    "write": "writing problems",
    "label": "labelling steps",
    "search": "search and judge",
    "trace": "drawing judgements",
    "propose": "proposing again",
    "again": "judging again",
    "fit": "training",
    "answers": "held-out problems",
    "validation": "validation problems",
    "health": "judge health",
}
"""What takes time in an iteration, by its name in ``metrics.jsonl``."""
MEASURES = ("answers", "validation", "health")
"""Of these, what measures a policy."""
COUNTED = ("seconds", "tokens_generated", "tokens_read", "tokens_recalled")
"""What is added up of each."""


@dataclass(frozen=True, slots=True)
class StageCost:
    """What a stage of an iteration took, over all starts of the run.

    Attributes:
        iteration: T of the M(T) it belongs to.
        stage: As in `STAGES`.
        seconds: Of work that was finished; none while it is in progress.
        tokens_generated: Tokens that the policy wrote; none where that was not counted.
        tokens_read: Prompt tokens that it read; likewise.
        tokens_recalled: Prompt tokens that it found in a cache instead; likewise.
    """

    iteration: int
    stage: str
    seconds: float | None = None
    tokens_generated: int | None = None
    tokens_read: int | None = None
    tokens_recalled: int | None = None

    @property
    def hit_rate(self) -> float | None:
        """The share of prompt tokens that were found in a cache; none where that was not counted."""
        if self.tokens_recalled is None or not (num := self.tokens_recalled + (self.tokens_read or 0)):
            return None
        return self.tokens_recalled / num


@dataclass(frozen=True)
class RunFacts:
    """What is known of a run.

    Attributes:
        path: The run folder.
        config: Its settings, as the manifest has them.
        manifest: As on disk.
        summaries: Of every policy assessed so far.
        metrics: Rows of ``metrics.jsonl``, with clocks.
    """

    path: Path
    config: Config
    manifest: Mapping[str, Any]
    summaries: tuple[IterationSummary, ...]
    metrics: tuple[Mapping[str, Any], ...]

    @property
    def is_finished(self) -> bool:
        """Whether every policy that the settings ask for is assessed."""
        return len(self.summaries) > self.config.iterations

    @property
    def note(self) -> str:
        """A line that says that ``config.yaml`` was edited; nothing if it was not."""
        return explain_settings(self.path, self.manifest["config"])

    @property
    def doing(self) -> str:
        """The artefact that is being made, in words; nothing where none is known."""
        for name, entry in sorted(self._artefacts.items(), key=lambda item: int(item[0].split("/")[0])):
            if "rows" in entry and "sha256" not in entry:
                return f"iterations/{name}, {counted(entry['rows'], 'row')} so far"
        return ""

    @property
    def about(self) -> dict[str, str]:
        """The policy, the seed and the versions, for a list."""
        facts = {"name": self.config.name, "policy": self.config.model.id, "method": self.config.method.kind}
        facts |= {key: str(value) for key, value in self.manifest.get("policy", {}).items()}
        versions = {key: str(value) for key, value in self.manifest.get("versions", {}).items()}
        return facts | {"seed": str(self.config.seed)} | versions

    @property
    def _artefacts(self) -> dict[str, dict[str, Any]]:
        entries = self.manifest.get("artefacts", {})
        return {name: entry for name, entry in entries.items() if name.split("/")[0].isdecimal()}

    def num_rows(self, iteration: int, name: str) -> int:
        """Count the finished rows of an artefact."""
        return int(self._artefacts.get(f"{iteration}/{name}", {}).get("rows", 0))

    def artefact(self, iteration: int, name: str) -> "Artefact | None":
        """Find a JSON Lines artefact, if there is a row of it; that of a round is ``rounds/<r>/<name>``."""
        entry, path = self._artefacts.get(f"{iteration}/{name}", {}), self.path / "iterations" / str(iteration) / name
        return Artefact(iteration, path, int(entry["bytes"])) if entry.get("rows") and path.is_file() else None

    def artefacts(self, *names: str) -> "list[Artefact]":
        """Find all artefacts of these names, those of rounds too, in the order of the iterations."""
        places = (key.split("/", 1) for key in self._artefacts if key.rsplit("/", 1)[-1] in names)
        found = (self.artefact(int(number), name) for number, name in sorted(places, key=lambda place: _order(*place)))
        return [artefact for artefact in found if artefact is not None]

    @cached_property
    def curves(self) -> dict[int, tuple[Mapping[str, float], ...]]:
        """Rows of training by T of the M(T) that was trained, its rounds one after the other.

        Of a training that was cut short and began again, or was set aside, they are those of the last time.
        """
        curves: dict[int, tuple[Mapping[str, float], ...]] = {}
        rows: list[Mapping[str, float]] = []
        for row in self.metrics:
            if row.get("stage") == "rerun":
                first = row["iteration"] + (row["since"] in ("answers", "health"))
                curves, rows = {number: curve for number, curve in curves.items() if number < first}, []
            elif row.get("stage") == "fit" and "optimiser_step" in row and "loss" in row:
                if rows and row["optimiser_step"] <= rows[-1]["optimiser_step"]:
                    rows = []
                rows.append(row)
            elif rows and isinstance(row.get("iteration"), int):  # of the training itself, unless a kill came before it
                curves[row["iteration"]], rows = (*curves.get(row["iteration"], ()), *rows), []
        if rows:
            curves[max(curves, default=1) + 1] = tuple(rows)
        return curves

    @cached_property
    def costs(self) -> tuple[StageCost, ...]:
        """What every stage took so far, in the order begun."""
        costs: dict[tuple[int, str], StageCost] = {}
        untold: set[tuple[int, str]] = set()
        for row in self.metrics:
            number, stage = row.get("iteration"), row.get("stage")
            if not isinstance(number, int) or stage not in STAGES:
                continue
            before = costs.get((number, stage), StageCost(number, stage))
            added = {name: row[name] for name in COUNTED if name in row}
            costs[number, stage] = replace(
                before, **{name: (getattr(before, name) or 0) + value for name, value in added.items()}
            )
            if "tokens_read" in row and "tokens_recalled" not in row:
                untold.add((number, stage))
        return tuple(replace(cost, tokens_recalled=None) if key in untold else cost for key, cost in costs.items())

    def num_tokens(self, iteration: int) -> int:
        """Count the tokens drawn and read to make the policy of an iteration; its measurement apart."""
        made = (cost for cost in self.costs if cost.iteration == iteration and cost.stage not in MEASURES)
        return sum((cost.tokens_generated or 0) + (cost.tokens_read or 0) for cost in made)


@dataclass(frozen=True, slots=True)
class Artefact:
    """A JSON Lines file of an iteration, perhaps in progress.

    Attributes:
        iteration: T of the M(T) that it is for.
        path: The file.
        num_bytes: How far it is finished.
    """

    iteration: int
    path: Path
    num_bytes: int

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Give every finished row, and the byte at which it begins.

        Raises:
            DataError: if a line is no row.
        """
        with self.path.open("rb") as file:
            start = 0
            for number, line in enumerate(file, 1):
                if start + len(line) > self.num_bytes:
                    return
                yield start, self._parse(number, line)
                start += len(line)

    def rows_at(self, starts: Sequence[int]) -> Iterator[dict[str, Any]]:
        """Give the rows that begin at these bytes."""
        with self.path.open("rb") as file:
            for start in starts:
                file.seek(start)
                yield self._parse(0, file.readline())

    def _parse(self, number: int, line: bytes) -> dict[str, Any]:
        row = parse_row(number, line, len(line))
        if not isinstance(row, Row):
            raise DataError(f"{self.path}, line {number}: {row.reason}")
        return row.value


def read_facts(run: Path) -> RunFacts:
    """Read a run folder, whether or not it is in progress.

    Raises:
        DataError: if it is no run folder, or one of its files is damaged.
    """
    manifest_path = run / "manifest.json"
    if not manifest_path.is_file():
        raise DataError(f"{run} is no run folder; expected what 'presrm train --out' made")
    try:
        manifest = json.loads(manifest_path.read_text("utf-8"))
        config = parse_config(manifest["config"], str(manifest_path))
        summaries = list[IterationSummary]()
        for number in _assessed(manifest):
            summaries.append(_summary(run, number, config, summaries))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{run} cannot be read as a run: {error}") from error
    return RunFacts(run, config, manifest, tuple(summaries), tuple(_metrics(run / "metrics.jsonl")))


def _order(number: str, name: str) -> tuple[int, bool, list[tuple[bool, int, str]]]:
    """Sort by iteration, its rounds by their numbers and before what follows them."""
    parts = [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in name.split("/")]
    return int(number), "/" not in name, parts


def _assessed(manifest: Mapping[str, Any]) -> Iterator[int]:
    number = 1
    while "sha256" in manifest["artefacts"].get(f"{number}/scores.json", {}):
        yield number
        number += 1


def _summary(run: Path, number: int, config: Config, before: Sequence[IterationSummary]) -> IterationSummary:
    path = run / "iterations" / str(number) / "scores.json"
    summary = read(IterationSummary, json.loads(path.read_text("utf-8")))
    first = before[0].health if before else None
    return replace(summary, health=with_alarms(summary.health, config.watch, first))


def _metrics(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read the rows; a line that a kill cut short is left out."""
    if path.is_file():
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                row = parse_row(number, line)
                if isinstance(row, Row):
                    yield row.value
