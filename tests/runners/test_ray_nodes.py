"""Two Ray nodes on this machine, one of which is lost while a search runs."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from presrm.assembly.parts import Parts
from presrm.config import load_config
from presrm.files.run import RunDir
from presrm.methods.parts import SilentProgress
from presrm.methods.stages import Stages
from presrm.runners.work import Done, Open, Work
from presrm.types import Checkpoint

pytestmark = pytest.mark.slow
ray = pytest.importorskip("ray")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head and a second node, with room for one worker each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "600")  # on a machine with much else to do
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    node = {"num_cpus": 1, "object_store_memory": 10**8}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    try:
        cluster.second = cluster.add_node(**node)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


@dataclass(frozen=True)
class Where:
    """Says on which node work is done."""

    @contextmanager
    def __call__(self) -> Iterator[Callable[[Work], Done]]:
        node = ray.get_runtime_context().get_node_id()
        yield lambda work: Done([node])


class Losing:
    """A runner that loses the second node of its cluster with the third result."""

    def __init__(self, runner: Any, cluster: Any) -> None:
        self.runner, self.cluster = runner, cluster
        self.num = 0

    def map(self, worker: Open, work: Iterable[Work]) -> Iterator[Done]:
        for done in self.runner.map(worker, work):
            self.num += 1
            if self.num == 3:
                self.cluster.remove_node(self.cluster.second, allow_graceful=False)
            yield done


def search(folder: Path, runner: Any) -> bytes:
    settings = ("problems.num_train=8", "search.group_size=1", "search.num_candidates=3", "threads=1")
    config = load_config("embedded", settings)
    with RunDir(folder, config) as run:
        parts = Parts(config, SilentProgress(), run.log)
        parts.runner = runner
        stages = Stages(parts, run, SilentProgress())
        stages.search(Checkpoint("embedded"), parts.problems(2), run.iteration(2))
        stages.release()
    return (folder / "iterations/2/trees.jsonl").read_bytes()


def test_two_nodes_search_with_the_bytes_of_one_process_though_one_is_lost(cluster: Any, tmp_path: Path) -> None:
    from presrm.runners.ray import RayRunner

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    runner = RayRunner(address=cluster.address, workers=2)
    work = [Work("search", 2, start=start) for start in range(40)]
    seen: set[str] = set()
    while len(seen) < 2:  # a worker is given work as soon as it is up
        seen |= {node for done in runner.map(Where(), work) for node in done.rows}
    losing = Losing(runner, cluster)
    there = search(tmp_path / "there", losing)
    assert losing.num == there.count(b"\n") > 4
    assert there == search(tmp_path / "here", None)
    assert sum(node["Alive"] for node in ray.nodes()) == 1
    runner.close()
