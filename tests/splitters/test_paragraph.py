import pytest

from presrm.splitters.paragraph import ParagraphSplitter


@pytest.mark.parametrize(
    "steps",
    [
        ["a\nb\n\n", "c\n"],
        ["a\n \t\n\n", "  b\n\n", "c\n\n\n"],
        ["\n\na\n\n", "b"],
        ["a\r\n\r\n", "b"],
        ["a\nb\n"],
    ],
)
def test_a_step_is_a_paragraph_and_the_blank_lines_after_it(steps: list[str]) -> None:
    assert ParagraphSplitter().split("".join(steps)) == steps
