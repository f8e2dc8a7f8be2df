"""A run's summary: every number with its n, nothing from outside as markup, nothing that changes between two reads."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from presrm.config import WatchConfig
from presrm.evaluation.answers import Answer, Solution, compare, score
from presrm.iteration import IterationSummary
from presrm.judging.health import Health, JudgeAccuracy, Siblings, with_alarms
from presrm.judging.signs import Signs
from presrm.report import to_json, to_markdown, to_table
from presrm.report.summary import escape
from presrm.statistics import Figure
from presrm.types import Grade, Problem, Stop


def answers(num_right: int, otherwise: Grade) -> list[Answer]:
    """500 of them, the first ones right."""
    return [
        Answer(
            Problem(str(number), "?", "1"),
            (Solution("", 20, 4, Stop.EOS, "1", Grade.CORRECT if number < num_right else otherwise),),
            0,
        )
        for number in range(500)
    ]


BEFORE, AFTER = answers(250, Grade.INCORRECT), answers(400, Grade.NO_ANSWER)
ACCURACY = JudgeAccuracy(Figure(200, 0.9, (0.85, 0.93)), 5, 3)
FIRST = IterationSummary("M1", score(BEFORE), Health(ACCURACY, Siblings(ACCURACY, 700, 110)))
SECOND = IterationSummary(
    "M2",
    score(AFTER),
    Health(None, None),
    num_lessons=1234,
    parent="M1",
    dropped={"tie": 7, "unanimous": 40},
    vs_parent=compare(BEFORE, AFTER),
    vs_first=compare(BEFORE, AFTER),
)


WATCHED = replace(
    FIRST,
    health=with_alarms(
        Health(
            ACCURACY,
            None,
            Signs(
                readable=Figure(130, 0.98, (0.94, 0.99)),
                ties=Figure(60, 0.05, (0.02, 0.14)),
                spread=Figure(127, 0.412),
                by_length=Figure(127, -0.12, (-0.29, 0.06)),
                first_shown=Figure(190, 0.93, (0.88, 0.96)),
                order_flips=Figure(95, 0.86, (0.78, 0.92)),
                talked_into=Figure(30, 0.1, (0.03, 0.26)),
                agreement=Figure(40, 0.71, (0.55, 0.85)),
            ),
        ),
        WatchConfig(),
    ),
)


def drawn(width: int, *summaries: IterationSummary) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(to_table(summaries or [FIRST, SECOND]))
    return console.export_text()


def test_the_table_fits_a_hundred_columns_uncut() -> None:
    text = drawn(100)
    assert "…" not in text
    assert "50.0 % [45.6, 54.4]" in text
    assert "+30.0, p<0.001" in text
    assert max(map(len, text.splitlines())) <= 100


def test_what_is_not_known_is_a_dash_and_no_zero() -> None:
    row = next(line for line in drawn(100).splitlines() if line.lstrip().startswith("M2"))
    assert row.split().count("-") == 2


def test_markdown_tells_what_ran_and_where_tokens_and_times_are() -> None:
    text = to_markdown([FIRST, SECOND], {"name": "demo", "device": "<cpu>", "parameters": "12"})
    assert "- device: &#60;cpu&#62;\n- parameters: 12\n" in text
    assert "Tokens and times" in text.splitlines()[-1]
    assert "metrics.jsonl" in text.splitlines()[-1]


def test_the_report_says_when_answers_steered_the_run() -> None:
    assert "steered" not in to_markdown([FIRST, SECOND], {"name": "demo"})
    worse = replace(SECOND, validation=score(BEFORE), regression=compare(AFTER, BEFORE))
    text = to_markdown([replace(FIRST, validation=score(AFTER)), worse], {"name": "demo"})
    assert "**Answers steered this run**: by 500 validation problems" in text
    assert "- **M1**: 400 of 500 solved.\n- **M2**: 250 of 500 solved; a regression from M1, p<0.001." in text
    assert "**M2**, made from M1: 150 problems solved" in text


def test_markdown_says_what_its_columns_mean_and_what_was_dropped() -> None:
    text = to_markdown([FIRST, SECOND], {"name": "demo"})
    assert "M2 against M1: +30.0 points" in text
    assert "150 problems solved that were not, 0 lost; 1234 lessons" in text
    assert "tie 7, unanimous 40" in text
    assert "110 of 700 expansions" in text
    header = next(line for line in text.splitlines() if line.startswith("| model"))
    for column in header.strip("| ").split(" | "):
        assert f"- **{column}**: " in text


def test_markdown_shows_ties_unreadable_verdicts_and_cut_off_solutions() -> None:
    text = to_markdown([FIRST, SECOND], {})
    assert text.count("180 of 200 right: 90.0 % [85.0, 93.0], 5 tied, 3 unreadable.") == 2
    assert (
        "400 of 500 correct, 0 incorrect, 100 without an answer; 0 cut off at the token limit, 0 without room for a "
        "reply, 0 withheld by a content filter; 20.0 tokens a solution."
    ) in text


def test_solutions_cut_off_without_room_or_withheld_are_counted_apart_in_every_row() -> None:
    scores = replace(FIRST.scores, cut_off=11, no_room=22, filtered=33)
    text = to_markdown([replace(FIRST, scores=scores), SECOND], {})
    assert "11 cut off at the token limit, 22 without room for a reply, 33 withheld by a content filter" in text


def test_tokens_that_are_not_known_are_not_shown_as_none_at_all() -> None:
    silent = replace(FIRST, scores=replace(FIRST.scores, mean_tokens=None, mean_step_tokens=None))
    text = to_markdown([silent], {})
    assert "| 4.0x- |" in text
    assert "tokens a solution" not in text


def test_markdown_of_siblings_without_a_pair_gives_no_share() -> None:
    unknown = JudgeAccuracy(Figure(), 0, 0)
    text = to_markdown([replace(FIRST, health=Health(None, Siblings(unknown, 9, 0)))], {})
    assert "0 of 9 expansions" in text
    assert "none was judged" in text


@pytest.mark.parametrize(
    "hostile", ["<script>alert(1)</script>", "a | b", "`rm`", "\x1b[31m", "a\nb", "\u202egnp", "![x](http://y)"]
)
def test_text_from_outside_is_no_markup(hostile: str) -> None:
    shown = escape(hostile)
    assert not set(shown) & set("<>|`[]\x1b\n\u202e")
    assert shown in to_markdown([FIRST], {"name": hostile})


def test_the_same_run_gives_the_same_bytes() -> None:
    assert json.dumps(to_json([FIRST, SECOND], {"name": "a"})) == json.dumps(to_json([FIRST, SECOND], {"name": "a"}))
    assert to_json([SECOND], {})["policies"][0]["health"] == {
        "fixed": None,
        "siblings": None,
        "signs": None,
        "alarms": [],
        "first_siblings": None,
        "shadow": None,
    }


def test_the_table_tells_in_a_line_how_the_last_judge_is_and_every_alarm() -> None:
    lines = [line.strip() for line in drawn(100, SECOND, WATCHED).splitlines()]
    told = " ".join(lines)
    assert "Judge of M1: prefers the right step in 90.0 % [85.0, 93.0] of 200 pairs of the fixed set: better" in told
    assert (
        "Habits: readable 98.0 % of 130, order_flips 86.0 % of 95, first_shown 93.0 % of 190, ties 5.0 % of 60," in told
    )
    assert "by_length -0.12 of 127, talked_into 10.0 % of 30, agreement 0.71 of 40." in told
    assert sum(line.startswith("Alarm, judge of M1: ") for line in lines) == 2


def test_markdown_shows_the_habits_of_the_judge_with_count_and_interval_and_alarms_first() -> None:
    text = to_markdown([WATCHED, SECOND], {})
    assert "| readable | 98.0 % [94.0, 99.0] of 130 | judgements | Judgements with a score. |" in text
    assert "| by_length | -0.12 [-0.29, 0.06] of 127 |" in text
    assert "| spread | 0.41 of 127 |" in text
    assert "| saturated | - |" in text
    alarm = "- Alarm, judge of M1: the share of verdicts for the step shown first is 0.93 over 190 verdicts "
    assert text.index(alarm + "(watch.max_first_shown is 0.75).") < text.index("| model |")


def test_what_was_not_watched_is_not_shown() -> None:
    text = to_markdown([FIRST, SECOND], {})
    assert "## Habits" not in text
    assert "The habits of the judge were not measured (`watch.num_problems: 0`)." in text
    assert "Habits" not in drawn(100)
