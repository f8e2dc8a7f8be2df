"""The docs site builds without a warning, has every public name, and loads nothing from elsewhere."""

import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import presrm

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_the_reference_has_every_public_name(site: Path) -> None:
    inventory = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    documented = {line.split(" ", 1)[0] for line in inventory.splitlines()}

    public = {f"{module}.{name}" for module, names in presrm._PUBLIC.items() for name in names}

    assert public - documented == set()


def test_links_out_of_docs_lead_to_pages_and_files_of_the_site(site: Path) -> None:
    text = (site / "packing.html").read_text("utf-8")

    for target in ("benchmarks/step_dpo/index.html", "presrm/packing/layout.py"):
        assert f'href="{target}"' in text
        assert (site / target).is_file()
    assert 'href="../../judge-card.html"' in (site / "benchmarks/judging/index.html").read_text("utf-8")


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not re.search(r"<(?:script|img|link)\b[^>]*(?:src|href)=\"https?:", text), page.name
