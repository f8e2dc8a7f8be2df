"""Code between python fences in README and docs runs; links between the pages lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text("utf-8")], ids=lambda p: p.name
)
def test_code_on_a_page_runs_from_top_to_bottom(page: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL))
    exec(compile(code, page.name, "exec"), {"__name__": "page"})


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), f"{page.name} links to {target}"
        assert not anchor or f'id="{anchor}"' in linked.read_text("utf-8") or name == "", f"no #{anchor} in {name}"


def test_the_symbols_that_paper_md_names_exist() -> None:
    from importlib import import_module

    names = set(re.findall(r"`(presrm(?:\.\w+)+)`", (ROOT / "docs/paper.md").read_text("utf-8")))
    assert len(names) > 10
    for name in names:
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found = import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            for part in parts[cut:]:
                # A slotted dataclass or a pydantic model keeps its fields apart.
                found = getattr(found, part, None) or getattr(found, "__dataclass_fields__", {}).get(part)
            assert found is not None, name
            break


M1_PRINTED = re.compile(r"^ ?M1 +(\d+\.\d) % \[|M1 solves (\d+\.\d) %|, M1 (\d+\.\d) %", re.MULTILINE)


def accuracies_of_m1(text: str) -> set[str]:
    """What a page says of M1 of the shipped policy: as printed, in prose, and in tables with a column of that name."""
    found = {figure for groups in M1_PRINTED.findall(text) for figure in groups if figure}
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        if "M1" in head and head[0] != "change":  # those are policies of earlier recipes
            shipped = [row for row in rows if head[0] != "policy of seed" or row[0].startswith("0")]
            found |= {row[head.index("M1")] for row in shipped if "," not in row[0]}
    return found


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "benchmarks/embedded/README.md"], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_m1_of_the_shipped_policy_has_one_accuracy_or_the_page_says_why_not(page: Path) -> None:
    text = page.read_text("utf-8")
    [everywhere] = accuracies_of_m1((ROOT / "README.md").read_text("utf-8").partition("## Install")[0])
    if accuracies_of_m1(text) - {everywhere}:
        assert re.search(
            r"M1(?: of the shipped policy)? is the same policy everywhere.*\bother\s+problems", text, re.DOTALL
        )


def test_pages_say_how_much_m1_solves() -> None:
    pages = {page.relative_to(ROOT).as_posix() for page in PAGES if accuracies_of_m1(page.read_text("utf-8"))}
    assert {"README.md", "docs/tour.md", "docs/report.md"} <= pages
