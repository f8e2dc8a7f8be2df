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

from presrm.files.run import replace_file
from presrm.report.html.plots import Plot
from presrm.report.html.svg import data_script, draw_svg, inline_svg
from presrm.report.html.text import plain

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
    """A part of the page: a heading, a sentence, and plots."""

    name: str
    title: str
    plots: tuple[ShownPlot, ...]
    text: str = ""


def show(plot: Plot) -> ShownPlot:
    """Draw a plot for the page."""
    svg = inline_svg(plot.figure, plot.name, f"{plot.title}. {plot.caption}")
    return ShownPlot(plot.name, plot.title, plot.caption, plot.columns, plot.rows, svg)


def write_page(
    out: Path,
    template: str,
    title: str,
    subtitle: str,
    contents: Sequence[tuple[str, str]],
    data: Mapping[str, Any],
    **parts: Any,
) -> None:
    """Write the page.

    Args:
        out: The file.
        template: Name of its template.
        title: Heading; may be from outside.
        subtitle: Line below it.
        contents: Anchors and names of the sections.
        data: What the script draws.
        parts: What else the template shows.
    """
    from presrm import __version__

    css, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(css)}'; base-uri 'none'; "
        "form-action 'none'"
    )
    inside = data_script("data", json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")))
    written = (
        _templates()
        .get_template(template)
        .render(
            title=plain(title),
            subtitle=plain(subtitle),
            contents=contents,
            policy=policy,
            version=__version__,
            css=Markup(css),
            script=Markup(script),
            data=inside,
            **parts,
        )
    )
    replace_file(out, written.encode("utf-8", "backslashreplace"))


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
    )


@cache
def _asset(name: str) -> str:
    return f"\n{_HERE.joinpath(name).read_text('utf-8')}"


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}"
