"""Several solutions a problem: what they come to."""

import random
from collections.abc import Sequence

import pytest

from presrm.config import SearchConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.evaluation.samples import Item, Sample, sample_solutions, search_solutions, summarize
from presrm.graders import GRADERS
from presrm.prompts import Prompt, PromptSet
from presrm.prompts.encoding import TurnSplitter
from presrm.protocols import Completion, Request, Sampling, StepSplitter
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.types import Candidates, Grade, Judgement, Problem, Status, Stop

PROBLEMS = [Problem(f"p{number}", f"{number}+1", str(number + 1)) for number in range(5)]


def sample(answer: str | None, *, is_right: bool = False, score: float | None = None) -> Sample:
    grade = Grade.NO_ANSWER if answer is None else Grade.CORRECT if is_right else Grade.INCORRECT
    return Sample(f"#### {answer}", 3, Stop.EOS, answer, grade, score)


def item(*samples: Sample, chosen: int | None = None) -> Item:
    return Item(PROBLEMS[0], samples, chosen)


def solve_greedily(engine: ScriptedEngine, splitter: StepSplitter | None = None) -> list[Item]:
    prompts, grader = PromptSet("compact"), GRADERS.create("gsm8k")
    (items,) = sample_solutions(
        PROBLEMS, engine, prompts, grader, num=1, sampling=Sampling(), group_size=8, seed=0, splitter=splitter
    )
    return items


def test_one_greedy_solution_a_problem_is_its_accuracy() -> None:
    engine = ScriptedEngine(lambda prompt, rng: "#### 1")
    items = solve_greedily(engine)
    found = summarize(items)
    assert found["accuracy"].value == 0.2
    assert "pass@1" not in found
    assert found["no answer"].value == 0.0


def test_samples_do_not_depend_on_where_an_evaluation_was_gone_on_with() -> None:
    def write(prompt: Prompt, rng: random.Random) -> str:
        return f"#### {rng.randrange(1000)}"

    def solutions(start: int) -> list[str]:
        groups = sample_solutions(
            PROBLEMS[start:],
            ScriptedEngine(write),
            PromptSet("compact"),
            GRADERS.create("gsm8k"),
            num=3,
            sampling=Sampling(1.0),
            group_size=2,
            seed=0,
            start=start,
        )
        return [one.solution for group in groups for item in group for one in item.samples]

    assert solutions(2) == solutions(0)[6:]


def test_the_first_cut_ends_the_reply_of_a_policy_that_goes_on() -> None:
    engine = ScriptedEngine(lambda prompt, rng: " 1+0 = 1\n#### 1\n\nQuestion: 5+5?\nAnswer: 10")
    items = solve_greedily(engine, TurnSplitter())
    (first,) = items[0].samples
    assert (first.solution, first.stop, first.grade) == (" 1+0 = 1\n#### 1\n\n", Stop.ANSWER, Grade.CORRECT)


def test_why_a_reply_ended_stays_unknown_where_the_engine_does_not_tell() -> None:
    class Silent(ScriptedEngine):
        def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
            return [[Completion("#### 1", (), None)] for _ in requests]

    assert {item.samples[0].stop for item in solve_greedily(Silent(lambda prompt, rng: ""))} == {None}


def test_several_samples_give_pass_and_majority() -> None:
    found = summarize([item(sample("2", is_right=True), sample("3"), sample("3"), sample(None))])
    assert found["pass@1"].value == pytest.approx(0.25)
    assert found["pass@4"].value == 1.0
    assert found["maj@4"].value == 0.0
    assert "accuracy" not in found, "nothing chose among the samples"


def test_the_judge_weighted_vote_can_turn_a_majority_round() -> None:
    votes = [sample("2", is_right=True, score=0.9), sample("3", score=0.2), sample("3", score=0.3), sample(None)]
    found = summarize([item(*votes, chosen=0)])
    assert found["maj@4"].value == 0.0
    assert found["judge-weighted vote of 4"].value == 1.0
    assert found["best of 4"].value == 1.0


def test_an_unreadable_score_is_no_weight_not_zero() -> None:
    found = summarize([item(sample("2", is_right=True, score=0.0), sample("3"), chosen=0)])
    assert found["judge-weighted vote of 2"].value == 1.0, "a known 0 is a vote, an unknown one is none"


def test_a_search_that_found_nothing_has_not_solved_the_problem() -> None:
    found = summarize(
        [Item(PROBLEMS[0], (), None, is_search=True), Item(PROBLEMS[1], (sample("2", is_right=True),), 0, True)]
    )
    assert found["accuracy"].value == 0.5
    assert found["nothing found"].value == 0.5


def test_nothing_to_sum_up_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        summarize([])


class LengthJudge:
    """Holds a step for the better the shorter it is; one that says 'huh' it cannot read."""

    scale = "absolute"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [tuple(self._one(step.text) for step in item.steps) for item in batch]

    def _one(self, text: str) -> Judgement:
        return Judgement(None, Status.UNREADABLE) if "huh" in text else Judgement(1 / (1 + len(text)))


def test_best_of_n_keeps_all_solutions_and_a_search_by_steps_the_one_it_ends_with() -> None:
    def write(prompt: Prompt, rng: random.Random) -> str:
        return rng.choice(["#### 1", "#### 1000", "huh"])

    def solve(kind: str) -> list[Item]:
        options = SearchConfig(kind=kind, num_candidates=4)
        parts = {"prompts": PromptSet("compact"), "splitter": SPLITTERS.create("newline"), "settings": options}
        parts |= {"tie_tolerance": 0} if kind == "greedy" else {}
        searcher = SEARCHERS.create(kind, **parts, seed=0)
        groups = search_solutions(
            PROBLEMS,
            ScriptedEngine(write),
            LengthJudge(),
            searcher,
            GRADERS.create("gsm8k"),
            group_size=2,
            whole=kind == "best-of-n",
        )
        return [item for group in groups for item in group]

    best = solve("best-of-n")
    assert {len(item.samples) for item in best} == {4}
    for item in best:
        readable = [one.solution for one in item.samples if one.score is not None]
        assert item.chosen is None or not readable or item.samples[item.chosen].solution == min(readable, key=len)
    assert {item.is_search for item in best} == {False}
    assert {len(item.samples) for item in solve("beam")} <= {0, 1}


def test_solutions_without_an_answer_are_a_mean_over_problems_whose_samples_hang_together() -> None:
    silent, loud = item(*[sample(None)] * 8), item(*[sample("3")] * 8)
    found = summarize([silent, loud])["no answer"]
    assert found.value == 0.5
    low, high = found.interval
    assert high - low > 0.5, "two problems, not sixteen independent solutions"
