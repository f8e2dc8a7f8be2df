import io
import tokenize
from pathlib import Path

import pytest

import presrm
from presrm.splitters.code import CodeSplitter


@pytest.mark.parametrize(
    "steps",
    [
        ["import math\n\n", "x = 1; y = 2\n", "print(x)"],
        ["def f(x):\n", "    if x:\n", "        return 1\n", "    return 2\n\n\n", "f(3)\n"],
        ["x = [\n  1,\n\n  2,\n]\n", "y = 1 + \\\n    2\n", "z = 3\n"],
        ['s = """a\n\nb(\n"""\n', "t = '(' # (\n", "u = 'it\\'s'\n"],
        ["# first\n# second\nx = 1\n", "@dec\ndef f(): pass\n", "# last"],
        ["x = 1\r\n\r\n", "y = (2,\r\n 3)\r\n", "z = 4"],
    ],
)
def test_a_step_is_a_statement(steps: list[str]) -> None:
    assert CodeSplitter().split("".join(steps)) == steps


def test_a_step_may_begin_in_the_middle_of_a_program() -> None:
    steps = ["        x = 1\n", "    y = 2\n", "z = 3\n"]
    assert CodeSplitter().split("".join(steps)) == steps


@pytest.mark.parametrize(
    "steps",
    [
        ["It's five o'clock.\n", "That's :) it\n", "#### 5"],
        ["x = (1 + 2\n", "y = 3\n\n", "z = 4\n"],
        ["x = 1)\n", "y = 'open\n", "z = ]\n"],
    ],
)
def test_text_that_is_no_python_is_cut_into_lines(steps: list[str]) -> None:
    assert CodeSplitter().split("".join(steps)) == steps


def test_what_may_still_be_closed_is_held_together() -> None:
    assert CodeSplitter().split("x = 1\ny = f(\n    2,\n") == ["x = 1\n", "y = f(\n    2,\n"]
    assert CodeSplitter().split('x = 1\ny = """a\n\nb\n') == ["x = 1\n", 'y = """a\n\nb\n']


@pytest.mark.parametrize("text", ["(" * 50_000, "-" * 50_000 + "1", "1" + "+1" * 50_000, "f" + "()" * 50_000])
def test_deep_nesting_does_no_harm(text: str) -> None:
    assert CodeSplitter().split(text) == [text]


def test_real_programs_are_cut_where_their_logical_lines_end() -> None:
    for path in sorted(Path(presrm.__file__).parent.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        tokens = tokenize.generate_tokens(io.StringIO(source).readline)
        logical_lines = [token.line for token in tokens if token.type == tokenize.NEWLINE]
        decorators = sum(line.lstrip().startswith("@") for line in logical_lines)
        steps = CodeSplitter().split(source)
        assert "".join(steps) == source
        assert len(steps) == len(logical_lines) - decorators, path
