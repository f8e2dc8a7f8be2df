"""Training problems with a twin in the evaluation set go, and are counted."""

from dataclasses import astuple

import pytest

from presrm.evaluation.decontamination import decontaminate
from presrm.types import Problem

LONG = "a train leaves the station at noon and travels sixty miles an hour towards the distant city"


def test_equal_questions_go_whatever_their_case_and_punctuation() -> None:
    kept, counts = decontaminate([Problem("1", "Why, oh WHY?"), Problem("2", "Why not?")], [Problem("9", "why oh why")])
    assert [problem.id for problem in kept] == ["2"]
    assert astuple(counts) == (0, 1, 0)


def test_a_shared_run_of_thirteen_words_goes_and_twelve_stay() -> None:
    words = LONG.split()
    train = [Problem("13", f"x {' '.join(words[:13])} y"), Problem("12", f"x {' '.join(words[:12])} y")]
    kept, counts = decontaminate(train, [Problem("9", LONG)])
    assert [problem.id for problem in kept] == ["12"]
    assert astuple(counts) == (0, 0, 1)


@pytest.mark.parametrize("place", ["first", "last", "whole"])
def test_a_shared_run_is_found_wherever_it_stands(place: str) -> None:
    run = " ".join(LONG.split()[:13])
    questions = {"first": f"{run} is shared", "last": f"so it is that {run}", "whole": run}
    for train, held_out in ((questions[place], f"{run} or not"), (f"{run} or not", questions[place])):
        kept, counts = decontaminate([Problem("1", train)], [Problem("9", held_out)])
        assert (kept, astuple(counts)) == ([], (0, 0, 1))


def test_made_up_problems_go_by_their_canonical_form_alone() -> None:
    def made_up(form: str, question: str) -> Problem:
        return Problem(f"arithmetic:{form}", question, kind="arithmetic")

    train = [made_up("1+2", LONG), made_up("1+3", f"{LONG} too")]
    kept, counts = decontaminate(train, [made_up("1+2", "told otherwise"), made_up("9+9", LONG)])
    assert [problem.id for problem in kept] == ["arithmetic:1+3"]
    assert astuple(counts) == (1, 0, 0)


def test_equal_ids_of_other_sets_prove_nothing() -> None:
    kept, counts = decontaminate([Problem("rows/1", "Why?")], [Problem("rows/1", "How?")])
    assert len(kept) == 1
    assert astuple(counts) == (0, 0, 0)
