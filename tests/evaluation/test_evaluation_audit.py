"""Two extractors on every solution: where they lead to different grades."""

import json

import pytest

from presrm.evaluation.audit import (
    LastNumber,
    MathVerify,
    Reading,
    compare_extractors,
    second_readings,
    verify_whole,
    write_disagreements,
)
from presrm.types import Grade


@pytest.mark.parametrize(
    ("solution", "answer", "expected"),
    [
        ("48 + 24 = 72\n#### 72", "72", Reading("72", Grade.CORRECT)),
        ("It makes $1,250.00.", "1250", Reading("1250.00", Grade.CORRECT)),
        ("#### 5\nThat took 2 steps.", "5", Reading("2", Grade.INCORRECT)),
        ("He owes -3", "#### -3", Reading("-3", Grade.CORRECT)),
        ("It is 18...", "18", Reading(None, Grade.NO_ANSWER)),
        ("no idea", "5", Reading(None, Grade.NO_ANSWER)),
        ("5", "five", None),
    ],
)
def test_the_last_number_is_read_wherever_it_stands(solution, answer, expected):
    assert LastNumber().read(solution, answer) == expected


@pytest.mark.parametrize(
    ("solution", "answer", "expected"),
    [
        (r"So \boxed{\frac12}.", "0.5", (r"\frac{1}{2}", "correct")),
        (r"So \boxed{3}.", r"The steps.\n\boxed{4}", ("3", "incorrect")),
        ("no idea", "4", (None, "no_answer")),
    ],
)
def test_math_verify_reads_the_whole_solution(solution, answer, expected):
    assert verify_whole(solution, answer) == expected


class Slow:
    """A second extractor that gives up on all but numbers."""

    name = "slow"

    def __init__(self):
        self.num_read = 0

    def read(self, solution, answer):
        self.num_read += 1
        return Reading(solution, Grade.INCORRECT) if solution.isdigit() else None


def test_equal_solutions_are_read_once_and_what_cannot_be_read_is_unknown():
    slow = Slow()
    readings = second_readings(slow, ["1", "x", "1"], "1")
    assert readings == [{"extracted": "1", "grade": "incorrect"}, None, {"extracted": "1", "grade": "incorrect"}]
    assert slow.num_read == 2


def row(name, grades, readings, extracted="1"):
    audit = {} if readings is None else {"audit": [reading and dict(reading) for reading in readings]}
    return {"doc": {"id": name}, "target": "1", "filtered_resps": [extracted] * len(grades), "grades": grades, **audit}


RIGHT = {"extracted": "1", "grade": "correct"}
WRONG = {"extracted": "2", "grade": "incorrect"}
NONE = {"extracted": None, "grade": "no_answer"}


def test_disagreements_are_counted_and_listed_and_the_unread_is_no_agreement(tmp_path):
    rows = [
        row("a", ["correct", "correct"], [RIGHT, WRONG]),
        row("b", ["incorrect"], [NONE]),
        row("c", ["no_answer"], [NONE], extracted=None),
        row("d", ["correct"], [None]),
        row("e", ["correct"], None),  # of an evaluation that had no audit
    ]
    audit = compare_extractors(rows, "second")
    assert (audit.num, audit.num_unread, len(audit.disagreements), audit.num_decisive) == (4, 2, 2, 1)
    assert (audit.num_unextracted, audit.num_unextracted_by_second) == (1, 2)
    write_disagreements(tmp_path / "audit.jsonl", audit)
    first, second = map(json.loads, (tmp_path / "audit.jsonl").read_text().splitlines())
    assert first == {
        "id": "a",
        "sample": 1,
        "answer": "1",
        "extracted": "1",
        "second_extracted": "2",
        "grade": "correct",
        "second_grade": "incorrect",
    }
    assert second["second_extracted"] is None


@pytest.mark.slow
def test_a_hostile_expression_costs_the_time_limit_and_is_unknown():
    with_limit = MathVerify(time_limit=2.0)
    assert with_limit.read(r"\boxed{9^{9^{9^{9^9}}}!}", "3") in (None, Reading("9^{9^{9^{9^9}}}!", Grade.INCORRECT))
    assert with_limit.read(r"\boxed{3}", "3") == Reading("3", Grade.CORRECT)
