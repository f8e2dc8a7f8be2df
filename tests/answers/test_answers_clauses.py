import pytest

from presrm.answers.clauses import first_clause, formulas, last_value, state, value_of


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("12 cookies, which is 3 more than 9.", "12"),
        ("12 = 3 * 4.", "12 = 3 * 4"),
        ("1, 2 and 3.", "1, 2 and 3"),
        ("$1$, $2$ and $3$, as 1 < 2.", "1, 2 and 3"),
        ("5 apples, 3 pears and a melon", "5 apples, 3 pears"),
        ("12, 3 more than 9", "12"),
        ("**Evelyn**, since she has 3.", "Evelyn"),
        ("x + 2.", "x + 2"),
        ("$x^2$ for $x>0$", "x^2"),
        ("$p=3$, because $q$", "p=3"),
        ("\\$18 per day.**", "18"),
        ("-$40.", "-$40"),
        ("a total of 12 apples.", "12"),
        ("half of 12.", "half of 12"),
        ("$5$ boxes of 6", "5 boxes of 6"),
        ("$5$ boxes", "5"),
        ("3 out of 5", "3 out of 5"),
        ("1,234.5 km.", "1234.5"),
        ("5! ways", "5! ways"),
        ("5! That is it", "5"),
        (" . ", None),
        ("", None),
    ],
)
def test_the_first_clause_states_its_value_or_itself(text: str, stated: str | None) -> None:
    assert state(text) == stated


def test_a_word_that_ends_clauses_may_stand_in_a_subject() -> None:
    assert first_clause("The number of points that could be in it is 19, that is all") == (
        "The number of points that could be in it is 19"
    )
    assert first_clause("B that is") == "B"


def test_a_clause_without_a_value_stays_as_it_is() -> None:
    assert value_of("more than $5$") == "more than 5"
    assert value_of("New York") == "New York"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("He is 5 feet 7 inches", "5 feet 7"),
        ("It takes 3 to 4 days", "3 to 4"),
        ("It ends at 8:30", "8:30"),
        ("5 or 6", "5 or 6"),
        ("10 - 3 = 7", "7"),
        ("3 boxes and 4 bags", "4"),
        ("nothing", None),
    ],
)
def test_the_last_value_is_whole(text: str, value: str | None) -> None:
    assert last_value(text) == value


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("so $x = 3$ and \\(y\\)", ["x = 3", "y"]),
        ("$$a$$ and \\[b\\]", ["a", "b"]),
        ("$3 = $ 3", []),
        ("He makes $9 and then $18 a day.", []),
        ("$60.\nShe will make 300*$.50", []),
        ("costs \\$5 and $x$", ["x"]),
        ("$ $", []),
    ],
)
def test_dollar_signs_enclose_formulas_or_begin_amounts(text: str, inside: list[str]) -> None:
    assert [span[2] for span in formulas(text)] == inside
