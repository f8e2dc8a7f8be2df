"""Trackers, each with its real package: what was sent is read back, and nothing is sent twice."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from presrm.assembly.runs import TRACKED, flatten, open_trackers
from presrm.config import Config
from presrm.errors import RequestError, UnknownNameError
from presrm.evaluation.answers import Answer, Solution, score
from presrm.iteration import IterationSummary
from presrm.judging.health import Health, JudgeAccuracy
from presrm.judging.signs import Signs
from presrm.report.facts import RunFacts
from presrm.report.tracking import summary_metrics, track
from presrm.statistics import Figure, share
from presrm.types import Grade, Problem

FIT = [{"stage": "fit", "optimiser_step": n, "loss": 0.7 - n / 10, "rewards/margins": n / 10} for n in (1, 2)]
METRICS = [
    {"stage": "answers", "iteration": 1, "seconds": 3.5, "tokens_generated": 100},
    *FIT,
    {"stage": "fit", "iteration": 2, "seconds": 2.0},
]


def summary(name: str, num_right: int, **facts: object) -> IterationSummary:
    answers = [
        Answer(
            Problem(str(n), "?", "1"),
            (Solution("1", 1, 1, None, "1", Grade.CORRECT if n < num_right else Grade.NO_ANSWER),),
            0,
        )
        for n in range(10)
    ]
    signs = Signs(readable=Figure(20, 0.9), agreement=Figure(0, None))
    return IterationSummary(name, score(answers), Health(JudgeAccuracy(share([True]), 0, 0), None, signs), **facts)  # type: ignore[arg-type]


def facts(run: Path, num: int) -> RunFacts:
    rows = (summary("M1", 4), summary("M2", 6, num_lessons=7, dropped={"tie": 3}))
    return RunFacts(run, Config(), {"artefacts": {}}, rows[:num], tuple(METRICS if num > 1 else METRICS[:1]))


def send(run: Path, name: str) -> None:
    """Send in two starts of a run, as one that was interrupted does, and once more for nothing."""
    for num in (1, 2, 2):
        trackers = open_trackers(Config(report_to=(name,)), run)
        track(facts(run, num), trackers, run / TRACKED / "sent.json")
        for tracker in trackers.values():
            tracker.text("trees/1", "a <b> tree", num)
            tracker.close()


def test_what_is_unknown_is_left_out() -> None:
    metrics = summary_metrics(summary("M2", 6, num_lessons=7, dropped={"tie": 3}))
    assert metrics["scores/accuracy"] == 0.6
    assert (metrics["pairs/lessons"], metrics["pairs/tie"]) == (7, 3)
    assert metrics["judge/readable"] == 0.9
    assert "judge/agreement" not in metrics
    assert "judge/own_siblings" not in metrics


def test_tensorboard_reads_it_back(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    send(tmp_path, "tensorboard")
    events = accumulator.EventAccumulator(str(tmp_path / "trackers/tensorboard")).Reload()
    assert [(event.step, round(event.value, 3)) for event in events.Scalars("scores/accuracy")] == [(1, 0.4), (2, 0.6)]
    assert [(event.step, round(event.value, 3)) for event in events.Scalars("rewards/margins")] == [(1, 0.1), (2, 0.2)]
    assert [round(event.value, 3) for event in events.Scalars("stage/answers/seconds")] == [3.5]
    assert b"a <b> tree" in events.Tensors("trees/1")[0].tensor_proto.string_val[0]


def test_mlflow_reads_it_back(tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    send(tmp_path, "mlflow")
    client = tracking.MlflowClient(tracking_uri=(tmp_path / "trackers/mlflow").as_uri())
    experiment = client.get_experiment_by_name("presrm")
    runs = client.search_runs([experiment.experiment_id])
    history = [
        (one.step, one.value) for run in runs for one in client.get_metric_history(run.info.run_id, "scores/accuracy")
    ]
    assert sorted(history) == [(1, 0.4), (2, 0.6)]
    assert {run.data.params["search.num_candidates"] for run in runs} == {"6"}


def test_wandb_writes_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    send(tmp_path, "wandb")
    written = list((tmp_path / "trackers/wandb/wandb").glob("offline-run-*/run-*.wandb"))
    assert len(written) == 3
    assert any(b"rewards/margins" in path.read_bytes() for path in written)


TRACKIO = """
import sys
from pathlib import Path
from test_trackers import send
send(Path(sys.argv[1]), "trackio")
from trackio.sqlite_storage import SQLiteStorage
(run,) = SQLiteStorage.get_run_records("presrm")
rows = SQLiteStorage.get_logs("presrm", run["name"], run_id=run["id"])
for name in ("scores/accuracy", "rewards/margins"):
    print([(row["step"], round(row[name], 3)) for row in rows if name in row])
print(*[row["trees/1"] for row in rows if "trees/1" in row][:1])
"""


def test_trackio_reads_it_back_and_sends_nothing(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    away = {"TRACKIO_SERVER_URL": "http://127.0.0.1:9/?write_token=x", "TRACKIO_SPACE_ID": "someone/else"}
    command = [sys.executable, "-c", TRACKIO, str(tmp_path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parent, env={**os.environ, **away}, capture_output=True, text=True
    )
    *figures, text = done.stdout.splitlines()
    assert figures == ["[(1, 0.4), (2, 0.6)]", "[(1, 0.1), (2, 0.2)]"], done.stderr
    assert "a <b> tree" in text


def test_an_unknown_tracker_and_a_missing_package_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'wandb'"):
        open_trackers(Config(report_to=("wandbb",)), tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(RequestError, match=r"pip install 'presrm\[wandb\]'"):
        open_trackers(Config(report_to=("wandb",)), tmp_path)


def test_settings_have_their_whole_names() -> None:
    assert flatten(Config())["watch.max_parting"] == "0.1"
