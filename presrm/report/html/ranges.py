"""Shares as points with their intervals, one a line, drawn as SVG without a library.

A page that has nothing else to draw is written in no time: loading matplotlib takes longer than all else that it needs.
"""

from collections.abc import Sequence

from markupsafe import Markup

from presrm.report.figures import Unit, value_text
from presrm.report.html.text import plain
from presrm.statistics import Figure

_WIDTH, _MARGIN, _ROW, _AXIS = 360.0, 12.0, 30.0, 34.0
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def draw_ranges(figures: Sequence[tuple[str, Figure]], label: str, unit: Unit, description: str) -> Markup:
    """Draw figures between 0 and 1, the first one at the top.

    Args:
        figures: With their names; one without a value has a line without a point.
        label: Of the axis.
        unit: ``share``: as per cent.
        description: For those who cannot see it.
    """
    bottom = _MARGIN + _ROW * len(figures)
    parts = []
    for tick in _TICKS:
        parts.append(_line(_x(tick), _MARGIN, _x(tick), bottom, "s-grid", 0.7))
        shown = f"{100 * tick:.0f} %" if unit == "share" else f"{tick:g}"
        parts.append(_text(_x(tick), bottom + 13, shown, "f-muted", "middle"))
    for place, (name, one) in enumerate(figures):
        y = _MARGIN + _ROW * place
        parts += [_text(_x(0), y + 12, name, "f-ink", "start"), _text(_x(1), y + 12, value_text(one.value, unit))]
        if one.interval is not None:
            parts.append(_line(_x(one.interval[0]), y + 21, _x(one.interval[1]), y + 21, "s-accent", 1.6))
        if one.value is not None:
            parts.append(
                Markup('<circle cx="{:.2f}" cy="{:.2f}" r="3" class="f-accent"/>').format(_x(one.value), y + 21)
            )
    parts.append(_text(_x(0.5), bottom + 28, label, "f-muted", "middle"))
    drawn = Markup('<svg viewBox="0 0 {:g} {:g}" role="img" class="plot"><title>{}</title>{}</svg>')
    return drawn.format(_WIDTH, bottom + _AXIS, plain(description), Markup("").join(parts))


def _x(value: float) -> float:
    return _MARGIN + (_WIDTH - 2 * _MARGIN) * min(max(value, 0.0), 1.0)


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: float) -> Markup:
    line = Markup('<line x1="{:.2f}" y1="{:.2f}" x2="{:.2f}" y2="{:.2f}" class="{}" stroke-width="{}"/>')
    return line.format(x1, y1, x2, y2, color, width)


def _text(x: float, y: float, text: str, color: str = "f-ink", anchor: str = "end") -> Markup:
    shown = Markup('<text x="{:.2f}" y="{:.2f}" class="{}" text-anchor="{}" font-size="10">{}</text>')
    return shown.format(x, y, color, anchor, plain(text))
