"""What stands behind the figures of a run: the same from the same folder, and harmless whatever its texts are."""

from dataclasses import replace
from pathlib import Path

import pytest
from made_run import make_run

from presrm.report.behind import accuracy_by_steps, three_pairs, to_lines, to_plain, training
from presrm.report.facts import read_facts
from presrm.report.summary import escape
from presrm.statistics import share

HOSTILE = ("<script>x</script> | [a](b)\n", "wrong\x1b[2J\n", "right `x`\n", "wrong\n", "#### 10")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "made")


def test_right_solutions_are_counted_by_their_number_of_steps(run: Path) -> None:
    found = accuracy_by_steps(read_facts(run))
    assert found.keys() == {1, 2, 3}
    assert sum(figure.num for figure in found[1].values()) == 60
    assert sum(figure.num_hits for figure in found[3].values()) == 50


def test_one_step_is_not_called_one_steps(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {1: {"1": share([True]), "2": share([True, False])}, 2: {"8+": share([False])}}
    monkeypatch.setattr("presrm.report.behind.accuracy_by_steps", lambda facts: found)
    assert "| model | 1 step | 2 steps | 8+ steps |" in to_lines(read_facts(run), escape)


def test_tokens_of_a_policy_are_those_that_made_it_over_all_starts(run: Path) -> None:
    rows = (
        {"iteration": 2, "stage": "search", "tokens_generated": 30, "tokens_read": 500},
        {"iteration": 2, "stage": "search", "tokens_generated": 3},
        {"iteration": 2, "stage": "label", "seconds": 2.0},
        {"iteration": 2, "stage": "validation", "tokens_generated": 1000},
        {"iteration": 2, "stage": "health", "tokens_generated": 1000},
        {"iteration": 3, "stage": "again", "tokens_read": 7},
    )
    facts = replace(read_facts(run), metrics=rows)
    assert [facts.num_tokens(number) for number in (1, 2, 3)] == [0, 533, 7]


def test_the_hit_rate_of_a_stage_is_unknown_where_one_start_did_not_count_it(run: Path) -> None:
    rows = (
        {"iteration": 2, "stage": "search", "tokens_read": 25, "tokens_recalled": 70},
        {"iteration": 2, "stage": "search", "seconds": 2.0},
        {"iteration": 2, "stage": "search", "tokens_read": 0, "tokens_recalled": 5},
        {"iteration": 3, "stage": "search", "tokens_read": 25, "tokens_recalled": 70},
        {"iteration": 3, "stage": "search", "tokens_read": 25},
        {"iteration": 2, "stage": "fit", "seconds": 1.0},
        {"iteration": 2, "stage": "health", "tokens_read": 9, "tokens_recalled": 0},
    )
    facts = replace(read_facts(run), metrics=rows)
    assert [cost.hit_rate for cost in facts.costs] == [0.75, None, None, 0.0]


def test_loss_and_margin_are_told_from_the_first_step_to_the_last(run: Path) -> None:
    found = training(read_facts(run))
    assert found.keys() == {2, 3}
    rows = read_facts(run).curves[3]
    assert found[3]["loss"] == (rows[0]["loss"], rows[-1]["loss"])


def test_three_pairs_are_the_widest_the_middle_and_the_narrowest(run: Path) -> None:
    pairs = three_pairs(read_facts(run))
    margins = [pair["margin"] for pair in pairs]
    assert 1 <= len(pairs) <= 3
    assert margins == sorted(margins, reverse=True)
    assert all(pair["chosen"] != pair["rejected"] for pair in pairs)


def test_the_lines_name_settings_and_thresholds(run: Path) -> None:
    text = "\n".join(to_lines(read_facts(run), escape))
    assert "- **judge**: kind pairwise," in text
    assert "max_order_flips 0.5" in text
    assert "- **M3**, first optimiser step -> last: loss " in text
    assert to_plain(read_facts(run))["settings"]["judge"]["threshold"] == 0.5


def test_hostile_texts_are_no_markup(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run", HOSTILE, question="<b>|` [x](y)")
    text = "\n".join(to_lines(read_facts(folder), escape))
    assert "<script>" not in text
    assert "<b>" not in text
    assert "[a](b)" not in text


def test_a_run_that_has_only_begun_has_lines_too(tmp_path: Path) -> None:
    facts = read_facts(make_run(tmp_path / "run", num_assessed=1))
    assert "Nothing was trained yet." in to_lines(facts, escape)
