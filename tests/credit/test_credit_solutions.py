import pytest

from presrm.credit.solutions import imitate_solutions
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Status, Step, Stop

PROBLEM = Problem("p/1", "1 + 2 + 3?")


def tree(first: tuple[int, ...] | None) -> SearchTree:
    """Two solutions that share their first step, one of them reached twice, and a step that leads nowhere."""
    steps = [Step("1 + 2 = 3\n", first), Step("1 + 2 = 4\n", (7,))]
    ends = [Step("#### 6", (3, 4), Stop.EOS), Step("#### 6", (3, 4), Stop.EOS), Step("#### 5", (3, 5), Stop.ANSWER)]
    judgement = Judgement(1.0)
    return SearchTree(
        PROBLEM,
        (
            Expansion(None, tuple(Candidate(step, judgement) for step in steps), (0,)),
            Expansion((0, 0), tuple(Candidate(step, judgement) for step in ends), (0, 1, 2)),
        ),
        solutions=((1, 0), (1, 1), (1, 2)),
    )


def test_each_solution_is_shown_whole_and_once() -> None:
    six, five = imitate_solutions([tree((1, 2)), SearchTree(PROBLEM, given_up="budget")], "2", 0.5)
    assert (six.id, five.id) == ("2/p/1/solution/0", "2/p/1/solution/1")
    assert six.reply == Step("1 + 2 = 3\n#### 6", (1, 2, 3, 4), Stop.EOS)
    assert five.reply == Step("1 + 2 = 3\n#### 5", (1, 2, 3, 5), Stop.ANSWER)
    assert all((one.prefix.problem, one.prefix.steps, one.weight) == (PROBLEM, (), 0.5) for one in (six, five))


@pytest.mark.parametrize("tokens", [None, ()])
def test_a_step_without_tokens_of_its_own_leaves_the_text(tokens: tuple[int, ...] | None) -> None:
    six, _ = imitate_solutions([tree(tokens)], "2", 1.0)
    assert six.reply == Step("1 + 2 = 3\n#### 6", None if tokens is None else (3, 4), Stop.EOS)


@pytest.mark.parametrize(
    ("first", "last", "shown"),
    [
        (1.0, 0.5, ["six", "five"]),
        (0.5, 0.5, ["six", "five"]),
        (1.0, 0.4, ["five"]),
        (0.4, 1.0, []),
        (1.0, None, ["five"]),
        (None, 1.0, []),
    ],
)
def test_only_solutions_whose_every_step_the_judge_accepts(
    first: float | None, last: float | None, shown: list[str]
) -> None:
    """One low step is enough to leave a solution out, and a step without a score is not a low one, but not known."""
    judged = Expansion(None, (Candidate(Step("1 + 2 = 3\n"), judgement(first)),), (0,))
    ends = [
        Candidate(Step("#### 6", None, Stop.EOS), judgement(last)),
        Candidate(Step("#### 5", None, Stop.EOS), judgement(1.0)),
    ]
    found = SearchTree(PROBLEM, (judged, Expansion((0, 0), tuple(ends), (0, 1))), solutions=((1, 0), (1, 1)))
    kept = imitate_solutions([found], "2", 1.0, min_score=0.5)
    assert [{"#### 6": "six", "#### 5": "five"}[one.reply.text.splitlines()[-1]] for one in kept] == shown
    assert len(imitate_solutions([found], "2", 1.0)) == 2, "all, however they were judged"


def judgement(score: float | None) -> Judgement:
    """What a judge said, or that nothing can be read."""
    return Judgement(score, Status.UNREADABLE if score is None else Status.OK)
