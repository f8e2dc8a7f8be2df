"""The packed trainer against a naive computation, lesson by lesson, without padding, batching or a Trainer."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM, PreTrainedModel, TrainingArguments

from presrm.config import LoraConfig, ModelConfig, ObjectiveConfig, TrainingConfig
from presrm.errors import ConfigError, NoLessonsError
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training import tokens as training_tokens
from presrm.training.objectives import Objective, make_objective
from presrm.training.packed import LessonTrainer
from presrm.training.tokens import LessonTokens
from presrm.training.trainer import PackedTrainer
from presrm.types import Checkpoint, Lesson, PreferencePair, Problem, Step, Stop, Trajectory

PROMPTS = PromptSet("compact")
CPU = ModelConfig(device="cpu", dtype="float32")
Row = dict[str, float]
ADAPTER = {"adapter_config.json", "adapter_model.safetensors", "base.json"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_pairs(num_problems: int, wrong: str = "7") -> list[PreferencePair]:
    """Trees of one, two, three, ... pairs; the last step of each ends the solution."""
    pairs = []
    for number in range(num_problems):
        prefix = Trajectory(Problem(f"p{number}", f"What is {number} + 1?"))
        for depth in range(number % 3 + 1):
            chosen, rejected = Step(f"{number} + 1 = {number + 1}\n"), Step(f"{number} + 1 = {wrong}\n" * (1 + depth))
            stop = Stop.EOS if depth == number % 3 else None
            pairs.append(PreferencePair(f"p{number}/{depth}", prefix, replace(chosen, stop=stop), rejected, 1.0))
            prefix = prefix.extend(chosen)
    return pairs


def objective(kind: str = "dpo", **options: object) -> Objective:
    return make_objective(ObjectiveConfig(kind=kind, options=options))


def tokenise(lessons: Sequence[Lesson], folder: Path, of: Objective | None = None) -> list[LessonTokens]:
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(folder))
    kept, _ = training_tokens.tokenise(lessons, of or objective(), encoder, PROMPTS, 512)
    return list(kept.values())


def load(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def naive_logp(model: PreTrainedModel, prefix: Sequence[int], step: Sequence[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([[*prefix, *step]])).logits[0]
    log_probs = log_softmax(logits, dim=-1)
    return torch.stack([log_probs[len(prefix) + i - 1, token] for i, token in enumerate(step)]).sum()


def one_step_gradients(folder: Path, tmp_path: Path, pack_tokens: int, kind: str = "dpo") -> dict[str, torch.Tensor]:
    """Gradients that the Trainer hands to the optimiser, off the reference so that pairs differ in weight."""
    pairs = tokenise(make_pairs(4), folder, objective(kind, **({"beta": 0.5} if kind == "dpo" else {})))
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    steps = [tuple(range(len(pairs)))]
    trainer = LessonTrainer(load(folder), arguments, pairs, steps, pack_tokens=pack_tokens, pad_id=1)
    trainer._frozen = {"reference": reference_of(pairs)}
    trainer.model.train()
    (step,) = iter(trainer.get_train_dataloader())
    trainer.current_gradient_accumulation_steps = 1
    trainer.training_step(trainer.model, step)
    return {name: parameter.grad for name, parameter in trainer.model.named_parameters() if parameter.grad is not None}


def reference_of(pairs: Sequence[LessonTokens]) -> torch.Tensor:
    return torch.linspace(-6, -2, sum(sum(pair.lengths) for pair in pairs))


def naive_gradients(folder: Path, kind: str = "dpo") -> dict[str, torch.Tensor]:
    model = load(folder)
    pairs = tokenise(make_pairs(4), folder)
    parts = iter(torch.split(reference_of(pairs), [length for pair in pairs for length in pair.lengths]))
    for pair in pairs:
        logps = [naive_logp(model, pair.prefix, reply) for reply in pair.replies]
        if kind == "imitation":
            loss = -logps[0] / sum(each.lengths[0] for each in pairs)
        else:
            gains = [logp - next(parts).sum() for logp in logps]
            loss = torch.log1p(torch.exp(-0.5 * (gains[0] - gains[1]))) / len(pairs)
        loss.backward()
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("kind", ["dpo", "imitation"])
@pytest.mark.parametrize("pack_tokens", [1, 100, 200, 10_000])
def test_the_gradient_is_the_naive_sum_over_the_number_of_pairs_whatever_the_packs(
    tiny_policy: Path, tmp_path: Path, pack_tokens: int, kind: str
) -> None:
    gradients = one_step_gradients(tiny_policy, tmp_path, pack_tokens, kind)

    naive = naive_gradients(tiny_policy, kind)
    assert gradients.keys() == naive.keys()
    for name, gradient in naive.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6)


def test_a_model_that_cannot_take_packs_is_trained_pair_by_pair_to_the_same_gradient(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("presrm.training.packed.accept_packs", lambda model: False)

    gradients = one_step_gradients(tiny_policy, tmp_path, 10_000)

    for name, gradient in naive_gradients(tiny_policy).items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6)


HALF = objective(beta=0.5)


def fit(
    lessons: Sequence[Lesson],
    policy: Checkpoint,
    out: Path,
    *,
    of: Objective = HALF,
    reference: Checkpoint | None = None,
    seed: int = 0,
    **options: object,
) -> tuple[Checkpoint, list[Row]]:
    rows: list[Row] = []
    settings = TrainingConfig.model_validate({"learning_rate": 3e-3, "batch_pairs": 4, **options})
    trainer = PackedTrainer(settings, of, CPU, PROMPTS, seed=seed, on_log=rows.append)
    return trainer.fit(lessons, policy, out, reference=reference), rows


def steps_of(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "loss" in row]


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_first_step_starts_at_the_reference(tiny_policy: Path, tmp_path: Path) -> None:
    pairs = make_pairs(3)

    _, rows = fit(pairs, Checkpoint(str(tiny_policy)), tmp_path / "out", batch_pairs=100)

    (row,) = steps_of(rows)
    assert row["loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert row["rewards/margins"] == pytest.approx(0, abs=1e-4)
    model = load(tiny_policy)
    logps = [naive_logp(model, ids.prefix, ids.replies[0]).item() for ids in tokenise(pairs, tiny_policy)]
    assert row["logps/chosen"] == pytest.approx(sum(logps) / len(logps), rel=1e-4)


def test_a_planted_preference_is_learned(tiny_policy: Path, tmp_path: Path) -> None:
    pairs = make_pairs(6)

    checkpoint, rows = fit(pairs, Checkpoint(str(tiny_policy)), tmp_path / "out", epochs=6)

    last = steps_of(rows)[-1]
    assert last["rewards/accuracies"] == 1.0
    assert last["rewards/margins"] > 1.0
    assert last["loss"] < 0.5
    before, after = load(tiny_policy), load(Path(checkpoint.model))
    for ids in tokenise(pairs, tiny_policy):
        margins = [
            naive_logp(m, ids.prefix, ids.replies[0]) - naive_logp(m, ids.prefix, ids.replies[1])
            for m in (before, after)
        ]
        assert margins[1] > margins[0]


def test_optimiser_steps_take_whole_trees_and_log_the_overshoot(tiny_policy: Path, tmp_path: Path) -> None:
    _, rows = fit(make_pairs(6), Checkpoint(str(tiny_policy)), tmp_path / "out", batch_pairs=4, pack_tokens=200)

    steps = steps_of(rows)
    assert sum(row["step/lessons"] for row in steps) == 12
    for row in steps:
        assert row["step/overshoot"] == max(0, row["step/lessons"] - 4)
        assert math.isfinite(row["grad_norm"])


def test_lessons_that_do_not_fit_whole_are_left_out_and_counted(tiny_policy: Path, tmp_path: Path) -> None:
    pairs = make_pairs(2)
    longest = max(len(ids) for lesson in tokenise(pairs, tiny_policy) for ids in lesson.rows)
    pairs.append(replace(pairs[0], id="long", rejected=Step("x" * longest)))

    _, rows = fit(pairs, Checkpoint(str(tiny_policy)), tmp_path / "out", max_tokens=longest, batch_pairs=100)

    assert rows[0] == {"lessons/trained": 3, "lessons/too_long": 1, "lessons/longest": longest}


def test_no_pair_that_fits_is_an_error_with_counts(tiny_policy: Path, tmp_path: Path) -> None:
    with pytest.raises(NoLessonsError, match=r"3 given, 3 longer than training\.max_tokens=3"):
        fit(make_pairs(2), Checkpoint(str(tiny_policy)), tmp_path / "out", max_tokens=3)

    assert not (tmp_path / "out").exists()


def test_equal_seeds_give_equal_bytes_and_nothing_but_policy_and_reference_is_left(
    tiny_policy: Path, tmp_path: Path
) -> None:
    policy = Checkpoint(str(tiny_policy))

    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        fit(make_pairs(6), policy, tmp_path / name, seed=seed, batch_pairs=2)

    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert hashes(tmp_path / "a")["model.safetensors"] != hashes(tmp_path / "c")["model.safetensors"]
    assert {path.name for path in (tmp_path / "a").iterdir()} == {path.name for path in tiny_policy.iterdir()}
    (reference,) = tmp_path.glob("reference-*.safetensors")
    assert set(tmp_path.iterdir()) == {reference, *(tmp_path / name for name in "abc")}


def test_a_fit_that_dies_leaves_nothing_that_looks_finished(tiny_policy: Path, tmp_path: Path) -> None:
    def die(row: Row) -> None:
        if "loss" in row:
            raise KeyboardInterrupt

    stage = PackedTrainer(TrainingConfig(), HALF, CPU, PROMPTS, seed=0, on_log=die)
    with pytest.raises(KeyboardInterrupt):
        stage.fit(make_pairs(2), Checkpoint(str(tiny_policy)), tmp_path / "out")

    assert list(tmp_path.iterdir()) == list(tmp_path.glob("reference-*.safetensors")), (
        "which the next start goes on with"
    )


def test_nothing_is_written_to_the_terminal(
    tiny_policy: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fit(make_pairs(2), Checkpoint(str(tiny_policy)), tmp_path / "out")

    assert capfd.readouterr() == ("", "")


def test_lora_trains_one_adapter_on_and_leaves_the_base_alone(tiny_policy: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    lora, base = LoraConfig(r=2, alpha=4), Checkpoint(str(tiny_policy))
    first, _ = fit(make_pairs(4), base, tmp_path / "1", lora=lora, batch_pairs=2)
    second, rows = fit(make_pairs(4), first, tmp_path / "2", lora=lora, batch_pairs=2)

    assert first == Checkpoint(str(tiny_policy), tmp_path / "1")
    assert second == Checkpoint(str(tiny_policy), tmp_path / "2")
    assert {path.name for path in (tmp_path / "2").iterdir()} == ADAPTER
    start = steps_of(rows)[0]
    model = PeftModel.from_pretrained(load(tiny_policy), tmp_path / "1")
    plain = load(tiny_policy)
    assert start["rewards/margins"] == pytest.approx(0, abs=1e-4)
    logps = [
        [naive_logp(m, ids.prefix, ids.replies[0]).item() for m in (model, plain)]
        for ids in tokenise(make_pairs(4), tiny_policy)
    ]
    assert all(adapted != original for adapted, original in logps)
    _, whole = fit(make_pairs(4), first, tmp_path / "3", lora=lora, batch_pairs=100)
    assert steps_of(whole)[0]["logps/chosen"] == pytest.approx(sum(row[0] for row in logps) / len(logps), rel=1e-4)


def test_an_adapter_of_another_rank_is_refused(tiny_policy: Path, tmp_path: Path) -> None:
    first, _ = fit(make_pairs(1), Checkpoint(str(tiny_policy)), tmp_path / "1", lora=LoraConfig(r=2, alpha=4))

    with pytest.raises(ConfigError, match="r=8"):
        fit(make_pairs(1), first, tmp_path / "2", lora=LoraConfig(r=8, alpha=4))


def test_full_training_goes_on_from_an_adapter_by_merging_it(tiny_policy: Path, tmp_path: Path) -> None:
    first, _ = fit(make_pairs(2), Checkpoint(str(tiny_policy)), tmp_path / "1", lora=LoraConfig(r=2, alpha=4))
    second, _ = fit(make_pairs(2), first, tmp_path / "2")

    assert second == Checkpoint(str(tmp_path / "2"))
    assert isinstance(load(tmp_path / "2"), LlamaForCausalLM)


def test_gradient_checkpointing_changes_no_result(tiny_policy: Path, tmp_path: Path) -> None:
    lora = LoraConfig(r=2, alpha=4)
    for name, checkpointing in (("a", False), ("b", True)):
        fit(
            make_pairs(3),
            Checkpoint(str(tiny_policy)),
            tmp_path / name,
            lora=lora,
            gradient_checkpointing=checkpointing,
        )

    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_imitation_raises_the_chosen_steps(tiny_policy: Path, tmp_path: Path) -> None:
    _, rows = fit(make_pairs(4), Checkpoint(str(tiny_policy)), tmp_path / "out", of=objective("imitation"), epochs=3)

    steps = steps_of(rows)
    assert steps[-1]["logps/imitated"] > steps[0]["logps/imitated"]
    assert "rewards/margins" not in steps[0]


def test_the_reference_is_computed_once_for_the_same_weights_and_pairs(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, pairs = Checkpoint(str(tiny_policy)), make_pairs(3)
    _, first = fit(pairs, policy, tmp_path / "first")
    (stored,) = tmp_path.glob("reference-*.safetensors")
    monkeypatch.setattr(LessonTrainer, "score", lambda trainer, model: pytest.fail("computed again"))

    _, again = fit(pairs, policy, tmp_path / "again")
    _, other = fit(pairs, policy, tmp_path / "other", of=objective(beta=0.1))

    assert steps_of(again)[0]["loss"] == steps_of(first)[0]["loss"]
    assert steps_of(other)[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert list(tmp_path.glob("reference-*.safetensors")) == [stored]
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        fit(make_pairs(4), policy, tmp_path / "more")


@pytest.mark.parametrize(
    "of",
    [objective("ipo", beta=0.5), objective(beta=0.5, label_smoothing=0.1), objective(beta=0.5, weight="margin")],
    ids=str,
)
def test_every_loss_learns_a_planted_preference(tiny_policy: Path, tmp_path: Path, of: Objective) -> None:
    _, rows = fit(make_pairs(6), Checkpoint(str(tiny_policy)), tmp_path / "out", epochs=4, of=of)

    steps = steps_of(rows)
    assert steps[-1]["rewards/margins"] > steps[0]["rewards/margins"]
    assert steps[-1]["loss"] < steps[0]["loss"]
