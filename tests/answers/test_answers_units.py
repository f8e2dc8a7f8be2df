import pytest

from presrm.answers.units import units_differ


@pytest.mark.parametrize(
    ("one", "same"),
    [
        (r"5\text{ hour}", "5 hours"),
        ("5 cm", r"5\text{ centimetres}"),
        (r"5\mbox{ cm}^2", "5 sq cm"),
        ("5 cm2", "5 cm squared"),
        ("5 inches^3", "5 cu. in"),
        ("72^\\circ F", "72 degrees"),
        ("5 m", "5 min"),
        (r"\$5", "5 USD"),
        (r"\$5 \text{ per hour}", r"5\text{ dollars per hour}"),
        ("60 mph", "60 miles per hour"),
    ],
)
def test_one_unit_has_many_spellings(one: str, same: str) -> None:
    assert not units_differ(one, same)


@pytest.mark.parametrize(
    "text",
    [
        "5",
        "$5$",
        "5x",
        "5 apples",
        "5 in total",
        "5 ft 7 in",  # two units
        "2h + s",  # letters that stand for numbers
        r"2h\cdot s",
        r"x = 3m + 2",
        r"\min",
        "12:30",
        "5 million",
        "5 " * 300 + "cm",
    ],
)
def test_what_states_no_unit_differs_from_none(text: str) -> None:
    others = [r"5\text{ cm}", r"5\%", r"\$5", "5 h", "5^\\circ"]
    assert [other for other in others if units_differ(text, other)] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [("5 m", "5 h"), ("5 m^2", "5 m"), ("5 m/s", "5 m/h"), ("5 kg", "5 g"), ("5 pounds", "5 cm"), ("5°C", "5°F")],
)
def test_what_several_units_could_be_differs_from_all_others(one: str, other: str) -> None:
    assert units_differ(one, other)
    assert units_differ(other, one)
