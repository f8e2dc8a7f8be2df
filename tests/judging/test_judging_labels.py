"""Labelled steps from every source, and the balanced questions that are asked about them."""

import random
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest

from presrm.checkers.arithmetic import ArithmeticChecker
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import DataError
from presrm.judging.labels import (
    LabelledSteps,
    demonstrations,
    explain,
    perturbed,
    questions,
    rollouts,
    solution_steps,
    without_annotations,
)
from presrm.problems.arithmetic import load_arithmetic
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Request, Sampling
from presrm.splitters.newline import NewlineSplitter
from presrm.types import Candidates, Grade, Problem, Step, Stop, Trajectory

PROMPTS = PromptSet("compact")
SPLITTER = NewlineSplitter()
GSM8K = Problem(
    "g",
    "How many clips?",
    "72",
    "She sold 48/2 = <<48/2=24>>24 clips in May.\nShe sold 48+24 = $<<48+24=1,072.50>>1,072.50 in all.\n#### 72",
)
LABELLED = LabelledSteps(Trajectory(GSM8K), Step("right\n"), Step("wrong\n"))


class LastNumber:
    """Grades by the last word."""

    def extract(self, solution: str) -> str | None:
        return solution.split()[-1] if solution.split() else None

    def grade(self, solution: str, answer: str) -> Grade:
        return Grade.CORRECT if self.extract(solution) == answer else Grade.INCORRECT


def test_calculator_annotations_are_not_imitated() -> None:
    assert without_annotations(GSM8K.solution or "").splitlines()[0] == "She sold 48/2 = 24 clips in May."
    assert without_annotations("a << 2 and b >> 3") == "a << 2 and b >> 3"
    assert [step.text for step in solution_steps(GSM8K, SPLITTER)][-1] == "#### 72"


def test_a_perturbed_step_differs_in_one_digit_of_its_result() -> None:
    for seed in range(20):
        for labelled in perturbed([GSM8K], SPLITTER, 3, seed):
            assert labelled.good is not None
            assert labelled.bad is not None
            good, bad = labelled.good.text, labelled.bad.text
            assert labelled.prefix.steps == solution_steps(GSM8K, SPLITTER)[: len(labelled.prefix.steps)]
            assert len(good) == len(bad)
            (at,) = [i for i, (a, b) in enumerate(zip(good, bad, strict=True)) if a != b]
            assert bad[at].isdigit()
            assert at >= good.find("=")
            assert not re.search(r"(?<![\d,.])0\d", bad)


def test_perturbed_steps_of_arithmetic_are_wrong_and_their_siblings_right() -> None:
    for labelled in perturbed(load_arithmetic(num=30, seed=1), SPLITTER, 60, seed=0):
        assert labelled.good is not None
        assert labelled.bad is not None
        good, bad = ArithmeticChecker().check([labelled.prefix.extend(s) for s in (labelled.good, labelled.bad)])
        assert (good[-1], bad[-1]) == (True, False)


def test_perturbation_is_seeded_and_gives_no_more_than_there_is() -> None:
    problems = load_arithmetic(num=5, seed=1)

    assert perturbed(problems, SPLITTER, 8, seed=3) == perturbed(problems, SPLITTER, 8, seed=3)
    assert perturbed(problems, SPLITTER, 8, seed=3) != perturbed(problems, SPLITTER, 8, seed=4)
    assert len(perturbed([GSM8K], SPLITTER, 99, seed=0)) == 3
    assert perturbed([replace(GSM8K, solution="no number here")], SPLITTER, 9, seed=0) == []


@pytest.mark.parametrize("direct", [True, False])
def test_both_orders_stand_together_and_verdicts_balance(direct: bool) -> None:
    asked = questions(LABELLED, PROMPTS, direct=direct)

    assert [q.verdict for q in asked] == ["A", "B", "yes", "no"]
    assert [q.reply for q in asked] == ([*"AB", "yes", "no"] if direct else ["[[A]]", "[[B]]", "[[yes]]", "[[no]]"])
    assert {q.ends for q in asked} == {not direct}
    good_first, bad_first = asked[0].prompt.text, asked[1].prompt.text
    assert good_first.index("right") < good_first.index("wrong")
    assert bad_first.index("wrong") < bad_first.index("right")


def test_a_step_without_a_sibling_is_asked_about_alone() -> None:
    assert [q.kind for q in questions(replace(LABELLED, bad=None), PROMPTS, direct=True)] == ["pointwise"]


def test_self_written_explanations_are_kept_where_both_orders_come_out_right() -> None:
    good, bad = "3 + 4 = 7\n", "3 + 4 = 8\n"
    asked = [questions(LabelledSteps(Trajectory(GSM8K), Step(good), Step(bad)), PROMPTS, direct=False)]

    def fair(prompt: Prompt, rng: random.Random) -> str:
        if good not in prompt.text:
            return "Wrong. [[no]]"
        if bad not in prompt.text:
            return "Let me see: **[[yes]]**.\n"
        return "It adds up. [[A]]" if prompt.text.index(good) < prompt.text.index(bad) else "No, [[B]]"

    def biased(prompt: Prompt, rng: random.Random) -> str:
        return "I like the first. [[A]]" if good in prompt.text and bad in prompt.text else fair(prompt, rng)

    (kept,) = explain(asked, ScriptedEngine(fair), Sampling(max_tokens=99))
    (kept_of_biased,) = explain(asked, ScriptedEngine(biased), Sampling(max_tokens=99))

    assert [q.reply for q in kept] == ["It adds up. [[A]]", "No, [[B]]", "Let me see: **[[yes]]**.", "Wrong. [[no]]"]
    assert [q.reply for q in kept_of_biased] == ["Let me see: **[[yes]]**.", "Wrong. [[no]]"]


def test_rollouts_label_a_candidate_by_what_its_completions_reach() -> None:
    def reply(prompt: Prompt, rng: random.Random) -> str:
        steps = [step.text for step in prompt.reply]
        if not steps:
            return rng.choice(["good\n", "bad\n"]) + "and so on\n#### 0"
        return "#### 72" if steps[0] == "good\n" else "#### 71"

    problems = [GSM8K, replace(GSM8K, id="no answer", answer=None)]
    engine = ScriptedEngine(reply)
    found = list(rollouts(problems, engine, LastNumber(), PROMPTS, SPLITTER, Sampling(1.0), num_candidates=8, seed=0))

    (labelled,) = found
    assert labelled.good is not None
    assert labelled.bad is not None
    assert (labelled.good.text, labelled.bad.text) == ("good\n", "bad\n")
    assert labelled.prefix == Trajectory(GSM8K)


def test_rollouts_give_nothing_where_no_completion_is_right() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "step\n#### 1")

    assert list(rollouts([GSM8K], engine, LastNumber(), PROMPTS, SPLITTER, Sampling(1.0), seed=0)) == []


def test_rollouts_walk_on_behind_the_right_candidate_and_label_what_follows_it() -> None:
    def reply(prompt: Prompt, rng: random.Random) -> str:
        path = "".join(step.text for step in prompt.reply)
        ways = {"": ["good\n", "bad\n"], "good\n": ["fine\n", "off\n"]}
        if path in ways:
            step = rng.choice(ways[path])
            return step + ("#### 72" if step == "fine\n" else "#### 71" if step == "off\n" else "fine\n#### 72")
        return "#### 72" if path == "good\nfine\n" else "#### 71"

    found = list(
        rollouts(
            [GSM8K], ScriptedEngine(reply), LastNumber(), PROMPTS, SPLITTER, Sampling(1.0), num_candidates=8, seed=0
        )
    )

    assert [labelled.prefix.text for labelled in found] == ["", "good\n"]
    assert [(one.good.text, one.bad.text) for one in found if one.good and one.bad] == [
        ("good\n", "bad\n"),
        ("fine\n", "off\n"),
    ]


@pytest.mark.parametrize("max_steps", [1, 3])
def test_rollouts_look_no_deeper_than_they_are_asked_and_draw_four_of_four(max_steps: int) -> None:
    asked: list[tuple[int, int]] = []

    class Endless(ScriptedEngine):
        """Never ends a path, and always completes it right but for its first step, which is right one time in two."""

        def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
            asked.extend((len(request.prompt.reply), request.num) for request in requests)
            return super().generate(requests)

    def reply(prompt: Prompt, rng: random.Random) -> str:
        return rng.choice(["good\n", "fine\n"]) + "#### 72"

    list(rollouts([GSM8K], Endless(reply), LastNumber(), PROMPTS, SPLITTER, Sampling(1.0), max_steps=max_steps, seed=0))
    assert {num for _, num in asked} == {4}
    assert max(depth for depth, _ in asked) == max_steps, "the completions of the last candidates"


def test_a_changed_number_may_hold_a_zero_but_never_lead_with_one() -> None:
    def changed(number: str) -> set[str]:
        problem = Problem("p", "?", "1", f"so = {number}\n")
        bad = [perturbed([problem], SPLITTER, 1, seed)[0].bad for seed in range(400)]
        return {step.text.removeprefix("so = ").strip() for step in bad if step}

    assert changed("7") == set("0123456789") - {"7"}
    assert changed("1") == set("0123456789") - {"1"}
    three = changed("152")
    assert {"102", "150"} <= three
    assert not [number for number in three if number.startswith("0")]
    assert len(three) == 8 + 9 + 9


@pytest.mark.parametrize("where", ["candidate", "completion"])
def test_what_was_cut_off_is_not_labelled_wrong(where: str) -> None:
    """A candidate that has no end, or none of whose completions has one, is unknown; its right sibling leads on."""
    endless, proposed = "and on " * 50, set()

    def reply(prompt: Prompt, rng: random.Random) -> str:
        steps = [step.text for step in prompt.reply]
        if not steps:
            odd = endless if where == "candidate" else "odd\nso\n#### 1"
            proposed.add(text := rng.choice(["good\nso\n#### 72", odd]))
            return text
        return "#### 72" if steps[0] == "good\n" else endless

    sampling = Sampling(1.0, max_tokens=100)
    engine = ScriptedEngine(reply)
    assert list(rollouts([GSM8K], engine, LastNumber(), PROMPTS, SPLITTER, sampling, num_candidates=8, seed=0)) == []
    assert len(proposed) == 2


@pytest.mark.parametrize("direct", [False, True])
def test_a_judgement_is_a_solution_too(direct: bool) -> None:
    """A demonstration of a verdict asks just what the judge is asked, and ends only where the verdict does."""
    prompts = PromptSet("compact")
    (labelled,) = perturbed(load_arithmetic(num=1, seed=1), SPLITTER, 1, seed=0)
    asked = questions(labelled, prompts, direct=direct)
    lessons = demonstrations(asked, "replay/2")
    assert [lesson.id for lesson in lessons] == [f"replay/2/{number}" for number in range(4)]
    assert [prompts.solve(lesson.prefix) for lesson in lessons] == [question.prompt for question in asked]
    assert [lesson.prefix.problem.answer for lesson in lessons] == ["A", "B", "yes", "no"]
    ends = None if direct else Stop.EOS
    assert [(lesson.reply.text, lesson.reply.stop) for lesson in lessons] == [(one.reply, ends) for one in asked]


def test_a_judgement_of_an_unknown_kind_is_refused() -> None:
    shown = Candidates(Trajectory(Problem("p", "?")), (Step("a"),))
    for kind in ("pairwise", "criticwise", "pointwise-loudly"):
        with pytest.raises(DataError):
            PromptSet("compact").solve(Trajectory(Problem("j", "?", kind=kind, shown=shown)))
