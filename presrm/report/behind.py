"""What stands behind the figures of a run, for its Markdown and JSON: settings, training, solutions by length, pairs.

No clocks: time and tokens of a stage are told by ``presrm status`` and by the page of ``presrm report``.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from presrm.config import section_of
from presrm.report.facts import ANSWERS, Artefact, RunFacts
from presrm.report.figures import figure_text
from presrm.statistics import Figure, share

_LONGEST = 8
"""Solutions of so many steps and more are counted together."""
_TOLD = ("objective", "search", "judge", "pairs", "policies", "training", "evaluation", "watch")
_CURVE = ("loss", "rewards/margins", "rewards/accuracies")


def to_plain(facts: RunFacts) -> dict[str, Any]:
    """Give it as plain data."""
    by_steps = {
        f"M{number}": {steps: (figure.num_hits, figure.num) for steps, figure in found.items()}
        for number, found in accuracy_by_steps(facts).items()
    }
    return {
        "settings": facts.config.model_dump(mode="json"),
        "training": {f"M{number}": rows for number, rows in training(facts).items()},
        "right_of_solutions_by_steps": by_steps,
        "pairs": three_pairs(facts),
    }


def training(facts: RunFacts) -> dict[int, dict[str, tuple[float, float]]]:
    """Give loss, margin and accuracy in the first and last optimiser step that logs them, by T of M(T)."""
    found: dict[int, dict[str, tuple[float, float]]] = {}
    for number, rows in facts.curves.items():
        by_name = {name: [row[name] for row in rows if name in row] for name in _CURVE}
        if rows:
            found[number] = {name: (values[0], values[-1]) for name, values in by_name.items() if values}
    return found


def accuracy_by_steps(facts: RunFacts) -> dict[int, dict[str, Figure]]:
    """Give the share of right solutions by their number of steps, for every policy."""
    found: dict[int, dict[str, Figure]] = {}
    for summary in facts.summaries:
        hits: dict[int, list[bool]] = {}
        answers = facts.artefact(summary.number, ANSWERS)
        for _, row in answers.rows() if answers else ():
            if (chosen := row.get("chosen")) is not None:
                steps = min(row["num_steps"][chosen], _LONGEST)
                hits.setdefault(steps, []).append(row["grades"][chosen] == "correct")
        found[summary.number] = {
            f"{steps}{'+' * (steps == _LONGEST)}": share(right) for steps, right in sorted(hits.items())
        }
    return found


def three_pairs(facts: RunFacts) -> list[dict[str, Any]]:
    """Give the pairs of the last iteration with the widest, the middle and the narrowest margin."""
    artefacts = facts.artefacts("pairs.jsonl")
    if not artefacts:
        return []
    margins = sorted(((row["margin"], start) for start, row in artefacts[-1].rows()), key=lambda item: -item[0])
    places = list(dict.fromkeys((0, len(margins) // 2, len(margins) - 1)))
    return [_pair(artefacts[-1], margins[place][1]) for place in places]


def _pair(artefact: Artefact, start: int) -> dict[str, Any]:
    (row,) = artefact.rows_at([start])
    return {
        "id": row["id"],
        "margin": row["margin"],
        "question": row["prefix"]["problem"]["question"],
        "before": [step["text"] for step in row["prefix"].get("steps", [])],
        "chosen": row["chosen"]["text"],
        "rejected": row["rejected"]["text"],
    }


def to_lines(facts: RunFacts, escape: Callable[[str], str]) -> list[str]:
    """Write it as Markdown; `escape` makes text from outside harmless."""
    lines = ["", "## Training", ""]
    for number, found in training(facts).items():
        told = ", ".join(f"{name} {first:.4g} -> {last:.4g}" for name, (first, last) in found.items())
        lines.append(f"- **M{number}**, first optimiser step -> last: {told}.")
    if not training(facts):
        lines.append("Nothing was trained yet.")
    lines += ["", "## Right solutions by their number of steps", ""]
    lines += _steps_table(accuracy_by_steps(facts))
    pairs = three_pairs(facts)
    if pairs:
        lines += [
            "",
            "## Three pairs of the last iteration",
            "",
            "With the widest, the middle and the narrowest margin.",
            "",
        ]
    for pair in pairs:
        lines.append(f"- `{escape(pair['id'])}`, margin {pair['margin']:.3f}: {_cut(escape, pair['question'])}")
        lines += [f"    - {name}: {_cut(escape, pair[name])}" for name in ("chosen", "rejected")]
    return [*lines, "", "## Settings and thresholds", "", *_settings(facts.config, escape)]


def _steps_table(found: Mapping[int, Mapping[str, Figure]]) -> list[str]:
    columns = sorted({steps for row in found.values() for steps in row}, key=lambda steps: int(steps.rstrip("+")))
    if not columns:
        return ["No solution was graded."]
    named = [f"{steps} {'step' if steps == '1' else 'steps'}" for steps in columns]
    lines = [f"| model | {' | '.join(named)} |", f"|{' --- |' * (len(columns) + 1)}"]
    for number, row in found.items():
        cells = [figure_text(row[steps], "share", with_num=True) if steps in row else "-" for steps in columns]
        lines.append(f"| M{number} | {' | '.join(cells)} |")
    return lines


def _settings(config: Any, escape: Callable[[str], str]) -> list[str]:
    """List the settings that decide what is paired, trained, measured and raised as an alarm."""
    lines = []
    for name in _TOLD:
        section = getattr(config, name, None)
        if section is None or section_of(type(section)) is None:
            continue
        told = ", ".join(f"{key} {escape(_plain(value))}" for key, value in section.model_dump(mode="json").items())
        lines.append(f"- **{name}**: {told}")
    return lines


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cut(escape: Callable[[str], str], text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return str(escape(line if len(line) <= limit else f"{line[:limit]} ..."))
