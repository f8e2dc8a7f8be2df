"""Judgements of ranked answers: kept where they agree with the order, thinned out where they are all alike."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.errors import DataError
from presrm.formats.ranked import RankedAnswers, ranked_rows
from presrm.judging.ranked import agreeing_judgements, thin_out
from presrm.problems import load_problems
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Sampling
from presrm.types import Problem

POINTS = {"great": "[[5]]", "good": "[[4]]", "fair": "[[4]]", "poor": "[[1]]", "odd": "[[7]]", "mute": "Hm."}


def judge(prompt: Prompt, rng: random.Random) -> str:
    answer = next(part.text for part in prompt.tail if part.is_content)
    return f"It is {answer}. {POINTS[answer]}"


def row(*answers: str) -> RankedAnswers:
    return RankedAnswers(Problem("/".join(answers), "Why?"), answers)


@pytest.mark.parametrize(
    ("answers", "is_kept"),
    [
        (("great", "poor"), True),
        (("great", "good", "fair", "poor"), True),  # two alike in the middle
        (("poor", "great"), False),
        (("good", "great", "poor"), False),
        (("good", "fair"), False),  # all alike tells nothing
        (("great", "mute"), False),
        (("great", "odd"), False),  # off the scale
    ],
)
def test_what_is_kept_agrees_with_the_order(answers: tuple[str, ...], is_kept: bool) -> None:
    [kept] = agreeing_judgements([row(*answers)], ScriptedEngine(judge), PromptSet("compact"), Sampling(), 0)

    assert [question.reply for question in kept] == (
        [f"It is {answer}. {POINTS[answer]}" for answer in answers] if is_kept else []
    )
    assert all(question.ends and question.kind == "additive" for question in kept)


def test_points_that_are_given_too_often_are_thinned_out() -> None:
    rows = [row("good", "poor"), row("great", "good", "fair"), row("great", "fair")]
    kept = agreeing_judgements(rows, ScriptedEngine(judge), PromptSet("compact"), Sampling(), 0)
    assert Counter(q.verdict for of in kept for q in of) == {"4": 4, "5": 2, "1": 1}

    thinned = thin_out(kept, 0)

    assert Counter(q.verdict for of in thinned for q in of) == {"4": 2, "5": 2, "1": 1}
    assert thinned == thin_out(kept, 0)
    assert thin_out([kept[0][:1]], 0) == [kept[0][:1]]


def test_a_file_of_ranked_answers_gives_problems_whose_solution_is_the_best(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(json.dumps({"question": f"Why {n}?", "answers": [f"a{n}", "b"]}) + "\n" for n in range(5)))

    problems = load_problems(f"ranked:{path}", split="train", num=3)

    assert len(problems) == 3
    assert {problem.solution for problem in problems} <= {f"a{n}" for n in range(5)}
    assert load_problems(f"ranked:{path}", split="train", num=5)[:3] == problems
    assert [one.answers[0] for one in ranked_rows(path)] == [f"a{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"question": "Why?"}, "answers: expected a list of texts, best first, found no such field"),
        ({"question": "Why?", "answers": ["a"]}, "two or more"),
        ({"question": "Why?", "answers": ["a", "a"]}, "all different"),
        ({"question": "Why?", "answers": ["a", " "]}, r"answers\[1\]: expected text, found blanks"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, value: dict[str, object], message: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"question": "Why?", "answers": ["a", "b"]}) + "\n" + json.dumps(value) + "\n")

    with pytest.raises(DataError, match=rf"line 2: .*{message}"):
        list(ranked_rows(path))
