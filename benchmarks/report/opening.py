"""How long a page takes to open in headless Chromium, until its load event and until something is seen, in seconds.

``python -m benchmarks.report.opening REPORT.html`` opens it five times and prints the least and the most of each.
"""

import argparse
import json
from pathlib import Path

from tests.report.html.browser import browser, find_chromium

_READ = """(() => {
    const seen = performance.getEntriesByName('first-contentful-paint')[0]
    const [opened] = performance.getEntriesByType('navigation')
    return {loaded: opened.loadEventEnd / 1000, first_seen: seen.startTime / 1000}
})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    page = parser.parse_args().page
    chromium = find_chromium()
    if chromium is None:
        parser.error("no Chromium was found")
    seconds = []
    with browser(chromium) as window:
        for _ in range(5):
            window.open(page)
            seconds.append(window.run(_READ))
    print(json.dumps({name: [round(f(one[name] for one in seconds), 2) for f in (min, max)] for name in seconds[0]}))


if __name__ == "__main__":
    main()
