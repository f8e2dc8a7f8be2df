"""Text and tables for a terminal: nothing from a file or a model is obeyed as a control sequence."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

STEP_STYLES = ("cyan", "green", "yellow", "magenta", "blue")


def visible(text: str) -> str:
    """Write control and other unprintable characters as escapes; line ends stay.

    >>> visible("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def one_line(message: str) -> str:
    """Fit a message on one line, unprintable characters escaped."""
    return visible(" ".join(message.split()))


def print_steps(console: Console, steps: Sequence[str]) -> None:
    """Print the steps of one solution, neighbours in different colours, then an empty line."""
    text = Text()
    for i, step in enumerate(steps):
        text.append(visible(step), style=STEP_STYLES[i % len(STEP_STYLES)])
    console.print(text, end="\n\n", soft_wrap=True)


def print_table(console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table; numbers and text alike are taken literally, and folded where they do not fit."""
    table = Table(*(Column(name, overflow="fold") for name in columns), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    console.print(table)
