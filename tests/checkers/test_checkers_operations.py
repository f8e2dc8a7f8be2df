"""The checker that knows every step of a problem whose reference solution is a list of operations."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presrm.checkers import CHECKERS
from presrm.checkers.operations import Finding, find, read_operation
from presrm.types import Problem, Step, Trajectory

BILLS = Problem("b", "15 big and 8 small, 9 each?", "63", "15 - 8 = 7\n9 * 7 = 63\n#### 63", kind="operations")
SHARE = Problem("s", "Half of 7?", "3.5", "7 / 2 = 3.5\n#### 3.5", kind="operations")


def labels(problem: Problem, *steps: str) -> list[bool | None]:
    (found,) = CHECKERS.create("operations").check([Trajectory(problem, tuple(map(Step, steps)))])
    return found


@pytest.mark.parametrize(
    ("steps", "findings"),
    [
        (["15 - 8 = 7\n", "9 * 7 = 63\n", "#### 63"], ["right", "right", "right"]),
        (["15 - 8 = 7\n", "7 * 9 = 63\n", "#### 63"], ["right", "right", "right"]),
        (["15 - 8 = 6\n", "6 * 9 = 54\n", "#### 54"], ["sum", "right", "right"]),
        (["15 - 8 = 6\n", "7 * 9 = 63\n", "#### 63"], ["sum", "operation", None]),
        (["15 + 8 = 23\n", "23 * 9 = 207\n", "#### 207"], ["operation", None, None]),
        (["15 + 8 = 24\n"], ["operation"]),
        (["8 - 15 = -7\n"], ["operation"]),
        (["15 - 8 = 7\n", "#### 7"], ["right", "end"]),
        (["15 - 8 = 7\n", "9 * 7 = 63\n", "#### 36"], ["right", "right", "end"]),
        (["15 - 8 = 7\n", "9 * 7 = 63\n", "63 * 9 = 567\n"], ["right", "right", "operation"]),
        (["15 - 15 = 0\n"], ["operation"]),
        (["So 15 - 8 = 7\n"], ["form"]),
        (["15 - 8 = 7\n9 * 7 = 63\n", "#### 63"], ["right", "right"]),
        (["\n"], ["form"]),
    ],
)
def test_every_line_is_said_what_it_is(steps: Sequence[str], findings: Sequence[str | None]) -> None:
    assert find(BILLS, steps) == findings
    assert labels(BILLS, *steps) == [None if one is None else one == "right" for one in findings]


def test_other_orders_are_right_as_long_as_the_answer_can_be_reached() -> None:
    both = Problem("c", "", "29", "3 * 4 = 12\n12 + 17 = 29\n#### 29", kind="operations")
    three = Problem("d", "", "29", "3 + 4 = 7\n7 + 22 = 29\n#### 29", kind="operations")

    assert labels(both, "4 * 3 = 12\n", "17 + 12 = 29\n") == [True, True]
    assert labels(both, "12 + 17 = 29\n") == [False], "12 is not at hand yet"
    assert labels(three, "4 + 22 = 26\n", "26 + 3 = 29\n") == [True, True]


def test_a_number_that_stands_twice_can_be_used_twice() -> None:
    problem = Problem("e", "", "36", "2 * 9 = 18\n2 * 9 = 18\n18 + 18 = 36\n#### 36", kind="operations")

    assert labels(problem, *(problem.solution or "").splitlines(keepends=True)) == [True] * 4


def test_decimals_are_exact() -> None:
    assert labels(SHARE, "7 / 2 = 3.5\n", "#### 3.50") == [True, True]
    assert labels(SHARE, "7 / 2 = 3.4\n") == [False]
    assert labels(SHARE, "7 / 0 = 3.5\n") == [False]
    assert read_operation("0.1 + 0.2 = 0.3\n").is_exact  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "solution",
    [
        None,
        "",
        "#### 3",
        "It is 3.\n#### 3",
        "1 + 1 = 3\n#### 3",
        "1 + 1 = 2\n2 + 2 = 4\n2 + 3 = 5\n#### 9",
        "1 + 2 = 3",
    ],
)
def test_without_a_solution_of_operations_nothing_is_known(solution: str | None) -> None:
    assert labels(Problem("n", "", "3", solution, kind="operations"), "1 + 2 = 3\n", "#### 3") == [None, None]


def test_a_problem_with_more_than_four_numbers_is_not_told() -> None:
    lines = ["1 + 2 = 3", "3 + 4 = 7", "7 + 5 = 12", "12 + 6 = 18"]

    assert None in labels(Problem("n", "", "18", "\n".join([*lines, "#### 18"]), kind="operations"), "1 + 2 = 3\n")
    assert labels(Problem("n", "", "12", "\n".join([*lines[:3], "#### 12"]), kind="operations"), "1 + 2 = 3\n") == [
        True
    ]


@given(st.lists(st.integers(1, 99), min_size=2, max_size=3), st.lists(st.sampled_from("+-*"), min_size=2, max_size=2))
def test_a_reference_solution_is_right_at_every_step(numbers: Sequence[int], operators: Sequence[str]) -> None:
    total, lines = numbers[0], []
    for number, operator in zip(numbers[1:], operators, strict=False):
        after = {"+": total + number, "-": total - number, "*": total * number}[operator]
        lines.append(f"{total} {operator} {number} = {after}\n")
        total = after
    problem = Problem("h", "", str(total), "".join([*lines, f"#### {total}"]), kind="operations")

    assert find(problem, [*lines, f"#### {total}"]) == [Finding.RIGHT] * (len(lines) + 1)
    spoilt = f"{lines[-1].partition('=')[0]}= {total + 1}\n"
    assert find(problem, [*lines[:-1], spoilt])[-1] is Finding.SUM
