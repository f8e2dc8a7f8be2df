"""Shares as points with intervals: where they stand, what is unknown, and texts from outside."""

from xml.etree import ElementTree

import pytest

from presrm.report.html.ranges import draw_ranges
from presrm.statistics import Figure, share


def test_points_and_intervals_stand_where_their_values_are() -> None:
    drawn = draw_ranges([("a", Figure(10, 0.0, (0.0, 0.5))), ("b", Figure(10, 1.0, (0.25, 1.2)))], "x", "number", "d")
    root = ElementTree.fromstring(drawn)
    low, high = (float(line.get("x1", "")) for line in (root.findall("line")[0], root.findall("line")[4]))
    points = [float(point.get("cx", "")) for point in root.findall("circle")]
    assert points == [low, high]
    bars = [(float(one.get("x1", "")), float(one.get("x2", ""))) for one in root.findall("line[@class='s-accent']")]
    assert bars == [(low, pytest.approx((low + high) / 2)), (pytest.approx(low + (high - low) / 4), high)]
    heights = [float(point.get("cy", "")) for point in root.findall("circle")]
    assert heights == sorted(heights), "the first one is at the top"


def test_a_figure_without_a_value_has_a_name_and_no_point() -> None:
    root = ElementTree.fromstring(draw_ranges([("unknown", Figure())], "x", "share", "d"))
    assert root.findall("circle") == root.findall("line[@class='s-accent']") == []
    texts = [text.text for text in root.findall("text")]
    assert texts[:5] == ["0 %", "25 %", "50 %", "75 %", "100 %"]
    assert texts[5:] == ["unknown", "-", "x"]


def test_names_are_text_whatever_they_hold() -> None:
    name = "</text><script>x</script>\x1b[2J\u202e"
    drawn = draw_ranges([(name, share([True, False]))], name, "share", name)
    root = ElementTree.fromstring(drawn)
    assert root.find(".//script") is None
    assert "\x1b" not in drawn
    assert "\u202e" not in drawn
    assert root.findtext("title", "").startswith("</text><script>")
