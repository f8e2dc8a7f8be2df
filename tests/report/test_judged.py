"""What a person sees of judged files: the right figures, at 80 and 160 columns, and nothing obeyed."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from presrm.formats.solutions import Solution
from presrm.judging.card import JudgedSolution, agreement, make_card
from presrm.judging.solutions import WrongStep
from presrm.judging.tally import JudgeTally
from presrm.report.judged import agreement_table, card_table, comparison_table, tally_tables, wrong_step
from presrm.types import Judgement, Status

UNREADABLE = Judgement(None, Status.UNREADABLE)


def shown(drawn, width=80, *, colours=False):
    console = Console(
        file=StringIO(), width=width, force_terminal=colours, color_system="standard" if colours else None
    )
    console.print(drawn)
    return console.file.getvalue()


def tally():
    counts = JudgeTally()
    for _ in range(3):
        counts.add_solution([Judgement(1.0)] * 12, -1, is_labelled=True)
    counts.add_solution([Judgement(0.5), UNREADABLE], None, is_labelled=True)
    counts.add_rejected(["no question"] * 2 + [f"{word} [bold]reason" for word in "abcdef"])
    return counts


def card(*first_errors):
    judged = [JudgedSolution(-1 if i % 2 else 0, found, (Judgement(0.4),)) for i, found in enumerate(first_errors)]
    return make_card(judged)


def wrong(
    *, steps=("17 + 5 = 23\n", "so 23"), index=0, rationale="17 + 5 is 22", question="What is 17 + 5?", label=None
):
    scores = [0.9] * index + [0.03]
    judged = [{"text": "", "score": score, "status": "ok", "rationale": rationale} for score in scores]
    return WrongStep(7, Solution({}, question, tuple(steps), label, "mine-1"), index, tuple(judged))


def test_the_summary_has_solutions_steps_positions_and_reasons():
    text = shown(tally_tables(tally()))
    cells = [" ".join(line.split()) for line in text.splitlines()]
    assert "no step found wrong 3 75.0 %" in cells
    assert "unknown 1 25.0 %" in cells
    assert "unreadable 1 2.6 %" in cells
    assert "no question 2 25.0 %" in cells
    assert "all other reasons 2 25.0 %" in cells
    assert "mean score 0.88 1.00 1.00 1.00 1.00 1.00 1.00 1.00 1.00 1.00 1.00" in cells
    assert "[bold]" in text


def test_without_bad_rows_no_reasons_are_shown():
    counts = JudgeTally()
    counts.add_solution([UNREADABLE], None, is_labelled=False)
    text = shown(tally_tables(counts))
    assert "set aside" not in text
    assert "mean score -" in " ".join(text.split())


@pytest.mark.parametrize("width", [80, 160])
def test_nothing_is_cut_off_or_wider_than_the_terminal(width):
    cards = {"pointwise": card(0, -1, 0, -1), "first-error": card(-1, 0, None, -1)}
    tallies = dict.fromkeys(cards, tally())
    agreed = agreement({"pointwise": [0, -1], "first-error": [0, None]})
    drawn = [card_table(cards["pointwise"]), comparison_table(tallies, cards), agreement_table(agreed)]
    drawn += [tally_tables(tally()), wrong_step(wrong(steps=["word " * 100] * 3, index=2), "1 of 5")]
    for one in drawn:
        text = shown(one, width)
        assert max(map(len, text.splitlines())) <= width
        assert "…" not in text


def test_a_card_without_one_kind_shows_a_dash():
    text = shown(card_table(make_card([JudgedSolution(-1, -1, (Judgement(0.9),))])))
    assert "F1: harmonic mean of both 1 - -" in " ".join(text.split())


def test_judges_without_labels_are_compared_by_what_they_found():
    text = shown(comparison_table({"a": tally(), "b": tally()}, {}))
    assert "no error" in text
    assert "F1" not in text


def test_a_wrong_step_stands_in_context():
    text = shown(wrong_step(wrong(steps=[f"step {i}" for i in range(9)], index=7, label=7), "1 of 5"))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert lines[0] == "1 of 5 score 0.03 step 8 of 9 solution 7 (mine-1) label: this step"
    assert "question What is 17 + 5?" in lines
    assert "... 3 steps before ..." in lines
    assert "4 0.90 step 3" in lines
    assert "-> 8 0.03 wrong step 7" in lines
    assert "judge 17 + 5 is 22" in lines
    assert "step 8" not in lines[-2]


def test_the_wrong_step_is_red_where_there_are_colours():
    assert "\x1b[1;31m17 + 5 = 23" in shown(wrong_step(wrong(), "1 of 1"), colours=True)


@pytest.mark.parametrize(
    "hostile", ["\x1b[2Jgone", "a\u202eb", "\x00", "[red]x[/red]", "[/]", "\r\rx", "\x9b31m", ":smile:"]
)
def test_text_is_shown_and_never_obeyed(hostile):
    found = wrong(steps=[hostile], rationale=hostile, question=f"{hostile} q")
    text = shown(wrong_step(found, "1 of 1"))
    assert not any((ord(c) < 32 and c != "\n") or c in "\x9b\u202e" for c in text)
    if hostile.isprintable():
        assert text.count(hostile) == 3


def test_long_texts_lose_their_middle_and_say_so():
    text = shown(wrong_step(wrong(steps=["begin " + "x" * 10_000 + " end"]), "1 of 1"))
    assert "begin" in text
    assert " end" in text
    assert "characters ..." in text
    assert len(text) < 4000


def test_a_step_before_without_a_score_is_said_and_shown_by_its_status():
    found = wrong(index=1)
    before = {**found.judgements[0], "score": None, "status": "truncated"}
    text = shown(wrong_step(replace(found, judgements=(before, found.judgements[1])), "1 of 5"))
    assert "1 before unscored" in text
    assert "truncated 17 + 5 = 23" in " ".join(text.split())
    assert "unscored" not in shown(wrong_step(found, "1 of 5"))
