"""``presrm explain`` on a small searched run, with and without its ledger, whatever stands in its texts."""

import json
import random
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from presrm.assembly.judges import make_judge
from presrm.config import Config, JudgeConfig, PairsConfig, SearchConfig
from presrm.credit.pairs import mine_pairs
from presrm.engines.scripted import ScriptedEngine
from presrm.files.jsonl import dump
from presrm.files.ledger import Ledger
from presrm.judging.recording import RecordingEngine
from presrm.prompts import Prompt, PromptSet
from presrm.report.explain import pairs_of
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.types import Problem, Step

PROMPTS = PromptSet("compact")
RIGHT, WRONG, ODD = "2 + 3 = 5\n", "2 + 3 = 6\n", "2 + 3 = 7\n"
HOSTILE = "\x1b[2J[bold]\u202e\ud800 [/red]\x00"


def write_run(
    run: Path,
    *,
    question: str = "What is 2 + 3?",
    reason: str = "Because.",
    unread: str = "",
    first_wins: frozenset[str] = frozenset(),
    **judge: object,
) -> Path:
    """Search one problem into a run folder: the judge finds lower sums better, and cannot judge `unread`.

    Of the two steps `first_wins` it prefers the one shown first.
    """
    config = Config(
        prompts="compact",
        search=SearchConfig(num_candidates=6, max_step_tokens=400),
        judge=JudgeConfig(**{"verdict": "explained", **judge}),  # type: ignore[arg-type]
    )

    def reply(prompt: Prompt, rng: random.Random) -> str:
        if prompt.subject is None:
            return rng.choice([RIGHT, WRONG, ODD]) + "#### 5\n" if not prompt.reply else "#### 5\n"
        shown = [step.text for step in prompt.subject.shown]
        if unread in shown:
            return "Hm."
        if first_wins == set(shown):
            return f"{reason} [[A]]"
        if prompt.template == "pairwise":
            return f"{reason} [[{'A' if shown[0] == min(shown) else 'B'}]]"
        return f"{reason} [[{'yes' if RIGHT in shown else 'no'}]]"

    folder = run / "iterations" / "2"
    folder.mkdir(parents=True)
    searcher = SEARCHERS.create(
        config.search.kind,
        prompts=PROMPTS,
        splitter=SPLITTERS.create("newline"),
        settings=config.search,
        tie_tolerance=0.0,
        seed=1,
    )
    engine = ScriptedEngine(reply)
    with (
        Ledger(run / "ledger.sqlite") as ledger,
        RecordingEngine(engine, ledger, policy="M1", stage="search", template_hash="t", iteration=2) as recording,
    ):
        asked = make_judge(config.judge, recording, PROMPTS)
        trees = list(searcher.search([Problem("sums/1", question, "5")], engine, asked))
    pairs = mine_pairs(trees, PairsConfig(), 2).pairs
    assert pairs
    (folder / "trees.jsonl").write_text("".join(dump(tree) + "\n" for tree in trees), "utf-8")
    (folder / "pairs.jsonl").write_text("".join(dump(pair) + "\n" for pair in pairs), "utf-8")
    (run / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    (run / "manifest.json").write_text("{}")
    return run


@pytest.mark.parametrize("width", [80, 160])
def test_it_shows_all_that_made_the_pair(
    run: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    ended = run("explain", write_run(tmp_path / "run"), "2/sums/1/0")

    assert ended.code == 0, ended.err
    shown = " ".join(ended.out.split())
    for text in (
        "Pair 2/sums/1/0 made for M2, judged by M1",
        "What is 2 + 3?",
        "none: this is the first step",
        "A = chosen, B = rejected verdict A, P(A better) 1.000",
        "A = rejected, B = chosen verdict B, P(A better) 0.000",
        "Because. [[A]]",
        "The margin is 1.",
        "more than the tie tolerance 0, so it was no tie",
        "All comparisons",
    ):
        assert text in shown
    assert max(map(len, ended.out.splitlines())) <= width
    side_by_side = [line for line in ended.out.splitlines() if "Chosen" in line and "Rejected" in line]
    assert bool(side_by_side) == (width == 160)


def test_as_json_it_holds_the_calls(run: Callable, tmp_path: Path) -> None:
    ended = run("explain", write_run(tmp_path / "run"), "2/sums/1/0", "--json")

    row = json.loads(ended.out)
    assert (row["pair"], row["iteration"], row["margin"], row["tie_tolerance"]) == ("2/sums/1/0", 2, 1.0, 0.0)
    assert row["candidates"][row["chosen"]]["text"] == RIGHT
    assert row["candidates"][row["rejected"]]["score"] == 0.0
    orders = {tuple(call["shown_as"]): call["verdict"] for call in row["calls"]}
    assert orders["chosen", "rejected"] == "A"
    assert orders["rejected", "chosen"] == "B"
    assert len(orders) == 6


def test_pairs_that_were_mended_say_so(run: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    path = folder / "iterations/2/pairs.jsonl"
    [(_, pair)] = pairs_of(folder)

    path.write_text(dump(replace(pair, doubt=0.25)) + "\n", "utf-8")
    shown = " ".join(run("explain", folder, pair.id).out.split())
    assert "The probability that the two are the wrong way round is put at 0.25." in shown
    assert "which the search kept for the highest score, 1." in shown

    path.write_text(dump(replace(pair, rejected=Step("2 + 3 = 9\n"))) + "\n", "utf-8")
    ended = run("explain", folder, pair.id)
    assert ended.code == 2
    assert "a step that M1 proposed beside the candidates (pairs.anchor)" in " ".join(ended.err.split())
    assert "anchored.jsonl" in ended.err


@pytest.mark.parametrize("is_told", [True, False], ids=["told by the tree", "read from the ledger"])
def test_two_orders_that_contradict_each_other_are_said(run: Callable, tmp_path: Path, is_told: bool) -> None:
    consistent = write_run(tmp_path / "consistent")
    assert json.loads(run("explain", consistent, "2/sums/1/0", "--json").out)["orders_contradict"] is False

    folder = write_run(tmp_path / "run", first_wins=frozenset({RIGHT, ODD}))
    [(_, pair)] = pairs_of(folder)
    assert {pair.chosen.text, pair.rejected.text} == {RIGHT, ODD}
    if not is_told:
        trees = folder / "iterations/2/trees.jsonl"
        trees.write_text(re.sub(r'"contradicted":\[[^]]*\]', '"contradicted":null', trees.read_text()))
    row = json.loads(run("explain", folder, pair.id, "--json").out)
    assert row["orders_contradict"] is True
    shown = " ".join(run("explain", folder, pair.id).out.split())
    assert "The two orders contradict each other" in shown
    assert "pairs.require_both_orders" in shown


def test_without_a_pair_all_are_listed(run: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")

    assert "2/sums/1/0" in run("explain", folder).out
    rows = [json.loads(line) for line in run("explain", folder, "--json").out.splitlines()]
    assert rows == [{"pair": "2/sums/1/0", "iteration": 2, "margin": 1.0}]


def test_a_run_without_a_ledger_is_explained_by_its_tree(run: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "ledger.sqlite").unlink()
    ended = run("explain", folder, "2/sums/1/0")

    assert ended.code == 0
    assert "has no ledger" in ended.out
    assert "Because. [[A]]" in ended.out
    assert json.loads(run("explain", folder, "2/sums/1/0", "--json").out)["calls"] is None
    assert not (folder / "ledger.sqlite").exists()


def test_an_unreadable_verdict_is_no_score(run: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", unread=WRONG)
    shown = run("explain", folder, "2/sums/1/0").out
    assert "unreadable" in shown
    assert "have no score and had no say" in " ".join(shown.split())

    row = json.loads(run("explain", folder, "2/sums/1/0", "--json").out)
    [score] = {made["score"] for made in row["candidates"] if made["text"] == WRONG}
    assert score is None
    assert {call["value"] for call in row["calls"] if call["reply"] == "Hm."} == {None}


@pytest.mark.parametrize(
    ("judge", "expected"),
    [
        ({"kind": "pointwise"}, "pointwise: rejected verdict no, P(right) 0.000"),
        ({"kind": "pairwise", "votes": 3, "temperature": 0.7}, "A = chosen, B = rejected verdict A"),
    ],
)
def test_other_judges_are_explained_too(run: Callable, tmp_path: Path, judge: dict[str, object], expected: str) -> None:
    ended = run("explain", write_run(tmp_path / "run", **judge), "2/sums/1/0")

    assert expected in " ".join(ended.out.split())


def test_text_from_outside_is_never_obeyed(run: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", question=f"What is 2 + 3? {HOSTILE}", reason=HOSTILE)
    ended = run("explain", folder, "2/sums/1/0")

    assert ended.code == 0, ended.err
    assert ended.out.count("[bold]") > 1
    assert r"\x1b[2J[bold]\u202e\ud800 [/red]\x00" in " ".join(ended.out.split())
    assert not set(ended.out) & set("\x1b\u202e\ud800\x00")
    assert json.loads(run("explain", folder, "2/sums/1/0", "--json").out)["problem"]["question"].endswith(HOSTILE)


def test_an_unknown_pair_is_answered_with_the_nearest(run: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")

    ended = run("explain", folder, "sums/1/3")
    assert ended.code == 2
    assert "did you mean '2/sums/1/0'?" in ended.err
    ended = run("explain", folder, "xyzzy")
    assert ended.code == 2
    assert "known are 1, as '2/sums/1/0'" in ended.err


def test_what_is_no_run_is_refused(run: Callable, tmp_path: Path) -> None:
    ended = run("explain", tmp_path, "2/sums/1/0")
    assert ended.code == 2
    assert "no run folder" in ended.err
    assert ended.err.count("\n") == 1
    (tmp_path / "manifest.json").write_text("{}")
    assert "has no pairs yet" in run("explain", tmp_path, "2/sums/1/0").err


def test_a_damaged_ledger_is_told_in_one_line(run: Callable, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "ledger.sqlite").write_text("no database at all, but long enough to be looked at\n" * 99)
    ended = run("explain", folder, "2/sums/1/0")

    assert ended.code == 1
    assert "cannot open the verdict ledger" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_every_pair_of_an_embedded_run_is_traced_to_its_verdicts(run: Callable, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    small = ["problems.num_train=8", "problems.num_held_out=8", "evaluation.num_judge_problems=2"]
    settings = [flag for setting in small for flag in ("--set", setting)]
    assert run("train", "--iterations", "1", "--out", folder, *settings).code == 0

    listed = [json.loads(line) for line in run("explain", folder, "--json").out.splitlines()]
    assert listed
    for pair in listed:
        row = json.loads(run("explain", folder, pair["pair"], "--json").out)
        chosen, rejected = (row["candidates"][row[name]] for name in ("chosen", "rejected"))
        assert chosen["score"] - rejected["score"] == pytest.approx(row["margin"])
        assert row["margin"] > row["tie_tolerance"]
        orders = {tuple(call["shown_as"]): call for call in row["calls"]}
        assert {("chosen", "rejected"), ("rejected", "chosen")} <= orders.keys()
        for call in orders.values():
            assert (call["value"] is None) == (call["status"] != "ok")
            assert call["policy"] == "M1"
            assert call["tokens_generated"] > 0
    assert "it was no tie" in " ".join(run("explain", folder, listed[0]["pair"]).out.split())
