"""The page in a browser: every control does what it says, nothing is asked for, nothing that a model wrote acts."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import DESKTOP, PHONE, Page, browser, find_chromium
from made_run import make_run
from test_html_judged import ABOUT, NEWLINE, write_judged, write_samples
from test_html_run import HOSTILE

from presrm.report.html.evaluation import write_evaluation_page
from presrm.report.html.judged import write_judged_page
from presrm.report.html.run import write_run_page

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install one, or name it in PRESRM_TEST_CHROMIUM")


CONTRASTS = """(() => {
  const linear = v => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = color => {
    const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map(v => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
  };
  const isText = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.checkVisibility() &&
    !e.disabled && !e.closest('script, style, .skip');
  return [...document.querySelectorAll('body *')].filter(isText).map(e => {
    const style = getComputedStyle(e), color = e.namespaceURI.endsWith('svg') ? style.fill : style.color;
    const [a, b] = [light(color), light(behind(e))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), e.tagName, e.className.toString(), e.textContent.slice(0, 40)];
  });
})()"""
"""The contrast ratio of every text that is seen, as WCAG 2 computes it."""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser(str(CHROMIUM)) as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run_page(make_run(tmp_path_factory.mktemp("runs") / "made"), plots=False)


def text(page: Page, selector: str) -> str:
    return str(page.run(f"document.querySelector('{selector}').innerText"))


def choose(page: Page, label: str, value: str) -> None:
    """Set a control of the page, by the beginning of its label."""
    page.run(
        "(() => { const boxes = [...document.querySelectorAll('.controls label')];"
        f" const box = boxes.find(one => one.innerText.startsWith('{label}'));"
        f" const field = box.querySelector('select, input');"
        f" field.value = field.options ? [...field.options].find(one => one.text === '{value}').value : '{value}';"
        f" field.dispatchEvent(new Event(field.options ? 'change' : 'input', {{bubbles: true}})); }})()"
    )


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_it_opens_quietly_and_fits(page: Page, report: Path, size: tuple[int, int], dark: bool) -> None:
    page.open(report, size, dark=dark)
    assert page.messages == []
    assert page.requests == [report.as_uri()]
    assert page.run("document.documentElement.scrollWidth") == size[0]
    assert page.run("performance.timing.domComplete - performance.timing.navigationStart") < 2000


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_the_contrast_of_aa(page: Page, report: Path, dark: bool) -> None:
    page.open(report, dark=dark)
    ratios = page.run(CONTRASTS)
    assert len(ratios) > 100
    assert [one for one in ratios if one[0] < 4.5] == []


def test_landmarks_and_names_are_there(page: Page, report: Path) -> None:
    page.open(report)
    assert page.run(
        "[document.querySelectorAll('main').length, document.querySelectorAll('nav[aria-label]').length]"
    ) == [1, 1]
    assert page.run(
        "[...document.querySelectorAll('nav a')].every(one => document.querySelector(one.getAttribute('href')))"
    )
    assert page.run(
        "[...document.querySelectorAll('svg[role=img]')].every(one => one.querySelector('title').textContent)"
    )
    unnamed = "[...document.querySelectorAll('select, input')].filter(one => !one.labels.length).length"
    assert page.run(unnamed) == 0
    assert page.run("document.documentElement.lang") == "en"


def test_lessons_are_filtered_and_browsed(page: Page, report: Path) -> None:
    page.open(report)
    assert "6 lessons of 6" in text(page, "#lessons-view [role=status]")
    choose(page, "Made for", "M3")
    assert "3 lessons of 6" in text(page, "#lessons-view [role=status]")
    choose(page, "Margin", "0.8")
    assert "0 lessons of 6" in text(page, "#lessons-view [role=status]")
    choose(page, "Margin", "")
    choose(page, "Text", "twice THE sum")
    assert "3 lessons of 6" in text(page, "#lessons-view [role=status]")
    choose(page, "Text", "nowhere")
    assert "0 lessons of 6" in text(page, "#lessons-view [role=status]")
    choose(page, "Text", "")
    choose(page, "Order", "narrowest first")
    page.click("#lessons-view li:nth-child(2)")
    assert page.run("document.querySelector('#lessons-view li[aria-selected=true]').id") == "lessons-view-1"
    page.run("document.querySelector('#lessons-view .list').focus()")
    page.press("ArrowDown")
    assert page.run("document.querySelector('#lessons-view li[aria-selected=true]').id") == "lessons-view-2"
    page.press("Home")
    assert page.run("document.querySelector('#lessons-view li[aria-selected=true]').id") == "lessons-view-0"
    detail = text(page, "#lessons-view .detail")
    assert "both orders agree" in detail
    page.click("#lessons-view .verdict summary")
    assert "The first one adds up. [[A]]" in text(page, "#lessons-view .detail")
    assert page.messages == []


def test_a_tree_is_walked_by_keyboard_and_zoomed(page: Page, report: Path) -> None:
    page.open(report)
    assert "8 trees of 8" in text(page, "#trees-view [role=status]")
    items = "document.querySelectorAll('#trees-view [role=treeitem]')"
    assert page.run(f"{items}.length") == 9
    assert page.run("document.querySelectorAll('#trees-view .gone').length") == 4
    page.run(f"{items}[0].focus()")
    focused = "document.activeElement.querySelector('.text').innerText"
    assert page.run(focused) == "2 + 3 = 5"
    page.press("ArrowDown")
    assert page.run(focused) == "2 + 3 = 6"
    page.press("ArrowLeft", "ArrowLeft")
    assert page.run("document.activeElement.getAttribute('aria-expanded')") == "false"
    page.press("ArrowDown")
    assert page.run(focused) == "so 5 * 2 = 10"
    page.press("ArrowUp", "ArrowRight")
    assert page.run("document.activeElement.getAttribute('aria-expanded')") == "true"
    wide = page.run("document.querySelector('#trees-view svg').getBoundingClientRect().width")
    page.press("+")
    assert page.run("document.querySelector('#trees-view svg').getBoundingClientRect().width") > wide
    page.press("0")
    assert page.run("document.querySelector('#trees-view svg').getBoundingClientRect().width") == wide
    page.press("n")
    assert page.run("document.querySelectorAll('#trees-view select')[2].value") == "1"
    page.click("#trees-view circle.node")
    assert page.run("document.activeElement.getAttribute('role')") == "treeitem"
    choose(page, "Search", "given up")
    assert "2 trees of 8" in text(page, "#trees-view [role=status]")
    assert "Given up: ties after 5 roll-backs." in text(page, "#trees-view")
    page.click("#trees-view button[aria-label='Next problem']")
    page.click("#trees-view button[aria-label='Zoom in']")
    assert page.messages == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_hostile_run_does_nothing_and_looks_right(page: Page, tmp_path: Path, size: tuple[int, int]) -> None:
    report = write_run_page(make_run(tmp_path / "run", HOSTILE, question=HOSTILE[0], reply=HOSTILE[1]), plots=False)
    page.open(report, size)
    page.click("#lessons-view .verdict summary")
    page.run("document.querySelector('#trees-view [role=treeitem]').focus()")
    page.press("Enter", "ArrowDown", "Enter")
    assert page.run("document.title") == "made"
    assert page.run("document.querySelectorAll('script').length") == 2
    assert (
        page.run("document.querySelectorAll('img, iframe, object, embed, link, form, base, style + style').length") == 0
    )
    assert page.run("[...document.querySelectorAll('a')].every(one => one.getAttribute('href').startsWith('#'))")
    assert page.run("getComputedStyle(document.body).display") == "block"
    assert page.messages == []
    assert page.requests == [report.as_uri()]
    assert page.run("document.documentElement.scrollWidth") == size[0]
    assert "<script>document.title = 'run'</script>" in text(page, "#lessons-view .detail")


def test_judged_solutions_and_samples_are_browsed(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    page.open(write_judged_page(path, *write_judged(path, 40), NEWLINE, ABOUT))
    assert "lowest 0.20" in text(page, "#judged-view li:first-child")
    choose(page, "Label", "judge could not say")
    assert "1 solution of 40" in text(page, "#judged-view [role=status]")
    assert "first wrong step by the label" in text(page, "#judged-view .detail")
    assert page.messages == []
    folder = tmp_path / "evals"
    page.open(write_evaluation_page(folder, [write_samples(folder, "tuned", 25, "incorrect")], {}))
    choose(page, "Second", "disagrees")
    assert "1 problem of 30" in text(page, "#samples-view [role=status]")
    assert "second extractor: 2, incorrect" in text(page, "#samples-view .detail")
    assert page.run("document.querySelector('#samples-view .detail math mn').textContent") == "2"
    assert page.messages == []
