"""How a figure is written: value, interval and count, each in one way everywhere."""

import pytest

from presrm.report.figures import Unit, figure_text, interval_text, value_text
from presrm.statistics import UNMEASURED, Figure


@pytest.mark.parametrize(
    ("unit", "value", "interval", "whole"),
    [
        ("share", "12.5 %", "1.0 to 20.0", "12.5 % [1.0, 20.0]"),
        ("points", "+12.5", "+1.0 to +20.0", "+12.5 points [+1.0, +20.0]"),
        ("number", "0.12", "0.01 to 0.20", "0.12 [0.01, 0.20]"),
    ],
)
def test_each_unit_is_written_in_one_way(unit: Unit, value: str, interval: str, whole: str) -> None:
    figure = Figure(40, 0.125, (0.01, 0.2))
    assert (value_text(figure.value, unit), interval_text(figure, unit)) == (value, interval)
    assert figure_text(figure, unit) == whole
    assert figure_text(figure, unit, with_num=True) == f"{whole} of 40"


@pytest.mark.parametrize("unit", ["share", "points", "number"])
def test_what_is_not_known_is_a_dash_and_no_zero(unit: Unit) -> None:
    assert (
        figure_text(UNMEASURED, unit, with_num=True) == value_text(None, unit) == interval_text(UNMEASURED, unit) == "-"
    )
    assert "[" not in figure_text(Figure(3, 0.5), unit), "a value without an interval shows none"
    assert figure_text(Figure(3, 0.0), unit).startswith(("0.0", "+0.0"))
