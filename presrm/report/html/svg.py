"""A matplotlib figure as SVG that stands inside the page: no style, no font, no name of its own, colours by class.

The page's content security policy forbids style attributes, and its dark mode needs colours that follow it. So styles
become attributes, and the few colours that plots use become classes of the page's style sheet.
"""

import io
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER, ACCENT, SOFT, WARN = (
    "#1d2126",
    "#68707a",
    "#d5dae0",
    "#ffffff",
    "#0f6b8f",
    "#a9cddb",
    "#b4470b",
)
SHADES = ("#6f7c89", "#939eaa", "#b3bbc3", "#cbd1d7", "#dfe3e7")
"""Greys for parts of a whole that are not the point, dark to light."""
CLASSES = {
    **{INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper", ACCENT: "accent", SOFT: "soft", WARN: "warn"},
    **{shade: f"shade{number}" for number, shade in enumerate(SHADES)},
}
_SVG, _LINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_KEPT = {"fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "fill-opacity", "opacity"}
_FONT = re.compile(r"([\d.]+)px")
_HREF = f"{{{_LINK}}}href"


def inline_svg(figure: "Figure", name: str, description: str) -> Markup:
    """Draw `figure` as SVG for the page; `name` keeps its ids apart from those of other plots."""
    root = ElementTree.fromstring(draw_svg(figure, name))
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    used = {reference for element in root.iter() for reference in _references(element)}
    for element in root.iter():
        _mend(element, name, used)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.attrib.pop("version", None)
    root.attrib |= {"role": "img", "class": "plot"}
    title = ElementTree.Element(f"{{{_SVG}}}title")
    title.text = description
    root.insert(0, title)
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _LINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def draw_svg(figure: "Figure", name: str) -> str:
    """Draw `figure` as an SVG file, on nothing: the same bytes each time. Its ``savefig`` would draw it twice."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    canvas: Any = FigureCanvasSVG(figure)
    written, paper = io.StringIO(), figure.get_facecolor()
    figure.set_facecolor("none")
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        canvas.print_svg(written, metadata={"Date": None, "Creator": None})
    figure.set_facecolor(paper)
    return written.getvalue()


def _references(element: ElementTree.Element) -> list[str]:
    text = " ".join([element.get("style", ""), element.get("clip-path", "")])
    return [*re.findall(r"url\(#([^)]+)\)", text), element.get(_HREF, "#")[1:]]


def _mend(element: ElementTree.Element, name: str, used: set[str]) -> None:
    """Turn style into attributes and classes, drop ids that nothing refers to, and rename the others."""
    styles = dict(part.split(":", 1) for part in element.attrib.pop("style", "").split(";") if ":" in part)
    classes = [found for key, value in styles.items() if (found := _set(element, key.strip(), value.strip()))]
    if element.tag == f"{{{_SVG}}}text" and not any(one.startswith("f-") for one in classes):
        classes.append("f-ink")
    if classes:
        element.set("class", " ".join(classes))
    identity = element.attrib.pop("id", None)
    if identity in used:
        element.set("id", f"{name}-{identity}")
    if _HREF in element.attrib:
        element.set("href", f"#{name}-{element.attrib.pop(_HREF)[1:]}")
    if "clip-path" in element.attrib:
        element.set("clip-path", element.attrib["clip-path"].replace("url(#", f"url(#{name}-"))


def _set(element: ElementTree.Element, key: str, value: str) -> str:
    """Set a style as an attribute, or give the class that has it."""
    if key in ("fill", "stroke") and value in CLASSES:
        return f"{key[0]}-{CLASSES[value]}"
    if key in _KEPT or key == "text-anchor":
        element.set(key, value)
    elif key in ("font", "font-size") and (size := _FONT.search(value)):
        element.set("font-size", size[1])
    return ""


def data_script(identity: str, data: str) -> Markup:
    """Give JSON as a block of data that a browser does not run, whatever stands in it."""
    inert = data.translate({ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"})
    return Markup('<script type="application/json" id="{}">{}</script>').format(identity, Markup(inert))
