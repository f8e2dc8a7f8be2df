"""A run is bound to the content of what its config names."""

import json
import shutil
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from presrm.assembly.inputs import hash_inputs, hash_judging
from presrm.config import Config, load_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(str(resources.files("presrm") / "embedded"), tmp_path / "model")
    shutil.copytree(Path(__file__).parents[2] / "prompts" / "compact", tmp_path / "prompts")
    (tmp_path / "template.jinja").write_text("{{ messages }}")
    for name in ("train", "test", "ift", "eft", "judged", "replayed"):
        row = {"question": f"{name}: 1 + 1?", "answer": "2", "solution": "2"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


def settings(folder: Path) -> Config:
    return load_config(
        None,
        [
            f"model.id={folder}/model",
            f"model.tokenizer={folder}/model",
            f"model.chat_template={folder}/template.jinja",
            f"prompts={folder}/prompts",
            f"problems.train=jsonl:{folder}/train.jsonl",
            f"problems.held_out={folder}/test.jsonl",
            f"seed_stage={{ift: {folder}/ift.jsonl, eft: rows, eft_path: {folder}/eft.jsonl}}",
            f"judge_problems={{labels: rows, path: {folder}/judged.jsonl}}",
            f"policies.replay_from={folder}/replayed.jsonl",
            f"judge.options={{nested: [{folder}/train.jsonl]}}",
        ],
    )


def test_every_source_that_is_replayed_is_bound(folder: Path) -> None:
    replayed, judged = f"{folder}/replayed.jsonl", f"judge:{folder}/judged.jsonl"
    before = hash_inputs(load_config(None, [f"policies.replay_from={{{replayed}: 3, {judged}: 1}}"]))
    append("judged.jsonl")(folder)
    after = hash_inputs(load_config(None, [f"policies.replay_from={{{judged}: 1, {replayed}: 3}}"]))

    bound = {f"policies.replay_from.{source}" for source in (judged, replayed)}
    assert {key for key in before if key.startswith("policies")} == bound
    changed = [key for key in before if before[key] != after[key]]
    assert changed == [f"policies.replay_from.{judged}"], "whatever the order"


def append(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).open("a").write(" ")  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("model/model.safetensors", {"model.id", "model.tokenizer"}),
        ("model/tokenizer.json", {"model.id", "model.tokenizer"}),
        ("model/chat_template.jinja", {"model.id", "model.tokenizer"}),
        ("model/config.json", {"model.id", "model.tokenizer"}),
        ("template.jinja", {"model.chat_template"}),
        ("prompts/solve.jinja", {"prompts"}),
        ("judged.jsonl", {"judge_problems.path"}),
        ("replayed.jsonl", {"policies.replay_from.REPLAYED"}),
        ("train.jsonl", {"problems.train", "judge.options.nested.0"}),
        ("test.jsonl", {"problems.held_out"}),
        ("ift.jsonl", {"seed_stage.ift"}),
        ("eft.jsonl", {"seed_stage.eft_path"}),
    ],
)
def test_every_path_is_bound(folder: Path, name: str, keys: set[str]) -> None:
    before = hash_inputs(settings(folder))
    append(name)(folder)
    after = hash_inputs(settings(folder))
    changed = {key.replace(f"{folder}/replayed.jsonl", "REPLAYED") for key in before if before[key] != after[key]}
    assert changed == keys
    assert before.keys() == after.keys()


def test_judgements_are_bound_to_the_content_of_what_the_judge_reads(folder: Path) -> None:
    members = [{"kind": "prm", "options": {"model": f"{folder}/model"}}, {"kind": "callable", "options": {}}]
    config = load_config(None, ["judge.kind=jury", f"judge.options={json.dumps({'judges': members})}"])
    before = hash_judging(config)
    append("model/model.safetensors")(folder)
    after = hash_judging(config)
    assert {key for key in before if before[key] != after[key]} == {"judge.options.judges.0.options.model_sha256"}


def test_names_and_addresses_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gsm8k").mkdir()
    config = load_config(None, ["model.id=org/name", "problems.train=gsm8k", "problems.held_out=gsm8k"])
    assert hash_inputs(config) == {}
    assert hash_inputs(load_config(None, ["model.id=http://host/v1#m"])) == {}
