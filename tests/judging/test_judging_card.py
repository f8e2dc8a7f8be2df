"""The judge card against cases worked by hand, and against definitions written out in loops."""

import json
import math
import random
import time
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy import stats

from presrm.files.jsonl import dump
from presrm.formats.solutions import find_first_error
from presrm.judging import card as judge_card
from presrm.judging.card import Agreement, JudgeCard, JudgedSolution, agreement, make_card
from presrm.statistics import Figure
from presrm.types import Judgement, Status


def solution(label, *scores):
    judgements = tuple(Judgement(score, Status.OK if score is not None else Status.UNREADABLE) for score in scores)
    return JudgedSolution(label, find_first_error(judgements), judgements)


def told(label, first_error):
    return JudgedSolution(label, first_error, ())


def labelled_steps(found):
    """(score, is right) of each step whose label is known and whose score was read."""
    return [
        (step.score, place != one.label)
        for one in found
        for place, step in enumerate(one.judgements)
        if step.score is not None and (one.label < 0 or place <= one.label)
    ]


def values(card):
    """All that a card holds but its intervals, by where it stands."""

    def flat(value, field):
        if isinstance(value, dict | list | tuple):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            return {k: v for key, each in inner for k, v in flat(each, f"{field}.{key}").items() if "interval" not in k}
        return {field: value}

    return flat(asdict(card), "")


SCORES = st.none() | st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.75, 1.0]) | st.floats(0, 1)


@st.composite
def solutions(draw):
    scores = draw(st.lists(SCORES, min_size=1, max_size=5))
    return solution(draw(st.integers(-1, len(scores) - 1)), *scores)


FOUND = st.lists(solutions(), max_size=8)


def test_a_card_worked_by_hand():
    card = make_card(
        [
            solution(1, 0.9, 0.1, 0.0),  # exact
            solution(2, 0.8, 0.2, 0.6),  # one too early
            solution(0, 0.7, 0.7, 0.3),  # two too late
            solution(0, 0.7, 0.6),  # missed
            solution(1, None, 0.1),  # unknown
            solution(-1, 0.95, 0.95),  # found clean
            solution(-1, 0.4),  # not
        ]
    )
    assert (card.erroneous.num, card.erroneous.num_hits, card.erroneous.value) == (5, 1, 0.2)
    assert (card.clean.num, card.clean.num_hits, card.clean.value) == (2, 1, 0.5)
    assert card.f1.value == pytest.approx(2 * 0.2 * 0.5 / 0.7)
    assert (card.unknown.num, card.unknown.num_hits) == (7, 1)
    places = {name: getattr(card.misses, name).num_hits for name in ("early", "exact", "late", "missed", "unknown")}
    assert places == {"early": 1, "exact": 1, "late": 1, "missed": 1, "unknown": 1}
    assert card.misses.mean_distance.value == pytest.approx((0 - 1 + 2) / 3)
    right, wrong = [0.9, 0.8, 0.2, 0.95, 0.95, 0.4], [0.1, 0.6, 0.7, 0.7, 0.1]
    assert (card.steps.num_right, card.steps.num_wrong, card.steps.unread) == (6, 5, {Status.UNREADABLE: 1})
    wins = [6, 4, 4, 4, 6]  # right steps above each of the wrong ones
    assert card.steps.auc.value == pytest.approx(sum(wins) / 30)
    squares = [(1 - score) ** 2 for score in right] + [score**2 for score in wrong]
    assert card.steps.brier.value == pytest.approx(sum(squares) / 11)


def test_a_judge_that_could_not_say_has_found_nothing_clean_and_no_error():
    card = make_card([told(-1, None), told(-1, -1), told(0, None), told(2, None)])
    assert (card.clean.num, card.clean.num_hits) == (2, 1)
    assert (card.erroneous.num, card.erroneous.num_hits) == (2, 0)
    assert (card.unknown.num, card.unknown.num_hits) == (4, 3)
    misses = card.misses
    assert [one.num_hits for one in (misses.early, misses.exact, misses.late, misses.missed)] == [0, 0, 0, 0]
    assert (misses.unknown.num_hits, misses.mean_distance) == (2, Figure())
    assert agreement({"a": [None, -1], "b": [None, -1]}).same[0][1].num == 1, "two unknown ones do not agree"


def test_an_error_named_at_the_first_step_counts_in_the_mean_distance():
    assert make_card([told(1, 0), told(2, 0), told(0, 0)]).misses.mean_distance.value == -1
    assert make_card([told(1, 0), told(1, -1), told(1, None), told(-1, 0)]).misses.mean_distance == Figure(1, -1.0)


def test_steps_behind_the_first_error_are_left_out():
    assert make_card([solution(0, 0.1, 0.9)]).steps == make_card([solution(0, 0.1, 0.2)]).steps
    assert make_card([solution(0, 0.1, None)]).steps.unread == {}


def test_steps_without_a_score_are_counted_by_the_reason():
    cut, refused = Judgement(None, Status.TRUNCATED), Judgement(None, Status.REFUSED)
    card = make_card([JudgedSolution(-1, None, (cut, refused, cut, Judgement(1.0)))])
    assert card.steps.unread == {Status.TRUNCATED: 2, Status.REFUSED: 1}
    assert (card.steps.num_right, card.steps.brier.value) == (1, 0.0)


def test_calibration_worked_by_hand():
    card = make_card([solution(3, 0.72, 0.78, 0.75, 0.75), solution(1, 1.0, 0.0)])
    by_low = {bin_.low: bin_ for bin_ in card.steps.bins}
    assert [bin_.right.num for bin_ in card.steps.bins] == [1, 0, 0, 0, 0, 0, 0, 4, 0, 1]
    assert (by_low[0.7].mean_score, by_low[0.7].right.value) == (pytest.approx(0.75), 0.75)
    assert (by_low[0.9].mean_score, by_low[0.9].right.value) == (1.0, 1.0)
    assert card.steps.calibration_error.value == pytest.approx(0.0)
    assert make_card([solution(-1, 0.9), solution(0, 0.9)]).steps.calibration_error.value == pytest.approx(0.4)


def test_a_bin_begins_with_its_low_end_and_the_last_holds_one():
    edges = [place / 10 for place in range(11)]
    bins = make_card([solution(-1, *edges)]).steps.bins
    assert [bin_.low for bin_ in bins] == edges[:-1]
    assert [bin_.high for bin_ in bins] == edges[1:]
    assert [bin_.right.num for bin_ in bins] == [1] * 9 + [2]


def test_always_wrong_gives_zero_and_an_empty_kind_gives_none():
    assert make_card([told(0, -1), told(-1, 0)]).f1.value == 0.0
    assert make_card([told(0, 0), told(1, 0)]).f1 == Figure(2)
    assert make_card([told(-1, -1)]).erroneous == Figure()
    assert make_card([told(-1, -1)]).f1 == Figure(1)


def test_nothing_to_measure_is_none_and_never_zero():
    of_empty = values(make_card([]))
    figures = {field for field in of_empty if not field.endswith((".low", ".high")) and ".num" not in field}
    assert all(of_empty[field] is None for field in figures)
    assert all(of_empty[field] == 0 for field in of_empty if ".num" in field)
    assert make_card([]).f1 == Figure()


@pytest.mark.parametrize("found", [[solution(-1, 0.9, 0.8)], [solution(0, 0.2)], [solution(0, None)]])
def test_only_one_class_of_steps_has_no_auc(found):
    assert make_card(found).steps.auc.value is make_card(found).steps.auc.interval is None


def test_one_solution_gives_a_value_but_no_interval():
    steps = make_card([solution(1, 0.9, 0.2)]).steps
    assert (steps.auc, steps.brier.interval, steps.calibration_error.interval) == (Figure(2, 1.0), None, None)
    steps = make_card([solution(1, 0.9, 0.2), solution(-1, 0.9), solution(-1, 0.8)]).steps
    assert steps.auc == Figure(4, 1.0)
    assert steps.brier.interval is not None


def test_what_never_varies_claims_no_certainty():
    card = make_card([solution(1, 0.9, 0.2), solution(1, 0.8, 0.1), solution(-1, 0.9), solution(-1, 0.9)])
    assert (card.f1.value, card.steps.auc) == (1.0, Figure(6, 1.0))
    assert card.f1.interval == (pytest.approx(card.clean.interval[0]), pytest.approx(1.0))
    assert card.misses.mean_distance == Figure(2, 0.0)


def test_the_widest_f1_goes_from_both_lower_to_both_upper_ends():
    card = make_card([told(0, 0), told(-1, 0), told(-1, 0)])
    (low, high), (clean_low, clean_high) = card.erroneous.interval, card.clean.interval
    assert card.f1.value == clean_low == 0.0
    assert card.f1.interval == (0.0, pytest.approx(2 * high * clean_high / (high + clean_high)))
    assert low > 0


@given(FOUND)
@settings(max_examples=60, deadline=None)
def test_every_figure_is_what_its_definition_says(found):
    card = make_card(found)
    steps = labelled_steps(found)
    right = [score for score, is_right in steps if is_right]
    wrong = [score for score, is_right in steps if not is_right]
    if right and wrong:
        wins = sum((a > b) + 0.5 * (a == b) for a in right for b in wrong)
        assert card.steps.auc.value == pytest.approx(wins / len(right) / len(wrong))
        assert card.steps.auc.value == pytest.approx(
            stats.mannwhitneyu(right, wrong).statistic / len(right) / len(wrong)
        )
    else:
        assert card.steps.auc.value is None
    if not steps:
        assert card.steps.brier == card.steps.calibration_error == Figure()
        return
    assert card.steps.brier.value == pytest.approx(sum((s - is_right) ** 2 for s, is_right in steps) / len(steps))
    bins = {}
    for score, is_right in steps:
        place = next(place for place in range(10) if place == 9 or score < (place + 1) / 10)
        bins.setdefault(place, []).append((score, is_right))
    error = sum(abs(sum(is_right - score for score, is_right in inside)) for inside in bins.values()) / len(steps)
    assert card.steps.calibration_error.value == pytest.approx(error)
    assert {i: bin_.right.num for i, bin_ in enumerate(card.steps.bins) if bin_.right.num} == {
        place: len(inside) for place, inside in bins.items()
    }


@given(FOUND)
@settings(max_examples=60, deadline=None)
def test_figures_keep_their_bounds(found):
    card = make_card(found)
    shares = [card.erroneous, card.clean, card.unknown, *(bin_.right for bin_ in card.steps.bins)]
    estimates = [card.steps.auc, card.steps.brier, card.steps.calibration_error, card.f1]
    for figure in (*shares, *estimates):
        assert figure.value is None or 0 <= figure.value <= 1 + 1e-9
        assert figure.interval is None or -1e-9 <= figure.interval[0] <= figure.interval[1] <= 1 + 1e-9
        assert figure.value is not None or figure.interval is None
    misses = [card.misses.early, card.misses.exact, card.misses.late, card.misses.missed, card.misses.unknown]
    assert sum(share.num_hits for share in misses) == card.erroneous.num
    assert card.misses.exact == card.erroneous


@given(FOUND, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_rows_changes_no_value(found, rng):
    shuffled = rng.sample(found, len(found))
    assert values(make_card(shuffled)) == pytest.approx(values(make_card(found)))


@given(FOUND)
@settings(max_examples=40, deadline=None)
def test_turning_all_scores_round_turns_the_auc_round(found):
    def turned(one):
        judgements = tuple(
            step if step.score is None else Judgement(1.0 - step.score, step.status) for step in one.judgements
        )
        return replace(one, judgements=judgements)

    coarse = [replace(one, judgements=tuple(map(rounded, one.judgements))) for one in found]
    before, after = make_card(coarse).steps.auc.value, make_card([turned(one) for one in coarse]).steps.auc.value
    assert (before is None and after is None) or before + after == pytest.approx(1)


def rounded(step):
    """1 - score is exact on the numbers of the form k / 1024: no tie is made or lost."""
    return step if step.score is None else Judgement(round(step.score * 1024) / 1024)


def made_up(num, seed, skill=0.3):
    """Solutions judged with noise, as good as `skill` says; some steps cannot be read."""
    rng = random.Random(seed)
    found = []
    for _ in range(num):
        length = rng.randint(3, 9)
        label = rng.choice([-1, rng.randrange(length)])
        scores = [min(1.0, max(0.0, rng.gauss(0.6 + skill * (1 if i != label else -1), 0.3))) for i in range(length)]
        found.append(solution(label, *(None if rng.random() < 0.01 else score for score in scores)))
    return found


def test_intervals_hold_what_resampling_in_a_loop_gives():
    found = made_up(40, seed=1)
    card, rng = make_card(found), random.Random(2)
    auc, f1, distances = [], [], []
    for _ in range(400):
        sample = rng.choices(found, k=len(found))
        steps = labelled_steps(sample)
        right, wrong = [s for s, is_right in steps if is_right], [s for s, is_right in steps if not is_right]
        auc.append(stats.mannwhitneyu(right, wrong).statistic / len(right) / len(wrong))
        on_wrong = [one.first_error == one.label for one in sample if one.label >= 0]
        on_clean = [one.first_error == -1 for one in sample if one.label < 0]
        a, b = sum(on_wrong) / len(on_wrong), sum(on_clean) / len(on_clean)
        f1.append(2 * a * b / (a + b) if a + b else 0.0)
        off = [s.first_error - s.label for s in sample if s.label >= 0 and s.first_error not in (None, -1)]
        distances.append(sum(off) / len(off))
    intervals = (card.steps.auc.interval, card.f1.interval, card.misses.mean_distance.interval)
    for (low, high), samples in zip(intervals, (auc, f1, distances), strict=True):
        samples.sort()
        width = high - low
        assert low == pytest.approx(samples[10], abs=0.15 * width)
        assert high == pytest.approx(samples[-11], abs=0.15 * width)


def test_intervals_narrow_with_more_solutions_and_come_back_the_same():
    few, many = make_card(made_up(60, seed=3)), make_card(made_up(960, seed=3))
    assert many == make_card(made_up(960, seed=3))

    def width(ends):
        return ends[1] - ends[0]

    for one, other in (
        (few.f1.interval, many.f1.interval),
        (few.steps.auc.interval, many.steps.auc.interval),
        (few.steps.brier.interval, many.steps.brier.interval),
        (few.misses.mean_distance.interval, many.misses.mean_distance.interval),
    ):
        assert width(other) < width(one) / 2


def test_the_interval_of_the_auc_covers_the_truth_as_often_as_it_says():
    """Right steps score N(0.6, 0.1), wrong ones N(0.5, 0.1): the AUC is Phi(1 / sqrt 2)."""
    truth = 0.5 * (1 + math.erf(0.5))
    rng = random.Random(4)
    covered = 0
    for _ in range(60):
        found = [solution(1, rng.gauss(0.6, 0.1), rng.gauss(0.5, 0.1)) for _ in range(50)]
        low, high = make_card(found).steps.auc.interval
        covered += low <= truth <= high
    assert covered >= 52


def test_three_thousand_solutions_take_seconds_at_most():
    found = made_up(3000, seed=5)
    start = time.process_time()
    card = make_card(found)
    assert time.process_time() - start < 5
    assert card.steps.auc.interval[0] < card.steps.auc.value < card.steps.auc.interval[1]


@given(FOUND)
@settings(max_examples=30, deadline=None)
def test_a_card_is_written_as_json_and_comes_back_equal(found):
    card = make_card(found)
    assert TypeAdapter(JudgeCard).validate_json(dump(card)) == card
    assert json.loads(dump(card)) == json.loads(json.dumps(asdict(card)))


def test_fewer_samples_of_very_many_solutions_give_much_the_same_interval(monkeypatch):
    found = made_up(200, seed=6)
    low, high = make_card(found).steps.auc.interval
    monkeypatch.setattr(judge_card, "_MAX_DRAWN", 1)
    fewer = make_card(found).steps.auc.interval
    assert fewer != (low, high)
    assert fewer == pytest.approx((low, high), abs=0.2 * (high - low))


def test_small_blocks_of_samples_give_much_the_same_interval(monkeypatch):
    found = made_up(50, seed=7)
    low, high = make_card(found).steps.brier.interval
    monkeypatch.setattr(judge_card, "_MAX_CELLS", 1)
    assert make_card(found).steps.brier.interval == pytest.approx((low, high), abs=0.2 * (high - low))


def test_a_judged_row_becomes_a_judged_solution():
    row = {
        "judged": [
            {"text": "a", "score": 0.9, "status": "ok", "rationale": "long"},
            {"text": "b", "score": None, "status": "truncated", "rationale": "longer"},
        ],
        "first_error": None,
    }
    assert JudgedSolution.of_row(row, 1) == JudgedSolution(1, None, (Judgement(0.9), Judgement(None, Status.TRUNCATED)))


def test_agreement_worked_by_hand():
    found = agreement({"a": [0, 1, -1, -1, None, 2], "b": [0, 2, -1, 0, 1, None]})
    assert found.judges == ("a", "b")
    assert [[share.num for share in row] for row in found.same] == [[5, 4], [4, 5]]
    assert [[share.num_hits for share in row] for row in found.same] == [[5, 2], [2, 5]]
    # Of the four, a finds the last two clean and b the third: agree on 3 of 4, and 1/2 * 1/4 + 1/2 * 3/4 by chance.
    assert found.kappa == ((1.0, 0.5), (0.5, 1.0))


def test_kappa_of_judges_that_always_say_the_same_is_not_defined():
    assert agreement({"a": [-1, -1], "b": [-1, -1]}).kappa == ((None, None), (None, None))
    assert agreement({"a": [-1, -1], "b": [0, 0]}).kappa[0][1] == 0.0


def test_judges_that_never_both_know_have_no_agreement():
    found = agreement({"a": [0, None], "b": [None, 0]})
    assert (found.same[0][1], found.kappa[0][1]) == (Figure(), None)


def test_judges_of_other_files_are_not_compared():
    with pytest.raises(ValueError, match="different numbers"):
        agreement({"a": [0], "b": [0, 1]})


@given(st.lists(st.tuples(*[st.none() | st.integers(-1, 3)] * 3), max_size=12))
def test_agreement_is_symmetric_and_comes_back_from_json(rows):
    found = agreement({name: [row[place] for row in rows] for place, name in enumerate("abc")})
    for one in range(3):
        for other in range(3):
            kappa = found.kappa[one][other]
            assert found.same[one][other] == found.same[other][one]
            assert kappa == (None if kappa is None else pytest.approx(found.kappa[other][one]))
            assert kappa is None or -1 - 1e-9 <= kappa <= 1 + 1e-9
    assert TypeAdapter(Agreement).validate_json(dump(found)) == found
