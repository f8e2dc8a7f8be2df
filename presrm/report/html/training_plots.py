"""The plots of what training did, and of what everything took."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from presrm.report.facts import STAGES, RunFacts
from presrm.report.html.plots import Plot, draw_curve, draw_parts, legend_below, panels, whole_ticks
from presrm.report.html.svg import ACCENT, INK, MUTED


def training(facts: RunFacts) -> Plot | None:
    """Loss, margin and accuracy over the optimiser steps, iteration after iteration."""
    wanted = {
        "loss": "loss",
        "rewards/margins": "margin, nats",
        "rewards/accuracies": "chosen above rejected, %",
        "kl": "divergence from the reference (KL), nats",
    }
    rows = _in_order(facts)
    kinds = [key for key in wanted if sum(key in row for _, _, row in rows) > 1]
    if not kinds:
        return None
    with panels(len(kinds), 0.3 + 1.5 * len(kinds)) as (figure, axes):
        for axis, key in zip(axes, kinds, strict=True):
            scale = 100.0 if key == "rewards/accuracies" else 1.0
            for xs, ys in _by_iteration(rows, key):
                draw_curve(axis, xs, [scale * y for y in ys])
            _mark_iterations(axis, rows, named=axis is axes[0])
            axis.set_title(wanted[key], fontsize=9.5, pad=16 if axis is axes[0] else 4)
            whole_ticks(axis)
        axes[-1].set_xlabel("optimiser step, all iterations")
    ends = [
        (number, [row for one, _, row in rows if one == number]) for number in dict.fromkeys(one for one, _, _ in rows)
    ]
    table = tuple((f"M{number}", str(len(some)), *(_first_last(some, key) for key in kinds)) for number, some in ends)
    number, some = next((end for end in reversed(ends) if len(end[1]) > 1), ends[-1])
    known = [row["rewards/margins"] for row in some if "rewards/margins" in row]
    title = (
        f"Training of M{number}: the margin ends at {fmean(known[-max(1, len(known) // 4) :]):.2f} nats"
        if known
        else f"Training of M{number}: {len(some)} optimiser steps"
    )
    return Plot(
        "training",
        title,
        "Dots: single optimiser steps; line: running mean within an iteration. The margin is the difference of the "
        "rewards (beta times the log-ratio to the reference) of chosen and rejected steps.",
        ("policy", "optimiser steps", *(f"{wanted[key]}: first and last quarter" for key in kinds)),
        table,
        figure,
    )


def displacement(facts: RunFacts) -> Plot | None:
    """What training does to the log-probabilities of chosen and rejected steps themselves."""
    rows = _in_order(facts)
    if sum("rewards/chosen" in row for _, _, row in rows) < 2:
        return None
    with panels(1, 2.7) as (figure, (axis,)):
        axis.axhline(0, color=MUTED, linewidth=0.8)
        for key, color, label in (("rewards/rejected", MUTED, "rejected"), ("rewards/chosen", ACCENT, "chosen")):
            for number, (xs, ys) in enumerate(_by_iteration(rows, key)):
                draw_curve(axis, xs, ys, color, label if number == 0 else "")
        _mark_iterations(axis, rows)
        axis.set_ylabel("reward, nats")
        whole_ticks(axis)
        axis.set_xlabel("optimiser step, all iterations")
        legend_below(figure, axis)
    number = max((number for number, some in facts.curves.items() if len(some) > 1), default=rows[-1][0])
    some = [row for one, _, row in rows if one == number and "rewards/chosen" in row]
    late = some[-max(1, len(some) // 4) :]
    chosen, rejected = (fmean(row[f"rewards/{side}"] for row in late) for side in ("chosen", "rejected"))
    title = (
        f"In M{number}, chosen steps became {'more' if chosen > 0 else 'less'} likely, rejected ones "
        f"{'more' if rejected > 0 else 'less'}"
    )
    numbers = dict.fromkeys(one for one, _, _ in rows)
    return Plot(
        "displacement",
        title,
        "Reward: beta times the change of the log-probability since the start of the iteration (against the "
        "reference). If both fall, probability moves to steps that nobody judged.",
        ("policy", "chosen: first and last quarter", "rejected: first and last quarter"),
        tuple(
            (
                f"M{one}",
                *(_first_last([r for n, _, r in rows if n == one], f"rewards/{s}") for s in ("chosen", "rejected")),
            )
            for one in numbers
        ),
        figure,
    )


def costs(facts: RunFacts) -> Plot | None:
    """Seconds and tokens of every stage, iteration by iteration."""
    if not any(cost.seconds for cost in facts.costs):
        return None
    numbers = sorted({cost.iteration for cost in facts.costs})
    stages = [stage for stage in STAGES if any(cost.stage == stage for cost in facts.costs)]
    table = {(cost.iteration, cost.stage): cost for cost in facts.costs}
    longest = max(cost.seconds or 0.0 for cost in facts.costs)
    unit, size = ("minutes", 60.0) if longest > 120 else ("seconds", 1.0)
    names = [f"M{number}" for number in numbers]
    with panels(1, 0.9 + 0.42 * len(names) + 0.22 * (1 + len(stages) // 2)) as (figure, (axis,)):
        seconds = {
            STAGES[stage]: [
                (table[key].seconds or 0) / size if (key := (number, stage)) in table else 0.0 for number in numbers
            ]
            for stage in stages
        }
        largest = max(seconds, key=lambda name: sum(seconds[name]))
        draw_parts(axis, {largest: seconds[largest], **seconds}, names)
        axis.set_xlabel(unit)
        legend_below(figure, axis)
    total = sum(cost.seconds or 0.0 for cost in facts.costs)
    share = 100 * sum(seconds[largest]) * size / total
    rows = tuple(
        (
            *(f"M{cost.iteration}", STAGES[cost.stage], "-" if cost.seconds is None else f"{cost.seconds:,.1f}"),
            *("-" if num is None else f"{num:,}" for num in (cost.tokens_generated, cost.tokens_read)),
            "-" if cost.hit_rate is None else f"{100 * cost.hit_rate:.0f} %",
        )
        for cost in facts.costs
    )
    return Plot(
        "costs",
        f"{total / 60:,.1f} minutes of work, {share:.0f} % of it: {largest}",
        "Seconds of finished stages, over all starts of the run, and tokens where the engine counts them. From a "
        "cache: the share of prompt tokens that were found there instead of being read. Not measured: loading, and "
        "work that was lost to an interruption.",
        ("policy", "stage", "seconds", "tokens written", "tokens read", "from a cache"),
        rows,
        figure,
    )


def _in_order(facts: RunFacts) -> list[tuple[int, int, Mapping[str, float]]]:
    """Rows of training with T of M(T), and their place among all."""
    rows = [(number, row) for number, some in sorted(facts.curves.items()) for row in some]
    return [(number, place, row) for place, (number, row) in enumerate(rows, 1)]


def _by_iteration(
    rows: Sequence[tuple[int, int, Mapping[str, float]]], key: str
) -> Iterator[tuple[list[int], list[float]]]:
    for number in dict.fromkeys(number for number, _, _ in rows):
        known = [(place, row[key]) for one, place, row in rows if one == number and key in row]
        if known:
            yield [place for place, _ in known], [value for _, value in known]


def _mark_iterations(axis: Any, rows: Sequence[tuple[int, int, Mapping[str, float]]], *, named: bool = True) -> None:
    """Draw where an iteration begins, and its policy's name."""
    first = {number: place for number, place, _ in reversed(rows)}
    for number, place in sorted(first.items()):
        if place > 1:
            axis.axvline(place - 0.5, color=MUTED, linewidth=0.7, linestyle=(0, (1, 2)))
        if named:
            axis.annotate(
                f"M{number}",
                (place - 0.5, 1),
                (0, 2),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                va="bottom",
                fontsize=9,
                color=INK,
            )


def _first_last(rows: Sequence[Mapping[str, float]], key: str) -> str:
    known = [row[key] for row in rows if key in row]
    if not known:
        return "-"
    quarter = max(1, len(known) // 4)
    return f"{fmean(known[:quarter]):.3f} \u2192 {fmean(known[-quarter:]):.3f}"
