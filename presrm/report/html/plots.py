"""The plots of a run: each has a title that says what to see, what it was counted on, and the numbers behind it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from presrm.report.html.svg import ACCENT, GRID, INK, MUTED, PAPER, SHADES, SOFT, WARN
from presrm.statistics import Figure as Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 5.0
"""Inches. In the page a plot is as wide as its column; at this width its letters can be read on a phone, too."""
_STYLE: Any = {
    "text.parse_math": False,
    "font.size": 10.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True)
class Plot:
    """A plot, ready to be drawn.

    Attributes:
        name: Of its files, and of its place in the page.
        title: What to see in it.
        caption: What is drawn, on how many cases, with which interval.
        columns: Of the table of its numbers.
        rows: Cells of that table.
        figure: What is drawn.
    """

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    figure: "Figure"


@dataclass(frozen=True, slots=True)
class Series:
    """Figures by the name of a policy; one without a value has a gap."""

    label: str
    points: Mapping[str, Measured]
    color: str = ACCENT


@contextmanager
def panels(num: int, height: float, *, columns: int = 1) -> "Iterator[tuple[Figure, list[Axes]]]":
    """Give a figure of `num` panels in `columns`, in the style of the page; `height` is in inches."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        rows = -(-num // columns)
        axes = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
        for axis in axes:
            axis.grid(axis="y")
            axis.tick_params(length=0)
        for axis in axes[num:]:
            axis.set_visible(False)
        yield figure, axes[:num]


def draw_points(
    axis: "Axes",
    series: Sequence[Series],
    names: Sequence[str],
    *,
    scale: float = 1.0,
    labels: str = "",
    flagged: Callable[[str], bool] = lambda name: False,
) -> None:
    """Draw series of points with their intervals, a policy a tick; `labels` is the format of a value beside its point.

    Points of policies that are `flagged` have the colour of a warning.
    """
    for number, one in enumerate(series):
        shift = 0.07 * (number - (len(series) - 1) / 2)
        known = [(place + shift, name, one.points[name]) for place, name in enumerate(names) if name in one.points]
        known = [item for item in known if item[2].value is not None]
        places, values = [place for place, _, _ in known], [scale * (found.value or 0.0) for _, _, found in known]
        axis.plot(places, values, color=one.color, label=one.label, zorder=3 - number)
        rises = [*(after > value for value, after in pairwise(values)), False]
        for (place, name, found), value, is_rising in zip(known, values, rises, strict=True):
            color = WARN if flagged(name) else one.color
            if found.interval is not None:
                low, high = found.interval
                axis.vlines(place, scale * low, scale * high, color=color, linewidth=1.4, zorder=3)
            axis.plot([place], [value], "o", color=color, markersize=5.5, markeredgecolor=PAPER, zorder=4)
            if labels and number == 0:
                where = (7, -12) if is_rising else (7, 5)  # off the line to the next point
                axis.annotate(labels.format(value), (place, value), where, textcoords="offset points", fontsize=9.5)
    axis.set_xticks(range(len(names)), names)
    axis.set_xlim(-0.35, len(names) - 0.35)


def draw_parts(axis: "Axes", parts: Mapping[str, Sequence[float]], names: Sequence[str]) -> None:
    """Draw stacked bars, one a name: the first part in the accent, the others in greys."""
    left = [0.0] * len(names)
    for number, (label, counts) in enumerate(parts.items()):
        color = ACCENT if number == 0 else SHADES[(number - 1) % len(SHADES)]
        axis.barh(range(len(names)), counts, left=left, color=color, label=label, height=0.62, edgecolor=PAPER)
        left = [a + b for a, b in zip(left, counts, strict=True)]
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.grid(visible=False, axis="y")
    axis.grid(axis="x")


def draw_curve(axis: "Axes", xs: Sequence[float], ys: Sequence[float], color: str = ACCENT, label: str = "") -> None:
    """Draw a curve of training: the rows as faint points, their running mean as a line."""
    axis.plot(xs, ys, ".", color=SOFT if color == ACCENT else GRID, markersize=4)
    width = len(ys) // 8
    smooth = [sum(ys[max(0, i - width) : i + 1]) / (i + 1 - max(0, i - width)) for i in range(len(ys))]
    axis.plot(xs, smooth, color=color, label=label)


def widen(axis: "Axes", share: float) -> None:
    """Let the vertical axis span at least `share` of its middle, either way: a flat line is to look flat."""
    low, high = axis.get_ylim()
    middle = (low + high) / 2
    axis.set_ylim(min(low, middle * (1 - share)), max(high, middle * (1 + share)))


def whole_ticks(axis: "Axes") -> None:
    """Let the ticks of a count be whole numbers."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator("auto", integer=True))


def legend_below(figure: "Figure", axis: "Axes", *, columns: int = 2) -> None:
    """Put the legend of `axis` under the figure."""
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, handlelength=1.4, columnspacing=1.4)


def bound(axis: "Axes", low: float, high: float) -> None:
    """Draw bounds as dashed lines."""
    for end in (low, high):
        if abs(end) != float("inf"):
            axis.axhline(end, color=WARN, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
