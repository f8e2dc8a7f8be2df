"""Answers: graded, scored, compared, and written as rows that come back equal."""

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from presrm.config import SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import DataError
from presrm.evaluation.answers import Answer, Solution, compare, evaluate, evaluate_search, score
from presrm.files.jsonl import dump, load_typed
from presrm.graders import GRADERS
from presrm.prompts import Prompt, PromptSet
from presrm.prompts.encoding import TurnSplitter
from presrm.protocols import Completion, Request, Sampling, StepSplitter
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.statistics import share
from presrm.types import Candidates, Grade, Judgement, Problem, Status, Stop

REPLIES = {"right": "1 + 1 = 2\n#### 2", "wrong": "1 + 1 = 3\n#### 3", "none": "I do not know.", "long": "and " * 100}
PROBLEMS = [Problem(question, question, "2") for question in REPLIES]
SUMS = [Problem(f"p{number}", f"{number}+1", str(number + 1)) for number in range(5)]
NEWLINE = SPLITTERS.create("newline")
SHORT = Sampling(max_tokens=50)


def by_reply() -> ScriptedEngine:
    return ScriptedEngine(lambda prompt, rng: REPLIES[prompt.trunk[0].text])


class Replays(ScriptedEngine):
    """Gives the same completion to every request, and remembers how it was asked."""

    def __init__(self, completion: Completion) -> None:
        super().__init__(lambda prompt, rng: "")
        self.completion = completion
        self.requests: list[Request] = []

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        self.requests += requests
        return [[self.completion] * request.num for request in requests]


def solve(
    engine: ScriptedEngine,
    problems: Sequence[Problem] = PROBLEMS,
    *,
    num: int = 1,
    sampling: Sampling = SHORT,
    start: int = 0,
    seed: int = 0,
    turns: StepSplitter | None = None,
) -> list[Answer]:
    groups = evaluate(
        problems,
        engine,
        PromptSet("compact"),
        GRADERS.create("gsm8k"),
        sampling=sampling,
        splitter=NEWLINE,
        group_size=2,
        num=num,
        seed=seed,
        start=start,
        turns=turns,
    )
    return [answer for group in groups for answer in group]


def graded(*grades: Grade, stop: Stop = Stop.EOS) -> list[Answer]:
    return [
        Answer(Problem(str(number), "", "1"), (Solution("", 4, 2, stop, None, grade),), 0)
        for number, grade in enumerate(grades)
    ]


def test_a_missing_answer_is_no_wrong_answer_and_a_cut_off_one_is_counted() -> None:
    found = [answer.solution for answer in solve(by_reply())]
    assert [one.grade for one in found] == [Grade.CORRECT, Grade.INCORRECT, Grade.NO_ANSWER, Grade.NO_ANSWER]
    assert [one.stop for one in found] == [Stop.EOS, Stop.EOS, Stop.EOS, Stop.MAX_TOKENS]
    assert (found[0].num_steps, found[0].extracted) == (2, "2")


def test_scores_add_up() -> None:
    scores = score(solve(by_reply()))
    assert scores.accuracy == share([True, False, False, False])
    assert (scores.correct, scores.incorrect, scores.no_answer) == (1, 1, 2)
    assert (scores.cut_off, scores.no_room, scores.filtered) == (1, 0, 0)
    assert scores.mean_step_tokens * scores.mean_steps == pytest.approx(scores.mean_tokens)


@pytest.mark.parametrize("stop", [Stop.NO_ROOM, Stop.FILTERED])
@pytest.mark.parametrize("text", ["", "It is 2.\n#### 2"])
def test_what_was_withheld_or_never_begun_is_no_answer_and_has_a_count_of_its_own(stop: Stop, text: str) -> None:
    found = solve(Replays(Completion(text, tuple(range(len(text))), stop)))
    assert {(one.solution.grade, one.solution.extracted, one.solution.vote) for one in found} == {
        (Grade.NO_ANSWER, None, None)
    }
    scores = score(found)
    assert (scores.correct, scores.incorrect, scores.no_answer, scores.cut_off) == (0, 0, 4, 0)
    assert (scores.no_room, scores.filtered) == ((4, 0) if stop is Stop.NO_ROOM else (0, 4))


def test_a_solution_that_was_cut_off_is_graded_as_far_as_it_goes_and_counted() -> None:
    scores = score(solve(Replays(Completion("#### 2", (1, 2), Stop.MAX_TOKENS))))
    assert (scores.correct, scores.cut_off) == (4, 4)


def test_tokens_that_an_engine_does_not_tell_are_unknown_and_not_none_at_all() -> None:
    chat = solve(Replays(Completion("#### 2", None, Stop.EOS)))
    assert {answer.solution.num_tokens for answer in chat} == {None}
    scores = score(chat)
    assert (scores.mean_tokens, scores.mean_step_tokens, scores.mean_steps) == (None, None, 1)
    empty = solve(Replays(Completion("", (), Stop.EOS)))
    assert {answer.solution.num_tokens for answer in empty} == {0}, "nothing was written, and that is known"
    assert score(empty).mean_step_tokens is None
    both = score([*solve(by_reply(), PROBLEMS[:1]), *map(rename, chat)])
    assert both.mean_tokens == len(REPLIES["right"])


def rename(answer: Answer) -> Answer:
    return replace(answer, problem=replace(answer.problem, id=f"{answer.problem.id} again"))


@pytest.mark.parametrize("num", [1, 3])
def test_solutions_are_drawn_as_asked(num: int) -> None:
    engine, sampling = Replays(Completion("#### 2", (1,), Stop.EOS)), Sampling(0.7, 0.9, 33)
    solve(engine, num=num, sampling=sampling)
    assert [(request.num, request.sampling) for request in engine.requests] == [(num, sampling)] * 4
    assert len({request.seed for request in engine.requests}) == 4, "every problem has draws of its own"


def test_unless_told_each_problem_is_solved_once_from_the_first_on() -> None:
    def write(prompt: Prompt, rng: random.Random) -> str:
        return f"#### {rng.randrange(1000)}"

    parts = (PromptSet("compact"), GRADERS.create("gsm8k"))
    drawn = evaluate(SUMS, ScriptedEngine(write), *parts, sampling=SHORT, splitter=NEWLINE, group_size=2)
    assert [answer for group in drawn for answer in group] == solve(ScriptedEngine(write), SUMS, num=1, seed=0, start=0)


def test_other_seeds_draw_otherwise() -> None:
    first, second = (Replays(Completion("", (), None)) for _ in range(2))
    solve(first, seed=1)
    solve(second, seed=2)
    assert not {request.seed for request in first.requests} & {request.seed for request in second.requests}


def test_answers_do_not_depend_on_where_an_evaluation_was_resumed() -> None:
    def write(prompt: Prompt, rng: random.Random) -> str:
        return f"#### {rng.randrange(1000)}"

    def drawn(start: int) -> list[Answer]:
        return solve(ScriptedEngine(write), SUMS[start:], num=3, sampling=Sampling(1.0), start=start)

    assert drawn(2) == drawn(0)[2:]
    assert [answer.number for answer in drawn(2)] == [2, 3, 4]


def test_the_first_cut_ends_the_reply_of_a_policy_that_runs_on() -> None:
    engine = ScriptedEngine(lambda prompt, rng: " 1+0 = 1\n#### 1\n\nQuestion: 5+5?\nAnswer: 10")
    (first, *_) = solve(engine, SUMS, turns=TurnSplitter())
    (solution,) = first.solutions
    assert (solution.text, solution.stop, solution.grade) == (" 1+0 = 1\n#### 1\n\n", Stop.ANSWER, Grade.CORRECT)


def test_why_a_reply_ended_stays_unknown_where_the_engine_does_not_tell() -> None:
    assert {answer.solution.stop for answer in solve(Replays(Completion("#### 1", (), None)))} == {None}


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="no answers"):
        score([])


def test_several_solutions_of_which_nothing_chose_have_no_score() -> None:
    with pytest.raises(ValueError, match="4 of 4 problems have several solutions"):
        score(solve(by_reply(), num=2))


def test_a_search_that_found_nothing_is_no_answer() -> None:
    scores = score([Answer(PROBLEMS[0], (), is_search=True), *graded(Grade.CORRECT)])
    assert (scores.accuracy.value, scores.no_answer, scores.mean_tokens) == (0.5, 1, 4)


def test_a_problem_without_a_reference_cannot_be_evaluated() -> None:
    with pytest.raises(ValueError, match="'right' has no answer"):
        solve(by_reply(), [Problem("right", "right")])


def test_a_comparison_is_paired_and_lists_what_changed() -> None:
    yes, no, none = Grade.CORRECT, Grade.INCORRECT, Grade.NO_ANSWER
    found = compare(graded(yes, no, none, yes, no), graded(yes, yes, yes, none, no))
    assert (found.solved, found.lost, found.difference.num) == (("1", "2"), ("3",), 5)
    assert found.difference.value == pytest.approx(0.2)
    assert found.p_value == 1.0
    assert found.difference.interval[0] <= 0.2 <= found.difference.interval[1]


def test_different_problems_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="not the same problems"):
        compare(graded(Grade.CORRECT), graded(Grade.CORRECT, Grade.CORRECT))


def test_a_problem_answered_twice_cannot_be_compared() -> None:
    once = graded(Grade.CORRECT)
    for before, after in ((once * 2, once), (once, once * 2), (once * 2, once * 2)):
        with pytest.raises(ValueError, match=f"1 problems, answered {len(before)} and {len(after)} times"):
            compare(before, after)


class LengthJudge:
    """Holds a step for the better the shorter it is; one that says 'huh' it cannot read."""

    scale = "absolute"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(self._one(step.text) for step in item.steps) for item in batch]

    def _one(self, text: str) -> Judgement:
        return Judgement(None, Status.UNREADABLE) if "huh" in text else Judgement(1 / (1 + len(text)))


def search(kind: str, write: object) -> list[Answer]:
    options = SearchConfig(kind=kind, num_candidates=4)
    parts = {"prompts": PromptSet("compact"), "splitter": NEWLINE, "settings": options}
    parts |= {"tie_tolerance": 0} if kind == "greedy" else {}
    groups = evaluate_search(
        SUMS,
        ScriptedEngine(write),
        LengthJudge(),
        SEARCHERS.create(kind, **parts, seed=0),
        GRADERS.create("gsm8k"),
        splitter=NEWLINE,
        group_size=2,
        whole=kind == "best-of-n",
    )
    return [answer for group in groups for answer in group]


def test_best_of_n_keeps_all_solutions_and_a_search_by_steps_the_one_it_ends_with() -> None:
    def write(prompt: Prompt, rng: random.Random) -> str:
        return rng.choice(["#### 1", "#### 1000", "huh"])

    best = search("best-of-n", write)
    assert {len(answer.solutions) for answer in best} == {4}
    for answer in best:
        scores = [None if one.text == "huh" else 1 / (1 + len(one.text)) for one in answer.solutions]
        assert [one.score for one in answer.solutions] == scores, "the judge's, unknown ones too"
        readable = [one.text for one in answer.solutions if one.score is not None]
        assert answer.solution is None or not readable or answer.solution.text == min(readable, key=len)
    assert {answer.is_search for answer in best} == {False}
    assert {len(answer.solutions) for answer in search("beam", write)} <= {0, 1}


def test_what_nobody_judged_has_no_score() -> None:
    assert {one.score for answer in solve(by_reply(), num=2) for one in answer.solutions} == {None}


def test_a_path_is_one_solution_with_the_tokens_of_all_its_steps() -> None:
    def write(prompt: Prompt, rng: random.Random) -> str:
        return "#### 2" if prompt.reply else "1 + 1 = 2\n#### 2"

    answers = search("beam", write)
    assert {answer.solution.text for answer in answers} == {"1 + 1 = 2\n#### 2"}
    assert {(answer.solution.num_tokens, answer.solution.num_steps) for answer in answers} == {(16, 2)}
    assert [answer.number for answer in answers] == [0, 1, 2, 3, 4]


def test_answers_come_back_from_their_rows(tmp_path: Path) -> None:
    answers = [
        *solve(by_reply()),
        *solve(by_reply(), num=2),
        *search("best-of-n", lambda prompt, rng: rng.choice(["#### 1", "huh"])),
        Answer(PROBLEMS[0], (), is_search=True),
    ]
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(dump(answer) + "\n" for answer in answers))
    assert list(load_typed(Answer, path)) == answers
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [answer.to_row() for answer in answers]
    assert [row["exact_match"] for row in rows[:4]] == [1.0, 0.0, 0.0, 0.0]
    assert {row["exact_match"] for row in rows[4:8]} == {None}, "nothing chose"
    assert rows[-1]["exact_match"] == 0.0, "a search that found nothing has not solved it"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"grades": ["maybe"]}, "grades.0"),
        ({"stops": []}, "shorter"),
        ({"chosen": 7}, "chosen is 7, of 1 solutions"),
        ({"doc": {"id": "p"}}, "doc.question"),
    ],
)
def test_a_row_that_is_none_is_named_with_its_line_and_field(tmp_path: Path, change: dict, told: str) -> None:
    path = tmp_path / "answers.jsonl"
    row = solve(by_reply())[0].to_row()
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | change) + "\n")
    with pytest.raises(DataError, match=rf"line 2.*{told}"):
        list(load_typed(Answer, path))
