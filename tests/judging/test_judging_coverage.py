"""Prefixes of one solution are told from solutions of their own."""

from hypothesis import given
from hypothesis import strategies as st

from presrm.judging.coverage import longest_solutions, texts_up_to
from presrm.types import Candidates, Problem, Step, Trajectory

PROBLEM, OTHER = Problem("p", "2 + 3?"), Problem("o", "2 + 3?")


def item(*texts: str, candidates: tuple[str, ...], problem: Problem = PROBLEM) -> Candidates:
    return Candidates(Trajectory(problem, tuple(map(Step, texts))), tuple(map(Step, candidates)))


def test_a_prefix_is_covered_by_the_longest_solution_that_begins_with_it() -> None:
    batch = [item(candidates=("a",)), item("a", candidates=("b", "c")), item("a", "b", candidates=("d",))]
    found = longest_solutions(batch)

    assert found[PROBLEM, ("a",)] == found[PROBLEM, ("a", "b")] == (PROBLEM, ("a", "b", "d"))
    assert found[PROBLEM, ("a", "c")] == (PROBLEM, ("a", "c"))


def test_the_same_steps_of_another_problem_are_another_solution() -> None:
    found = longest_solutions([item(candidates=("a",)), item("a", candidates=("b",), problem=OTHER)])
    assert found[PROBLEM, ("a",)] == (PROBLEM, ("a",))


@given(st.lists(st.tuples(st.lists(st.sampled_from("ab"), max_size=3), st.sampled_from("ab"))), st.randoms())
def test_order_and_company_do_not_matter_and_everything_is_covered(rows, rng) -> None:
    batch = [item(*before, candidates=(last,)) for before, last in rows]
    found = longest_solutions(batch)
    for each in batch:
        texts = texts_up_to(each, each.steps[0])
        _, longest = found[PROBLEM, texts]
        assert longest[: len(texts)] == texts
    rng.shuffle(batch)
    assert longest_solutions(batch * 2) == found
