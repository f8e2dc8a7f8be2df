"""The figures of a run for trackers: each policy's scores, judge, lessons and costs, its training, and some trees."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from presrm.files.content import replace_file
from presrm.iteration import IterationSummary
from presrm.judging.signs import Signs
from presrm.prompts.escaping import escape_controls
from presrm.protocols import Tracker
from presrm.report.facts import COUNTED, TREES, RunFacts
from presrm.statistics import Figure

_NUM_TREES = 3
_NOT_FIGURES = {"stage", "time", "optimiser_step"}


def track(facts: RunFacts, trackers: Mapping[str, Tracker], state: Path) -> None:
    """Send what is new since the last time, by ``state``, a file: a run that was interrupted sends nothing twice."""
    sent = json.loads(state.read_text("utf-8")) if state.is_file() else {}
    steps = [(number, row) for number, rows in sorted(facts.curves.items()) for row in rows]
    for name, tracker in trackers.items():
        before = sent.get(name, {"policies": 0, "steps": 0})
        for step, (_, row) in enumerate(steps[before["steps"] :], before["steps"] + 1):
            tracker.log({key: value for key, value in row.items() if key not in _NOT_FIGURES}, step)
        for summary in facts.summaries[before["policies"] :]:
            tracker.log({**summary_metrics(summary), **cost_metrics(facts, summary.number)}, summary.number)
            for place, tree in enumerate(_trees(facts, summary.number), 1):
                tracker.text(f"trees/{place}", tree, summary.number)
        sent[name] = {"policies": len(facts.summaries), "steps": len(steps)}
    replace_file(state, json.dumps(sent, sort_keys=True) + "\n")


def summary_metrics(summary: IterationSummary) -> dict[str, float]:
    """Give what is known of a policy as figures; what is unknown is left out, never zero."""
    scores, health = summary.scores, summary.health
    figures: dict[str, Figure | None] = {
        "scores/accuracy": scores.accuracy,
        "scores/validation": summary.validation.accuracy if summary.validation else None,
        "scores/change": summary.vs_parent.difference if summary.vs_parent else None,
        "judge/own_siblings": health.siblings.accuracy.right if health.siblings else None,
        "judge/fixed": health.fixed.right if health.fixed else None,
        "judge/kept": health.shadow.judge if health.shadow else None,
        "judge/shadow": health.shadow.shadow if health.shadow else None,
    }
    if health.signs is not None:
        figures |= {f"judge/{field.name}": getattr(health.signs, field.name) for field in fields(Signs)}
    metrics = {
        name: figure.value for name, figure in figures.items() if figure is not None and figure.value is not None
    }
    num = scores.accuracy.num
    metrics |= {"scores/no_answer": scores.no_answer / num, "scores/cut_off": scores.cut_off / num} if num else {}
    for name, value in (("steps", scores.mean_steps), ("step_tokens", scores.mean_step_tokens)):
        if value is not None:
            metrics[f"scores/{name}"] = value
    if summary.num_lessons is not None:
        metrics["pairs/lessons"] = float(summary.num_lessons)
    return metrics | {f"pairs/{cause}": float(num) for cause, num in (summary.dropped or {}).items()}


def cost_metrics(facts: RunFacts, number: int) -> dict[str, float]:
    """Give what the stages of an iteration took."""
    return {
        f"stage/{cost.stage}/{name}": float(getattr(cost, name))
        for cost in facts.costs
        if cost.iteration == number
        for name in COUNTED
        if getattr(cost, name) is not None
    }


def _trees(facts: RunFacts, number: int) -> list[str]:
    """Write the first trees of an iteration as text."""
    artefact = facts.artefact(number, TREES)
    rows = [] if artefact is None else [row for (_, row), _ in zip(artefact.rows(), range(_NUM_TREES), strict=False)]
    return [escape_controls(_tree_text(row)) for row in rows]


def _tree_text(row: Mapping[str, Any]) -> str:
    lines = [row["problem"]["question"]]
    for number, made in enumerate(row["expansions"]):
        lines.append(f"expansion {number}{' (rolled back)' if number in row['dropped'] else ''}")
        lines += [_candidate_text(place, one, made["kept"]) for place, one in enumerate(made["candidates"])]
    return "\n".join(lines)


def _candidate_text(place: int, candidate: Mapping[str, Any], kept: Sequence[int]) -> str:
    judgement = candidate["judgement"]
    score = judgement["status"] if judgement["score"] is None else f"{judgement['score']:.2f}"
    return f"  {'>' if place in kept else ' '} {score}  {' '.join(candidate['step']['text'].split())}"
