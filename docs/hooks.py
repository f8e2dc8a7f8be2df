"""What the docs site takes from elsewhere: its navigation, whole pages, and the files that pages link to."""

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
BENCHMARKS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("benchmarks/*/README.md"))
PROJECT = ["examples/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
PAGES = (*BENCHMARKS, *PROJECT)
LINK = re.compile(r"(?<=\]\()(?!https?:)([^)#\s]+)")

GROUP = re.compile(r"^\*\*(.+)\*\*$((?:\n(?!\*\*).*)*)", re.MULTILINE)
ENTRY = re.compile(r"^- \[[^]]*\]\((\S+\.md)\)", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Make the navigation: a page belongs where docs/README.md lists it."""
    groups = GROUP.findall((ROOT / "docs/README.md").read_text("utf-8"))
    decisions = sorted(f"decisions/{path.name}" for path in (ROOT / "docs/decisions").glob("*.md"))
    config.nav = [
        {"All pages": "README.md"},
        *({name: ENTRY.findall(entries)} for name, entries in groups),
        *(config.nav or ()),
        {"Decisions": decisions},
        {"Benchmarks": BENCHMARKS},
        {"Project": PROJECT},
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of other folders, and whatever a page links to that is not in `docs/`."""
    for path in PAGES:
        files.append(_outside(path, config))
    for page in tuple(files.documentation_pages()):
        for target in LINK.findall(page.content_string):
            path = _in_repository(page.src_uri, target)
            if _in_site(path) not in files.src_uris and (ROOT / path).is_file():
                files.append(_outside(path, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links lead to where the files are in the site."""
    source = page.file.src_uri

    def lead(link: re.Match[str]) -> str:
        path = _in_repository(source, link[1])
        if (ROOT / path).is_dir():  # a folder is its first page
            path = min(page.relative_to(ROOT).as_posix() for page in (ROOT / path).glob("*.md"))
        return relpath(_in_site(path), dirname(source) or ".") if (ROOT / path).exists() else link[1]

    return LINK.sub(lead, markdown)


def _outside(path: str, config: MkDocsConfig) -> File:
    return File.generated(config, path, abs_src_path=str(ROOT / path))


def _in_repository(source: str, target: str) -> str:
    """Where a link leads, as a path from the root of the repository; `source` is a page as the site names it."""
    page = source if (ROOT / source).is_file() and source in PAGES else join("docs", source)
    return normpath(join(dirname(page), target))


def _in_site(path: str) -> str:
    return path.removeprefix("docs/")
