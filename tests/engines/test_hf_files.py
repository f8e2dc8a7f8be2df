"""The hash of a policy's weights: what tells two apart that were trained to the same place."""

import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from shutil import copytree

import pytest

from presrm.engines.hf_files import policy_at, weights_hash
from presrm.errors import RequestError
from presrm.types import Checkpoint


def write(folder: Path, name: str, content: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    return folder


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    write(tmp_path / "policy", "config.json", "{}")
    return write(tmp_path / "policy", "model.safetensors", "1")


def test_one_file_has_its_own_hash_and_several_that_of_their_listing(policy: Path) -> None:
    one, two = (sha256(text).hexdigest() for text in (b"1", b"2"))
    assert weights_hash(Checkpoint(str(policy))) == one
    write(policy, "more.safetensors", "2")
    listing = f"{one}  model.safetensors\n{two}  more.safetensors\n"
    assert weights_hash(Checkpoint(str(policy))) == sha256(listing.encode()).hexdigest()


def test_other_weights_at_the_same_place_have_another(policy: Path) -> None:
    before = weights_hash(Checkpoint(str(policy)))
    write(policy, "config.json", '{"a": 1}')
    assert weights_hash(Checkpoint(str(policy))) == before
    write(policy, "model.safetensors", "other")
    assert weights_hash(Checkpoint(str(policy))) not in (None, before)


def test_an_adapter_and_its_base_count_both(policy: Path, tmp_path: Path) -> None:
    adapter = write(tmp_path / "adapter", "adapter_model.safetensors", "a")
    found = {weights_hash(Checkpoint(str(policy))), weights_hash(Checkpoint(str(policy), adapter))}
    write(adapter, "adapter_model.safetensors", "longer")
    found.add(weights_hash(Checkpoint(str(policy), adapter)))
    write(policy, "model.safetensors", "longer")
    found.add(weights_hash(Checkpoint(str(policy), adapter)))
    assert len(found) == 4
    assert None not in found


def test_what_is_no_file_here_has_none(policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "hub/models--somebody--tiny/snapshots/c0ffee"
    copytree(policy, snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for model in ("somebody/tiny", "http://localhost:8000/v1#name", "mine://x", str(tmp_path / "gone.gguf")):
        assert weights_hash(Checkpoint(model)) is None


def test_a_run_is_no_model_and_its_last_policy_is_named(tmp_path: Path) -> None:
    for number in (2, 9, 10):
        (tmp_path / f"run/iterations/{number}/policy").mkdir(parents=True)
    with pytest.raises(RequestError, match=r"is a run, not a model: its last policy is .*iterations/10/policy$"):
        policy_at(str(tmp_path / "run"))
    assert policy_at(str(tmp_path)) == Checkpoint(str(tmp_path))


def test_it_loads_no_torch() -> None:
    code = (
        "import sys; from presrm.engines.hf_files import weights_hash; from presrm.types import Checkpoint;"
        "sys.exit(weights_hash(Checkpoint('embedded')) is None or bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
