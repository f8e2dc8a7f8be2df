"""Ray itself, on the cores of this machine."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from presrm.assembly.evaluation import evaluate_policies, load_benchmark
from presrm.assembly.parts import Parts
from presrm.assembly.searching import search_problems
from presrm.config import load_config
from presrm.errors import DataError, RunnerError
from presrm.files.run import RunDir
from presrm.methods.parts import SilentProgress
from presrm.methods.stages import Stages
from presrm.runners.work import Done, Work
from presrm.types import Checkpoint, Problem

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module", autouse=True)
def by_value() -> None:
    """Actors cannot import this file."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def runners() -> Iterator[Callable[[int], object]]:
    from presrm.runners.ray import RayRunner

    opened = []

    def make(workers: int) -> object:
        opened.append(RayRunner(workers=workers))
        return opened[-1]

    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
    yield make
    for runner in opened:
        runner.close()
    ray.shutdown()


@dataclass(frozen=True)
class Fake:
    """Says who did what. Some work kills it: once, or always."""

    folder: Path
    kills: int = -1
    always: bool = False

    @contextmanager
    def __call__(self) -> Iterator[Callable[[Work], Done]]:
        if self.kills == -2:
            raise DataError("no such policy")
        yield self.work

    def work(self, work: Work) -> Done:
        mark = self.folder / f"{work.start}"
        if work.start == self.kills and (self.always or not mark.exists()):
            mark.touch()
            os._exit(1)
        return Done([work.start, os.getpid()])


def pieces(num: int, begun: list[int] | None = None) -> Iterator[Work]:
    for start in range(num):
        if begun is not None:
            begun.append(start)
        yield Work("search", 2, [Problem(f"p{start}", "?")], start)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_come_in_order_and_few_are_begun_ahead(workers: int, runners, tmp_path: Path) -> None:
    runner, begun, rows = runners(workers), [], []
    for done in runner.map(Fake(tmp_path), pieces(20, begun)):
        rows.append(done.rows)
        assert len(begun) <= len(rows) + 2 * workers
    assert [start for start, _ in rows] == list(range(20))
    again = list(runner.map(Fake(tmp_path), pieces(4)))
    assert {done.rows[1] for done in again} <= {process for _, process in rows}, "loaded workers stay"
    other = list(runner.map(Fake(tmp_path / "other"), pieces(4)))
    assert not {done.rows[1] for done in other} & {process for _, process in rows}
    runner.close()


def test_a_group_is_done_again_where_its_worker_dies(runners, tmp_path: Path, caplog) -> None:
    runner = runners(2)
    done = list(runner.map(Fake(tmp_path, kills=3), pieces(8)))
    assert [each.rows[0] for each in done] == list(range(8))
    assert "its group is done again" in caplog.text
    with pytest.raises(RunnerError, match=r"3 workers died on the same group \(search, from problem 5 on\)"):
        list(runner.map(Fake(tmp_path, kills=5, always=True), pieces(8)))
    with pytest.raises(DataError, match="no such policy"):
        list(runner.map(Fake(tmp_path, kills=-2), pieces(2)))
    assert [each.rows[0] for each in runner.map(Fake(tmp_path), pieces(3))] == [0, 1, 2], "it goes on after that"
    runner.close()


def test_a_search_has_the_same_bytes_on_any_number_of_workers(runners, tmp_path: Path) -> None:
    settings = ("problems.num_train=6", "search.group_size=2", "search.num_candidates=3", "threads=1")
    config, found = load_config("embedded", settings), []
    for workers in (0, 1, 2):
        with RunDir(tmp_path / str(workers), config) as run:
            parts = Parts(config, SilentProgress(), run.log)
            parts.runner = runners(workers) if workers else None
            stages = Stages(parts, run, SilentProgress())
            stages.search(Checkpoint("embedded"), parts.problems(2), run.iteration(2))
            stages.release()
        found.append((tmp_path / str(workers) / "iterations/2/trees.jsonl").read_bytes())
    assert found[0] == found[1] == found[2]


def test_the_search_stage_has_the_same_bytes_on_any_number_of_workers(runners, tmp_path: Path) -> None:
    found = []
    for workers in (0, 1, 2, 4):
        runner = f"{{kind: ray, options: {{workers: {workers}}}}}" if workers else "{kind: local}"
        settings = ("problems.num_train=6", "search.group_size=2", "search.num_candidates=3", "threads=1")
        search_problems(
            load_config("embedded", [f"runner={runner}", *settings]), tmp_path / f"{workers}", SilentProgress()
        )
        found.append((tmp_path / f"{workers}").read_bytes())
    assert found == [found[0]] * 4
    assert found[0].count(b"\n") == 6


def test_a_benchmark_has_the_same_bytes_on_any_number_of_workers(runners, tmp_path: Path) -> None:
    found = []
    for workers in (0, 1, 2):
        runner = f"{{kind: ray, options: {{workers: {workers}}}}}" if workers else "{kind: local}"
        config = load_config("embedded", [f"runner={runner}", "evaluation.group_size=2", "threads=1"])
        benchmark = load_benchmark("arithmetic", config, 7, None)
        evaluate_policies(["embedded"], [benchmark], config, tmp_path / str(workers), SilentProgress(), search=True)
        [samples] = tmp_path.glob(f"{workers}/embedded/samples_*.jsonl")
        found.append(samples.read_bytes())
    assert found[0] == found[1] == found[2]
    assert found[0].count(b"\n") == 7
