"""A prompt without room is data: it is counted by its own name, and the rest of the work goes on."""

import pytest

from presrm.config import PairsConfig, SearchConfig
from presrm.credit.pairs import mine_pairs
from presrm.engines.scripted import ScriptedEngine
from presrm.evaluation.answers import evaluate, score
from presrm.evaluation.samples import summarize
from presrm.graders import GRADERS
from presrm.judges.pointwise import PointwiseJudge
from presrm.judging.health import judge_siblings, sample_siblings
from presrm.judging.labels import rollouts
from presrm.prompts import PromptSet
from presrm.protocols import Sampling
from presrm.searchers import SEARCHERS
from presrm.splitters import SPLITTERS
from presrm.training.segmenting import SegmentationError, segment_rows
from presrm.types import Grade, Problem, Status, Stop

LONGEST = 1000
PROMPTS = PromptSet("compact")
GIANT = Problem("giant", "x" * 2 * LONGEST, "2")
PROBLEMS = [Problem("first", "1+1?", "2"), GIANT, Problem("last", "2+0?", "2")]


def policy(reply: str = "So it is.\n#### 2") -> ScriptedEngine:
    """A policy that reads and writes 1,000 characters."""
    return ScriptedEngine(lambda prompt, rng: "[[yes]]" if "[[" in prompt.text else reply, context=LONGEST)


@pytest.mark.parametrize("num", [1, 4])
def test_evaluation_counts_it_apart_and_without_an_answer(num: int) -> None:
    (answers,) = evaluate(
        PROBLEMS,
        policy(),
        PROMPTS,
        GRADERS.create("gsm8k"),
        sampling=Sampling(1.0),
        splitter=SPLITTERS.create("newline"),
        group_size=8,
        num=num,
    )
    found = summarize(answers)
    assert found["accuracy" if num == 1 else "pass@1"].value == pytest.approx(2 / 3)
    assert found["no room"].value == found["no answer"].value == pytest.approx(1 / 3)
    assert found["cut off"].value == 0
    giant = answers[1].solutions[0]
    assert (giant.stop, giant.num_steps, giant.grade) == (Stop.NO_ROOM, 0, Grade.NO_ANSWER)
    if num == 1:
        scores = score(answers)
        assert (scores.no_answer, scores.cut_off, scores.no_room) == (1, 0, 1)


@pytest.mark.parametrize("kind", ["greedy", "beam", "best-of-n"])
def test_a_search_gives_it_up_and_goes_on_with_the_others(kind: str) -> None:
    options = SearchConfig(kind=kind, num_candidates=2, temperature=1.0)
    own = {"tie_tolerance": 0.0} if kind == "greedy" else {}
    searcher = SEARCHERS.create(
        kind, prompts=PROMPTS, splitter=SPLITTERS.create("newline"), settings=options, seed=0, **own
    )
    engine = policy()
    first, giant, last = searcher.search(PROBLEMS, engine, PointwiseJudge(engine, PROMPTS))
    assert first.solutions
    assert last.solutions
    assert not giant.solutions
    assert giant.given_up == "no room for a reply"
    assert {candidate.judgement.status for candidate in giant.expansions[0].candidates} == {Status.REFUSED}
    assert mine_pairs([giant], PairsConfig()).dropped == {"no_room": 1}


def test_a_path_that_grows_too_long_ends_there() -> None:
    engine = policy("a step of a hundred characters ".ljust(99) + "\n" + "and on\n" * 3)
    options = SearchConfig(num_candidates=2, max_steps=50)
    searcher = SEARCHERS.create(
        "greedy", prompts=PROMPTS, splitter=SPLITTERS.create("newline"), settings=options, tie_tolerance=0.0, seed=0
    )
    (tree,) = searcher.search(PROBLEMS[:1], engine, PointwiseJudge(engine, PROMPTS))
    assert tree.given_up == "all candidates were cut off"  # by what it reads
    assert 5 < len(tree.expansions) < 20


def test_judge_health_takes_the_other_problems_on() -> None:
    engine = policy()
    sampled = sample_siblings(
        PROBLEMS,
        engine,
        PROMPTS,
        SPLITTERS.create("newline"),
        lambda prefix, step: True,
        num=2,
        sampling=Sampling(1.0),
        max_steps=4,
        seed=0,
    )
    found = judge_siblings([one for depth in sampled for one in depth], PointwiseJudge(engine, PROMPTS))
    assert (found.num_expansions, found.num_with_pair) == (4 * 2 + 1, 0)


def test_steps_are_labelled_on_the_other_problems() -> None:
    replies = iter(["Wrong.\nSo", "Right.\nSo", "#### 3", "#### 2"])
    engine = ScriptedEngine(lambda prompt, rng: next(replies, "#### 2"), context=LONGEST)
    grader, newline = GRADERS.create("gsm8k"), SPLITTERS.create("newline")
    made = rollouts(
        [GIANT, PROBLEMS[0]],
        engine,
        grader,
        PROMPTS,
        newline,
        Sampling(1.0),
        num_candidates=2,
        seed=0,
        num_completions=1,
    )
    (labelled,) = made
    assert labelled.prefix.problem.id == "first"
    assert (labelled.good.text, labelled.bad.text) == ("Right.\n", "Wrong.\n")


def test_a_long_solution_is_set_aside_by_the_segmenter_and_the_others_are_cut() -> None:
    engine = policy("Step 1: It is 2.")
    rows = [{"question": "1+1?", "solution": "It is 2."}, {"question": "?", "solution": "x" * LONGEST}]
    cut, aside = segment_rows(rows, engine, PROMPTS)
    assert cut["steps"] == ["It is 2."]
    assert isinstance(aside, SegmentationError)
    assert "reads fewer tokens" in str(aside)
