"""Trees worked by hand: which candidate is compared with which, and what unknown rewards change."""

from hypothesis import given
from hypothesis import strategies as st

from presrm.credit.attempts import credit_attempts, explain_no_attempts
from presrm.training.policy_gradient import group_advantages
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Status, Step, Stop

PROBLEM = Problem("p", "1 + 2 + 3?")
UNKNOWN = Judgement(None, Status.UNREADABLE)


def candidate(text: str, score: float | None, stop: Stop | None = None, worth: float | None = None) -> Candidate:
    return Candidate(Step(text, stop=stop), UNKNOWN if score is None else Judgement(score), worth)


def test_whole_answers_are_compared_with_the_other_answers_to_their_problem() -> None:
    answers = [("6", 1.0), ("7", 0.0), ("8", None), ("six", 0.5)]
    tree = SearchTree(
        PROBLEM, (Expansion(None, tuple(candidate(t, s, Stop.EOS) for t, s in answers), (0,)),), ((0, 0),)
    )

    credited = credit_attempts([tree], "2")

    assert [(one.id, one.completion.text, one.reward) for one in credited.attempts] == [
        ("2/p/0/0", "6", 1.0),
        ("2/p/0/1", "7", 0.0),
        ("2/p/0/3", "six", 0.5),
    ]
    assert {one.group for one in credited.attempts} == {"2/p/0"}
    assert credited.num_unknown == 1
    assert not credited.dropped


def test_steps_are_compared_with_their_siblings_alone() -> None:
    """Two steps deep: the second expansion has lower scores than the first, but its best step is above its own mean.

    First: scores 0.9 0.7, mean 0.8, so +0.1 -0.1. Second, behind the first's best: 0.1 0.4 0.1, mean 0.2, so -0.1 0.2
    -0.1.
    """
    first = Expansion(None, (candidate("1 + 2 = 3\n", 0.9), candidate("1 + 2 = 4\n", 0.7)), (0,))
    ends = (candidate("3 + 3 = 5", 0.1), candidate("3 + 3 = 6", 0.4, Stop.EOS), candidate("3 + 3 = 7", 0.1))
    tree = SearchTree(PROBLEM, (first, Expansion((0, 0), ends, (1,))), ((1, 1),))

    attempts = credit_attempts([tree], "2").attempts
    advantages = group_advantages([one.reward for one in attempts], [one.group for one in attempts], scale="none")

    assert [round(advantage, 9) for advantage in advantages] == [0.1, -0.1, -0.1, 0.2, -0.1]
    assert [one.prefix.text for one in attempts] == ["", "", *["1 + 2 = 3\n"] * 3]


def test_what_the_search_thinks_of_a_path_counts_before_the_judge() -> None:
    tree = SearchTree(PROBLEM, (Expansion(None, (candidate("a", 0.9, worth=0.2), candidate("b", 0.1, worth=0.6))),))

    assert [one.reward for one in credit_attempts([tree], "2").attempts] == [0.2, 0.6]


def test_every_group_without_spread_is_counted_by_its_cause() -> None:
    expansions = [
        [("a", 1.0), ("b", 1.0)],
        [("a", 1.0), ("a", 1.0)],
        [("a", 1.0), ("b", None)],
        [("a", None), ("b", None)],
    ]
    tree = SearchTree(PROBLEM, tuple(Expansion(None, tuple(candidate(*one) for one in of)) for of in expansions))

    credited = credit_attempts([tree], "2")

    assert credited.attempts == ()
    assert credited.dropped == {"tie": 1, "unanimous": 1, "unreadable": 2}
    assert "4 groups, 2 with fewer than two known rewards" in explain_no_attempts(credited.dropped)


@given(
    scores=st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=2, max_size=6),
    places=st.lists(st.integers(0, 6), max_size=3),
)
def test_unknown_verdicts_change_no_statistic(scores: list[float], places: list[int]) -> None:
    def credit(of: list[float | None]) -> list[float | str]:
        tree = SearchTree(PROBLEM, (Expansion(None, tuple(candidate(f"{i}", s) for i, s in enumerate(of))),))
        attempts = credit_attempts([tree], "2").attempts
        return group_advantages([one.reward for one in attempts], [one.group for one in attempts])

    with_unknown: list[float | None] = [*scores]
    for place in places:
        with_unknown.insert(place, None)

    assert credit(with_unknown) == credit([*scores])
