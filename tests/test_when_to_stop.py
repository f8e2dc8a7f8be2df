"""When to stop: a judge that parts from its shadow, and one that has collapsed, told where that begins."""

import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
from test_iteration import CONFIG, PROBLEMS, Bomb, FakeParts, is_right, loop

from presrm.config import Config, PoliciesConfig, ProblemsConfig, WatchConfig
from presrm.errors import AlarmError
from presrm.files.ledger import Call
from presrm.files.run import RunDir
from presrm.iteration import IterationSummary, turns_of
from presrm.judging.health import Health, LabelledCandidates, judge_again
from presrm.judging.signs import Shadowed, Signs
from presrm.protocols import Engine, Judge
from presrm.types import Candidates, Judgement, Problem, SearchTree


class Scoring:
    """A judge that scores by a function of whether a step is right."""

    scale = "absolute"

    def __init__(self, score: Callable[[bool], float], scale: str = "absolute") -> None:
        self.scale = scale
        self._score = score

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        return [
            tuple(Judgement(self._score(bool(is_right(item.prefix, step)))) for step in item.steps) for item in batch
        ]


def exact(right: bool) -> float:
    return 1.0 if right else 0.0


def fair(right: bool) -> float:
    return 0.8 if right else 0.3


def swayed(right: bool) -> float:
    """Finds praise in wrong steps alone, and believes it."""
    return 0.5 if right else 1.0


class WatchedParts(FakeParts):
    """Policies whose judge scores by `score` of their number, beside an exact shadow."""

    def __init__(self, config: Config, score: Callable[[int], Callable[[bool], float]], scale: str) -> None:
        super().__init__(Bomb(), config=config)
        self.score = score
        self.scale = scale

    def held_out(self) -> list[Problem]:
        return list(PROBLEMS.values())[18:50]

    def watched(self) -> list[Problem]:
        return self.held_out()

    def judge(self, engine: Engine) -> Judge:
        return Scoring(self.score(len(self.opened)), self.scale)  # type: ignore[return-value]

    def shadow(self, engine: Callable[[], Engine]) -> Judge:
        return Scoring(exact)  # type: ignore[return-value]

    def health(
        self,
        judge: Callable[[str], Judge],
        trees: Sequence[SearchTree],
        calls: Iterable[Call],
        last: Sequence[SearchTree],
        own: Sequence[LabelledCandidates],
        first: Sequence[LabelledCandidates],
        shadow: Callable[[Sequence[SearchTree]], Shadowed] | None = None,
    ) -> Health:
        signs = Signs(agreement=judge_again(last, judge("last search"), num=64, seed=0))
        return Health(None, None, signs, shadow=shadow(trees) if shadow else None)


def config(seed: int = 0, **settings: object) -> Config:
    watch = WatchConfig(shadow="checker", min_count=10, **settings)  # type: ignore[arg-type]
    return CONFIG.model_copy(update={"seed": seed, "iterations": 3, "watch": watch})


def run(
    out: Path, settings: Config, score: Callable[[int], Callable[[bool], float]], scale: str = "absolute"
) -> list[IterationSummary]:
    with RunDir(out, settings) as opened:
        return loop(opened, WatchedParts(settings, score, scale))


def turns(rows: Sequence[IterationSummary]) -> dict[str, list[str]]:
    return {row.name: [alarm.sign for alarm in turns_of(row)] for row in rows}


@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_a_judge_that_is_talked_into_praise_parts_where_that_begins(tmp_path: Path, scale: str) -> None:
    rows = run(tmp_path / "run", config(), lambda number: swayed if number >= 3 else fair, scale)
    found = turns(rows)
    assert found["M1"] == found["M2"] == []
    assert "parting" in found["M3"]
    shadows = [row.health.shadow for row in rows]
    assert shadows[2].shadow.value < shadows[1].shadow.value - 0.3  # type: ignore[union-attr, operator]
    (alarm,) = (alarm for alarm in rows[2].health.alarms if alarm.sign == "parting")
    assert "the growth of the judge's scores over those of its shadow since the first policy is" in str(alarm)
    assert "(watch.max_parting is 0.1)" in str(alarm)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_healthy_runs_raise_none(tmp_path: Path, seed: int) -> None:
    rows = run(tmp_path / "run", config(seed), lambda number: fair)
    assert turns(rows) == {"M1": [], "M2": [], "M3": [], "M4": []}
    assert all(row.health.shadow.gap.num >= 10 for row in rows if row.health.shadow)


def coin() -> Callable[[int], Callable[[bool], float]]:
    rng = random.Random(7)
    return lambda number: lambda right: rng.random()


def test_a_random_judge_collapses_and_stops_only_where_that_is_asked_for(tmp_path: Path) -> None:
    rows = run(tmp_path / "on", config(), coin())
    assert turns(rows)["M1"] == []
    assert "collapse" in turns(rows)["M2"]
    with pytest.raises(AlarmError, match="Judge of M2: collapse step: no better than chance"):
        run(tmp_path / "alarm", config(on_alarm="stop"), coin())
    stop = config().model_copy(
        update={"policies": PoliciesConfig(on_regression="stop"), "problems": ProblemsConfig(num_validation=4)}
    )
    with pytest.raises(AlarmError, match=r"Judge of M2: collapse step.*policies\.on_regression=continue"):
        run(tmp_path / "stop", stop, coin())


def test_a_policy_whose_judge_parts_is_rolled_back(tmp_path: Path) -> None:
    back = config().model_copy(
        update={"policies": PoliciesConfig(on_regression="rollback"), "problems": ProblemsConfig(num_validation=4)}
    )
    rows = run(tmp_path / "back", back, lambda number: swayed if number == 3 else fair)
    assert [row.parent for row in rows] == [None, "M1", "M2", "M2"]


def test_without_a_shadow_nothing_is_asked_twice(tmp_path: Path) -> None:
    settings = config().model_copy(update={"watch": WatchConfig(min_count=10)})
    rows = run(tmp_path / "run", settings, lambda number: fair)
    assert [row.health.shadow for row in rows] == [None] * 4
