"""Counting judgements: unknown is not zero, and many different reasons stay few."""

import json

import pytest

from presrm.judging.tally import NUM_POSITIONS, OTHER_REASONS, JudgeTally
from presrm.types import Judgement, Status

UNREADABLE = Judgement(None, Status.UNREADABLE)


def test_solutions_and_steps_are_counted():
    tally = JudgeTally()
    tally.add_solution([Judgement(1.0), Judgement(0.2)], 1, is_labelled=True)
    tally.add_solution([Judgement(0.5), UNREADABLE], None, is_labelled=False)
    tally.add_solution([Judgement(0.75)], -1, is_labelled=True)
    assert (tally.num_judged, tally.num_labelled) == (3, 2)
    assert (tally.num_clean, tally.num_erroneous, tally.num_unknown) == (1, 1, 1)
    assert tally.statuses == {"ok": 4, "unreadable": 1}
    assert [(place.num_scored, place.mean) for place in tally.positions] == [(3, 0.75), (1, 0.2)]


def test_a_position_without_a_score_has_no_mean():
    tally = JudgeTally()
    tally.add_solution([UNREADABLE], None, is_labelled=False)
    assert tally.positions[0].mean is None


def test_late_steps_are_counted_together():
    tally = JudgeTally()
    tally.add_solution([Judgement(1.0)] * NUM_POSITIONS + [Judgement(0.0)] * 4, 10, is_labelled=False)
    assert len(tally.positions) == NUM_POSITIONS + 1
    assert (tally.positions[-1].num_scored, tally.positions[-1].mean) == (4, 0.0)


def test_reasons_differ_by_more_than_their_numbers():
    tally = JudgeTally()
    tally.add_rejected([f"malformed JSON at column {i}: Expecting value" for i in range(9)])
    tally.add_rejected(["expected an object, found list"])
    assert tally.reasons == {"malformed JSON at column …: Expecting value": 9, "expected an object, found list": 1}
    assert tally.num_rejected == 10


def test_hostile_reasons_stay_few():
    tally = JudgeTally()
    for i in range(1000):
        tally.add_rejected([f"label 'x{i}': expected another"])
    assert len(tally.reasons) < 100
    assert tally.num_rejected == 1000
    assert tally.reasons[OTHER_REASONS] > 900


def test_counts_come_back_equal_from_json():
    tally = JudgeTally()
    tally.add_solution([Judgement(0.1), Judgement(1 / 3), UNREADABLE], 0, is_labelled=True)
    tally.add_rejected(["no question"])
    assert JudgeTally.load(json.loads(json.dumps(tally.dump()))) == tally


def test_counts_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="statuses"):
        JudgeTally.load({"statuses": 3})
