"""The page of several runs side by side: what differs in their settings, and what that came to."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from markupsafe import Markup

from presrm.errors import RequestError, counted
from presrm.evaluation.answers import Comparison, compare_outcomes
from presrm.iteration import SIGNIFICANT
from presrm.report.facts import ANSWERS, RunFacts, read_facts
from presrm.report.figures import figure_text, p_text, value_text
from presrm.report.html.page import Section, sections_of, write_page
from presrm.report.html.plots import Plot, Series, draw_points, legend_below, panels
from presrm.report.html.svg import ACCENT, INK, MUTED, SHADES, SOFT
from presrm.report.html.text import plain
from presrm.statistics import Figure

_COLORS = (ACCENT, MUTED, INK, SOFT, SHADES[2])
_SECTIONS = (("score", "Accuracy and judges", ("accuracy", "judge")),)


def write_comparison_page(runs: Sequence[Path], out: Path) -> Path:
    """Write the page of two to five runs.

    Raises:
        DataError: if one is no run folder, or damaged.
        RequestError: if there are too many, or one has no policy that was assessed.
    """
    if len(runs) > len(_COLORS):
        raise RequestError(f"{len(runs)} runs are too many for one page; compare at most {len(_COLORS)}")
    named = dict(zip(_names(runs), map(read_facts, runs), strict=True))
    for name, facts in named.items():
        if not facts.summaries:
            raise RequestError(f"{name} has no policy that was assessed yet")
    paired = {pair: _compare(named[pair[0]], named[pair[1]]) for pair in combinations(named, 2)}
    drawn = [plot for plot in (_accuracy(named), _judges(named)) if plot is not None]
    write_page(
        out,
        title=" and ".join(named),
        subtitle=f"{len(named)} runs side by side",
        sentences=[_what_differs(named), *(_what_came_out(*pair, named, found) for pair, found in paired.items())],
        sections=[*sections_of(drawn, _SECTIONS), *_tables(named, paired)],
        views=[],
        data={},
        about={name: str(facts.path) for name, facts in named.items()},
    )
    return out


def _names(runs: Sequence[Path]) -> list[str]:
    """Name runs by their folder, and by more of the path where that is not enough."""
    paths = [run.resolve() for run in runs]
    for num in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-num:]) for path in paths]
        if len(set(names)) == len(names):
            return [plain(name) for name in names]
    raise RequestError("the same run is named twice")


def _compare(one: RunFacts, other: RunFacts) -> Comparison | None:
    """Compare the last policies of two runs; none where they did not answer the same problems."""
    try:
        return compare_outcomes(_outcomes(one), _outcomes(other))
    except ValueError:
        return None


def _outcomes(facts: RunFacts) -> dict[str, bool]:
    artefact = facts.artefact(len(facts.summaries), ANSWERS)
    rows = artefact.rows() if artefact is not None else ()
    return {row["doc"]["id"]: row["exact_match"] == 1 for _, row in rows}


def _what_differs(named: Mapping[str, RunFacts]) -> Markup:
    rows = _differences(named)
    told = ", ".join(key for key, *_ in rows) if rows else "no setting"
    return Markup("<strong>What differs.</strong> ") + f"Between {' and '.join(named)}: {told}."


def _differences(named: Mapping[str, RunFacts]) -> list[tuple[str, ...]]:
    """Give the settings that differ, and their values."""
    settings = [_flat(facts.config.model_dump(mode="json")) for facts in named.values()]
    keys = dict.fromkeys(key for one in settings for key in one)
    table = [(key, *(str(one.get(key, "-")) for one in settings)) for key in keys if key != "name"]
    return [tuple(map(plain, row)) for row in table if len(set(row[1:])) > 1]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found |= _flat(inner, f"{prefix}.{key}" if prefix else key)
    return found


def _what_came_out(first: str, second: str, named: Mapping[str, RunFacts], found: Comparison | None) -> Markup:
    begin = Markup("<strong>What came out.</strong> ")
    ends = [named[name].summaries[-1] for name in (first, second)]
    scores = " and ".join(
        f"{row.name} of {name} solves {figure_text(row.scores.accuracy, 'share')} of {row.scores.accuracy.num:,}"
        for name, row in zip((first, second), ends, strict=True)
    )
    if found is None:
        return begin + f"{scores}. Their held-out problems differ, so they cannot be compared problem by problem."
    gain = "better" if (found.difference.value or 0) > 0 else "worse"
    told = f"{second} is significantly {gain}" if found.p_value < SIGNIFICANT else "they are not told apart"
    return begin + (
        f"{scores} held-out problems. On the same problems {told}: {figure_text(found.difference, 'points')}, "
        f"{p_text(found.p_value)}, {counted(len(found.solved), 'problem')} solved by {second} only, {len(found.lost)} "
        f"by {first} only."
    )


def _accuracy(named: Mapping[str, RunFacts]) -> Plot:
    points = {name: {row.name: row.scores.accuracy for row in facts.summaries} for name, facts in named.items()}
    last = {name: list(found.values())[-1] for name, found in points.items()}
    title = ", ".join(f"{name} ends at {value_text(figure.value, 'share')}" for name, figure in last.items())
    caption = "Greedy accuracy on the held-out problems of each run. Bars: 95 % Wilson intervals."
    return _overlaid("accuracy", title, caption, "solved, % of problems", points)


def _judges(named: Mapping[str, RunFacts]) -> Plot | None:
    points = {
        name: {
            row.name: row.health.siblings.accuracy.right
            for row in facts.summaries
            if row.health.siblings and row.health.siblings.accuracy.right.num
        }
        for name, facts in named.items()
    }
    if not any(points.values()):
        return None
    last = {name: list(found.values())[-1] for name, found in points.items() if found}
    title = ", ".join(f"the judge of {name} is right in {value_text(one.value, 'share')}" for name, one in last.items())
    caption = (
        "Pairs of the policy's own candidates of which exactly one is right, on held-out problems: each policy has "
        "pairs of its own. Bars: 95 % Wilson intervals."
    )
    return _overlaid("judge", title[:1].upper() + title[1:], caption, "right step preferred, %", points)


def _overlaid(name: str, title: str, caption: str, axis_label: str, points: Mapping[str, Mapping[str, Figure]]) -> Plot:
    """Draw one series a run over the names of the policies."""
    longest = max((list(found) for found in points.values()), key=len)
    with panels(1, 3.0) as (figure, (axis,)):
        series = [Series(run, found, color) for (run, found), color in zip(points.items(), _COLORS, strict=False)]
        draw_points(axis, series, longest, scale=100)
        axis.set_ylabel(axis_label)
        legend_below(figure, axis)
    rows = [
        (run, policy, figure_text(one, "share", with_num=True))
        for run, found in points.items()
        for policy, one in found.items()
    ]
    return Plot(name, title, caption, ("run", "policy", "value [95 %], cases"), tuple(rows), figure)


def _tables(named: Mapping[str, RunFacts], paired: Mapping[tuple[str, str], Comparison | None]) -> list[Section]:
    compared = tuple(
        (
            *(first, second, figure_text(found.difference, "points"), p_text(found.p_value)),
            *(str(len(found.solved)), str(len(found.lost)), f"{found.difference.num:,}"),
        )
        for (first, second), found in paired.items()
        if found is not None
    )
    columns = ("A", "B", "B - A [95 %]", "McNemar", "only B solves", "only A solves", "problems")
    sections = [
        Section("paired", "The last policies, problem by problem", columns=columns, rows=compared),
        Section("differences", "Settings that differ", columns=("setting", *named), rows=tuple(_differences(named))),
    ]
    return [section for section in sections if section.rows]
