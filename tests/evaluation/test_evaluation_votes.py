"""Votes: one answer in several spellings is one, by the grader that reads it."""

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.errors import DataError
from presrm.evaluation.answers import evaluate
from presrm.evaluation.samples import summarize
from presrm.evaluation.votes import Votes
from presrm.graders import GRADERS
from presrm.prompts import PromptSet
from presrm.protocols import Sampling
from presrm.splitters import SPLITTERS
from presrm.types import Grade, Problem

WRONG, RIGHT, NONE = Grade.INCORRECT, Grade.CORRECT, Grade.NO_ANSWER


def groups(grader: str, *wrong: str) -> list[int | None]:
    return Votes(GRADERS.create(grader)).group([(answer, WRONG) for answer in wrong])


@pytest.mark.parametrize(
    ("replies", "majority"),
    [
        (["0.5", "1/2", "0.5", "1/2", "0.5", "\\frac12", "2", "2", "2", "2"], 1.0),  # right ones are one class
        (["1/2"] * 4 + ["2", "\\frac{4}{2}", "2.0", "2", "2", "2.00"], 0.0),  # and so are wrong ones
        (["1/2"] * 4 + ["2", "3", "4", "5", "6", "7"], 1.0),
    ],
)
def test_a_majority_counts_answers_and_not_spellings(replies: list[str], majority: float) -> None:
    left = iter(replies)
    engine = ScriptedEngine(lambda prompt, rng: f"So it is \\boxed{{{next(left)}}}.")
    (answers,) = evaluate(
        [Problem("p", "half of one?", "\\frac{1}{2}")],
        engine,
        PromptSet("compact"),
        GRADERS.create("math"),
        sampling=Sampling(1.0),
        splitter=SPLITTERS.create("newline"),
        group_size=1,
        num=len(replies),
    )
    assert summarize(answers)["maj@10"].value == majority


@pytest.mark.parametrize(
    ("grader", "spellings", "expected"),
    [
        ("math", ["1/3", "\\frac{1}{3}", "3", "\\frac13", "3.0"], [0, 0, 2, 0, 2]),
        ("math", ["x^2-1", "(x-1)(x+1)", "x^2+1"], [0, 0, 2]),
        ("math", ["\\{1,2\\}", "\\{2,1\\}", "(1,2)", "(2,1)"], [0, 0, 2, 3]),
        ("auto", ["1,000", "1000", "1000.0", "100"], [0, 0, 0, 3]),
        ("gsm8k", ["18", "18.0", "180"], [0, 0, 2]),
        ("gsm8k-strict", ["18", "18.0", "180"], [0, 0, 2]),
        ("exact", ["New  York", "New York", "new york"], [0, 0, 2]),
        ("countdown", ["(1+2)*3", "3*(2+1)", "3*2+1"], [0, 0, 2]),
        ("integral", ["x^2/2", "\\frac{x^2}{2}+7", "x^2"], [0, 0, 2]),
    ],
)
def test_wrong_answers_are_one_by_the_equality_of_their_grader(
    grader: str, spellings: list[str], expected: list[int]
) -> None:
    assert groups(grader, *spellings) == expected
    turned = groups(grader, *reversed(spellings))
    partition = {frozenset(i for i, one in enumerate(expected) if one == group) for group in expected}
    last = len(spellings) - 1
    assert {frozenset(last - i for i, one in enumerate(turned) if one == group) for group in turned} == partition


def test_a_right_answer_is_never_one_with_a_wrong_one_and_none_has_no_vote() -> None:
    votes = Votes(GRADERS.create("exact"))
    answers = [("a", RIGHT), ("a", WRONG), (None, NONE), ("b", RIGHT), ("c", NONE), ("a", WRONG)]
    assert votes.group(answers) == [0, 1, None, 0, None, 1]


class Counting:
    """Holds any two numbers of equal parity for equal, and counts what it is asked."""

    def __init__(self) -> None:
        self.num = 0

    def extract(self, solution: str) -> str | None:
        return solution

    def grade(self, solution: str, answer: str) -> Grade:
        self.num += 1
        return RIGHT if int(solution) % 2 == int(answer) % 2 else WRONG


def test_what_was_compared_is_remembered() -> None:
    grader = Counting()
    votes = Votes(grader)
    first = votes.group([(str(i), WRONG) for i in range(6)])
    num = grader.num
    assert first == [0, 1, 0, 1, 0, 1]
    assert votes.group([(str(i), WRONG) for i in range(6)]) == first
    assert grader.num == num


def test_right_answers_are_compared_with_nothing() -> None:
    grader = Counting()
    assert Votes(grader).group([("1", RIGHT), ("2", WRONG), ("3", RIGHT), (None, NONE)]) == [0, 1, 0, None]
    assert grader.num == 0


def test_the_number_of_comparisons_is_bounded_and_the_commonest_come_first() -> None:
    class Never(Counting):
        def grade(self, solution: str, answer: str) -> Grade:
            super().grade(solution, answer)
            return WRONG

    grader = Never()
    many = [(str(i), WRONG) for i in range(500)]
    assert Votes(grader).group(many) == list(range(500))
    assert grader.num <= 400

    common = [("1000", WRONG)] * 3 + [("2000", WRONG)] * 2
    grouped = Votes(Counting()).group([*many, *common])
    assert grouped[500:] == [grouped[500]] * 5, "the commonest are compared however many others there are"


class Choosy:
    """Takes only `right` for each other, in that direction; some references are none to it."""

    def __init__(self, right: tuple[str, str]) -> None:
        self.right = right

    def extract(self, solution: str) -> str | None:
        return solution

    def grade(self, solution: str, answer: str) -> Grade:
        if "?" in answer:
            raise DataError("no reference")
        return RIGHT if (solution, answer) == self.right else WRONG


@pytest.mark.parametrize("right", [("a", "b"), ("b", "a")])
def test_one_direction_is_enough_for_two_answers_to_be_equal(right: tuple[str, str]) -> None:
    assert Votes(Choosy(right)).group([("a", WRONG), ("b", WRONG), ("c", WRONG)]) == [0, 0, 2]


def test_what_is_no_reference_equals_nothing_but_itself() -> None:
    assert Votes(Choosy(("a", "?"))).group([("a", WRONG), ("?", WRONG), ("?", WRONG)]) == [0, 1, 1]


def test_right_answers_and_those_that_give_none_join_no_group_of_wrong_ones() -> None:
    votes = Votes(Choosy(("a", "b")))
    assert votes.group([("b", WRONG), ("a", RIGHT), ("z", RIGHT), (None, WRONG), ("q", NONE)]) == [0, 1, 1, None, None]
