"""Groups that are worked elsewhere: the same bytes, whoever does them, and one process that writes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from in_process import Killed, Next, Stopped

from presrm.assembly import evaluation
from presrm.assembly import parts as assembled
from presrm.assembly.engines import open_engine
from presrm.assembly.evaluation import evaluate_policies, load_benchmark, load_examples
from presrm.assembly.judges import make_judge
from presrm.assembly.parts import Parts
from presrm.assembly.problem_parts import make_splitter
from presrm.assembly.searching import search_problems
from presrm.assembly.workers import JudgeElsewhere, make_runner
from presrm.config import Config, RunnerConfig, load_config
from presrm.errors import ConfigError, UnknownNameError
from presrm.files.ledger import Ledger
from presrm.files.run import RunDir
from presrm.groups import seconds_spent
from presrm.judging.recording import RecordingEngine
from presrm.judging.solutions import judge_file
from presrm.methods.parts import SilentProgress
from presrm.methods.stages import Stages
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Judge, silent_stage
from presrm.types import Checkpoint

POLICY = Checkpoint("embedded")


def config_of(**options: object) -> Config:
    settings = {
        "problems.num_train": 5,
        "problems.num_held_out": 5,
        "search.group_size": 2,
        "search.num_candidates": 3,
        "evaluation.group_size": 2,
        "evaluation.max_tokens": 60,
        "evaluation.num_judge_problems": 4,
        "threads": 1,
    }
    return load_config("embedded", [f"{key}={value}" for key, value in (settings | options).items()])


def work(folder: Path, runner: object, config: Config, policy: Checkpoint = POLICY) -> dict[str, bytes]:
    """Search and answer in a run folder; gives its files, and what was asked of the judge."""
    with RunDir(folder, config) as run:
        parts = Parts(config, SilentProgress(), run.log)
        parts.runner = runner
        stages, iteration = Stages(parts, run, SilentProgress()), run.iteration(2)
        stages.search(policy, parts.problems(2), iteration)
        stages.answers(policy, iteration)
        health = stages.health(policy, iteration)
        stages.release()
        asked = sorted((call.prompt, call.reply, call.seed, call.policy, call.stage) for call in run.ledger.calls())
        names = ("trees.jsonl", "answers.jsonl", "siblings.jsonl")
        files = {name: (iteration.path / name).read_bytes() for name in names}
        return {**files, "asked": repr(asked).encode(), "health": repr(health).encode()}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return work(tmp_path_factory.mktemp("run") / "here", None, config_of())


@pytest.mark.parametrize(("num", "deaths"), [(1, 0), (3, 0), (2, 1)])
def test_the_same_bytes_whoever_does_the_groups(num: int, deaths: int, here: dict[str, bytes], tmp_path: Path) -> None:
    runner = Next(num, deaths)
    assert work(tmp_path / "run", runner, config_of()) == here
    assert len(here["asked"]) > 100
    assert [(item.stage, item.start, len(item.problems)) for item in runner.done] == [
        *(("search", start, num) for start, num in ((0, 1), (1, 2), (3, 2))),
        *(("answers", start, num) for start, num in ((0, 1), (1, 2), (3, 2))),
        *(("siblings", start, num) for start, num in ((0, 1), (1, 2), (3, 1))),
        *(("watch", start, num) for start, num in ((0, 1), (1, 2), (3, 2))),
        *(("health", 0, 0) for item in runner.done if item.stage == "health"),
    ]
    asked = [len(item.given[0]) for item in runner.done if item.stage == "health"]
    assert max(asked) == 2
    assert len(asked) > 10


def test_a_killed_driver_resumes_at_the_group_that_it_had_not_written(here: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(Killed):
        work(tmp_path / "run", Stopped(), config_of())
    runner = Next()
    assert work(tmp_path / "run", runner, config_of())["trees.jsonl"] == here["trees.jsonl"]
    assert [item.start for item in runner.done if item.stage == "search"] == [1, 3]


@pytest.mark.parametrize("is_ledger_lost", [False, True])
def test_the_health_of_a_judge_resumes_where_it_was_unless_its_verdicts_are_lost(
    is_ledger_lost: bool, here: dict[str, bytes], tmp_path: Path
) -> None:
    killed = Stopped(14)
    with pytest.raises(Killed):
        work(tmp_path / "run", killed, config_of())
    assert [item.stage for item in killed.done][-4:] == ["watch", "watch", "health", "health"]
    if is_ledger_lost:
        for path in (tmp_path / "run").glob("ledger.sqlite*"):
            path.unlink()
    runner = Next()
    found = work(tmp_path / "run", runner, config_of())
    assert {item.stage for item in runner.done} == ({"watch", "health"} if is_ledger_lost else {"health"})
    assert found["health"] == here["health"]


def test_metrics_count_what_workers_did(tmp_path: Path) -> None:
    config = config_of()
    work(tmp_path / "run", Next(2), config)
    work(tmp_path / "here", None, config)
    rows = {
        name: [line for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines() if "expansions" in line]
        for name in ("run", "here")
    }
    [there], [ours] = ([json.loads(line) for line in lines] for lines in rows.values())
    for name in ("tokens_read", "tokens_generated", "tokens_recalled", "expansions"):
        assert there[name] == ours[name] > 0


@pytest.mark.parametrize("labels", ["checker", "rollouts", "agreement"])
def test_steps_are_labelled_and_judgements_drawn_elsewhere(tmp_path: Path, labels: str) -> None:
    config = config_of(**{"judge_problems.labels": labels, "judge_problems.num_completions": 2, "judge.max_tokens": 24})
    kinds = ("labelled.jsonl", "judge_problems.jsonl", "traces.jsonl")

    def made(folder: Path, runner: Next | None) -> tuple[list[bytes], list[object]]:
        with RunDir(folder, config) as run:
            parts = Parts(config, SilentProgress(), run.log)
            parts.runner = runner
            stages, iteration = Stages(parts, run, SilentProgress()), run.iteration(2)
            stages.trace(POLICY, stages.judge_problems(POLICY, iteration)[:3], iteration)
            stages.release()
            asked = sorted((call.prompt, call.reply, call.seed, call.policy, call.stage) for call in run.ledger.calls())
            return [(iteration.path / name).read_bytes() for name in kinds], asked

    runner = Next(2)
    files, asked = made(tmp_path / "there", runner)
    assert (files, asked) == made(tmp_path / "here", None)
    done = [(item.stage, item.start, len(item.problems)) for item in runner.done]
    assert done[:3] == [("label", start, num) for start, num in ((0, 1), (1, 2), (3, 2))]
    assert {stage for stage, *_ in done[3:]} == {"trace"}
    assert bool(asked) == (labels == "agreement")


def searched(folder: Path, runner: object) -> tuple[bytes, list[object]]:
    """Search as `presrm search` does: trees, and what was asked of the judge."""
    folder.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembled, "make_runner", lambda settings: runner)
        search_problems(config_of(), folder / "trees.jsonl", SilentProgress())
    with Ledger(folder / "trees.jsonl.ledger.sqlite", read_only=True) as ledger:
        asked = sorted((call.prompt, call.reply, call.seed, call.policy, call.stage) for call in ledger.calls())
    return (folder / "trees.jsonl").read_bytes(), asked


def test_the_search_stage_has_the_bytes_of_a_run_whoever_does_it(here: dict[str, bytes], tmp_path: Path) -> None:
    expected = searched(tmp_path / "here", None)
    assert expected[0] == here["trees.jsonl"]
    assert len(expected[1]) > 10
    for num, deaths in ((2, 1), (4, 0)):
        runner = Next(num, deaths)
        assert searched(tmp_path / f"there-{num}", runner) == expected
        assert [(item.stage, item.start, len(item.problems)) for item in runner.done] == [
            ("search", start, num) for start, num in ((0, 1), (1, 2), (3, 2))
        ]
    with pytest.raises(Killed):
        searched(tmp_path / "killed", Stopped(2))
    runner = Next(2)
    assert searched(tmp_path / "killed", runner) == expected
    assert [item.start for item in runner.done] == [1, 3]


def test_a_file_is_judged_elsewhere_with_the_same_bytes_and_calls(tmp_path: Path) -> None:
    config = config_of(**{"judge.kind": "pointwise", "judge.verdict": "direct"})
    rows = [{"question": f"What is {n} + 2?", "solution": f"{n} + 2 = {n + 2}\n#### {n + 2}"} for n in range(5)]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found, splitter = {}, make_splitter("newline")
    for name, runner in (("here", None), ("there", Next(2, 1))):
        with Ledger(tmp_path / f"{name}.sqlite") as ledger, open_engine(POLICY, config.model) as engine:

            @contextmanager
            def open_judge(engine: Engine = engine, ledger: Ledger = ledger) -> Iterator[Judge]:
                prompts = PromptSet(config.prompts)
                with RecordingEngine(
                    engine, ledger, policy="embedded", stage="judge-steps", template_hash=prompts.hash
                ) as recording:
                    yield make_judge(config.judge, recording, prompts)

            elsewhere = None if runner is None else JudgeElsewhere(runner, config, POLICY, ledger)
            out = tmp_path / f"{name}.jsonl"
            spent = partial(seconds_spent, engine) if elsewhere is None else elsewhere.spent
            judge_file(
                source, out, open_judge, splitter, {}, silent_stage, group_size=2, spent=spent, elsewhere=elsewhere
            )
            found[name] = out.read_bytes(), sorted((call.prompt, call.reply, call.stage) for call in ledger.calls())
    assert found["there"] == found["here"]
    assert len(found["here"][1]) == 10


def solved(folder: Path, runner: object, config: Config, **how: object) -> tuple[bytes, dict[str, object]]:
    """Have ten held-out problems solved as `presrm eval` does: samples, and results without the clock and versions."""
    benchmark = load_benchmark("arithmetic", config, 10, None)
    if how.pop("shots", False):
        shown = load_examples("arithmetic", 2, benchmark, config, SilentProgress())
        how["examples"] = {benchmark.source: shown}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "make_runner", lambda settings: runner)
        evaluate_policies(["embedded"], [benchmark], config, folder, SilentProgress(), **how)
    [samples] = folder.glob("embedded/samples_*.jsonl")
    results = json.loads((folder / "embedded/results.json").read_text())
    del results["config"]
    for entry in results["results"].values():
        del entry["seconds"]
    return samples.read_bytes(), results


@pytest.mark.parametrize("how", [{"shots": True}, {"num_samples": 2}, {"search": True}])
def test_a_benchmark_is_solved_elsewhere_with_the_same_rows(how: dict[str, object], tmp_path: Path) -> None:
    config = config_of()
    expected = solved(tmp_path / "here", None, config, **how)
    for num, deaths in ((1, 0), (2, 1)):
        runner = Next(num, deaths)
        assert solved(tmp_path / f"there-{num}", runner, config, **how) == expected
        places = [(item.stage, item.start, len(item.problems)) for item in runner.done]
        assert places == [("eval", 0, 1), *(("eval", start, 2) for start in (1, 3, 5, 7)), ("eval", 9, 1)]
    [entry] = expected[1]["results"].values()
    assert entry["tokens_generated,none"] > 0
    assert len({row["doc_id"] for row in map(json.loads, expected[0].splitlines())}) == 10


def test_a_benchmark_resumes_behind_the_groups_that_were_written(tmp_path: Path) -> None:
    config = config_of()
    with pytest.raises(Killed):
        solved(tmp_path / "there", Stopped(3), config)
    runner = Next(2)
    assert solved(tmp_path / "there", runner, config) == solved(tmp_path / "here", None, config)
    assert [item.start for item in runner.done] == [3, 5, 7, 9]


def test_an_unknown_runner_and_a_wrong_option_are_named() -> None:
    with pytest.raises(UnknownNameError, match="unknown runner 'rya'; did you mean 'ray'"):
        make_runner(RunnerConfig(kind="rya"))
    assert make_runner(RunnerConfig()) is None
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=r"runner\.options\.worker"):
        make_runner(RunnerConfig(kind="ray", options={"worker": 2}))
    with pytest.raises(ConfigError, match=r"runner\.options\.workers"):
        make_runner(RunnerConfig(kind="ray", options={"workers": 0}))
