"""The probe measures what a run does, in batches like those of the run."""

import pytest

from presrm.assembly import probe
from presrm.assembly.plan import plan
from presrm.assembly.probe import probe_pace
from presrm.config import load_config
from presrm.methods.parts import SilentProgress

SMALL = ["problems.num_train=12", "problems.num_held_out=12", "evaluation.num_judge_problems=4", "iterations=1"]


def test_batches_grow_while_there_is_time_and_the_first_one_only_warms_up(monkeypatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(probe.time, "monotonic", lambda: clock[0])
    seen = []

    def work(items: list[int], cold: float = 3.0) -> None:
        clock[0] += (0.0 if seen else cold) + 0.5 + 0.01 * len(items)
        seen.append(len(items))

    assert probe._growing(work, range(200), 150) == (pytest.approx(2.0 / 150), 150)
    assert seen == [1, 6, 48, 150], "the first one is cold"

    def slow(items: list[int]) -> None:
        clock[0] += 10.0 * len(items)
        seen.append(len(items))

    seen.clear()
    assert probe._growing(slow, range(200), 150) == (10.0, 1), "no time is left for two at once"
    assert probe._growing(slow, [1], 150) == (10.0, 1)


def test_every_unit_of_a_plan_is_measured_on_the_runs_own_problems() -> None:
    config = load_config("embedded", [*SMALL, "threads=1"])
    pace = probe_pace(config, SilentProgress())
    assert pace is not None
    assert min(pace.tried) >= 1
    assert max(pace.tried) <= 12
    rows = plan(config)
    assert {unit for row in rows for unit in row.work} == {*pace.seconds} - {"read"}
    assert all(seconds > 0 for seconds in pace.seconds.values())
    assert 0 < sum(pace.of(row.work) for row in rows) < 600
    longer = plan(load_config("embedded", [*SMALL, "problems.num_train=24", "threads=1"]))
    twice = {row.stage: pace.of(row.work) for row in longer}
    assert twice["M2: search"] == 2 * pace.of({"draw": 12})


def test_a_model_that_is_not_here_is_not_probed() -> None:
    assert probe_pace(load_config("embedded", ["model.id=/nowhere"]), SilentProgress()) is None
