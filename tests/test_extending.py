"""The code of docs/extending.md runs."""

import re
from pathlib import Path

from presrm.splitters import SPLITTERS

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


def test_the_examples_run_in_their_order() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)


def test_the_page_names_every_splitter() -> None:
    page = PAGE.read_text(encoding="utf-8")
    built_in = [name for name in SPLITTERS.names() if SPLITTERS.factory(name).__module__.startswith("presrm.")]
    assert [name for name in built_in if f"`{name}`" not in page] == []
