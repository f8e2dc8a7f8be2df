"""The page of a judged file and that of an evaluation: what they say, and what they carry."""

import json
from contextlib import nullcontext
from pathlib import Path

from test_html_run import HOSTILE, data_of, text_of

from presrm.evaluation.answers import Answer, Solution
from presrm.evaluation.audit import Audit
from presrm.evaluation.benchmark import Result
from presrm.judging.card import JudgeCard, JudgedSolution, make_card
from presrm.judging.solutions import judge_file
from presrm.judging.tally import JudgeTally
from presrm.report.html.evaluation import write_evaluation_page
from presrm.report.html.judged import write_judged_page
from presrm.splitters import SPLITTERS
from presrm.statistics import share
from presrm.types import Grade, Judgement, Problem, Status, Stop

NEWLINE = SPLITTERS.create("newline")
ABOUT = {"judge": "pointwise", "model": "made"}


def write_judged(
    path: Path, num: int, texts: tuple[str, ...] = ("1 + 1 = 2\n", "so 3\n")
) -> tuple[JudgeTally, JudgeCard]:
    """Write `num` judged solutions: every third one has a wrong second step that the judge sees, the last is unread."""
    tally, found = JudgeTally(), []
    with path.open("w") as file:
        for number in range(num):
            is_wrong, is_unread = number % 3 == 0, number == num - 1
            judgements = [
                Judgement(0.9),
                Judgement(None, Status.UNREADABLE) if is_unread else Judgement(0.2 if is_wrong else 0.8),
            ]
            first_error = None if is_unread else 1 if is_wrong else -1
            steps = [
                {"text": text, "score": one.score, "status": one.status, "rationale": "why"}
                for text, one in zip(texts, judgements, strict=True)
            ]
            row = {
                "id": f"s{number}",
                "problem": "What is 1 + 1?",
                "steps": list(texts),
                "label": 1 if is_wrong else -1,
            }
            file.write(json.dumps({**row, "judged": steps, "first_error": first_error}) + "\n")
            tally.add_solution(judgements, first_error, is_labelled=True)
            found.append(JudgedSolution(row["label"], first_error, tuple(judgements)))  # type: ignore[arg-type]
    return tally, make_card(found)


def test_a_judged_file_has_a_page(tmp_path: Path) -> None:
    path = tmp_path / "made.judged.jsonl"
    page = write_judged_page(path, *write_judged(path, 40), NEWLINE, ABOUT)
    assert page == tmp_path / "made.judged.jsonl.report.html"
    text = text_of(page)
    assert "40 solutions with 80 steps, by judge pointwise of made." in text
    assert "A step was found wrong in 13 solutions, none in 26; of 1 the judge could not say." in text
    assert "79 of 80 steps have a score" in text
    assert "AUC 1.00" in text
    assert "Of 14 first errors, 13 are named exactly" in text
    rows = data_of(page)["judged"]
    assert len(rows) == 40
    number, identity, _, steps, first_error, label = rows[39]
    assert (number, data_of(page)["texts"][identity], first_error, label) == (40, "s39", None, 1)
    assert [score for _, score, _ in steps] == [0.9, "unreadable"]


def test_without_labels_it_says_that_nothing_is_known(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    tally, _ = write_judged(path, 4)
    text = text_of(write_judged_page(path, tally, None, NEWLINE, ABOUT))
    assert "Unknown: no row has a label, so nothing says how often the judge is right." in text


def test_hostile_solutions_are_text(tmp_path: Path) -> None:
    path = tmp_path / "made.jsonl"
    tally, card = write_judged(path, 4, (HOSTILE[0], HOSTILE[1]))
    page = write_judged_page(path, tally, card, NEWLINE, {"judge": HOSTILE[0], "model": HOSTILE[2]})
    assert page.read_text("utf-8").count("<script") == 2
    assert "<img" not in page.read_text("utf-8")


def write_samples(folder: Path, policy: str, num_right: int, second: str = "correct") -> Result:
    """Write 30 solved problems, of which the second extractor grades the first as `second`."""
    path = folder / policy / "samples_made_greedy.jsonl"
    path.parent.mkdir(parents=True)
    grades = [Grade.CORRECT if number < num_right else Grade.INCORRECT for number in range(30)]
    with path.open("w") as file:
        for number, grade in enumerate(grades):
            solution = Solution("It is $2$.\n#### 2", 9, 2, Stop.EOS, "2", grade)
            row = Answer(Problem(f"p{number}", "1 + 1?", "2"), (solution,), 0, number=number).to_row()
            reading = {"extracted": "2", "grade": second if number == 0 else grade.value}
            file.write(json.dumps({**row, "audit": [reading]}) + "\n")
    disagreements = ({"grade": "correct", "second_grade": second},) * (second != "correct")
    audit = Audit("the last number", 30, 0, disagreements, 0, 0)
    metrics = {"accuracy": share([grade is Grade.CORRECT for grade in grades])}
    return Result(policy, "made", "greedy", 30, "0", metrics, 100, 200, 1.0, audit)


def test_an_evaluation_has_a_page(tmp_path: Path) -> None:
    results = [write_samples(tmp_path, "base", 10), write_samples(tmp_path, "tuned", 25, "incorrect")]
    page = write_evaluation_page(tmp_path, results, {"seed": "0"})
    text = text_of(page)
    assert "base on 30 problems of made, greedy; tuned on 30 problems of made, greedy." in text
    assert "Highest: tuned, 83.3 %" in text
    assert "A second, independent extractor read 60 solutions and grades 1 of them differently." in text
    assert "+50.0 points" in text
    rows = data_of(page)["samples"]
    assert [row[6] for row in rows].count("disagrees") == 1
    name, _, _, _, [solution], result, _ = next(row for row in rows if row[6] == "disagrees")
    assert (name, result, solution[2], solution[4][1]) == ("tuned", "right", "correct", "incorrect")


def test_judging_and_the_page_fit_together(tmp_path: Path) -> None:
    """Rows as `judge_file` writes them are read, texts without steps of their own too."""
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"question": "1 + 1?", "response": "1 + 1 = 2\n#### 2"}) + "\n")

    class Fair:
        scale = "absolute"

        def judge(self, batch: object) -> list[tuple[Judgement, ...]]:
            return [(Judgement(0.7),) for _ in batch]  # type: ignore[attr-defined]

    judged = judge_file(
        source, out, lambda: nullcontext(Fair()), NEWLINE, {}, lambda name, total: nullcontext(lambda num: None)
    )
    page = write_judged_page(out, judged.tally, judged.card, NEWLINE, ABOUT)
    assert [score for _, score, _ in data_of(page)["judged"][0][3]] == [0.7, 0.7]
