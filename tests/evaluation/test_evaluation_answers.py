"""Greedy answers: graded, scored, compared."""

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.evaluation.answers import Answer, Comparison, Scores, compare, evaluate, score
from presrm.graders import GRADERS
from presrm.prompts import PromptSet
from presrm.protocols import Sampling
from presrm.splitters import SPLITTERS
from presrm.types import Grade, Problem, Stop

REPLIES = {"right": "1 + 1 = 2\n#### 2", "wrong": "1 + 1 = 3\n#### 3", "none": "I do not know.", "long": "and " * 100}
PROBLEMS = [Problem(question, question, "2") for question in REPLIES]


def answers(problems: list[Problem] = PROBLEMS) -> list[Answer]:
    engine = ScriptedEngine(lambda prompt, rng: REPLIES[prompt.trunk[0].text])
    newline, gsm8k = SPLITTERS.create("newline"), GRADERS.create("gsm8k")
    found = evaluate(
        problems, engine, PromptSet("compact"), gsm8k, sampling=Sampling(max_tokens=50), splitter=newline, group_size=3
    )
    return list(found)


def graded(*grades: Grade) -> list[Answer]:
    return [Answer(str(i), "", 4, 2, Stop.EOS, None, grade) for i, grade in enumerate(grades)]


def test_a_missing_answer_is_no_wrong_answer_and_a_cut_off_one_is_counted() -> None:
    found = answers()
    assert [answer.grade for answer in found] == [Grade.CORRECT, Grade.INCORRECT, Grade.NO_ANSWER, Grade.NO_ANSWER]
    assert [answer.stop for answer in found] == [Stop.EOS, Stop.EOS, Stop.EOS, Stop.MAX_TOKENS]
    assert (found[0].num_steps, found[0].extracted) == (2, "2")


def test_scores_add_up() -> None:
    scores = score(answers())
    assert (scores.accuracy.num, scores.correct, scores.incorrect, scores.no_answer, scores.truncated) == (
        4,
        1,
        1,
        2,
        1,
    )
    assert scores.accuracy.value == 0.25
    assert scores.accuracy.interval[0] < 0.25 < scores.accuracy.interval[1]
    assert scores.mean_step_tokens * scores.mean_steps == pytest.approx(scores.mean_tokens)


def test_the_length_of_no_step_is_unknown() -> None:
    assert score([Answer("p", "", 0, 0, Stop.EOS, None, Grade.NO_ANSWER)]).mean_step_tokens is None


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="no answers"):
        score([])


def test_a_problem_without_a_reference_cannot_be_evaluated() -> None:
    with pytest.raises(ValueError, match="'right' has no answer"):
        answers([Problem("right", "right")])


def test_a_comparison_is_paired_and_lists_what_changed() -> None:
    yes, no, none = Grade.CORRECT, Grade.INCORRECT, Grade.NO_ANSWER
    found = compare(graded(yes, no, none, yes, no), graded(yes, yes, yes, none, no))
    assert isinstance(found, Comparison)
    assert (found.solved, found.lost, found.difference.num) == (("1", "2"), ("3",), 5)
    assert found.difference.value == pytest.approx(0.2)
    assert found.p_value == 1.0
    assert found.difference.interval[0] <= 0.2 <= found.difference.interval[1]


def test_different_problems_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="not the same problems"):
        compare(graded(Grade.CORRECT), graded(Grade.CORRECT, Grade.CORRECT))


def test_a_problem_answered_twice_cannot_be_compared() -> None:
    twice = graded(Grade.CORRECT) * 2
    with pytest.raises(ValueError, match="1 problems, answered 2 and 2 times"):
        compare(twice, twice)


def test_scores_are_a_plain_value() -> None:
    assert isinstance(score(answers()), Scores)
    assert score(answers()) == score(answers())
