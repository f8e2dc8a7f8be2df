"""Binary search for the first wrong step, by roll-outs of a policy whose errors are known."""

import random
from math import ceil, log2

import pytest

from presrm.engines.scripted import ScriptedEngine
from presrm.graders import GRADERS
from presrm.judging.first_errors import find_first_errors
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Request, Sampling
from presrm.splitters import SPLITTERS
from presrm.types import LabelledSolution, Problem

NUM_STEPS = 16
RIGHT = [f"step {i}\n" for i in range(NUM_STEPS - 1)] + ["#### 7"]


class Policy(ScriptedEngine):
    """Writes a solution with a slip at a known place; from what is right so far it finds the answer now and then."""

    def __init__(self, slip: int | None, luck: float = 0.25) -> None:
        super().__init__(self._reply)
        self.slip = slip
        self.luck = luck
        self.asked: list[int] = []

    def generate(self, requests: list[Request]) -> list[list[Completion]]:  # type: ignore[override]
        self.asked += [len(request.prompt.reply) for request in requests]
        self.is_first = len(self.asked) == len(requests)
        return super().generate(requests)

    def _reply(self, prompt: Prompt, rng: random.Random) -> str:
        written = [step.text for step in prompt.reply]
        if self.is_first:
            wrong = [
                f"slip {i}\n" if self.slip is not None and i >= self.slip else step for i, step in enumerate(RIGHT)
            ]
            return "".join(wrong[:-1]) + ("#### 7" if self.slip is None else "#### 8")
        is_right = written == RIGHT[: len(written)] and rng.random() < self.luck
        return "".join(RIGHT[len(written) :]) if is_right else "no\n#### 9"


def find(policy: Policy, num: int = 16) -> LabelledSolution | None:
    labelled = find_first_errors(
        [Problem("p", "?", "7")],
        policy,
        GRADERS.create("gsm8k"),
        PromptSet("compact"),
        SPLITTERS.create("newline"),
        Sampling(0.7),
        num_completions=num,
        seed=0,
    )
    (one,) = labelled
    assert one.id == "p"
    return one.solutions[0] if one.solutions else None


@pytest.mark.parametrize("slip", range(NUM_STEPS - 1))
def test_the_first_wrong_step_is_found_with_log2_prefixes(slip: int) -> None:
    policy = Policy(slip, luck=0.7)
    found = find(policy)

    assert found is not None
    assert found.first_error == slip
    assert found.solution.steps[slip].text == f"slip {slip}\n"
    assert found.right is not None
    assert found.right.text == RIGHT[slip]
    assert len(policy.asked) <= 2 + ceil(log2(NUM_STEPS))  # the solution, the question, then halves


def test_a_right_answer_is_taken_for_a_right_solution() -> None:
    policy = Policy(None)
    found = find(policy)
    assert found is not None
    assert (found.first_error, found.right) == (-1, None)
    assert policy.asked == [0]


def test_nothing_is_told_where_the_question_itself_is_never_answered() -> None:
    assert find(Policy(3, luck=0.0)) is None


def test_nothing_is_told_where_every_completion_was_cut_off() -> None:
    policy = Policy(3, luck=1.0)
    cut = find_first_errors(
        [Problem("p", "?", "7"), Problem("q", "no answer is known")],
        policy,
        GRADERS.create("gsm8k"),
        PromptSet("compact"),
        SPLITTERS.create("newline"),
        Sampling(0.7, max_tokens=1),
        seed=0,
    )
    assert [one.solutions for one in cut] == [(), ()]
