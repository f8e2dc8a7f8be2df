"""What holds for every registered splitter."""

from importlib.metadata import EntryPoint

import pytest
from hypothesis import given
from hypothesis import strategies as st

import presrm.registry
from presrm.errors import UnknownNameError
from presrm.protocols import StepSplitter
from presrm.splitters import SPLITTERS
from presrm.testing import check_splitter

every_splitter = pytest.mark.parametrize("name", SPLITTERS.names())

HOSTILE = (
    *("\n", " ", "\\", "\\\n", "x\n", "\n \n", "a. ", "e.g. ", "1. ", '."', "$", "$$", "$1 ", "$\n\n", "$1\\$", "\\("),
    *(
        "\\[\n\n",
        "\\boxed{",
        "\\boxed{\n\n",
        "{",
        "<chunk>",
        "</think> ",
        "Step 1: ",
        "\nStep 1: ",
        "\n   #",
        "\nstep 1",
        "\n1. - > ",
        "\n**Step 1 (",
        "\\begin{a}",
        "\\end{a}",
        "\\begin{a}. ",
        "\\begin ",
    ),
    *("(", "(\n\n", "(]\n", '"""', "\\'", "'''a\n", "# c\n", "@d\n", "if x:\n ", "-", "lambda: ", "\x00", "\ud800"),
)


@every_splitter
def test_obeys_the_laws_of_the_kit(name: str) -> None:
    check_splitter(SPLITTERS.create(name))


@every_splitter
@given(text=st.text(st.characters()) | st.text(st.sampled_from("ab1 .\n\r\t$\\{}[]()<>/#'\"Step:")))
def test_steps_join_to_the_text(name: str, text: str) -> None:
    steps = SPLITTERS.create(name).split(text)
    assert "".join(steps) == text
    assert "" not in steps


@every_splitter
def test_a_blank_text_is_at_most_one_step(name: str) -> None:
    assert SPLITTERS.create(name).split("") == []
    assert SPLITTERS.create(name).split(" \n\n\t\n") == [" \n\n\t\n"]


@every_splitter
@pytest.mark.parametrize("fragment", HOSTILE, ids=ascii)
def test_a_long_hostile_text_is_split(name: str, fragment: str) -> None:
    text = "x" + fragment * (100_000 // len(fragment)) + "y"
    assert "".join(SPLITTERS.create(name).split(text)) == text


@pytest.mark.slow
@every_splitter
@pytest.mark.parametrize("fragment", HOSTILE, ids=ascii)
def test_a_megabyte_is_split(name: str, fragment: str) -> None:
    text = "x" + fragment * (1_000_000 // len(fragment)) + "y"
    assert "".join(SPLITTERS.create(name).split(text)) == text


@pytest.mark.parametrize(
    ("name", "text", "first"),
    [
        ("code", "f(\n  1)\ng()\n", "f(\n  1)\n"),
        ("marker", "Step 1: 2 + 3 = 5\n\nStep 2: so 5.\nStep 3: done", "Step 1: 2 + 3 = 5\n\n"),
        ("newline", "2 + 3 = 5\n\n  5 * 4 = 20\n", "2 + 3 = 5\n\n"),
        ("paragraph", "He buys 3.\n\n \nSo 5.\n\nDone.", "He buys 3.\n\n \n"),
        ("sentence", "So $x = 3.5. Y$, i.e. \\(a. B\\). Then 5. Done.", "So $x = 3.5. Y$, i.e. \\(a. B\\). "),
        ("tags", "<think>a <chunk>b</chunk>\n</think> c", "<think>a "),
    ],
)
def test_a_boundary_seen_while_the_text_grows_stays(name: str, text: str, first: str) -> None:
    """The engine takes the first piece as the step as soon as there are two."""
    splitter = SPLITTERS.create(name)
    firsts = {steps[0] for end in range(len(text) + 1) if len(steps := splitter.split(text[:end])) > 1}
    assert firsts == {first}


class HalfSplitter:
    """A splitter of a user's own: no base class."""

    stop = ()

    def split(self, text: str) -> list[str]:
        half = len(text) // 2
        return [piece for piece in (text[:half], text[half:]) if piece]


def test_any_object_with_stop_and_split_is_a_splitter() -> None:
    assert isinstance(HalfSplitter(), StepSplitter)
    check_splitter(HalfSplitter())


def test_a_decorator_names_a_splitter() -> None:
    splitters = type(SPLITTERS)("splitter", {})
    assert splitters.register("half")(HalfSplitter) is HalfSplitter
    assert splitters.create("half").split("ab") == ["a", "b"]


def test_an_entry_point_names_a_splitter(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("half", f"{__name__}:HalfSplitter", "presrm.splitters")
    monkeypatch.setattr(EntryPoint, "load", lambda self: HalfSplitter)
    monkeypatch.setattr(presrm.registry, "entry_points", lambda group: [point] if group == point.group else [])
    splitters = type(SPLITTERS)("splitter", {}, group="presrm.splitters")
    assert splitters.names() == ["half"]
    assert splitters.create("half").split("ab") == ["a", "b"]


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'sentence'"):
        SPLITTERS.create("sentense")
