"""What a training leaves behind loads without presrm, and names no path of this machine."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from peft import AutoPeftModelForCausalLM
from transformers import AutoModelForCausalLM, AutoTokenizer

from presrm.config import LoraConfig, ModelConfig, ObjectiveConfig, TrainingConfig
from presrm.engines.hf_files import policy_at
from presrm.engines.hf_loading import load_policy
from presrm.prompts import PromptSet
from presrm.prompts.encoding import CHATML
from presrm.training.merging import merge_adapter
from presrm.training.objectives import make_objective
from presrm.training.saving import Card, _way_from_here, render_card
from presrm.training.trainer import PackedTrainer
from presrm.types import Checkpoint, Demonstration, PreferencePair, Problem, Step, Trajectory

IDS = torch.tensor([[1, 5, 9, 4]])


def pairs(first: int, num: int) -> list[PreferencePair]:
    return [
        PreferencePair(
            f"{n}", Trajectory(Problem(f"p{n}", f"{n} + 1?")), Step(f"{n} + 1 = {n + 1}\n"), Step(f"{n} + 1 = 7\n"), 1.0
        )
        for n in range(first, first + num)
    ]


def fit(folder: Path, out: Path, lora: LoraConfig | None, rows: list | None = None, **model: str) -> Checkpoint:
    trainer = PackedTrainer(
        TrainingConfig(learning_rate=0.01, lora=lora, batch_pairs=2),
        make_objective(ObjectiveConfig()),
        ModelConfig(device="cpu", dtype="float32", **model),
        PromptSet("compact"),
        seed=0,
        on_log=None if rows is None else rows.append,
        held_out=pairs(10, 3),
        facts={"lessons": "my | pairs\n.jsonl"},
    )
    return trainer.fit(pairs(0, 6), Checkpoint(str(folder)), out)


@pytest.fixture
def here(tiny_policy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_policy.parent)


@pytest.fixture
def adapter(tiny_policy: Path, tmp_path: Path, here: None) -> Path:
    fit(tiny_policy, tmp_path / "adapter", LoraConfig(r=2, alpha=4))
    return tmp_path / "adapter"


def logits(model: torch.nn.Module) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        return model(input_ids=IDS).logits


def test_an_adapter_loads_by_peft_alone_and_is_what_presrm_loads(adapter: Path) -> None:
    ours, tokenizer = load_policy(policy_at(str(adapter)), device="cpu", dtype="float32")
    assert torch.equal(logits(AutoPeftModelForCausalLM.from_pretrained(adapter)), logits(ours))
    theirs = AutoTokenizer.from_pretrained(adapter)
    assert theirs.chat_template == tokenizer.chat_template
    assert theirs("1 + 1?")["input_ids"] == tokenizer("1 + 1?")["input_ids"]
    assert json.loads((adapter / "generation_config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id


def test_a_model_loads_by_transformers_alone(tiny_policy: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    fit(tiny_policy, out, None)
    ours, _ = load_policy(Checkpoint(str(out)), device="cpu", dtype="float32")
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(out)), logits(ours))
    assert AutoTokenizer.from_pretrained(out).chat_template


def test_nothing_names_a_path_of_this_machine(tiny_policy: Path, adapter: Path, tmp_path: Path) -> None:
    fit(tiny_policy, tmp_path / "model", None)
    for path in [*adapter.iterdir(), *(tmp_path / "model").iterdir()]:
        assert str(tiny_policy).encode() not in path.read_bytes(), path.name
        assert str(tmp_path).encode() not in path.read_bytes(), path.name


def test_an_adapter_that_moves_with_its_base_finds_it(tiny_policy: Path, tmp_path: Path) -> None:
    from shutil import copytree

    copytree(tiny_policy, tmp_path / "here/base")
    fit(tmp_path / "here/base", tmp_path / "here/adapter", LoraConfig(r=2, alpha=4))
    (tmp_path / "here").rename(tmp_path / "there")
    policy = policy_at(str(tmp_path / "there/adapter"))
    assert Path(policy.model) == tmp_path / "there/base"
    load_policy(policy, device="cpu")


def test_the_embedded_policy_keeps_its_name(tmp_path: Path) -> None:
    fit("embedded", tmp_path / "adapter", LoraConfig(r=2, alpha=4))
    assert json.loads((tmp_path / "adapter/base.json").read_text())["model"] == "embedded"
    AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter")


def test_the_chat_template_that_was_trained_with_is_saved(tiny_policy: Path, tmp_path: Path, here: None) -> None:
    fit(tiny_policy, tmp_path / "adapter", LoraConfig(r=2, alpha=4), chat_template="chatml")
    assert AutoTokenizer.from_pretrained(tmp_path / "adapter").chat_template == CHATML


def test_plain_text_is_no_chat_template(tiny_policy: Path, tmp_path: Path) -> None:
    fit(tiny_policy, tmp_path / "model", None, chat_template="plain")
    assert AutoTokenizer.from_pretrained(tmp_path / "model").chat_template.startswith("{% for message in messages %}<|")


def test_merged_it_is_one_model_that_says_the_same(tiny_policy: Path, adapter: Path, tmp_path: Path) -> None:
    policy = policy_at(str(adapter))
    merge_adapter(policy, tmp_path / "whole", "float32")
    ours, _ = load_policy(policy, device="cpu", dtype="float32")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    assert torch.allclose(logits(merged), logits(ours), atol=1e-4)
    base, _ = load_policy(Checkpoint(str(tiny_policy)), device="cpu", dtype="float32")
    assert not torch.allclose(logits(merged), logits(base), atol=1e-2)
    assert AutoTokenizer.from_pretrained(tmp_path / "whole").chat_template
    assert "AutoModelForCausalLM" in (tmp_path / "whole/README.md").read_text()
    merge_adapter(policy, tmp_path / "half", "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "half", dtype="auto").dtype == torch.bfloat16


def test_the_card_says_base_lessons_settings_and_figures(adapter: Path) -> None:
    _, front, body = (adapter / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front) == {"library_name": "peft", "tags": ["presrm", "self-rewarding", "lora"]}
    assert "# An adapter on tiny_policy" in body
    assert "6 lessons of 6 problems" in body
    assert r"| lessons | my \| pairs .jsonl |" in body
    assert json.loads((adapter / "base.json").read_text())["sha256"] in body
    settings = yaml.safe_load(body.partition("```yaml\n")[2].partition("```")[0])
    options = {"weight": "equal", "beta": 0.1, "label_smoothing": 0.0, "rpo_alpha": 0.0}
    assert settings["objective"] == {"kind": "dpo", "options": options}
    assert settings["training"]["lora"]["r"] == 2
    assert "held out: loss | 0.6931 |" in body


def test_the_card_of_an_adapter_on_a_gguf_says_how_peft_finds_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/tiny.gguf").write_bytes(b"GGUF")
    card = render_card(Card("6 pairs", {}, "compact"), Checkpoint("base/tiny.gguf"), (), is_adapter=True)
    assert 'AutoPeftModelForCausalLM.from_pretrained("FOLDER", gguf_file="tiny.gguf")' in card
    assert _way_from_here("base/tiny.gguf") == "base"


def test_a_last_step_of_demonstrations_alone_leaves_the_figures_of_the_pairs(tiny_policy: Path, tmp_path: Path) -> None:
    """As in replay: a step with no pair logs no margin."""
    demonstrations = [Demonstration(f"d{n}", pair.prefix, pair.chosen) for n, pair in enumerate(pairs(20, 6))]
    steps: list[dict[str, float]] = []
    trainer = PackedTrainer(
        TrainingConfig(learning_rate=0.01, batch_pairs=2, shuffle="trees"),
        make_objective(ObjectiveConfig()),
        ModelConfig(device="cpu", dtype="float32"),
        PromptSet("compact"),
        seed=0,
        on_log=steps.append,
    )
    trainer.fit([*pairs(0, 3), *demonstrations], Checkpoint(str(tiny_policy)), tmp_path / "out")
    margins = [row["rewards/margins"] for row in steps if "rewards/margins" in row]
    assert 0 < len(margins) < len(steps)
    row = f"| rewards/margins, a step's mean | {margins[0]:.4g} | {margins[-1]:.4g} |"
    assert row in (tmp_path / "out/README.md").read_text()


def test_lessons_held_out_are_measured_before_and_after(tiny_policy: Path, tmp_path: Path) -> None:
    rows: list[dict[str, float]] = []
    fit(tiny_policy, tmp_path / "model", None, rows)
    last = rows[-1]
    assert last["held_out/before/loss"] == pytest.approx(0.693147, abs=1e-5)
    assert last["held_out/after/loss"] < last["held_out/before/loss"]

    before, _ = load_policy(Checkpoint(str(tiny_policy)), device="cpu", dtype="float32")
    after, tokenizer = load_policy(Checkpoint(str(tmp_path / "model")), device="cpu", dtype="float32")
    for name, model in (("before", before), ("after", after)):
        margins = [margin(model, tokenizer, pair) for pair in pairs(10, 3)]
        assert last[f"held_out/{name}/margin"] == pytest.approx(sum(margins) / 3, abs=1e-3)
        assert last[f"held_out/{name}/accuracy"] == pytest.approx(sum(each > 0 for each in margins) / 3)


def margin(model: torch.nn.Module, tokenizer: object, pair: PreferencePair) -> float:
    """How much likelier the chosen step is than the other, worked out token by token."""
    from presrm.prompts.encoding import PromptEncoder

    encoder = PromptEncoder(tokenizer)
    prompt = encoder.encode(PromptSet("compact").solve(pair.prefix))
    sums = []
    for step in (pair.chosen, pair.rejected):
        ids = encoder.step(step)
        with torch.no_grad():
            logps = torch.log_softmax(model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0], -1)
        sums.append(sum(float(logps[len(prompt) + i - 1, token]) for i, token in enumerate(ids)))
    return sums[0] - sums[1]
