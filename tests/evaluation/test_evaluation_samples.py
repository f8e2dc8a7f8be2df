"""Several solutions a problem: what they come to."""

import pytest

from presrm.evaluation.answers import Answer, Solution
from presrm.evaluation.samples import summarize
from presrm.statistics import mean, share
from presrm.types import Grade, Problem, Stop

PROBLEM = Problem("p", "1+1", "2")


def drawn(
    answer: str | None, *, is_right: bool = False, score: float | None = None, stop: Stop = Stop.EOS
) -> tuple[str | None, Grade, float | None, Stop]:
    return answer, Grade.NO_ANSWER if answer is None else Grade.CORRECT if is_right else Grade.INCORRECT, score, stop


def answered(*solutions: tuple[str | None, Grade, float | None, Stop], chosen: int | None = None) -> Answer:
    """Solutions whose answers are equal if they are spelt alike."""
    spelt = [answer for answer, *_ in solutions]
    return Answer(
        PROBLEM,
        tuple(
            Solution(
                f"#### {answer}", 3, 1, stop, answer, grade, score, None if answer is None else spelt.index(answer)
            )
            for answer, grade, score, stop in solutions
        ),
        chosen,
    )


def test_one_solution_a_problem_is_its_accuracy() -> None:
    found = summarize([answered(drawn("2", is_right=True), chosen=0), *[answered(drawn("3"), chosen=0)] * 4])
    assert (found["accuracy"].value, found["accuracy"].num) == (0.2, 5)
    assert "pass@1" not in found
    assert found["no answer"].value == 0.0


def test_several_solutions_give_pass_and_majority() -> None:
    found = summarize([answered(drawn("2", is_right=True), drawn("3"), drawn("3"), drawn(None))])
    assert found["pass@1"].value == pytest.approx(0.25)
    assert found["pass@4"].value == 1.0
    assert found["maj@4"].value == 0.0
    ends = {"no answer", "cut off", "no room", "filtered"}
    assert set(found) - ends == {"pass@1", "pass@2", "pass@4", "maj@2", "maj@4"}, "nothing chose, and nothing scored"


def test_two_solutions_a_problem_have_no_single_accuracy() -> None:
    found = summarize([answered(drawn("2", is_right=True), drawn("3"))])
    assert "accuracy" not in found
    assert [name for name in found if "@" in name] == ["pass@1", "pass@2", "maj@2"]


def test_k_doubles_up_to_the_number_of_solutions() -> None:
    found = summarize([answered(*[drawn("2", is_right=True)] * 9, *[drawn("3")] * 3)])
    assert [name for name in found if name.startswith("pass")] == ["pass@1", "pass@2", "pass@4", "pass@8", "pass@12"]


def test_what_is_0_or_1_for_every_problem_is_a_share_and_all_else_a_mean() -> None:
    right, wrong = drawn("2", is_right=True), drawn("3")
    found = summarize([answered(right, right), answered(wrong, wrong), answered(wrong, wrong)])
    assert found["pass@1"] == found["maj@2"] == share([True, False, False])
    found = summarize([answered(right, wrong), answered(wrong, wrong), answered(wrong, wrong)])
    assert (found["pass@1"], found["pass@2"]) == (mean([0.5, 0.0, 0.0]), share([True, False, False]))


def test_a_single_solution_is_not_the_best_of_any() -> None:
    found = summarize([answered(drawn("2", is_right=True, score=0.9), chosen=0)])
    assert not [name for name in found if "of 1" in name]


def test_k_goes_no_further_than_the_problem_with_the_fewest_solutions() -> None:
    right, wrong = drawn("2", is_right=True), drawn("3")
    found = summarize([answered(*[right] * 3), answered(*[wrong] * 5)])
    assert [name for name in found if name.startswith("pass")] == ["pass@1", "pass@2", "pass@3"]
    assert [name for name in found if name.startswith("maj")] == ["maj@2", "maj@3"]


def test_the_judge_weighted_vote_can_turn_a_majority_round() -> None:
    votes = [drawn("2", is_right=True, score=0.9), drawn("3", score=0.2), drawn("3", score=0.3), drawn(None)]
    found = summarize([answered(*votes, chosen=0)])
    assert found["maj@4"].value == 0.0
    assert found["judge-weighted vote of 4"].value == 1.0
    assert found["best of 4"].value == 1.0


def test_the_judge_weighted_vote_adds_up_scores() -> None:
    several = [drawn("3", score=0.4), drawn("3", score=0.4), drawn("2", is_right=True, score=0.7)]
    assert summarize([answered(*several, chosen=2)])["judge-weighted vote of 3"].value == 0.0


@pytest.mark.parametrize("turned", [False, True])
def test_answers_of_equal_weight_share_the_vote(turned: bool) -> None:
    votes = [drawn("2", is_right=True, score=0.5), drawn("3", score=0.5)]
    found = summarize([answered(*votes[:: -1 if turned else 1], chosen=0)])
    assert found["judge-weighted vote of 2"].value == 0.5


def test_an_unreadable_score_is_no_weight_not_zero() -> None:
    found = summarize([answered(drawn("2", is_right=True, score=0.0), drawn("3"), chosen=0)])
    assert found["judge-weighted vote of 2"].value == 1.0, "a known 0 is a vote, an unknown one is none"


def test_a_vote_that_nobody_takes_part_in_is_not_right() -> None:
    found = summarize([answered(drawn(None, score=0.9), drawn(None), chosen=0)])
    assert found["judge-weighted vote of 2"].value == found["maj@2"].value == 0.0


def test_a_search_that_found_nothing_has_not_solved_the_problem() -> None:
    found = summarize([Answer(PROBLEM, (), is_search=True), answered(drawn("2", is_right=True), chosen=0)])
    assert found["accuracy"].value == 0.5
    assert found["nothing found"].value == 0.5


def test_why_solutions_ended_is_counted_by_each_cause() -> None:
    stops = [Stop.MAX_TOKENS, Stop.NO_ROOM, Stop.FILTERED, Stop.EOS, Stop.MAX_TOKENS]
    found = summarize([answered(drawn(None, stop=stop), chosen=0) for stop in stops])
    assert [found[name].value for name in ("cut off", "no room", "filtered")] == [0.4, 0.2, 0.2]
    healthy = summarize([answered(drawn("3"), chosen=0)])
    assert [healthy[name].value for name in ("cut off", "no room", "filtered")] == [0.0, 0.0, 0.0]


def test_nothing_to_sum_up_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        summarize([])


def test_solutions_without_an_answer_are_a_mean_over_problems_whose_solutions_hang_together() -> None:
    silent, loud = answered(*[drawn(None)] * 8), answered(*[drawn("3")] * 8)
    found = summarize([silent, loud])["no answer"]
    assert found.value == 0.5
    low, high = found.interval
    assert high - low > 0.5, "two problems, not sixteen independent solutions"
