"""What a run would do, told without doing it."""

import json
from pathlib import Path

import pytest

from presrm.assembly.plan import plan
from presrm.config import load_config
from presrm.errors import DataError


def test_the_plan_names_every_stage_and_loads_no_policy() -> None:
    rows = plan(load_config("embedded", ["problems.num_train=5", "problems.num_held_out=5", "model.id=/nowhere"]))
    stages = [stage for stage, _, _ in rows]
    assert stages[0] == "policy"
    assert {"M2: search", "M2: judge", "M2: train", "M2: assess", "M4: assess"} <= set(stages)


def test_the_settings_of_the_paper_are_planned_on_files_of_ones_own(tmp_path: Path) -> None:
    rows = [
        {"source": "cn_k12", "problem": f"What is {n} + {n}?", "solution": f"It is \\boxed{{{2 * n}}}."}
        for n in range(30)
    ]
    for name, some in (("numina", rows[:24]), ("math", rows[24:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    overrides = [f"problems.train=numina:{tmp_path}/numina.jsonl", f"problems.held_out=math:{tmp_path}/math.jsonl"]

    found = {stage: (what, amount) for stage, what, amount in plan(load_config("paper-7b", overrides))}

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
