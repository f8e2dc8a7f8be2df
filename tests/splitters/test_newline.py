import pytest

from presrm.splitters.newline import NewlineSplitter


@pytest.mark.parametrize(
    "steps",
    [
        ["2 + 3 = 5\n", "5 * 4 = 20\n", "#### 20"],
        ["a\n\n  \n", "  b"],
        ["\n\n a\n", "b\n\n"],
        ["a\r\n\r\n", "b\r\n"],
        ["a\rb\x0bc\u2028d\n", "e"],
        ["one line"],
    ],
)
def test_a_step_is_a_line_and_the_blank_lines_after_it(steps: list[str]) -> None:
    assert NewlineSplitter().split("".join(steps)) == steps
