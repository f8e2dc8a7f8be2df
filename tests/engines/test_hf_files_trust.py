"""A folder from someone else names no address, and no weights but its own."""

import json
import shutil
from importlib import resources
from pathlib import Path

import pytest
from safetensors import safe_open

from presrm.engines.hf_files import policy_at, policy_hash
from presrm.engines.hf_loading import load_policy
from presrm.errors import EngineError, PresrmError
from presrm.types import Checkpoint


@pytest.mark.parametrize("model", ["http://host/v1#m", " HTTPS://host#m", "ftp://x"])
def test_an_address_as_the_base_of_an_adapter_is_refused(tmp_path: Path, model: str) -> None:
    (tmp_path / "base.json").write_text(f'{{"model": "{model}", "sha256": null}}')
    with pytest.raises(EngineError, match=r"base\.json names an address") as caught:
        policy_at(str(tmp_path))
    assert "host" not in str(caught.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "chat_template.jinja", "config.json", "model.safetensors"])
def test_a_policy_is_known_by_all_that_decides_what_it_says(tmp_path: Path, name: str) -> None:
    shutil.copytree(str(resources.files("presrm") / "embedded"), tmp_path / "policy")
    policy = Checkpoint(str(tmp_path / "policy"))
    before = policy_hash(policy)
    assert before is not None
    with (tmp_path / "policy" / name).open("a") as file:
        file.write(" ")
    assert policy_hash(policy) not in (None, before)


def sharded(tiny_policy: Path, folder: Path, shard: str = "part.safetensors") -> Path:
    """The tiny policy with an index that names all of its weights."""
    shutil.copytree(tiny_policy, folder)
    names = safe_open(folder / "model.safetensors", "pt").keys()
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, shard)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_weights_in_several_files_are_read(tiny_policy: Path, tmp_path: Path) -> None:
    folder = sharded(tiny_policy, tmp_path / "model")
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {"a": "../elsewhere.bin"}}')  # never read
    load_policy(Checkpoint(str(folder)), device="cpu")


@pytest.mark.parametrize(
    "shard",
    [
        "part.bin",
        "../part.safetensors",
        "sub/part.safetensors",
        "/etc/passwd",
        "part.safetensors/../x.pt",
        "",
        7,
        None,
        [],
    ],
)
def test_an_index_that_names_other_files_is_refused(tiny_policy: Path, tmp_path: Path, shard: object) -> None:
    folder = sharded(tiny_policy, tmp_path / "model", shard)
    with pytest.raises(
        EngineError, match=r"index\.json names .* as weights; only \.safetensors files of the same folder"
    ):
        load_policy(Checkpoint(str(folder)), device="cpu")


@pytest.mark.parametrize(
    "name", ["adapter_model.bin", "../model.safetensors", "weights.pt", 7, ["a.bin"], {"a": "b.bin"}]
)
def test_a_config_that_names_other_weights_is_refused(tiny_policy: Path, tmp_path: Path, name: object) -> None:
    shutil.copytree(tiny_policy, tmp_path / "model")
    path = tmp_path / "model/config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"transformers_weights": name}))
    with pytest.raises(EngineError, match=r"config\.json names .* as weights"):
        load_policy(Checkpoint(str(tmp_path / "model")), device="cpu")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors.index.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"weight_map": 3}', "\x00" * 99])
def test_a_damaged_folder_is_told_in_one_line(tiny_policy: Path, tmp_path: Path, file: str, content: str) -> None:
    folder = sharded(tiny_policy, tmp_path / "model") if "index" in file else tmp_path / "model"
    if "index" not in file:
        shutil.copytree(tiny_policy, folder)
    (folder / file).write_text(content)
    with pytest.raises(PresrmError) as caught:
        load_policy(Checkpoint(str(folder)), device="cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
