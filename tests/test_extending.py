"""What docs/extending.md says of names, flags and groups is so; its code runs from the command line, too."""

import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from presrm.cli import main
from presrm.config import shipped_configs

PAGE = (Path(__file__).parent.parent / "docs/extending.md").read_text("utf-8")
ROWS = re.findall(r"^\| ([a-z ]+?) \| (.+?) \| (.+?) \| .+? \| `(presrm\.\w+)` \|", PAGE, re.MULTILINE)
REGISTRIES = {"presrm.objectives": "presrm.training.objectives:OBJECTIVES"}
SAID = re.compile(r"```console\n(.*?)```", re.DOTALL)


def test_the_table_has_a_row_of_every_family() -> None:
    assert [row[0] for row in ROWS] == (
        "splitter,judge,searcher,engine,problem set,method,objective,grader,checker".split(",")
    )


@pytest.mark.parametrize(("part", "flag", "key", "group"), ROWS)
def test_groups_and_keys_are_as_the_table_says(part: str, flag: str, key: str, group: str) -> None:
    place = REGISTRIES.get(group, f"{group}:{group.rpartition('.')[2].upper()}")
    module, _, name = place.partition(":")
    registry = getattr(import_module(module), name)
    assert registry.kind == part
    assert registry._group == group
    if key.startswith("`"):
        from presrm.config import fields

        assert key.strip("`") in dict(fields())


@pytest.fixture
def my_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The code of the page, but for what it checks and runs, as the file of a user."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    parts = re.split(r"^(?=\S)", code, flags=re.MULTILINE)
    kept = [part for part in parts if re.match(r"import |from |class |def ", part)]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text("".join(kept))
    rows = [{"question": "2 + 3?", "solution": "Add them.\n2 + 3 = 6\n#### 6", "label": 1}]
    (tmp_path / "solutions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def run(command: str) -> int:
    import shlex

    with pytest.raises(SystemExit) as ended:
        main(shlex.split(command.removeprefix("$ presrm ")))
    return int(ended.value.code or 0)


COMMANDS = [
    line
    for block in SAID.findall(PAGE)
    for line in block.splitlines()
    if line.startswith("$ presrm ") and "train" not in line
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_run_with_its_code(my_parts: Path, command: str) -> None:
    if command.startswith("$ presrm solve"):
        command += " --engine my.py:Guesser"
    assert run(command) == 0


def test_the_training_of_the_page_runs_with_a_judge_of_a_package(my_parts: Path) -> None:
    [command] = [
        line for block in SAID.findall(PAGE) for line in block.splitlines() if line.startswith("$ presrm train")
    ]
    (my_parts / "my_package").mkdir()
    code = (my_parts / "my.py").read_text().replace("ArithJudge", "MyJudge")
    (my_parts / "my_package/judges.py").write_text(code)
    (my_parts / "mine.yaml").write_text(shipped_configs()["embedded"])
    few = "num_train=4 --set problems.num_held_out=2 --set evaluation.num_judge_problems=2 --set watch.num_problems=0"
    assert run(f"{command} --iterations 1 --set search.temperature=1.5 --set threads=1 --set problems.{few}") == 0
    [trees] = my_parts.glob("runs/*/iterations/2/trees.jsonl")
    assert "no sum to check" in trees.read_text()


def test_the_judge_of_the_page_does_not_empty_a_card(my_parts: Path) -> None:
    assert run("$ presrm judge-steps solutions.jsonl --judge my.py:ArithJudge") == 0
    [row] = map(json.loads, (my_parts / "solutions.judged.jsonl").read_text().splitlines())
    assert row["first_error"] == 1
    card = json.loads((my_parts / "solutions.judged.jsonl.card.json").read_text())
    assert card["erroneous"]["value"] == 1
