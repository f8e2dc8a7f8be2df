"""The plan of a run: what it would do, and what it would refuse."""

import json
from pathlib import Path

import pytest

from presrm.assembly.plan import Planned, plan
from presrm.assembly.runs import train
from presrm.config import load_config
from presrm.errors import DataError, RequestError
from presrm.methods.parts import SilentProgress


def test_the_plan_names_every_stage_and_loads_no_policy() -> None:
    rows = plan(load_config("embedded", ["problems.num_train=5", "problems.num_held_out=5", "model.id=/nowhere"]))
    stages = [row.stage for row in rows]
    assert stages[0] == "policy"
    assert {"M2: search", "M2: judge", "M2: train", "M2: assess", "M4: assess"} <= set(stages)


def test_tokens_read_and_written_are_counted_by_hand() -> None:
    overrides = ["problems.num_train=5", "problems.num_held_out=7", "search.num_candidates=3", "search.max_steps=2"]
    overrides += ["search.max_step_tokens=10", "judge.max_tokens=4", "evaluation.max_tokens=11"]
    overrides += ["evaluation.num_judge_problems=0", "watch.num_problems=0"]
    rows = {row.stage: row for row in plan(load_config("embedded", overrides))}
    assert rows["M2: search"].num_written == 5 * 2 * 3 * 10, "problems, steps, candidates, tokens of a step"
    assert rows["M2: judge"].num_written == 5 * 2 * 6 * 4, "every two candidates in both orders"
    assert rows["M1: assess"].num_written == 7 * 11
    assert rows["M1: assess"].work == {"load": 1, "answer": 7, "draw": 0, "judge": 0, "question": 0}
    assert rows["M2: search"].work == {"draw": 5}
    assert rows["M2: train"].work == {"load": 2, "lesson": 5}
    watched = [*overrides[:-2], "evaluation.num_judge_problems=4", "watch.num_problems=3", "watch.num_rejudged=64"]
    judged = {row.stage: row.work for row in plan(load_config("embedded", watched))}
    assert judged["M1: assess"] == {"load": 1, "answer": 7, "draw": 4 + 3, "judge": 3, "question": 4 + 4 + 2 * 3}
    assert judged["M2: assess"]["question"] == 4 + 2 * 4 + 2 * 3 + 5 * 2, "the judge before, and the siblings of M1"
    assert rows["M2: judge"].num_read > rows["M2: search"].num_read > 5 * 2 * 10
    direct = {row.stage: row for row in plan(load_config("embedded", [*overrides, "judge.verdict=direct"]))}
    assert direct["M2: judge"].num_written == 5 * 2 * 6
    assert direct["M2: judge"].num_read < rows["M2: judge"].num_read, "what questions share is read once"


def test_the_settings_of_the_paper_are_planned_on_files_of_ones_own(tmp_path: Path) -> None:
    rows = [
        {"source": "cn_k12", "problem": f"What is {n} + {n}?", "solution": f"It is \\boxed{{{2 * n}}}."}
        for n in range(30)
    ]
    for name, some in (("numina", rows[:24]), ("math", rows[24:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    overrides = [f"problems.train=numina:{tmp_path}/numina.jsonl", f"problems.held_out=math:{tmp_path}/math.jsonl"]

    found = {row.stage: (row.what, row.amount) for row in plan(load_config("paper-7b", overrides))}

    assert found["policy"] == ("Qwen/Qwen2.5-Math-7B", "bfloat16 on auto")
    assert found["M1: seed stage"] == ("numina:numina-steps.jsonl, perturbed", "28889 + 2090")
    assert found["M4: judge"][0] == "pairwise, explained"
    assert found["M4: train"][0] == "dpo"


def test_the_settings_of_the_paper_name_what_cannot_be_had_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(DataError, match=r"from the Hub .* pass a local file: math:PATH"):
        plan(load_config("paper-7b"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.engine=hff", "unknown engine 'hff'; did you mean 'hf'"),
        ("model.engine_options.x=1", "unknown key 'model.engine_options.x'"),
        ("judge.kind=pairwse", "unknown judge 'pairwse'; did you mean 'pairwise'"),
        ("judge.options.x=1", "unknown key 'judge.options.x'"),
        ("judge.votes=3", "set judge.temperature above 0"),
        ("method.kind=presrn", "unknown method 'presrn'; did you mean 'presrm'"),
        ("method.options.x=1", "unknown key 'method.options.x'"),
        ("search.kind=bream", "unknown searcher 'bream'; did you mean 'beam'"),
        ("search.options.max_rollback=1", "did you mean 'search.options.max_rollbacks'"),
        ("splitter=newlne", "unknown splitter 'newlne'; did you mean 'newline'"),
        ("splitter_options.x=1", "unknown key 'splitter_options.x'"),
        ("prompts=papr", "did you mean 'paper'"),
        ("evaluation.grader=gsm9k", "unknown grader 'gsm9k'; did you mean 'gsm8k'"),
        ("problems.train_options.x=1", "unknown key 'problems.train_options.x'"),
        ("problems.held_out_options.x=1", "unknown key 'problems.held_out_options.x'"),
        ("model.id=http://host/v1#name", "its weights cannot be trained"),
    ],
)
def test_what_a_run_would_refuse_the_plan_refuses(tmp_path: Path, override: str, message: str) -> None:
    config = load_config("embedded", [override])

    with pytest.raises(RequestError, match=message):
        plan(config)
    with pytest.raises(RequestError, match=message):
        train(config, tmp_path / "run", SilentProgress())
    assert not (tmp_path / "run").exists()


def test_a_method_that_learns_to_judge_labels_and_draws_judgements() -> None:
    overrides = ["problems.num_train=5", "problems.num_held_out=7", "search.num_candidates=3", "search.max_steps=2"]
    overrides += ["search.max_step_tokens=10", "judge.max_tokens=4", "evaluation.max_tokens=11"]

    def planned(*settings: str) -> dict[str, Planned]:
        return {row.stage: row for row in plan(load_config("embedded-spct", [*overrides, *settings]))}

    rows = planned()
    assert "M2: search" not in rows
    assert rows["M2: label"].num_written == 5 * 2 * 3 * 10, "problems, steps, candidates, tokens of a step"
    assert rows["M2: judge"].num_written == 5 * 2 * 2 * 3 * 4, "both orders after each step, each drawn thrice"
    assert planned("judge_problems.labels=perturbed")["M2: label"].num_written == 0
    rollouts = planned("judge_problems.labels=rollouts", "judge_problems.num_completions=4")["M2: label"]
    assert rollouts.num_written == 5 * (1 + 3 * 4) * 11, "a solution, the question, and a binary search over two steps"
