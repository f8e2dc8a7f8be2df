"""A run's summary: one row a policy, every number with what it was measured on.

No clocks: the same run gives the same bytes, interrupted or not. Times stand in metrics.jsonl, and so do tokens: a
stage that was stopped and went on reads its prompts again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter
from rich.box import SIMPLE_HEAD
from rich.table import Table

from presrm.errors import counted
from presrm.iteration import IterationSummary
from presrm.judging.health import JudgeAccuracy
from presrm.judging.signs import CASES
from presrm.report.figures import Unit, figure_text, p_text, value_text
from presrm.report.verdicts import judge_verdict, siblings_verdict

_SHORT = {
    "correct": "correct [95 %]",
    "no answer": "no ans.",
    "judge, own siblings": "own siblings",
    "judge, fixed": "fixed",
    "lessons": "learnt",
}
_ONLY_IN_MARKDOWN = "judge, M1's siblings"
_COLUMNS = {
    "model": "M1 is the policy the loop starts from; M(t) is made from a policy before it.",
    "correct": "Greedy accuracy on the held-out problems, with its 95 % Wilson interval.",
    "no answer": "Solutions without a final answer. They are not correct; they are not wrong answers either.",
    "judge, own siblings": "How often the judge prefers the right one of two candidates of its own policy, of which "
    "exactly one is right, on held-out problems. The figure that counts.",
    _ONLY_IN_MARKDOWN: "The same on the siblings of M1, the same pairs for every judge: a figure that falls here is "
    "the judge's. A better policy leaves fewer and harder pairs, so the figure on own siblings may fall without that.",
    "judge, fixed": "The same on reference steps against the same steps with a number changed.",
    "lessons": "Lessons of its iteration that this policy was trained on; for PReSRM, preference pairs, or "
    "the solutions that its judge accepts where it takes no pairs.",
    "steps": "Mean steps a solution x mean tokens a step. A judge that likes long steps shows here.",
    "change": "Against the policy it was made from, on the same problems: difference, and p of the exact McNemar test.",
}
_SIGNS = {
    "readable": "Judgements with a score.",
    "order_flips": "Pairs of steps whose verdict changes with the order shown.",
    "contradicted": "The same, of the pairs of a best and a worst step: what could be trained on.",
    "first_shown": "Pairwise verdicts for the step shown first, each pair in both orders: half, without a bias.",
    "ties": "Expansions whose candidates score alike.",
    "spread": "Standard deviation of the scores.",
    "saturated": "Scores at 0 or 1.",
    "by_length": "Correlation (Spearman) of score and length in characters, among siblings.",
    "by_order": "The same of score and place in the order sampled.",
    "by_depth": "The same of score and the number of steps before, over all candidates.",
    "right_solutions": "The same, over solutions found, of the mean score of the steps and being right. Watched only.",
    "caught": "Planted errors (a number changed) that score below the right step: the fixed pairs above.",
    "talked_into": "Wrong steps that score higher once they praise themselves.",
    "agreement": "Kendall tau with the judge before, on candidates of that judge's search.",
}
_SHARES = {"readable", "order_flips", "contradicted", "first_shown", "ties", "saturated", "caught", "talked_into"}
_IN_SHORT = ("readable", "order_flips", "first_shown", "ties", "by_length", "talked_into", "agreement")
_ELSEWHERE = (
    "Device, dtype and parameters, where given, are those of M1. Tokens and times of every stage: presrm status. What "
    "later policies ran on: metrics.jsonl."
)


def to_json(
    summaries: Sequence[IterationSummary], about: Mapping[str, str], behind: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Give the summary as plain data; `behind` is what else is known of the run."""
    rows = TypeAdapter(list[IterationSummary]).dump_python(list(summaries), mode="json")
    return {"about": dict(about), "policies": rows, **behind}


def to_line(summary: IterationSummary) -> str:
    """Say in one line what a policy came to."""
    text = f"{summary.name}: {figure_text(summary.scores.accuracy, 'share', with_num=True)} held-out problems correct"
    if summary.num_lessons is not None:
        text += f"; {counted(summary.num_lessons, 'lesson')}"
    if change := summary.vs_parent:
        text += f"; {figure_text(change.difference, 'points')} against {summary.parent}, {p_text(change.p_value)}"
    return text


def to_table(summaries: Sequence[IterationSummary]) -> Table:
    """Draw the summary for a terminal of 100 columns."""
    table = Table(
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, caption=_caption(summaries), caption_justify="left"
    )
    for column in (column for column in _COLUMNS if column != _ONLY_IN_MARKDOWN):
        table.add_column(_SHORT.get(column, column), justify="left" if column == "model" else "right", no_wrap=True)
    for summary in summaries:
        cells = zip(_COLUMNS, _cells(summary), strict=True)
        table.add_row(*(cell for column, cell in cells if column != _ONLY_IN_MARKDOWN))
    return table


def to_markdown(summaries: Sequence[IterationSummary], about: Mapping[str, str], behind: Sequence[str] = ()) -> str:
    """Write the report: the table, what its columns mean, what was solved and lost, and why expansions gave no pair.

    `behind` are lines on what else is known of the run.
    """
    num = summaries[0].scores.accuracy.num
    lines = [f"# {escape(about.get('name', 'run'))}", "", _verdict(summaries), ""]
    lines += [f"- {alarm}" for alarm in _alarms(summaries)] + [""] * any(_alarms(summaries))
    lines += [f"| {' | '.join(_COLUMNS)} |", f"|{' --- |' * len(_COLUMNS)}"]
    lines += [f"| {' | '.join(_cells(summary))} |" for summary in summaries]
    lines += ["", f"All on the same {num} held-out problems.", ""]
    lines += [f"- **{column}**: {meaning}" for column, meaning in _COLUMNS.items()]
    lines += ["", "## From one policy to the next", ""]
    for summary in summaries:
        if summary.vs_parent is None:
            continue
        lost, solved = len(summary.vs_parent.lost), len(summary.vs_parent.solved)
        dropped = ", ".join(f"{escape(cause)} {count}" for cause, count in sorted((summary.dropped or {}).items()))
        lines.append(
            f"- **{summary.name}**, made from {summary.parent}: {solved} problems solved that were not, {lost} lost; "
            f"{summary.num_lessons} lessons{_contradicted(summary)}; without a lesson: {dropped or 'none'}."
        )
    lines += _steered(summaries)
    lines += ["", "## Whether to trust the judge", ""]
    lines += [f"- {judge_verdict(summary)}" for summary in summaries]
    lines += [f"- {why}" for why in [siblings_verdict(summaries)] if why]
    lines += ["", "## Behind the figures", ""]
    lines += [line for summary in summaries for line in _details(summary)]
    lines += [*_signs(summaries), *behind]
    lines += ["", "## About this run", "", *(f"- {escape(key)}: {escape(value)}" for key, value in about.items()), ""]
    lines += [_ELSEWHERE, ""]
    return "\n".join(lines)


def _contradicted(summary: IterationSummary) -> str:
    """Say how many lessons rest on verdicts that contradict each other; nothing where that is not known."""
    if summary.num_contradicted is None:
        return ""
    return f" ({summary.num_contradicted} of them with two orders that contradict each other)"


def _steered(summaries: Sequence[IterationSummary]) -> list[str]:
    """Say so where answers chose the policies, on which problems, and what they decided; nothing where they did not."""
    rows = [(summary, summary.validation) for summary in summaries if summary.validation is not None]
    if not rows:
        return []
    lines = [
        "",
        f"**Answers steered this run**: by {rows[0][1].accuracy.num} validation problems, none of them reported above, "
        "the policy to start from was chosen (`policies` in config.yaml).",
        "",
    ]
    for summary, validation in rows:
        end = (
            f"; a regression from {summary.parent}, {p_text(summary.regression.p_value)}" if summary.regression else ""
        )
        lines.append(f"- **{summary.name}**: {validation.correct} of {validation.accuracy.num} solved{end}.")
    return lines


def escape(text: str) -> str:
    """Make text from outside harmless in Markdown: no cells, links, code or HTML, no control characters."""
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return "".join(f"&#{ord(c)};" if c in "&<>|`[]" else c for c in shown)


def _details(summary: IterationSummary) -> list[str]:
    """What the table has no room for."""
    scores, siblings, fixed = summary.scores, summary.health.siblings, summary.health.fixed
    lines = [
        f"- **{summary.name}**: {scores.correct} of {scores.accuracy.num} correct, {scores.incorrect} incorrect, "
        f"{scores.no_answer} without an answer; {scores.cut_off} cut off at the token limit, {scores.no_room} without "
        f"room for a reply, {scores.filtered} withheld by a content filter"
        f"{'' if scores.mean_tokens is None else f'; {scores.mean_tokens:.1f} tokens a solution'}."
    ]
    if siblings is not None:
        lines.append(
            f"- **{summary.name}**, judge, own siblings: {siblings.num_with_pair} of {siblings.num_expansions} "
            "expansions on held-out problems hold a right and a wrong candidate; of their pairs, "
            f"{_counts(siblings.accuracy)}"
        )
    if summary.health.first_siblings is not None and summary.health.first_siblings != (siblings and siblings.accuracy):
        lines.append(f"- **{summary.name}**, judge, M1's siblings: {_counts(summary.health.first_siblings)}")
    if fixed is not None:
        lines.append(f"- **{summary.name}**, judge, fixed: {_counts(fixed)}")
    return lines


def _signs(summaries: Sequence[IterationSummary]) -> list[str]:
    """The judge's habits, a row a sign; a sentence where they were not watched."""
    watched = [(summary.name, summary.health.signs) for summary in summaries if summary.health.signs]
    if not watched:
        return ["", "The habits of the judge were not measured (`watch.num_problems: 0`)."]
    lines = [
        "",
        "## Habits of the judge",
        "",
        "All on held-out problems, but for `agreement`, which is measured on the candidates of the last search. A 95 % "
        "interval stands in brackets, the number of cases behind it.",
    ]
    lines += [
        "",
        f"| sign | {' | '.join(name for name, _ in watched)} | cases | what it is |",
        f"|{' --- |' * (len(watched) + 3)}",
    ]
    for sign, meaning in _SIGNS.items():
        cells = [figure_text(getattr(signs, sign), _unit(sign), with_num=True) for _, signs in watched]
        lines.append(f"| {sign} | {' | '.join(cells)} | {CASES[sign]} | {meaning} |")
    return lines


def _unit(sign: str) -> Unit:
    return "share" if sign in _SHARES else "number"


def _alarms(summaries: Sequence[IterationSummary]) -> list[str]:
    return [f"Alarm, judge of {summary.name}: {alarm}." for summary in summaries for alarm in summary.health.alarms]


def _caption(summaries: Sequence[IterationSummary]) -> str:
    """What it comes to, how the last judge is, and every alarm."""
    last = summaries[-1]
    lines = [_verdict(summaries), judge_verdict(last)]
    if signs := last.health.signs:
        measured = {sign: getattr(signs, sign) for sign in _IN_SHORT}
        told = [
            f"{sign} {figure_text(replace(figure, interval=None), _unit(sign), with_num=True)}"
            for sign, figure in measured.items()
            if figure.value is not None
        ]
        lines.append(f"Habits: {', '.join(told) or 'nothing was judged'}.")
    return "\n".join([*lines, *_alarms(summaries)])


def _counts(accuracy: JudgeAccuracy) -> str:
    if not accuracy.right.num:
        return "none was judged."
    return (
        f"{accuracy.right.num_hits} of {accuracy.right.num} right: {figure_text(accuracy.right, 'share')}, "
        f"{accuracy.ties} tied, {accuracy.unreadable} unreadable."
    )


def _verdict(summaries: Sequence[IterationSummary]) -> str:
    last = summaries[-1]
    if last.vs_first is None:
        accuracy = last.scores.accuracy
        return f"{last.name} solves {value_text(accuracy.value, 'share')} of {accuracy.num} held-out problems."
    change = last.vs_first.difference
    return (
        f"{last.name} against {summaries[0].name}: {figure_text(change, 'points')}, "
        f"{p_text(last.vs_first.p_value)}, "
        f"{len(last.vs_first.solved)} solved, {len(last.vs_first.lost)} lost, of {change.num}."
    )


def _cells(summary: IterationSummary) -> tuple[str, ...]:
    scores, health, change = summary.scores, summary.health, summary.vs_parent
    return (
        summary.name,
        figure_text(scores.accuracy, "share"),
        f"{scores.no_answer}/{scores.accuracy.num}",
        _accuracy(health.siblings.accuracy if health.siblings else None),
        _accuracy(health.first_siblings),
        _accuracy(health.fixed),
        "-" if summary.num_lessons is None else str(summary.num_lessons),
        "-" if scores.mean_steps is None else f"{scores.mean_steps:.1f}x{_or_dash(scores.mean_step_tokens)}",
        "-" if change is None else f"{value_text(change.difference.value, 'points')}, {p_text(change.p_value)}",
    )


def _accuracy(accuracy: JudgeAccuracy | None) -> str:
    return "-" if accuracy is None else figure_text(replace(accuracy.right, interval=None), "share", with_num=True)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
