"""What a run would do, told without doing it."""

from presrm.config import load_config
from presrm.dry_run import plan


def test_the_plan_names_every_stage_and_loads_no_policy() -> None:
    rows = plan(load_config("embedded", ["problems.num_train=5", "problems.num_held_out=5", "model.id=/nowhere"]))
    stages = [stage for stage, _, _ in rows]
    assert stages[0] == "policy"
    assert {"M2: search", "M2: judge", "M2: train", "M2: assess", "M4: assess"} <= set(stages)
