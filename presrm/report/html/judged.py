"""The page of a judged file: how good the judge is, and its solutions, those with the lowest scores first."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from presrm.formats.solutions import read_solution
from presrm.judging.card import JudgeCard
from presrm.judging.tally import NUM_POSITIONS, JudgeTally
from presrm.protocols import StepSplitter
from presrm.report.facts import Artefact
from presrm.report.figures import Unit, figure_text
from presrm.report.html.page import Section, ShownPlot, View, sections_of, write_page
from presrm.report.html.plots import Plot, panels
from presrm.report.html.ranges import draw_ranges
from presrm.report.html.samples import MAX_BYTES, Index, Sample, Texts, fill, note
from presrm.report.html.svg import ACCENT, INK, MUTED
from presrm.report.html.text import plain
from presrm.report.verdicts import card_verdict
from presrm.statistics import Figure

MAX_SOLUTIONS = 2_000
"""Most that a page carries; it says how many there are."""
_NORMAL_95 = 1.96
_SECTIONS = (
    ("card", "The judge card", ("card", "misses")),
    ("scores", "The scores", ("calibration", "positions")),
)


def write_judged_page(
    judged: Path, tally: JudgeTally, card: JudgeCard | None, splitter: StepSplitter, about: Mapping[str, str]
) -> Path:
    """Write ``<judged>.report.html``.

    Args:
        judged: What ``presrm judge-steps`` wrote.
        tally: Its counts.
        card: How good the judge is, where rows have labels.
        splitter: Cuts solutions that are text.
        about: The judge, the model and other settings; ``judge`` and ``model`` are named in the summary.
    """
    texts, positions = Texts(), [_Sums() for _ in range(NUM_POSITIONS + 1)]
    sample = _sample(judged, texts, positions, splitter)
    drawn = [
        plot for plot in (_card(card), _misses(card), _calibration(card), _positions(positions)) if plot is not None
    ]
    out = judged.with_name(f"{judged.name}.report.html")
    write_page(
        out,
        title=judged.name,
        subtitle=f"{tally.num_judged:,} solutions, judged step by step",
        sentences=_sentences(tally, card, about),
        sections=[*sections_of(drawn, _SECTIONS), *_counts(tally)],
        views=[
            View(
                "judged",
                "Solutions, one by one",
                note(sample, "solutions", [judged.name]),
                "All solutions are in the file; presrm judge-steps --show prints the worst.",
            )
        ],
        data={"texts": texts.rows, "judged": sample.rows},
        about=about,
    )
    return out


def _sample(judged: Path, texts: Texts, positions: "Sequence[_Sums]", splitter: StepSplitter) -> Sample:
    """Draw solutions: strata are what was found and the tenth of the lowest score, so that the worst are there."""

    def read(artefact: Artefact, row: Mapping[str, Any]) -> None:
        for place, step in enumerate(row["judged"]):
            if step["score"] is not None:
                positions[min(place, NUM_POSITIONS)].add(step["score"])

    index = Index([Artefact(0, judged, judged.stat().st_size)], _stratum, read)
    drawn = index.draw(MAX_SOLUTIONS)
    numbers = {start: number for number, start in enumerate(index.starts, 1)}

    def make(artefact: Artefact, start: int, row: dict[str, Any]) -> list[Any]:
        return _solution(numbers[start], row, texts, splitter)

    return Sample(fill(index, drawn, make, texts, MAX_BYTES), index.num, index.counts)


def _stratum(artefact: Artefact, row: Mapping[str, Any]) -> tuple[bool | None, int]:
    lowest = min((step["score"] for step in row["judged"] if step["score"] is not None), default=1.0)
    first = row["first_error"]
    return None if first is None else first >= 0, min(9, int(10 * lowest))


def _solution(number: int, row: dict[str, Any], texts: Texts, splitter: StepSplitter) -> list[Any]:
    """Give a solution: number, id, question, steps (text, score or status, what the judge said), first error, label."""
    solution = read_solution(row, splitter)
    steps = [
        [
            texts.number(step["text"]),
            step["status"] if step["score"] is None else round(step["score"], 4),
            texts.number(step["rationale"]) if step["rationale"] else None,
        ]
        for step in row["judged"]
    ]
    identity = texts.number("" if solution.id is None else str(solution.id))
    return [number, identity, texts.number(solution.question), steps, row["first_error"], solution.label]


def _sentences(tally: JudgeTally, card: JudgeCard | None, about: Mapping[str, str]) -> list[Markup]:
    num_steps, num_read = sum(tally.statuses.values()), tally.statuses.get("ok", 0)
    told = f"{tally.num_judged:,} solutions with {num_steps:,} steps, by judge {about['judge']} of {about['model']}."
    found = (
        f"A step was found wrong in {tally.num_erroneous:,} solutions, none in {tally.num_clean:,}; of "
        f"{tally.num_unknown:,} the judge could not say. {num_read:,} of {num_steps:,} steps have a score."
    )
    trust = (
        f"{card_verdict(card)}"
        if card is not None
        else "Unknown: no row has a label, so nothing says how often the judge is right."
    )
    parts = {"What was judged": told, "What came out": found, "Whether to trust the judge": trust}
    return [Markup("<strong>{}.</strong> {}").format(name, plain(text)) for name, text in parts.items()]


def _card(card: JudgeCard | None) -> ShownPlot | None:
    if card is None:
        return None
    figures: list[tuple[str, Figure, Unit]] = [
        ("first error found, of erroneous", card.erroneous, "share"),
        ("found clean, of clean", card.clean, "share"),
        ("F1: harmonic mean of both", card.f1, "share"),
        ("unknown (counted as wrong)", card.unknown, "share"),
        ("AUC of step scores (chance: 50 %)", card.steps.auc, "share"),
    ]
    rows = [(name, figure_text(figure, unit), f"{figure.num:,}") for name, figure, unit in figures]
    title = f"F1 is {figure_text(card.f1, 'share')}, AUC of the step scores {figure_text(card.steps.auc, 'number')}"
    caption = (
        "On solutions with labels, as ProcessBench counts. Bars: 95 % intervals (Wilson, bootstrap over solutions)."
    )
    drawn = draw_ranges([(name, figure) for name, figure, _ in figures], "share", "share", f"{title}. {caption}")
    return ShownPlot("card", title, caption, ("figure", "value [95 %]", "of"), tuple(rows), drawn)


def _misses(card: JudgeCard | None) -> ShownPlot | None:
    if card is None or not card.erroneous.num:
        return None
    misses = card.misses
    kinds = {
        "too early": misses.early,
        "exactly": misses.exact,
        "too late": misses.late,
        "not seen": misses.missed,
        "unknown": misses.unknown,
    }
    title = f"Of {card.erroneous.num:,} first errors, {misses.exact.num_hits:,} are named exactly"
    rows = [
        (name, figure_text(figure, "share"), f"{figure.num_hits:,} of {figure.num:,}") for name, figure in kinds.items()
    ]
    caption = "Where the judge sees the first error of erroneous solutions. Bars: 95 % Wilson intervals."
    drawn = draw_ranges(list(kinds.items()), "share of erroneous solutions", "share", f"{title}. {caption}")
    return ShownPlot("misses", title, caption, ("named", "share [95 %]", "solutions"), tuple(rows), drawn)


def _calibration(card: JudgeCard | None) -> Plot | None:
    if card is None:
        return None
    known = [one for one in card.steps.bins if one.mean_score is not None and one.right.value is not None]
    if not known:
        return None
    with panels(1, 3.2) as (figure, (axis,)):
        axis.plot([0, 1], [0, 100], color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)))
        for one in known:
            score, value = one.mean_score or 0.0, 100 * (one.right.value or 0.0)
            if one.right.interval is not None:
                axis.vlines(
                    score, 100 * one.right.interval[0], 100 * one.right.interval[1], color=ACCENT, linewidth=1.4
                )
            axis.plot([score], [value], "o", color=ACCENT, markersize=6)
            axis.annotate(
                f"{one.right.num:,}", (score, value), (6, -3), textcoords="offset points", fontsize=8.5, color=INK
            )
        axis.set_xlabel("mean score of the steps")
        axis.set_ylabel("right, % of the steps")
        axis.set_xlim(-0.03, 1.06)
        axis.set_ylim(-3, 103)
    num = card.steps.num_right + card.steps.num_wrong
    rows = [
        (
            f"{one.low:.1f} to {one.high:.1f}",
            f"{one.mean_score:.2f}",
            figure_text(one.right, "share"),
            f"{one.right.num:,}",
        )
        for one in known
    ]
    error = figure_text(card.steps.calibration_error, "number")
    return Plot(
        "calibration",
        f"Scores are {error} away from the share of right steps",
        f"{num:,} labelled steps with a score, in tenths; the number at a point counts its steps. Dashed: scores that "
        "are probabilities. Bars: 95 % Wilson intervals.",
        ("scores", "mean", "right [95 %]", "steps"),
        tuple(rows),
        figure,
    )


class _Sums:
    """Scores at one position: enough for their mean and its interval."""

    def __init__(self) -> None:
        self.num, self.total, self.squares = 0, 0.0, 0.0

    def add(self, score: float) -> None:
        self.num += 1
        self.total += score
        self.squares += score * score

    def figure(self) -> Figure:
        if not self.num:
            return Figure()
        mean = self.total / self.num
        if self.num < 2:
            return Figure(self.num, mean)
        error = math.sqrt(max(0.0, self.squares / self.num - mean * mean) / (self.num - 1))
        return Figure(self.num, mean, (mean - _NORMAL_95 * error, mean + _NORMAL_95 * error) if error else None)


def _positions(positions: Sequence[_Sums]) -> ShownPlot | None:
    names = [*map(str, range(1, NUM_POSITIONS + 1)), "later"]
    figures = {name: sums.figure() for name, sums in zip(names, positions, strict=True) if sums.num}
    if not figures:
        return None
    first, *_, last = [*figures.items(), *figures.items()]
    title = f"Mean score of step {first[0]}: {first[1].value:.2f}; of step {last[0]}: {last[1].value:.2f}"
    caption = "Readable scores by the place of the step. Bars: 95 % normal intervals that take steps for independent."
    rows = [(name, figure_text(one, "number"), f"{one.num:,}") for name, one in figures.items()]
    drawn = [(f"step {name}" if name.isdigit() else "later steps", one) for name, one in figures.items()]
    svg = draw_ranges(drawn, "mean score", "number", f"{title}. {caption}")
    return ShownPlot("positions", title, caption, ("step", "mean score [95 %]", "scores"), tuple(rows), svg)


def _counts(tally: JudgeTally) -> list[Section]:
    statuses = tuple((plain(name), f"{num:,}") for name, num in tally.statuses.items())
    sections = [Section("statuses", "Steps by status", columns=("status", "steps"), rows=statuses)]
    if tally.reasons:
        rows = tuple(
            (plain(reason), f"{num:,}") for reason, num in sorted(tally.reasons.items(), key=lambda item: -item[1])
        )
        sections.append(Section("rejected", "Rows set aside", columns=("reason", "rows"), rows=rows))
    return sections
