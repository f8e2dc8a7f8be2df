"""A judge whose verdicts are turned round, each always or never."""

from collections.abc import Sequence

import pytest

from presrm.assembly.judges import asks_policy, make_judge
from presrm.config import JudgeConfig
from presrm.engines.scripted import ScriptedEngine
from presrm.errors import ConfigError
from presrm.judges.noisy import NoisyJudge
from presrm.judges.pairwise import PairwiseJudge
from presrm.prompts import PromptSet
from presrm.testing import check_judge
from presrm.types import Candidates, Judgement, Problem, Status, Step, Trajectory

PREFIXES = [Trajectory(Problem(f"p{i}", "?")) for i in range(400)]


class ByLength:
    """Longer is better; `?` cannot be read. As the pairwise judge does, a relative one gives the share of wins."""

    composition = "product"

    def __init__(self, scale: str) -> None:
        self.scale = scale
        self.calls = 0

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        self.calls += 1
        return [tuple(self._one(step, item.steps) for step in item.steps) for item in batch]

    def _one(self, step: Step, steps: Sequence[Step]) -> Judgement:
        others = [other for other in steps if other.text != step.text]
        if "?" in step.text or any("?" in other.text for other in others):
            return Judgement(None, Status.UNREADABLE)
        return Judgement(sum(len(step.text) > len(other.text) for other in others) / max(1, len(others)))


def test_without_noise_every_score_is_as_it_was() -> None:
    items = [Candidates(PREFIXES[0], tuple(map(Step, ("a", "bb", "ccc"))))]
    for scale in ("absolute", "relative"):
        inner = ByLength(scale)
        (scores,) = NoisyJudge(inner, rate=0).judge(items)  # type: ignore[arg-type]
        assert [one.score for one in scores] == [0.0, 0.5, 1.0]
        assert inner.calls == 1


def test_at_a_rate_of_one_every_verdict_is_turned_round() -> None:
    items = [Candidates(PREFIXES[0], tuple(map(Step, ("a", "bb", "ccc"))))]
    for scale in ("absolute", "relative"):
        (scores,) = NoisyJudge(ByLength(scale), rate=1).judge(items)  # type: ignore[arg-type]
        assert [one.score for one in scores] == [1.0, 0.5, 0.0]


@pytest.mark.parametrize("scale", ["absolute", "relative"])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_share_that_is_turned_round_is_the_rate(scale: str, rate: float) -> None:
    items = [Candidates(prefix, (Step("a"), Step("bb"))) for prefix in PREFIXES]
    judge = NoisyJudge(ByLength(scale), rate=rate)  # type: ignore[arg-type]
    judged = judge.judge(items)

    turned = [of[1].score == 0.0 for of in judged]
    assert sum(turned) / len(turned) == pytest.approx(rate, abs=0.06)
    if scale == "relative":  # a comparison is turned round as a whole
        assert all(one.score is not None and one.score + other.score == 1 for one, other in judged)  # type: ignore[operator]
    again = [judge.judge([item])[0] for item in items]
    assert again == judged  # whatever is asked beside it
    other = NoisyJudge(ByLength(scale), rate=rate, seed=1).judge(items)  # type: ignore[arg-type]
    assert other != judged


def test_noise_reads_nothing_that_was_unreadable() -> None:
    items = [Candidates(PREFIXES[0], tuple(map(Step, ("a", "b?", "ccc"))))]
    for rate in (0, 1):
        (scores,) = NoisyJudge(ByLength("relative"), rate=rate).judge(items)  # type: ignore[arg-type]
        assert [one.score for one in scores] == ([0.0, None, 1.0] if rate == 0 else [1.0, None, 0.0])


def test_without_noise_it_is_the_pairwise_judge_with_the_same_questions() -> None:
    engine = ScriptedEngine(lambda prompt, rng: f"So [[{rng.choice('AB')}]]")
    items = [Candidates(PREFIXES[0], tuple(map(Step, ("a\n", "b\n", "c\n")))), Candidates(PREFIXES[1], (Step("a\n"),))]
    plain = PairwiseJudge(engine, PromptSet("compact"))
    noisy = make_judge(
        JudgeConfig(kind="noisy", options={"judge": "pairwise", "rate": 0.0}), engine, PromptSet("compact")
    )
    for judged, expected in zip(noisy.judge(items)[0], plain.judge(items)[0], strict=True):
        assert judged.score == expected.score
        assert set(judged.contradicted or ()) == set(expected.contradicted or ())
    (single,) = noisy.judge(items)[1]
    assert single.status is Status.UNREADABLE


def test_it_asks_the_policy_if_the_other_judge_does() -> None:
    settings = {
        kind: JudgeConfig(kind="noisy", options={"judge": kind, "rate": 0.1}) for kind in ("pairwise", "checker")
    }
    assert asks_policy(settings["pairwise"])
    assert not asks_policy(settings["checker"])
    for odd in ({"judge": "pairwise", "rate": 2}, {"judge": "pairwise"}, {"rate": 0.1}):
        with pytest.raises(ConfigError, match=r"rate|judge"):
            make_judge(
                JudgeConfig(kind="noisy", options=odd), ScriptedEngine(lambda prompt, rng: ""), PromptSet("compact")
            )


def test_it_keeps_the_laws_of_judges() -> None:
    check_judge(NoisyJudge(ByLength("relative"), rate=0.3))  # type: ignore[arg-type]
