"""Make the pictures of the report: a browser without a window looks at the page of a run.

``python docs/images/report.py RUN NAME`` draws RUN as ``presrm report`` does and writes ``report-NAME-*.png`` here: its
top at desktop and phone width, light and dark, and its browser of lessons and its viewer of trees. Needs Chromium.
"""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests/report/html"))

from browser import DESKTOP, PHONE, browser, find_chromium  # noqa: E402

from presrm.report.html.run import write_run_page  # noqa: E402


def main(run: Path, name: str) -> None:
    """Make the pictures of one run."""
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium found: install one, or name it in PRESRM_TEST_CHROMIUM")
    with tempfile.TemporaryDirectory() as temporary, browser(chromium) as page:
        report = write_run_page(run, Path(temporary) / "report.html", plots=False)
        for width, size in (("desktop", DESKTOP), ("phone", PHONE)):
            for scheme in ("light", "dark"):
                page.open(report, size, dark=scheme == "dark")
                page.screenshot(HERE / f"report-{name}-{width}-{scheme}.png")
        page.open(report, DESKTOP)
        for part in ("lessons", "trees"):
            page.run(f"document.getElementById('{part}').scrollIntoView({{behavior: 'instant'}})")
            page.screenshot(HERE / f"report-{name}-{part}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
