"""One HTML file: the template, the style sheet, the script and the data, and a policy that lets nothing else act.

The file asks for nothing from anywhere, and the content security policy in its head names the one style sheet and the
one script by their hashes: whatever text from outside might come to be, it cannot run, load, style or send anything.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

from markupsafe import Markup

from presrm.files.content import replace_file
from presrm.report.html.plots import Plot
from presrm.report.html.svg import data_script, draw_svg, inline_svg
from presrm.report.html.text import plain

_PERCENT = (" %", "\u00a0%")
"""No line is to begin with a per cent sign."""
_HERE = files("presrm.report.html")


@dataclass(frozen=True, slots=True)
class ShownPlot:
    """A plot as the templates show it."""

    name: str
    title: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    svg: Markup


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: a heading, a sentence, plots, and a table."""

    name: str
    title: str
    plots: tuple[ShownPlot, ...] = ()
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """A part that the script draws from the data of the same name.

    Attributes:
        name: Of the data.
        title: Heading.
        note: What it holds, of how many.
        elsewhere: Where the same can be read without the script.
    """

    name: str
    title: str
    note: str
    elsewhere: str


@dataclass(frozen=True, slots=True)
class ShownLesson:
    """A lesson as the page shows it without its script."""

    title: str
    question: Markup
    before: int
    steps: tuple[tuple[str, Markup], ...]


def show(plot: Plot | ShownPlot) -> ShownPlot:
    """Draw a plot for the page."""
    if isinstance(plot, ShownPlot):
        return plot
    svg = inline_svg(plot.figure, plot.name, f"{plot.title}. {plot.caption}")
    return ShownPlot(plot.name, plot.title, plot.caption, plot.columns, plot.rows, svg)


def sections_of(drawn: Sequence[Plot | ShownPlot], layout: Sequence[tuple[str, str, Sequence[str]]]) -> list[Section]:
    """Put plots into sections, given as name, title and names of plots; sections without any are left out."""
    by_name = {plot.name: plot for plot in drawn}
    sections = [
        Section(name, title, tuple(show(by_name[plot]) for plot in plots if plot in by_name))
        for name, title, plots in layout
    ]
    return [section for section in sections if section.plots]


def write_page(
    out: Path,
    *,
    title: str,
    subtitle: str,
    sentences: Sequence[Markup],
    sections: Sequence[Section],
    views: Sequence[View],
    data: Mapping[str, Any],
    about: Mapping[str, str],
    alarms: Sequence[str] = (),
    lessons: Sequence[ShownLesson] = (),
    settings: str = "",
) -> None:
    """Write the page.

    Args:
        out: The file.
        title: Heading; may be from outside, as all text here may.
        subtitle: Line below it.
        sentences: The summary.
        sections: Plots and tables.
        views: What the script draws.
        data: What it draws that from.
        about: Settings and versions, for a list.
        alarms: What stands out at the top.
        lessons: A few that are shown without the script.
        settings: All settings, as text.
    """
    from presrm import __version__

    css, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(css)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    parts = [(section.name, section.title) for section in sections] + [(view.name, view.title) for view in views]
    page = (
        _templates()
        .get_template("report.html")
        .render(
            title=plain(title),
            subtitle=plain(subtitle),
            contents=[("summary", "Summary"), *parts, ("settings", "Settings")],
            policy=policy,
            version=__version__,
            css=Markup(css),
            script=Markup(script),
            data=data_script("data", json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))),
            sentences=[sentence.replace(*_PERCENT) for sentence in sentences],
            alarms=[plain(alarm) for alarm in alarms],
            sections=sections,
            lessons=lessons,
            views=views,
            about=[(plain(key), plain(value)) for key, value in about.items()],
            settings=plain(settings),
        )
    )
    replace_file(out, page.encode("utf-8", "backslashreplace"))


def write_plots(folder: Path, plots: Sequence[Plot]) -> None:
    """Write every plot as ``<name>.svg`` and ``<name>.png``, under its title."""
    folder.mkdir(parents=True, exist_ok=True)
    for plot in plots:
        plot.figure.suptitle(_wrapped(plot.title), fontsize=11, x=0.02, ha="left")
        replace_file(folder / f"{plot.name}.svg", draw_svg(plot.figure, plot.name))
        plot.figure.savefig(folder / f"{plot.name}.png", dpi=160, metadata={"Software": None})


def _wrapped(title: str, width: int = 58) -> str:
    import textwrap

    return textwrap.fill(title, width)


@cache
def _templates() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("presrm.report.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value.replace(*_PERCENT) if type(value) is str else value,
    )


@cache
def _asset(name: str) -> str:
    return f"\n{_HERE.joinpath(name).read_text('utf-8')}"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
