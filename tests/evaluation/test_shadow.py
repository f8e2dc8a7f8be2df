"""The shadow worked by hand: what judge and gate said, beside what is true."""

from presrm.evaluation.shadow import explain_shadow, shadow
from presrm.statistics import UNMEASURED
from presrm.types import Candidate, Expansion, Judgement, Problem, SearchTree, Status, Step, Stop, Trajectory


def candidate(text: str, score: float | None, stop: Stop = Stop.EOS, why: str = "") -> Candidate:
    judgement = Judgement(None, Status.UNREADABLE) if score is None else Judgement(score, rationale=why)
    return Candidate(Step(text, stop=stop), judgement)


def check(solution: Trajectory) -> bool | None:
    return {"r": True, "w": False}.get(solution.text[0])


def test_every_figure_is_what_it_says() -> None:
    candidates = [
        candidate("r1", 1.0),
        candidate("r2", 0.4),  # a false reject
        candidate("r3", None),  # unknown: in no share but that of the right ones
        candidate("w1", 0.0),
        candidate("w2", 0.9),  # a false accept
        candidate("w3", 0.0, why="gate: empty"),
        candidate("w4", 0.0, Stop.MAX_TOKENS),  # cut off: not checked
        candidate("?", 1.0),  # cannot be checked
    ]
    seen = shadow([SearchTree(Problem("p", "?"), (Expansion(None, tuple(candidates)),))], check, "gate: ")

    assert seen is not None
    assert (seen.judged.num, seen.judged.num_hits) == (5, 2)
    assert (seen.checked.num, seen.checked.num_hits) == (6, 3)
    assert (seen.disagree.num, seen.disagree.num_hits) == (5, 2)
    assert (seen.false_accepts.num, seen.false_accepts.num_hits) == (3, 1)
    assert (seen.false_rejects.num, seen.false_rejects.num_hits) == (2, 1)
    assert (seen.gate_refused.num, seen.gate_refused.num_hits) == (5, 1)
    assert (seen.gate_false_accepts.num, seen.gate_false_accepts.num_hits) == (3, 2)
    assert seen.num_unknown == 1
    assert explain_shadow(seen) == (
        "judged right 40% of 5, checked right 50% of 6; wrong ones accepted 33% of 3, right ones rejected 50% of 2"
    )


def test_steps_are_checked_behind_their_prefix() -> None:
    first = Expansion(None, (candidate("r", 1.0, None),), (0,))  # type: ignore[arg-type]
    second = Expansion((0, 0), (candidate("x", 1.0),))
    seen = shadow([SearchTree(Problem("p", "?"), (first, second))], lambda one: len(one.steps) == 1, "gate: ")

    assert seen is not None
    assert (seen.checked.num, seen.checked.num_hits) == (2, 1)


def test_what_nothing_can_check_has_no_shadow() -> None:
    tree = SearchTree(Problem("p", "?"), (Expansion(None, (candidate("?", 1.0),)),))

    assert shadow([tree], check, "gate: ") is None


def test_no_wrong_one_is_no_false_accept_of_zero() -> None:
    seen = shadow([SearchTree(Problem("p", "?"), (Expansion(None, (candidate("r", 1.0),)),))], check, "gate: ")

    assert seen is not None
    assert (seen.false_accepts.num, seen.false_accepts.value) == (0, UNMEASURED.value)
    assert "wrong ones accepted unknown" in explain_shadow(seen)
