"""Which traces are imitated, which are paired, and what gave nothing."""

from presrm.credit.accepted import accept, explain_none_accepted, trace_pairs
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Status, Step, Stop


def tree(name: str, *scores: tuple[str, float | None]) -> SearchTree:
    candidates = tuple(
        Candidate(
            Step(text, stop=Stop.MAX_TOKENS if score is None else Stop.EOS),
            Judgement(None, Status.TRUNCATED) if score is None else Judgement(score),
        )
        for text, score in scores
    )
    return SearchTree(Problem(name, "?"), (Expansion(None, candidates),))


EASY = tree("easy", ("a", 1.0), ("b", 1.0))
MIXED = tree("mixed", ("cut off", None), ("no", 0.0), ("yes", 1.0), ("yes", 1.0), ("also", 1.0))
HARD = tree("hard", ("c", 0.0), ("d", 0.0))
CUT = tree("cut", ("e", None))


def test_each_distinct_right_trace_is_kept_where_not_all_are_right() -> None:
    found = accept([EASY, MIXED, HARD, CUT], "2")

    assert [(one.id, one.reply.text) for one in found.demonstrations] == [("2/mixed/2", "yes"), ("2/mixed/4", "also")]
    assert found.dropped == {"too_easy": 1, "never_right": 1, "unread": 1}
    assert found.never_right == (HARD.problem,)


def test_easy_ones_are_kept_where_they_are_asked_for() -> None:
    assert [one.id for one in accept([EASY], "2", keep_easy=True).demonstrations] == ["2/easy/0", "2/easy/1"]


def test_the_first_right_trace_is_paired_with_the_first_wrong_one() -> None:
    (pair,) = trace_pairs([EASY, MIXED, HARD, CUT], "3")
    assert (pair.id, pair.chosen.text, pair.rejected.text, pair.margin) == ("3/mixed/0", "yes", "no", 1.0)


def test_why_there_is_nothing_is_said_with_counts() -> None:
    assert "3 problems, 2 all of whose verdicts are right, 1 none" in explain_none_accepted(
        {"never_right": 1, "too_easy": 2}
    )
