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
