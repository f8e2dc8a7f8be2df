"""What the embedded policy cannot know is said, in one line."""

from pathlib import Path

import pytest

from presrm.cli.world import questions_in, warn_outside, why_outside
from presrm.problems.arithmetic import load_arithmetic


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("Tom has 250 apples and buys 4 more. How many apples has he?", "the number 250"),
        ("Tom has 1,200 apples. How many is that?", "the number 1,200"),
        ("A pen costs 2.50 dollars. What do 4 pens cost?", "the number 2.50"),
        ("Wie viele Äpfel bleiben übrig, wenn Jürgen 3 davon verschenkt?", "words such as"),
        ("", "no words"),
    ],
)
def test_unknown_numbers_and_words_lie_outside(question: str, reason: str) -> None:
    assert (why_outside(question) or "").startswith(reason)


@pytest.mark.parametrize(
    "question",
    [
        "What is 7 times 8?",
        "Compute 60 - 27.",
        "Zorvik has 12 blorps. He buys 5 more. How many blorps does Zorvik have?",
    ],
)
def test_plain_english_lies_inside_whatever_the_names(question: str) -> None:
    assert why_outside(question) is None


def test_the_policy_s_own_problems_lie_inside() -> None:
    assert not any(why_outside(problem.question) for problem in load_arithmetic(split="test", num=300))


def test_the_embedded_policy_warns_and_others_do_not(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    questions = ["What is 700 times 8?", "What is 7 times 8?", "What is 3.5 times 8?"]
    warn_outside("embedded", questions)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "2 questions lie outside" in told
    assert "--model" in told
    warn_outside(str(tmp_path), questions)
    warn_outside("http://host/v1#name", questions)
    warn_outside("embedded", questions[1:2])
    assert capsys.readouterr().err == ""


def test_questions_are_read_from_rows_that_have_one(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "What is 2 + 3?", "steps": ["5"]}\n{"input": "x"}\nnot json\n', "utf-8")
    assert list(questions_in(file)) == ["What is 2 + 3?"]
