"""Signs of a judge that goes bad: each way raises its alarm in a run, and a healthy judge raises none."""

import json
import math
import random
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from scipy import stats

from presrm.assembly.parts import Parts
from presrm.assembly.runs import train as train_run
from presrm.config import Config, WatchConfig, changed_fixed, load_config
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import AlarmError
from presrm.files.ledger import Call, short_hash
from presrm.files.run import RunDir
from presrm.iteration import IterationSummary, train
from presrm.judging.health import Health
from presrm.judging.signs import (
    CASES,
    Judged,
    Shadowed,
    Signs,
    find_alarms,
    find_turns,
    judged_in,
    kendall,
    measure_shadow,
    signs_of_calls,
    signs_of_trees,
    spearman,
)
from presrm.prompts import Prompt
from presrm.protocols import Engine
from presrm.statistics import Figure, share
from presrm.types import (
    Candidate,
    Candidates,
    Checkpoint,
    Expansion,
    Judgement,
    PreferencePair,
    Problem,
    SearchTree,
    Status,
    Step,
    Stop,
    Trajectory,
)

PROBLEM = Problem("p", "How much is 1 and 1?", "2")


def judged(*scores: float | None, texts: str = "abcdefgh") -> Judged:
    judgements = [Judgement(None, Status.UNREADABLE) if score is None else Judgement(score) for score in scores]
    steps = tuple(Step(texts[: place + 1]) for place in range(len(scores)))
    return Judged(Candidates(Trajectory(PROBLEM), steps), tuple(judgements))


def tree(*expansions: Judged, solved: bool = True) -> SearchTree:
    """One path; the first candidate of each expansion is kept."""
    made = [
        Expansion(
            (number - 1, 0) if number else None,
            tuple(map(Candidate, found.candidates.steps, found.judgements)),
            kept=(0,),
        )
        for number, found in enumerate(expansions)
    ]
    return SearchTree(PROBLEM, tuple(made), ((len(made) - 1, 0),) if solved else ())


def signs(*trees: SearchTree, is_right: Callable[[Trajectory], bool | None] = lambda solution: None) -> Signs:
    return Signs(**signs_of_trees(trees, 0.02, is_right))


def test_shares_come_with_their_number_and_interval() -> None:
    found = signs(tree(judged(1.0, 0.0), judged(0.5, None, 0.51)))
    assert (found.readable.num, found.readable.value) == (5, 0.8)
    assert found.readable.interval[0] < 0.8 < found.readable.interval[1]
    assert (found.ties.num, found.ties.value) == (2, 0.5)
    assert (found.saturated.num, found.saturated.value) == (4, 0.5)


def test_what_cannot_be_told_is_none_and_never_zero() -> None:
    found = signs(tree(judged(None, None)))
    assert found.readable.value == 0.0
    unknown = (found.ties, found.spread, found.saturated, found.by_length, found.by_depth, found.right_solutions)
    assert [figure.value for figure in unknown] == [None] * 6
    assert signs() == replace(Signs(), **{name: Figure() for name in Signs.__slots__})


def test_a_tie_is_one_of_scores_and_leaving_the_beam_is_none() -> None:
    """An expansion none of whose candidates was kept was judged all the same: its scores decide."""
    scores = [(0.9, 0.2), (0.5, 0.5), (0.5, 0.515), (0.5, 0.53)]
    left = [replace(tree(judged(*some)).expansions[0], kept=()) for some in scores]
    assert signs(*(SearchTree(PROBLEM, (expansion,)) for expansion in left)).ties == share([False, True, True, False])


def test_one_score_beside_unreadable_ones_is_no_tie() -> None:
    assert signs(tree(judged(0.5, None)), tree(judged(0.5, 0.9))).ties == share([False])


class Rescoring:
    """A judge that gives the same scores, in the order of the candidates, to whatever it is shown."""

    def __init__(self, *scores: float | None, scale: str = "absolute") -> None:
        self.scale = scale
        self._judgements = judged(*scores).judgements

    def judge(self, batch: list[Candidates]) -> list[tuple[Judgement, ...]]:
        return [self._judgements] * len(batch)


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("absolute", (0.6, 0.3, 0.3)), ("relative", (0.5, 0.75, -0.25))],
)
def test_beside_a_judge_that_compares_both_scores_are_ranks_among_the_others(
    scale: str, expected: tuple[float, float, float]
) -> None:
    """Of the kept step: 1 of 2 others scores below 0.6; to the shadow one scores below 0.3, and one the same."""
    shadow = Rescoring(0.3, 0.3, 0.1, scale="absolute")
    found = measure_shadow([tree(judged(0.6, 0.9, 0.2))], Rescoring(scale=scale), shadow)  # type: ignore[arg-type]
    assert (found.judge.value, found.shadow.value, found.gap.value) == pytest.approx(expected)
    assert found.judge.num == found.shadow.num == found.gap.num == 1


def test_what_either_judge_cannot_read_stands_in_no_comparison() -> None:
    unread = Rescoring(None, 0.3, 0.1)
    for scale in ("absolute", "relative"):
        judge = Rescoring(scale=scale)
        found = measure_shadow([tree(judged(0.6, 0.9, 0.2))], judge, unread)  # type: ignore[arg-type]
        assert found == Shadowed(Figure(), Figure(), Figure())
    alone = measure_shadow([tree(judged(0.6, None))], Rescoring(scale="relative"), Rescoring(0.3, 0.1))  # type: ignore[arg-type]
    assert alone.gap == Figure(), "one readable score has no rank"


def test_judges_part_where_the_whole_interval_of_the_growth_lies_beyond_the_bound() -> None:
    """Half-widths 0.03 and 0.04 make one of 0.05 for the difference."""

    def shadowed(judge: float, shadow: float, half: float) -> Shadowed:
        gap = judge - shadow
        return Shadowed(Figure(50, judge), Figure(50, shadow), Figure(50, gap, (gap - half, gap + half)))

    first = shadowed(0.5, 0.5, 0.03)
    options = WatchConfig(max_parting=0.1)
    (alarm,) = find_turns(Signs(), shadowed(0.56, 0.4, 0.04), first, options)
    assert alarm.sign == "parting"
    assert (alarm.figure.value, alarm.figure.interval) == (pytest.approx(0.16), pytest.approx((0.11, 0.21)))
    assert not find_turns(Signs(), shadowed(0.54, 0.4, 0.04), first, options), "the interval holds the bound"
    assert not find_turns(Signs(), shadowed(0.8, 0.5, 0.04), first, options), "the shadow did not fall"
    assert not find_turns(Signs(), shadowed(0.56, 0.4, 0.04), None, options)


def test_without_a_tolerance_equal_scores_tie_and_no_others() -> None:
    trees = [tree(judged(0.5, 0.5)), tree(judged(0.5, 0.5000001))]
    assert signs_of_trees(trees, 0.0, lambda solution: None)["ties"] == share([True, False])


def test_saturated_is_a_score_at_either_end() -> None:
    found = signs(tree(judged(0.0, 1.0, 0.0009, 0.9991, 0.002, 0.998)))
    assert found.saturated == share([True] * 4 + [False] * 2)


def test_the_spread_is_that_of_all_readable_scores() -> None:
    found = signs(tree(judged(0.0, 1.0), judged(None, 0.5, 0.5)))
    assert found.spread == Figure(4, pytest.approx(math.sqrt(1 / 8)))
    assert signs(tree(judged(0.5, None))).spread == Figure(1)


def test_a_single_candidate_and_one_cut_off_were_not_judged() -> None:
    steps = (Step("a"), Step("a"), Step("long", stop=Stop.MAX_TOKENS), Step("", stop=Stop.NO_ROOM))
    expansion = Expansion(None, tuple(Candidate(step, Judgement(1.0)) for step in steps))
    assert not list(judged_in(SearchTree(PROBLEM, (expansion,))))


def test_equal_candidates_count_once() -> None:
    judgements = (Judgement(1.0), Judgement(0.0), Judgement(1.0))
    expansion = Expansion(None, tuple(map(Candidate, (Step("a"), Step("b"), Step("a")), judgements)))
    (found,) = judged_in(SearchTree(PROBLEM, (expansion,)))
    assert found.scores == [1.0, 0.0]


def test_length_and_order_are_compared_among_siblings_only() -> None:
    """The steps of the second expansion are long and score low; among siblings the longer one scores higher."""
    low = judged(0.1, 0.2, texts="abc")
    long = Judged(Candidates(Trajectory(PROBLEM), (Step("x" * 90), Step("x" * 91))), (Judgement(0.0), Judgement(0.05)))
    high = judged(0.8, 0.9, texts="abc")
    found = signs(tree(low), tree(long), tree(high))
    assert found.by_length.value == pytest.approx(1.0, abs=0.2)
    assert found.by_order.value == pytest.approx(found.by_length.value)


def test_score_by_depth() -> None:
    falling = tree(judged(0.9, 0.8), judged(0.6, 0.5), judged(0.3, 0.2))
    assert signs(falling).by_depth.value < -0.9


def test_solutions_that_are_right_score_higher() -> None:
    trees = [tree(judged(score, 0.0)) for score in (0.9, 0.8, 0.3, 0.2)]
    right = iter([True, True, False, False])
    assert signs(*trees, is_right=lambda solution: next(right)).right_solutions.value > 0.8


def asked(texts: str) -> list[Candidates]:
    return [Candidates(Trajectory(PROBLEM), tuple(map(Step, texts)))]


def call(first: str, second: str, value: float | None) -> Call:
    question = ("pairwise", "hash", "M1", 1, "health", "p", short_hash(""))
    return Call(*question, (short_hash(first), short_hash(second)), "{}", 0, "", "", value, None, None, None, 0.0)


def test_a_bias_for_a_position_shows_only_in_pairs_asked_in_both_orders() -> None:
    calls = [call("a", "b", 1.0), call("b", "a", 1.0), call("a", "c", 1.0), call("b", "c", None), call("c", "b", 1.0)]
    found = signs_of_calls(calls, asked("abc"))
    assert (found["first_shown"].num, found["first_shown"].value) == (2, 1.0)
    assert (found["order_flips"].num, found["order_flips"].value) == (1, 1.0)


def test_a_judge_that_is_sure_in_both_orders_flips_nothing() -> None:
    found = signs_of_calls([call("a", "b", 0.9), call("b", "a", 0.2)], asked("ab"))
    assert (found["first_shown"].value, found["order_flips"].value) == (0.5, 0.0)


def test_an_undecided_verdict_is_for_no_step_and_contradicts_none() -> None:
    undecided = signs_of_calls([call("a", "b", 0.5), call("b", "a", 0.5)], asked("ab"))
    assert (undecided["first_shown"], undecided["order_flips"]) == (share([False] * 2), share([False]))
    half = signs_of_calls([call("a", "b", 0.5), call("b", "a", 1.0)], asked("ab"))
    assert (half["first_shown"].num_hits, half["order_flips"].num_hits) == (1, 0)


def test_a_judge_of_the_second_position_flips_its_verdict_too() -> None:
    found = signs_of_calls([call("a", "b", 0.0), call("b", "a", 0.1)], asked("ab"))
    assert (found["first_shown"], found["order_flips"]) == (share([False] * 2), share([True]))


def test_of_several_votes_the_mean_counts() -> None:
    votes = [call("a", "b", 1.0), call("a", "b", 1.0), call("a", "b", 0.0), call("b", "a", 0.0)]
    assert signs_of_calls(votes, asked("ab"))["order_flips"] == share([False])


def test_calls_about_other_steps_are_passed_over() -> None:
    calls = [call("a", "b", 1.0), call("b", "a", 1.0)]
    elsewhere = [replace(one, problem="q") for one in calls]
    for some, texts in ((calls, "ac"), (elsewhere, "ab")):
        assert signs_of_calls(some, asked(texts))["order_flips"] == Figure()


def test_pairs_to_train_on_whose_orders_contradict_each_other_are_counted_and_unknown_is_not_zero() -> None:
    def searched(told: tuple[str, ...] | None) -> SearchTree:
        steps = (Step("a", stop=Stop.EOS), Step("b", stop=Stop.EOS))
        candidates = tuple(
            Candidate(step, Judgement(score, contradicted=told)) for step, score in zip(steps, (0.6, 0.4), strict=True)
        )
        return SearchTree(PROBLEM, (Expansion(None, candidates, (0,)),), solutions=((0, 0),))

    assert signs(searched((short_hash("b"),)), searched(())).contradicted == share([True, False])
    assert signs(searched(None)).contradicted == Figure()


def test_agreement_with_the_judge_before() -> None:
    before = [judged(0.1, 0.5, 0.9), judged(0.5, 0.5), judged(0.0, 1.0)]

    def again(*scores: float | None) -> tuple[Judgement, ...]:
        return judged(*scores).judgements

    same = [again(0.2, 0.3, 0.4), again(0.0, 1.0), again(0.0, 0.1)]
    assert (kendall(before, same).num, kendall(before, same).value) == (2, 1.0)
    turned = [again(0.4, 0.3, 0.2), again(0.0, 1.0), again(0.1, 0.0)]
    assert kendall(before, turned).value == -1.0
    assert kendall(before, [again(0.5, 0.5, 0.5), again(0.5, 0.5), again(0.5, 0.5)]).value == 0.0
    assert kendall(before, [again(None, None, None), again(None, None), again(None, 0.1)]) == Figure()
    partly = kendall([judged(0.1, None, 0.9)], [again(0.2, 0.3, 0.4)])
    assert (partly.num, partly.value) == (1, 1.0), "over what both could read"


def test_a_rank_correlation_has_an_interval_where_it_has_a_value() -> None:
    found = spearman([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5])
    assert found.interval[0] < found.value < found.interval[1] <= 1
    assert spearman([1, 1, 1], [1, 2, 3]) == Figure(3)
    assert spearman([], []) == Figure()


@pytest.mark.parametrize("num", [4, 28, 103])
def test_the_interval_of_a_rank_correlation_is_fishers_with_the_variance_of_ranks(num: int) -> None:
    """Fieller, Hartley and Pearson (1957): the variance of z is 1.06 / (n - 3), of which 1.03 is the root."""
    rng = random.Random(num)
    found = spearman(xs := [rng.random() for _ in range(num)], [x + rng.random() for x in xs])
    half = stats.norm.ppf(0.975) * math.sqrt(1.06 / (num - 3))
    middle = math.atanh(found.value)
    assert found.interval == pytest.approx((math.tanh(middle - half), math.tanh(middle + half)), abs=2e-3)


def test_a_rank_correlation_of_three_has_no_interval_and_a_perfect_one_stays_below_one() -> None:
    assert spearman([1, 2, 3], [1, 2, 3]) == Figure(3, pytest.approx(1.0))
    low, high = spearman(range(30), range(30)).interval
    assert 0.9 < low < high <= 1


def test_an_alarm_takes_enough_cases_and_the_whole_interval() -> None:
    options = WatchConfig(min_count=20)
    few, unsure, sure = share([True] * 19), share([True] * 12 + [False] * 8), share([True] * 30 + [False] * 2)
    assert not find_alarms(Signs(order_flips=few), options)
    assert not find_alarms(Signs(order_flips=unsure), options)
    (alarm,) = find_alarms(Signs(order_flips=sure), options)
    assert str(alarm) == (
        "the share of pairs of steps whose verdict changes with the order shown is 0.94 over 32 pairs of steps "
        "(watch.max_order_flips is 0.5)"
    )


EDGES = {
    "readable": (0.8, -1),
    "spread": (0.05, -1),
    "by_length": (0.5, 1),
    "first_shown": (0.75, 1),
    "order_flips": (0.5, 1),
    "caught": (0.5, -1),
    "talked_into": (0.5, 1),
    "agreement": (0.0, -1),
}
"""The bound of each sign by default, and on which side of it a judge is bad."""


@pytest.mark.parametrize("sign", EDGES)
def test_each_bound_is_kept_on_its_side_and_broken_beyond(sign: str) -> None:
    bound, side = EDGES[sign]

    def alarmed(value: float, interval: tuple[float, float] | None = None, num: int = 20) -> list[str]:
        return [alarm.sign for alarm in find_alarms(Signs(**{sign: Figure(num, value, interval)}), WatchConfig())]

    bad = bound + side * 0.01
    assert not alarmed(bound)
    assert alarmed(bad) == [sign]
    assert not alarmed(bad, num=19)
    assert not alarmed(bad, tuple(sorted((bound, bound + side * 0.02)))), "the interval holds the bound"
    assert alarmed(bad, tuple(sorted((bound + side * 0.005, bound + side * 0.02)))) == [sign]
    assert not alarmed(bound - side * 0.01)
    told = str(find_alarms(Signs(**{sign: Figure(20, bad)}), WatchConfig())[0])
    assert f" is {bad:.2f} over 20 {CASES[sign]} (watch." in told


def test_signs_without_a_bound_raise_no_alarm() -> None:
    for sign in set(CASES) - set(EDGES):
        assert not find_alarms(Signs(**{sign: Figure(99, 1.0)}), WatchConfig())
    assert set(CASES) == set(Signs.__slots__)


@pytest.mark.parametrize(("sign", "value"), [("first_shown", 0.24), ("by_length", -0.51)])
def test_a_bias_either_way_is_an_alarm(sign: str, value: float) -> None:
    (alarm,) = find_alarms(Signs(**{sign: Figure(20, value)}), WatchConfig())
    assert alarm.sign == sign
    assert not find_alarms(Signs(**{sign: Figure(20, value + 0.01)}), WatchConfig())


def test_a_bias_for_the_second_position_is_an_alarm_too() -> None:
    (alarm,) = find_alarms(Signs(first_shown=share([False] * 40)), WatchConfig())
    assert alarm.sign == "first_shown"


def test_every_setting_may_change_when_a_run_goes_on() -> None:
    changed = Config(
        watch=WatchConfig(on_alarm="stop", num_problems=1, num_rejudged=1, min_count=1, min_readable=0.1, min_spread=1)
    )
    assert not changed_fixed(Config(), changed)


def test_health_from_before_signs_were_read_has_none() -> None:
    old = TypeAdapter(Health).validate_json('{"fixed": null, "siblings": null}')
    assert (old.signs, old.alarms) == (None, ())


# A world in which a step's length says nothing of its rightness.

Verdict = Callable[[str, str], str]
"""Two steps -> what the judge writes."""
NUMBERS = range(11, 51)


def is_right(step: str) -> bool:
    found = re.fullmatch(r"(\d+) \+ (\d+) = (\d+)( indeed)*\n", step)
    return bool(found) and int(found[1]) + int(found[2]) == int(found[3])


def healthy(a: str, b: str) -> str:
    return "[[A]]" if (is_right(a), b) > (is_right(b), a) else "[[B]]"


def policy(prompt: Prompt, rng: random.Random, verdict: Verdict) -> str:
    """Solve, wrong as often as right, in steps of any length; judge as `verdict` says."""
    if prompt.subject is not None:
        shown = [step.text for step in prompt.subject.shown]
        return verdict(shown[0], shown[-1])
    number = int(re.findall(r"\d+", prompt.text)[0])
    slip = rng.choice([0, 1])
    steps = [f"{number} + {number} = {2 * number + slip}{' indeed' * rng.randrange(3)}\n", f"#### {2 * number}\n"]
    return "".join(steps[len(prompt.reply) :])


class ScriptedParts(Parts):
    """The parts of a real run, around a policy without weights; it judges by the last of `verdicts` once trained."""

    verdicts: tuple[Verdict, ...] = (healthy,)

    def engine(self, policy_: Checkpoint) -> Engine:
        verdict = self.verdicts[-1 if Path(policy_.model).is_dir() else 0]
        return ScriptedEngine(lambda prompt, rng: policy(prompt, rng, verdict))

    @cached_property
    def trainer(self) -> "ScriptedParts":
        return self

    def fit(
        self, lessons: list[PreferencePair], policy_: Checkpoint, out: Path, *, reference: Checkpoint | None = None
    ) -> Checkpoint:
        out.mkdir()
        (out / "weights").touch()
        return Checkpoint(str(out))


class Quiet:
    def __init__(self) -> None:
        self.notes: list[str] = []

    def stage(self, name: str, total: int | None) -> nullcontext[Callable[[int], None]]:
        return nullcontext(lambda units: None)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def watch(self, worker: object) -> None:
        pass


def run(folder: Path, *verdicts: Verdict, settings: tuple[str, ...] = ()) -> tuple[list[IterationSummary], list[str]]:
    """Run the loop of M1, and of M2 where there are two verdicts; give the summaries and what was said."""
    rows = [
        {"question": f"How much is {n} and {n}?", "answer": str(2 * n), "solution": f"{n} + {n} = {2 * n}\n"}
        for n in NUMBERS
    ]
    for name, some in (("test", rows[::2]), ("train", rows[1::2])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some * 2))
    overrides = (
        f"problems={{train: 'jsonl:{folder}/train.jsonl', held_out: 'jsonl:{folder}/test.jsonl'}}",
        "search={num_candidates: 6, max_step_tokens: 64, max_steps: 3}",
        "judge={kind: pairwise}",
        "evaluation={grader: gsm8k}",
        f"iterations={len(verdicts) - 1}",
        *settings,
    )
    config, progress = load_config(None, overrides), Quiet()
    with RunDir(folder / "run", config) as opened:
        parts = ScriptedParts(config, progress, opened.log)
        parts.verdicts = verdicts
        return list(train(config, parts.method, parts, opened, progress)), progress.notes


def alarms(summary: IterationSummary) -> set[str]:
    return {alarm.sign for alarm in summary.health.alarms}


def test_a_healthy_judge_raises_no_alarm(tmp_path: Path) -> None:
    summaries, notes = run(tmp_path, healthy, healthy)
    assert [alarms(summary) for summary in summaries] == [set(), set()]
    assert not any("Alarm" in note for note in notes)
    found = summaries[1].health.signs
    assert found.readable.value == found.agreement.value == found.caught.value == 1.0
    assert found.readable.num >= 20


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        pytest.param(lambda a, b: "[[A]]", {"first_shown", "order_flips", "spread", "caught"}, id="always A"),
        pytest.param(lambda a, b: "Both are fine.", {"readable", "caught"}, id="unreadable"),
        pytest.param(lambda a, b: "[[A]]" if (len(a), a) > (len(b), b) else "[[B]]", {"by_length"}, id="prefers long"),
        pytest.param(
            lambda a, b: "[[A]]" if "correct" in a else "[[B]]" if "correct" in b else healthy(a, b),
            {"talked_into"},
            id="talked into it",
        ),
    ],
)
def test_each_way_a_judge_goes_bad_raises_its_alarm(verdict: Verdict, expected: set[str], tmp_path: Path) -> None:
    (summary,), notes = run(tmp_path, verdict)
    assert expected <= alarms(summary)
    assert notes[-1].startswith("Alarm. Judge of M1: ")
    written = json.loads((tmp_path / "run/iterations/1/health.json").read_text())
    assert expected <= {alarm["sign"] for alarm in written["alarms"]}


def test_a_constant_verdict_raises_an_alarm(tmp_path: Path) -> None:
    (summary,), _ = run(tmp_path, lambda a, b: "[[yes]]", settings=("judge.kind=pointwise",))
    assert {"spread", "caught"} <= alarms(summary)
    assert summary.health.signs.saturated.value == 1.0


def test_a_judge_that_turns_against_the_one_before_raises_an_alarm(tmp_path: Path) -> None:
    (first, second), _ = run(tmp_path, healthy, lambda a, b: healthy(b, a))
    assert not alarms(first)
    assert "agreement" in alarms(second)
    assert first.health.signs.agreement == Figure()


def test_an_alarm_can_stop_a_run_and_the_run_can_go_on(tmp_path: Path) -> None:
    def always_a(a: str, b: str) -> str:
        return "[[A]]"

    with pytest.raises(
        AlarmError, match=r"^Judge of M1: the .*watch\.min_.*health\.json.*watch\.on_alarm=warn"
    ) as caught:
        run(tmp_path, always_a, settings=("watch.on_alarm=stop",))
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    (summary,), notes = run(tmp_path, always_a)
    assert alarms(summary)
    assert len(notes) == 1
    loose = ("watch={on_alarm: stop, min_spread: 0, min_caught: 0, max_order_flips: 1, max_first_shown: 1}",)
    (summary,), notes = run(tmp_path, always_a, settings=loose)
    assert not alarms(summary)


def test_a_judge_that_is_not_watched_raises_none(tmp_path: Path) -> None:
    (summary,), _ = run(tmp_path, lambda a, b: "[[A]]", settings=("watch.num_problems=0",))
    assert summary.health.signs is None
    assert not summary.health.alarms
    assert summary.health.fixed is not None, "its accuracy is measured all the same"

    settings = "watch.num_problems=0", "evaluation.num_judge_problems=0"
    (tmp_path / "neither").mkdir()
    (summary,), _ = run(tmp_path / "neither", lambda a, b: "[[A]]", settings=settings)
    assert summary.health.fixed is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_embedded_policy_raises_no_alarm(seed: int, tmp_path: Path) -> None:
    config = load_config(
        "embedded",
        [
            f"seed={seed}",
            "threads=1",
            "iterations=1",
            "problems.num_train=32",
            "problems.num_held_out=32",
            "evaluation.num_judge_problems=32",
        ],
    )
    progress = Quiet()
    summaries = train_run(config, tmp_path / "run", progress)
    assert [alarms(summary) for summary in summaries] == [set(), set()], progress.notes
    assert all(summary.health.signs.readable.num >= 20 for summary in summaries)
