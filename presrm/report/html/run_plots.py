"""The plots of a run, in the order of the page: each a function of the facts, none where nothing was measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from presrm.errors import counted
from presrm.judging.signs import CASES, Signs
from presrm.report.facts import ANSWERS, RunFacts
from presrm.report.figures import Unit, figure_text, p_text, value_text
from presrm.report.html.plots import (
    Plot,
    Series,
    bound,
    draw_parts,
    draw_points,
    legend_below,
    panels,
    widen,
)
from presrm.report.html.svg import ACCENT, INK, MUTED, SHADES
from presrm.report.html.training_plots import costs, displacement, training
from presrm.statistics import Figure, mean

SIGN_NAMES: Mapping[str, tuple[str, Unit]] = {
    "readable": ("readable judgements", "share"),
    "order_flips": ("verdict flips with order", "share"),
    "first_shown": ("prefers the step shown first", "share"),
    "caught": ("planted errors caught", "share"),
    "talked_into": ("talked into praise", "share"),
    "by_length": ("correlation with length", "number"),
    "spread": ("spread of scores", "number"),
    "agreement": ("agreement with judge before", "number"),
}
"""The signs that have bounds, as the page calls them."""
CAUSES = {
    "tie": "tied",
    "unanimous": "all candidates alike",
    "unreadable": "too few readable scores",
    "rolled_back": "rolled back",
    "given_up": "search gave up",
    "not_accepted": "not accepted by the judge",
    "min_margin": "margin too small",
    "over_max_per_problem": "over the limit per problem",
    "truncated": "all cut off",
    "no_room": "no room",
    "filtered": "withheld by a filter",
    "left": "path was left",
    "one_order": "won in one order only",
}
"""Why an expansion gave no lesson, in words; a cause of another method stands under its own name."""
_NUM_CAUSES = 4


def run_plots(facts: RunFacts, *, clocks: bool) -> list[Plot]:
    """Draw every plot that the run has something for; `clocks`: also those of time and tokens."""
    drawn = [
        *(accuracy(facts), changes(facts), judge_accuracy(facts), signs(facts), shadow(facts)),
        *(lessons(facts), lengths(facts)),
        *(training(facts), displacement(facts)),
        *((costs(facts),) if clocks else ()),
    ]
    return [plot for plot in drawn if plot is not None]


def accuracy(facts: RunFacts) -> Plot | None:
    """Accuracy on the held-out problems, policy by policy."""
    if not facts.summaries:
        return None
    names = [row.name for row in facts.summaries]
    first, last = facts.summaries[0], facts.summaries[-1]
    series = [Series("held-out", {row.name: row.scores.accuracy for row in facts.summaries})]
    if any(row.validation for row in facts.summaries):
        known = {row.name: row.validation.accuracy for row in facts.summaries if row.validation}
        series.append(Series("validation (chose the policies)", known, MUTED))
    with panels(1, 2.9) as (figure, (axis,)):
        draw_points(axis, series, names, scale=100, labels="{:.1f}")
        axis.set_ylabel("solved, % of problems")
        if len(series) > 1:
            legend_below(figure, axis)
    title = f"{last.name} solves {value_text(last.scores.accuracy.value, 'share')} of the held-out problems"
    if last.vs_first is not None:
        title += f", {first.name} {value_text(first.scores.accuracy.value, 'share')}"
    rows = [
        (
            *(row.name, figure_text(row.scores.accuracy, "share"), str(row.scores.correct), str(row.scores.incorrect)),
            *(str(row.scores.no_answer), str(row.scores.cut_off), str(row.scores.accuracy.num)),
        )
        for row in facts.summaries
    ]
    return Plot(
        "accuracy",
        title,
        f"Greedy accuracy on the same {last.scores.accuracy.num:,} held-out problems. Bars: 95 % Wilson intervals.",
        ("policy", "correct [95 %]", "correct", "incorrect", "no answer", "cut off", "problems"),
        tuple(rows),
        figure,
    )


def changes(facts: RunFacts) -> Plot | None:
    """Problems newly solved and lost, each policy against the one it was made from."""
    compared = [(row, row.vs_parent) for row in facts.summaries if row.vs_parent is not None]
    if not compared:
        return None
    names = [row.name for row, _ in compared]
    solved, lost = [len(change.solved) for _, change in compared], [-len(change.lost) for _, change in compared]
    with panels(1, 2.6) as (figure, (axis,)):
        axis.bar(names, solved, color=ACCENT, width=0.36, label="newly solved")
        axis.bar(names, lost, color=SHADES[1], width=0.36, label="lost")
        for place, (_, change) in enumerate(compared):
            net, num = change.difference, change.difference.num
            if net.interval is not None:
                low, high = net.interval
                axis.vlines(place + 0.3, num * low, num * high, color=INK, linewidth=1.4)
            axis.plot(
                [place + 0.3], [num * (net.value or 0.0)], "D", color=INK, markersize=4.5, label="net" * (place == 0)
            )
        axis.axhline(0, color=MUTED, linewidth=0.8)
        for place, (gained, gone) in enumerate(zip(solved, lost, strict=True)):
            axis.annotate(f"+{gained}", (place, gained), (0, 3), textcoords="offset points", ha="center", fontsize=9.5)
            axis.annotate(
                f"\u2212{-gone}", (place, gone), (0, -12), textcoords="offset points", ha="center", fontsize=9.5
            )
        axis.margins(y=0.18)
        low, high = axis.get_ylim()
        axis.set_ylim(min(low, -1.0), max(high, 1.0))  # where nothing changed there is still one problem to see
        axis.set_xlim(-0.6, len(names) - 0.4)
        axis.set_ylabel("problems")
        legend_below(figure, axis, columns=3)
    row, change = compared[-1]
    return Plot(
        "changes",
        f"{row.name} solves {counted(len(change.solved), 'problem')} that {row.parent} did not, and loses "
        f"{len(change.lost)}",
        f"Each policy against the one it was made from, on the same {change.difference.num:,} problems; "
        "net change with its 95 % bootstrap interval over problems, p of the exact McNemar test.",
        ("policy", "made from", "newly solved", "lost", "difference [95 %]", "p"),
        tuple(
            (
                *(row.name, row.parent or "", str(len(change.solved)), str(len(change.lost))),
                *(figure_text(change.difference, "points"), p_text(change.p_value)),
            )
            for row, change in compared
        ),
        figure,
    )


def judge_accuracy(facts: RunFacts) -> Plot | None:
    """How often each policy's judge prefers the right step."""
    names = [row.name for row in facts.summaries]
    own = {row.name: row.health.siblings.accuracy for row in facts.summaries if row.health.siblings}
    fixed = {row.name: row.health.fixed for row in facts.summaries if row.health.fixed}
    kinds = [("own candidates", own, ACCENT), ("planted errors", fixed, MUTED)]
    kinds = [(label, found, color) for label, found, color in kinds if any(one.right.num for one in found.values())]
    if not kinds:
        return None
    with panels(1, 2.9) as (figure, (axis,)):
        series = [
            Series(label, {name: one.right for name, one in found.items()}, color) for label, found, color in kinds
        ]
        axis.axhline(50, color=MUTED, linewidth=1.0, linestyle=(0, (1, 2)))
        draw_points(axis, series, names, scale=100, labels="{:.0f}")
        axis.set_ylabel("right step preferred, %")
        axis.annotate(
            "chance", (len(names) - 0.4, 50), (0, 3), textcoords="offset points", ha="right", color=MUTED, fontsize=9
        )
        axis.set_ylim(top=104)
        legend_below(figure, axis)
    rows = [
        (name, label, figure_text(one.right, "share", with_num=True), str(one.ties), str(one.unreadable))
        for label, found, _ in kinds
        for name, one in found.items()
    ]
    label, found, _ = kinds[0]
    name, last = list(found.items())[-1]
    return Plot(
        "judge",
        f"The judge of {name} prefers the right step in {value_text(last.right.value, 'share')} of {last.right.num} "
        + ("pairs of its own candidates" if label == "own candidates" else "pairs with a planted error"),
        "Own candidates: two candidates of the policy for the same step, of which exactly one is right, on held-out "
        "problems. Planted errors: reference steps against the same with a number changed. A tie or an unreadable "
        "verdict is not right. Bars: 95 % Wilson intervals.",
        ("policy", "pairs", "right [95 %]", "ties", "unreadable"),
        tuple(rows),
        figure,
    )


def signs(facts: RunFacts) -> Plot | None:
    """The habits of each judge beside their bounds, a panel a sign."""
    watched = [(row, row.health.signs) for row in facts.summaries if row.health.signs is not None]
    shown = [sign for sign in SIGN_NAMES if any(_figure(one, sign).value is not None for _, one in watched)]
    if not shown:
        return None
    names = [row.name for row, _ in watched]
    limits = bounds(facts)
    with panels(len(shown), 1.45 * -(-len(shown) // 2) + 0.2, columns=2) as (figure, axes):
        for axis, sign in zip(axes, shown, strict=True):
            label, unit = SIGN_NAMES[sign]
            scale = 100.0 if unit == "share" else 1.0
            broken = {row.name for row, _ in watched if any(alarm.sign == sign for alarm in row.health.alarms)}
            series = Series(label, {row.name: _figure(one, sign) for row, one in watched})
            bound(axis, *(scale * end for end in limits[sign]))
            draw_points(axis, [series], names, scale=scale, flagged=broken.__contains__)
            axis.set_title(label + (", %" if unit == "share" else ""), fontsize=9.5)
            axis.tick_params(labelsize=8.5)
            axis.margins(y=0.15)
    alarms = [
        f"{SIGN_NAMES[alarm.sign][0]} ({row.name})"
        for row, _ in watched
        for alarm in row.health.alarms
        if alarm.sign in SIGN_NAMES
    ]
    rows = []
    for sign in shown:
        label, unit = SIGN_NAMES[sign]
        low, high = limits[sign]
        ends = [f"at least {value_text(low, unit)}"] * (low > -2) + [f"at most {value_text(high, unit)}"] * (high < 2)
        figures = (figure_text(_figure(one, sign), unit, with_num=True) for _, one in watched)
        rows.append((label, CASES[sign], " and ".join(ends), *figures))
    return Plot(
        "signs",
        f"{len(alarms)} signs are out of bounds: {', '.join(alarms)}"
        if alarms
        else "No sign of the judge is out of bounds",
        "On held-out problems. Dashed: the bound (watch in the settings); an alarm needs the whole 95 % interval "
        f"beyond it and at least {facts.config.watch.min_count} cases.",
        ("sign", "cases", "bound", *names),
        tuple(rows),
        figure,
    )


def shadow(facts: RunFacts) -> Plot | None:
    """The judge beside the one that only watches, on the same kept steps."""
    watched = {row.name: row.health.shadow for row in facts.summaries if row.health.shadow is not None}
    if not watched:
        return None
    parted = [row.name for row in facts.summaries if any(alarm.sign == "parting" for alarm in row.health.alarms)]
    series = [
        Series("the judge", {name: one.judge for name, one in watched.items()}),
        Series("its shadow, never trained", {name: one.shadow for name, one in watched.items()}, MUTED),
    ]
    with panels(1, 2.9) as (figure, (axis,)):
        draw_points(axis, series, list(watched), labels="{:.2f}", flagged=parted.__contains__)
        axis.set_ylabel("mean score of the kept steps")
        legend_below(figure, axis)
    rows = [
        (name, *(figure_text(figure, "number") for figure in (one.judge, one.shadow, one.gap)), f"{one.gap.num:,}")
        for name, one in watched.items()
    ]
    last = list(watched)[-1]
    return Plot(
        "shadow",
        f"The judge parts from its shadow at {parted[0]}" if parted else f"Up to {last}, the judge is with its shadow",
        "Both judge the same candidates on held-out problems; shown are the steps that the search kept. If the judge's "
        "scores rise while the shadow's fall, it is being talked into something. Bars: 95 % bootstrap intervals.",
        ("policy", "judge [95 %]", "shadow [95 %]", "gap [95 %]", "steps"),
        tuple(rows),
        figure,
    )


def bounds(facts: RunFacts) -> dict[str, tuple[float, float]]:
    """The least and the largest value of each sign that raises no alarm; infinite where there is none."""
    watch, far = facts.config.watch, float("inf")
    return {
        "readable": (watch.min_readable, far),
        "order_flips": (-far, watch.max_order_flips),
        "first_shown": (1 - watch.max_first_shown, watch.max_first_shown),
        "caught": (watch.min_caught, far),
        "talked_into": (-far, watch.max_talked_into),
        "by_length": (-watch.max_by_length, watch.max_by_length),
        "spread": (watch.min_spread, far),
        "agreement": (watch.min_agreement, far),
    }


def lessons(facts: RunFacts) -> Plot | None:
    """Lessons of each iteration, and the expansions that gave none, by cause."""
    made = [row for row in facts.summaries if row.num_lessons is not None]
    if not made:
        return None
    causes = sorted({cause for row in made for cause in row.dropped or {}}, key=lambda cause: -_total(made, cause))
    parts = {"lessons": [float(row.num_lessons or 0) for row in made]}
    for cause in causes[:_NUM_CAUSES]:
        parts[CAUSES.get(cause, cause)] = [float((row.dropped or {}).get(cause, 0)) for row in made]
    if rest := causes[_NUM_CAUSES:]:
        parts["other causes"] = [float(sum((row.dropped or {}).get(cause, 0) for cause in rest)) for row in made]
    names = [row.name for row in made]
    with panels(1, 0.9 + 0.42 * len(names) + 0.22 * (1 + len(parts) // 2)) as (figure, (axis,)):
        draw_parts(axis, parts, names)
        axis.set_xlabel("expansions")
        legend_below(figure, axis)
    last = made[-1]
    num = (last.num_lessons or 0) + sum((last.dropped or {}).values())
    return Plot(
        "lessons",
        f"{last.name} was trained on {counted(last.num_lessons or 0, 'lesson')} from {num:,} expansions",
        "Every expansion of the search gives lessons or a cause why not (with several pairs an expansion, lessons "
        "count pairs). These are counts of all, so they have no interval.",
        ("policy", *parts),
        tuple((row.name, *(f"{counts[place]:,.0f}" for counts in parts.values())) for place, row in enumerate(made)),
        figure,
    )


def lengths(facts: RunFacts) -> Plot | None:
    """Steps a solution and tokens a step, policy by policy: where a judge that likes long steps shows."""
    measured = {row.name: _lengths(facts, row.number) for row in facts.summaries}
    if not any(one["steps a solution"].value is not None for one in measured.values()):
        return None
    kinds = [kind for kind in next(iter(measured.values())) if any(one[kind].num for one in measured.values())]
    with panels(len(kinds), 2.3, columns=len(kinds)) as (figure, axes):
        for axis, kind in zip(axes, kinds, strict=True):
            draw_points(axis, [Series(kind, {name: one[kind] for name, one in measured.items()})], list(measured))
            axis.set_title(kind, fontsize=9.5)
            axis.tick_params(labelsize=8.5)
            widen(axis, 0.3)
    names = list(measured)
    mean_lengths = (
        f"{value_text(measured[name]['steps a solution'].value, 'number')} steps a solution"
        + f", {value_text(measured[name]['tokens a step'].value, 'number')} tokens each" * ("tokens a step" in kinds)
        + f" with {name}"
        for name in dict.fromkeys((names[0], names[-1]))
    )
    return Plot(
        "lengths",
        "; ".join(mean_lengths),
        "Greedy solutions of the held-out problems. Bars: 95 % bootstrap intervals over solutions. A judge that "
        "prefers long steps shows as fewer, longer steps.",
        ("policy", *(f"{kind} [95 %]" for kind in kinds), "solutions"),
        tuple(
            (name, *(figure_text(one[kind], "number") for kind in kinds), str(one[kinds[0]].num))
            for name, one in measured.items()
        ),
        figure,
    )


def _lengths(facts: RunFacts, number: int) -> dict[str, Figure]:
    steps, tokens, per_step = list[float](), list[float](), list[float]()
    artefact = facts.artefact(number, ANSWERS)
    for _, row in artefact.rows() if artefact is not None else ():
        if row.get("chosen") is None:
            continue
        num_steps, num_tokens = row["num_steps"][row["chosen"]], row["num_tokens"][row["chosen"]]
        steps.append(num_steps)
        if num_tokens is not None:
            tokens.append(num_tokens)
            if num_steps:
                per_step.append(num_tokens / num_steps)
    return {"steps a solution": mean(steps), "tokens a step": mean(per_step), "tokens a solution": mean(tokens)}


def _figure(signs: Signs, name: str) -> Figure:
    figure: Figure = getattr(signs, name)
    return figure


def _total(rows: Sequence[Any], cause: str) -> int:
    return sum((row.dropped or {}).get(cause, 0) for row in rows)
