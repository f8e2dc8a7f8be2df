"""How a figure is written, wherever one is shown: ``97.1 % [94.1, 98.6] of 238``, and ``-`` where it cannot be told."""

from typing import Literal

from presrm.statistics import Figure

Unit = Literal["share", "points", "number"]
"""``share``: in percent; ``points``: a difference of shares, in percentage points with a sign; ``number``: as it is."""


def value_text(value: float | None, unit: Unit) -> str:
    """Write a value, for a column of its own; what is unknown is a dash."""
    return "-" if value is None else f"{_bare(value, unit)}{' %' * (unit == 'share')}"


def interval_text(figure: Figure, unit: Unit) -> str:
    """Write the ends of an interval, for a column of its own."""
    return "-" if figure.interval is None else " to ".join(_bare(end, unit) for end in figure.interval)


def figure_text(figure: Figure, unit: Unit, *, with_num: bool = False) -> str:
    """Write value, interval in brackets and, if asked, the number of cases; what has no value is a dash.

    >>> figure_text(Figure(238, 0.971, (0.941, 0.986)), "share", with_num=True)
    '97.1 % [94.1, 98.6] of 238'
    """
    if figure.value is None:
        return "-"
    value = f"{value_text(figure.value, unit)}{' points' * (unit == 'points')}"
    ends = "" if figure.interval is None else f" [{', '.join(_bare(end, unit) for end in figure.interval)}]"
    return f"{value}{ends}{f' of {figure.num}' * with_num}"


def p_text(value: float) -> str:
    """Write the p-value of a test."""
    return "p<0.001" if value < 0.001 else f"p={value:.3f}"


def _bare(value: float, unit: Unit) -> str:
    match unit:
        case "share":
            return f"{100 * value:.1f}"
        case "points":
            return f"{100 * value:+.1f}"
        case "number":
            return f"{value:.2f}"
