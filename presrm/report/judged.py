"""Judged files on a terminal: what the judgements come to, how good the judge is, and its worst steps in context.

Text from rows and models is shown as it is, never as markup; control and bidirectional characters are spelt out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from presrm.judging.card import Agreement, JudgeCard
from presrm.judging.solutions import WrongStep
from presrm.judging.tally import NUM_POSITIONS, JudgeTally
from presrm.prompts.escaping import escape_controls
from presrm.report.figures import Unit, figure_text, interval_text, value_text
from presrm.statistics import Figure

WIDTH = 120
"""Columns at most: longer lines of text are hard to read."""
_NUM_BEFORE = 4
_NUM_REASONS = 5
_QUESTION, _STEP, _RATIONALE = 700, 400, 500
_WRONG = "bold red"


def tally_tables(tally: JudgeTally) -> RenderableType:
    """Draw what a file's judgements come to: solutions, steps by status, mean score by position, rows set aside."""
    solutions = {
        "no step found wrong": tally.num_clean,
        "a step found wrong": tally.num_erroneous,
        "unknown": tally.num_unknown,
    }
    tables = [_counts("solutions", solutions), _counts("steps", tally.statuses)]
    if tally.positions:
        tables.append(_positions(tally))
    if tally.reasons:
        common = sorted(tally.reasons.items(), key=lambda item: -item[1])
        reasons = dict(common[:_NUM_REASONS])
        if rest := sum(num for _, num in common[_NUM_REASONS:]):
            reasons["all other reasons"] = rest
        tables.append(_counts("rows set aside", reasons))
    return Group(*(piece for table in tables for piece in ("", table)), "")


def card_table(card: JudgeCard) -> RenderableType:
    """Draw how good the judge is on solutions whose first wrong step is known."""
    table = _table("judge card", "of", "value", "95 % interval")
    misses, steps = card.misses, card.steps
    rows: list[tuple[str, Figure, Unit]] = [
        ("first error found, of erroneous", card.erroneous, "share"),
        ("found clean, of clean", card.clean, "share"),
        ("F1: harmonic mean of both", card.f1, "share"),
        ("unknown (counted as wrong)", card.unknown, "share"),
        ("first error named too early", misses.early, "share"),
        ("first error named too late", misses.late, "share"),
        ("first error not seen", misses.missed, "share"),
        ("AUC of step scores (0.5: chance)", steps.auc, "number"),
        ("calibration error of step scores", steps.calibration_error, "number"),
    ]
    for name, figure, unit in rows:
        table.add_row(name, str(figure.num), value_text(figure.value, unit), interval_text(figure, unit))
    return Group(table, "")


def comparison_table(tallies: Mapping[str, JudgeTally], cards: Mapping[str, JudgeCard]) -> RenderableType:
    """Draw one row a judge: how much it could read, and its card where rows carry labels."""
    columns = ("F1 [95 %]", "error", "clean", "AUC [95 %]") if cards else ("no error",)
    table = _table("judge", "unread", *columns, width=12)
    for name, tally in tallies.items():
        unread = 1 - tally.num_scored / tally.num_steps if tally.num_steps else None
        cells = [value_text(unread, "share")]
        if card := cards.get(name):
            cells += [
                figure_text(card.f1, "share"),
                value_text(card.erroneous.value, "share"),
                value_text(card.clean.value, "share"),
                figure_text(card.steps.auc, "number"),
            ]
        else:
            cells.append(value_text(tally.num_clean / tally.num_judged, "share"))
        table.add_row(_safe(name), *cells)
    meaning = "unread: steps without a score; "
    meaning += "error, clean: share found, of either kind" if cards else "no error: solutions in which none was found"
    return Group(table, Text(meaning, "dim"), "")


def agreement_table(found: Agreement) -> RenderableType:
    """Draw how often two judges name the same first error, and Cohen's kappa of finding a solution clean."""
    table = _table("same first error (kappa)", *(escape_controls(name) for name in found.judges), width=12)
    for name, shares, kappas in zip(found.judges, found.same, found.kappa, strict=True):
        cells = [
            "" if other == name else f"{value_text(share.value, 'share')} ({value_text(kappa, 'number')})"
            for other, share, kappa in zip(found.judges, shares, kappas, strict=True)
        ]
        table.add_row(_safe(name), *cells)
    return Group(table, Text("kappa: of finding a solution clean; 0 is chance, 1 full agreement", "dim"), "")


def wrong_step(found: WrongStep, rank: str) -> RenderableType:
    """Draw a wrong step in context: the question, the steps before it, itself, and what the judge said.

    Args:
        found: The step.
        rank: Its heading, as ``1 of 5``.
    """
    solution, rationale = found.solution, found.judgements[-1]["rationale"]
    title = Text.assemble(
        (f"{rank}   ", "bold"),
        (f"score {value_text(found.score, 'number')}", _WRONG),
        f"   step {found.index + 1} of {len(solution.steps)}   solution {found.place}",
    )
    if solution.id is not None:
        title.append(f" ({_cut(solution.id, 60)})".replace("\n", " "))
    if found.num_unscored:
        title.append(f"   {found.num_unscored} before unscored", style="yellow")
    if solution.label is not None:
        title.append(f"   {_label(solution.label, found.index)}", style="dim")
    steps = Table.grid(padding=(0, 1))
    steps.add_column(justify="right", no_wrap=True, min_width=4)
    steps.add_column(justify="right", no_wrap=True, min_width=10)
    steps.add_column(overflow="fold")
    steps.add_row("", Text("question", "dim"), _text(solution.question, _QUESTION, "bold"))
    first = max(0, found.index - _NUM_BEFORE)
    if first:
        steps.add_row("", "", Text(f"... {first} step{'s' if first > 1 else ''} before ...", "dim"))
    for place in range(first, found.index):
        judgement = found.judgements[place]
        unscored = judgement["score"] is None
        score = (
            Text(judgement["status"], "yellow") if unscored else Text(value_text(judgement["score"], "number"), "green")
        )
        steps.add_row(str(place + 1), score, _text(solution.steps[place], _STEP))
    mark = Text(f"-> {found.index + 1}", _WRONG)
    score = Text(f"{value_text(found.score, 'number')} wrong", _WRONG)
    steps.add_row(mark, score, _text(solution.steps[found.index], 2 * _STEP, _WRONG))
    if rationale.strip():
        steps.add_row("", Text("judge", "dim"), _text(rationale, _RATIONALE, "italic"))
    return Group(title, steps, "")


def judged_steps(judged: Sequence[Mapping[str, Any]], first_error: int | None) -> RenderableType:
    """Draw every step of one judged solution: its number, its score or why it has none, its text, what the judge said.

    Args:
        judged: The steps as `presrm.judging.solutions.judge_file` writes them.
        first_error: Index of the first wrong one, -1 if there is none, or none if that is not known.
    """
    steps = Table.grid(padding=(0, 1))
    steps.add_column(justify="right", no_wrap=True)
    steps.add_column(justify="right", no_wrap=True)
    steps.add_column(overflow="fold")
    for index, step in enumerate(judged):
        style = _WRONG if index == first_error else ""
        score = step["status"] if step["score"] is None else value_text(step["score"], "number")
        steps.add_row(str(index + 1), Text(score, style or "green"), _text(step["text"], 2 * _STEP, style))
        if step["rationale"].strip():
            steps.add_row("", "", _text(step["rationale"], _RATIONALE, "dim italic"))
    if first_error is None:
        told = "the first wrong step is unknown: a step before it has no score"
    else:
        told = "no step is found wrong" if first_error < 0 else f"step {first_error + 1} is the first found wrong"
    return Group(steps, Text(told, "bold"))


def _positions(tally: JudgeTally) -> Table:
    names = [*map(str, range(1, NUM_POSITIONS + 1)), "later"]
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column("position")
    for name in names[: len(tally.positions)]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row("mean score", *(value_text(position.mean, "number") for position in tally.positions))
    table.add_row("scored", *(_short(position.num_scored) for position in tally.positions))
    return table


def _counts(name: str, counts: Mapping[str, int]) -> Table:
    table, total = _table(name, "number", "share"), sum(counts.values())
    for what, num in counts.items():
        table.add_row(_safe(what), str(num), value_text(num / total if total else None, "share"))
    return table


def _table(name: str, *columns: str, width: int = 34) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, header_style="bold")
    table.add_column(Text(name), min_width=width)
    for column in columns:
        table.add_column(Text(column), justify="right", min_width=7)
    return table


def _safe(text: str) -> Text:
    return Text(escape_controls(text))


def _text(text: str, limit: int, style: str = "") -> Text:
    return Text(_cut(text.strip(), limit), style=style)


def _cut(text: str, limit: int) -> str:
    """Spell out what is not to be obeyed, leave out blank lines, and the middle of a text longer than `limit`."""
    if len(text) > limit:
        half = limit // 2
        text = f"{text[:half]} ... {len(text) - 2 * half} characters ... {text[-half:]}"
    shown = escape_controls(text).replace("\r\n", "\n").expandtabs(4)
    return "\n".join(line for line in shown.split("\n") if line.strip())


def _label(label: int, index: int) -> str:
    if label == index:
        return "label: this step"
    return "label: none is wrong" if label < 0 else f"label: step {label + 1}"


def _short(num: int) -> str:
    """Give a count in at most five characters."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if num >= size:
            return f"{num / min(size, 1000 if unit == 'k' else size):.3g}{unit}"
    return str(num)
