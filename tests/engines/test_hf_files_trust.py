"""A folder from someone else names no address."""

import shutil
from importlib import resources
from pathlib import Path

import pytest

from presrm.engines.hf_files import policy_at, policy_hash
from presrm.errors import EngineError
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
