"""The page of a run: what it says, what it carries, and that nothing in it acts."""

import html
import json
import re
from pathlib import Path

import pytest
from made_run import STEPS, make_run

from presrm.errors import DataError
from presrm.files.run import LEDGER
from presrm.report.facts import read_facts
from presrm.report.html import samples
from presrm.report.html.run import write_run_page
from presrm.report.html.samples import Texts, sample_lessons, sample_trees

HOSTILE = (
    "<script>document.title = 'run'</script><img src=x onerror=alert(1)>\n",
    "</script><style>body { display: none }</style>\u202e\x1b[2J\n",
    "<a href='javascript:alert(1)'>x</a> $\\frac{1}$ $\\href{javascript:alert(1)}{x}$\n",
    "x" * 1_000_000 + "\n",
    "#### <iframe srcdoc='<script>alert(1)</script>'></iframe>\ud800\x00",
)


def data_of(page: Path) -> dict[str, object]:
    """The block of data of a page."""
    (block,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page.read_text("utf-8"), re.DOTALL
    )
    return dict(json.loads(block))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "made")


@pytest.fixture(scope="module")
def page(run: Path) -> Path:
    return write_run_page(run)


def text_of(page: Path) -> str:
    """What a reader sees without the script, spaces made one."""
    without = re.sub(r"(?s)<(script|style).*?</\1>", "", page.read_text("utf-8"))
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", without)))


def test_it_says_what_was_run_what_came_out_and_whether_to_trust_the_judge(page: Path) -> None:
    text = text_of(page)
    assert "works 200 problems of arithmetic in each of 2 iterations, with 6 candidates a step" in text
    assert "M3 solves 83.3 % [72.0, 90.7] of 60 held-out problems; M1, where the run began, solves 50.0 %" in text
    assert "significantly better: +33.3 points [" in text
    assert "p<0.001, 20 problems newly solved, 0 lost." in text
    assert "Judge of M3: prefers the right step in 90.0 % [78.6, 95.7] of 50 pairs of its policy's own siblings" in text
    assert "None of its habits is out of bounds." in text


def test_every_plot_has_a_title_numbers_and_files(run: Path, page: Path) -> None:
    written = page.read_text("utf-8")
    names = re.findall(r'<figure id="plot-(\w+)">', written)
    assert names == "accuracy changes judge signs lessons lengths training displacement costs".split()
    assert written.count("<svg") == len(names) == written.count('role="img"')
    assert {path.name for path in (run / "plots").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("svg", "png")
    }
    assert (run / "plots/accuracy.png").read_bytes().startswith(b"\x89PNG")
    assert "M3 solves 83.3 % of the held-out problems" in (run / "plots/accuracy.svg").read_text("utf-8")


def test_an_alarm_is_told_at_the_top(tmp_path: Path) -> None:
    text = text_of(write_run_page(make_run(tmp_path / "run", swayed=1.0), plots=False))
    assert "Alarms on its habits: 1, see below." in text
    assert "Alarm, judge of M3: the share of wrong steps that score higher once they praise themselves is 1.00" in text
    assert "1 signs are out of bounds: talked into praise (M3)" in text


def test_the_page_asks_for_nothing_and_allows_nothing(page: Path) -> None:
    written = page.read_text("utf-8")
    assert "default-src &#39;none&#39;; script-src &#39;sha256-" in written
    assert not re.search(
        r"""\s(?:style|on\w+|src)\s*=|url\((?!#)|@import|https?://(?!www\.w3\.org/)""",
        re.sub(r"(?s)<script.*?</script>", "", written),
    )


def test_pairs_carry_their_verdicts_in_both_orders(page: Path) -> None:
    data = data_of(page)
    kind, number, _, margin, _, before, steps, status, verdicts = data["lessons"][0]
    assert (kind, number, margin, before, status) == ("pair", 2, 0.7, [], "both orders agree")
    assert [data["texts"][step] for step in steps] == list(STEPS[:2])
    assert [(template, order, data["texts"][said], value) for template, order, said, value, *_ in verdicts] == [
        ("pairwise", "cr", "A", 1.0),
        ("pairwise", "rc", "B", 0.0),
    ]


def test_trees_carry_every_candidate_and_roll_back(page: Path) -> None:
    data = data_of(page)
    tree = data["trees"][0]
    assert [len(candidates) for _, candidates, _ in tree[4]] == [3, 2, 2, 2, 1]
    assert tree[4][3][1][1][1] == "unreadable"
    assert tree[5:] == [[[4, 0]], [0, 1], None]
    assert [one[7] for one in data["trees"]].count("ties after 5 roll-backs") == 2
    assert len([text for text in data["texts"] if text == STEPS[0]]) == 1


def test_one_iteration_is_one(tmp_path: Path) -> None:
    page = write_run_page(make_run(tmp_path / "run", iterations=1, num_assessed=1), plots=False)
    assert "works 200 problems of arithmetic in one iteration, with" in text_of(page)


def test_a_run_in_progress_is_drawn_up_to_what_is_finished(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", num_assessed=2)
    page = write_run_page(run, plots=False)
    assert "In progress, or stopped: 2 of 3 policies assessed. iterations/3/trees.jsonl, 1 row so far" in text_of(page)
    assert [tree[0] for tree in data_of(page)["trees"]] == [2, 2, 2, 2, 3]


def test_a_run_that_has_just_begun_is_drawn(tmp_path: Path) -> None:
    text = text_of(write_run_page(make_run(tmp_path / "run", num_assessed=0, iterations=0), plots=False))
    assert "Nothing yet: no policy has been assessed." in text
    assert "Unknown: the judge has not been measured." in text


def test_without_clocks_equal_runs_give_equal_pages(tmp_path: Path) -> None:
    pages = []
    for name in ("a", "b"):
        run = make_run(tmp_path / name)
        pages.append(write_run_page(run, clocks=False, plots=False).read_bytes())
    assert pages[0] == pages[1]
    assert b"plot-costs" not in pages[0]


def test_a_hostile_run_is_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", HOSTILE, question=HOSTILE[0], reply=HOSTILE[1])
    page = write_run_page(run, plots=False)
    written = page.read_text("utf-8")
    assert len(re.findall(r"<script", written)) == 2
    assert not re.search(r"<(?:img|a href=.javascript|iframe|style>body)", written)
    assert "\u202e" not in written
    assert page.stat().st_size < 1_000_000
    assert any(
        "988,000 characters" in json.dumps(text) or "994,001" in json.dumps(text) for text in data_of(page)["texts"]
    )


@pytest.mark.parametrize("damage", ["gone", "no ledger"])
def test_a_run_without_its_ledger_is_drawn(tmp_path: Path, damage: str) -> None:
    run = make_run(tmp_path / "run", with_ledger=damage != "gone")
    if damage == "no ledger":
        (run / LEDGER).write_bytes(b"nothing of the kind" * 100)
    assert data_of(write_run_page(run, plots=False))["lessons"][0][7] == "no verdict recorded"


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run folder"):
        write_run_page(tmp_path)


def test_a_sample_is_stratified_and_counts_are_exact(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "MAX_TREES", 4)
    sample = sample_trees(read_facts(run), Texts())
    assert sample.num == 8
    assert {(tree[0], tree[7] is None) for tree in sample.rows} == {(2, True), (2, False), (3, True), (3, False)}
    assert sum(sample.counts.values()) == 8


def test_a_sample_stays_within_its_bytes(run: Path) -> None:
    sample = sample_lessons(read_facts(run), Texts(), max_bytes=1)
    assert len(sample.rows) == 1
    assert sample.num == 6


def test_curves_of_a_training_that_began_again_are_those_of_the_last_one(run: Path) -> None:
    rows = read_facts(run).metrics
    again = [row for row in rows if row.get("stage") == "fit" and row.get("optimiser_step") in (1, 2)][:2]
    curves = read_facts(run).curves
    assert [row["optimiser_step"] for row in curves[2]] == list(range(1, 9))
    facts = read_facts(run)
    first = next(place for place, row in enumerate(rows) if row.get("stage") == "fit")
    object.__setattr__(facts, "metrics", (*rows[:first], *again, *rows[first:]))
    assert {number: len(some) for number, some in facts.curves.items()} == {2: 8, 3: 8}


def test_curves_of_a_training_whose_last_row_a_kill_took_are_still_its_own(run: Path) -> None:
    """The policy was in place, so that nothing is trained again; the next stage tells the iteration."""
    facts = read_facts(run)
    rows = [row for row in facts.metrics if not (row.get("stage") == "fit" and row.get("iteration") == 2)]
    assert len(rows) == len(facts.metrics) - 1
    object.__setattr__(facts, "metrics", tuple(rows))
    assert {number: len(some) for number, some in facts.curves.items()} == {2: 8, 3: 8}


def test_what_rounds_made_is_carried_and_drawn_too(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", num_assessed=2, iterations=1)
    folder, manifest = run / "iterations/2", json.loads((run / "manifest.json").read_text())
    for number in (10, 9):
        (folder / f"rounds/{number}").mkdir(parents=True)
        (folder / f"rounds/{number}/pairs.jsonl").write_bytes((folder / "pairs.jsonl").read_bytes())
        manifest["artefacts"][f"2/rounds/{number}/pairs.jsonl"] = manifest["artefacts"]["2/pairs.jsonl"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    facts = read_facts(run)
    paths = [found.path.relative_to(folder).as_posix() for found in facts.artefacts("pairs.jsonl")]
    assert paths == ["rounds/9/pairs.jsonl", "rounds/10/pairs.jsonl", "pairs.jsonl"]
    assert sample_lessons(facts, Texts()).num == 9
