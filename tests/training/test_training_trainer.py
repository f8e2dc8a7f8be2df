"""The packed trainer against a naive computation, lesson by lesson, without padding, batching or a Trainer."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch.nn.functional import log_softmax
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedModel,
    TrainingArguments,
)

from presrm.config import LoraConfig, ModelConfig, ObjectiveConfig, TrainingConfig
from presrm.errors import ConfigError, DivergedError, NoLessonsError, RunError
from presrm.files import spool
from presrm.files.lock import lock_beside
from presrm.files.spool import Spool
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training import packed
from presrm.training import tokens as training_tokens
from presrm.training.objectives import Objective, make_objective
from presrm.training.packed import LessonTrainer
from presrm.training.tokens import LessonTokens
from presrm.training.trainer import PackedTrainer
from presrm.types import Attempt, Checkpoint, Demonstration, Lesson, PreferencePair, Problem, Step, Stop, Trajectory

PROMPTS = PromptSet("compact")
CPU = ModelConfig(device="cpu", dtype="float32")
Row = dict[str, float]
TOKENIZER = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
ADAPTER = {"adapter_config.json", "adapter_model.safetensors", "base.json"} | TOKENIZER
ADAPTER |= {"generation_config.json", "README.md"}


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
    trainer = LessonTrainer(load(folder), arguments, pairs, steps, pack_tokens=pack_tokens)
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
    monkeypatch.setattr("presrm.training.packed.accept_packs", lambda model, longest: False)

    gradients = one_step_gradients(tiny_policy, tmp_path, 10_000)

    for name, gradient in naive_gradients(tiny_policy).items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6)


def pairs_trainer(folder: Path, tmp_path: Path) -> LessonTrainer:
    """A trainer of one optimiser step, with as many tokens in a pack as it likes."""
    pairs = tokenise(make_pairs(4), folder)
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    return LessonTrainer(load(folder), arguments, pairs, [tuple(range(len(pairs)))], pack_tokens=10_000)


@pytest.mark.parametrize("packs", [True, False])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_a_step_so_that_every_lesson_counts_once_and_none_is_idle(
    tiny_policy: Path, tmp_path: Path, world: int, packs: bool
) -> None:
    trainer = pairs_trainer(tiny_policy, tmp_path)
    step = range(len(trainer.lessons))
    shares: list[list[Any]] = []
    for rank in range(world):
        trainer.accelerator = SimpleNamespace(num_processes=world, process_index=rank)
        shares.append(trainer._share(step, packs))

    counted = [
        [(i, share) for micro in micros for i, share in zip(micro["indices"], micro["shares"], strict=True) if share]
        for micros in shares
    ]
    assert sorted(i for of_process in counted for i, _ in of_process) == [*step]
    assert all(counted)
    assert {share for of_process in counted for _, share in of_process} == {world / len(step)}
    assert len({len(micros) for micros in shares}) == 1, "as many micro-batches in each, as collectives have to meet"
    assert all(("pack" in micro) is packs for micros in shares for micro in micros)


def test_what_only_fills_up_comes_into_no_mean(tiny_policy: Path, tmp_path: Path) -> None:
    trainer = pairs_trainer(tiny_policy, tmp_path)
    trainer._observe({"seen": torch.tensor([3.0, 5.0]), "step/sum": torch.tensor([1.0, 2.0])}, torch.tensor([0.5, 0.0]))
    trainer._observe({"seen": torch.tensor([7.0])}, torch.tensor([0.5]))
    trainer._observe({"never": torch.tensor([9.0])}, torch.tensor([0.0]))
    assert trainer._summarise() == {"seen": 5.0, "step/sum": 1.0, "step/lessons": 2.0}


@pytest.mark.parametrize("packs", [True, False])
def test_tokens_of_every_id_are_scored_packed_or_lesson_by_lesson(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packs: bool
) -> None:
    if not packs:
        monkeypatch.setattr("presrm.training.packed.accept_packs", lambda model, longest: False)
    model = load(tiny_policy)
    reply = tuple(range(model.config.vocab_size))
    lessons = [LessonTokens(objective("imitation"), (5, 6, 7), (reply,))]
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = LessonTrainer(model, arguments, lessons, [(0,)], pack_tokens=10_000)

    scored = trainer.score(trainer.model)

    assert scored.shape == (len(reply),)
    torch.testing.assert_close(scored.sum(), naive_logp(load(tiny_policy), (5, 6, 7), reply), rtol=1e-4, atol=1e-3)


def test_packs_are_tried_at_the_length_of_the_longest_lesson(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr("presrm.training.packed.accept_packs", lambda model, longest: tried.append(longest))
    lessons = [LessonTokens(objective("imitation"), (5, 6), (tuple(range(10, 10 + num)),)) for num in (3, 9, 5)]
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    LessonTrainer(load(tiny_policy), arguments, lessons, [(0, 1, 2)], pack_tokens=100)
    assert tried == [11]


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
    names = {path.name for path in (tmp_path / "a").iterdir()}
    assert names == {"README.md", *(path.name for path in tiny_policy.iterdir())}
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


@pytest.mark.parametrize("damage", ["flipped", "torn", "empty", "another"])
def test_a_stored_reference_that_was_changed_is_computed_anew(
    tiny_policy: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy, pairs = Checkpoint(str(tiny_policy)), make_pairs(2)
    _, first = fit(pairs, policy, tmp_path / "first")
    (stored,) = tmp_path.glob("reference-*.safetensors")
    data = stored.read_bytes()
    another = save({"reference": torch.zeros(3)})
    changed = {"flipped": data[:-2] + bytes([data[-2] ^ 64]) + data[-1:], "torn": data[:-9], "empty": b""}
    stored.write_bytes(changed.get(damage, another))

    _, again = fit(pairs, policy, tmp_path / "again")

    assert f"{stored} is not what was written there: it is computed anew" in caplog.text
    assert steps_of(again) == steps_of(first)
    assert stored.read_bytes() == data


@pytest.mark.parametrize("damage", ["shorter", "named", "not-finite", "wide", "two-dimensional"])
def test_a_stored_reference_of_another_shape_is_computed_anew_whatever_its_name_says(
    tiny_policy: Path, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy, pairs = Checkpoint(str(tiny_policy)), make_pairs(2)
    _, first = fit(pairs, policy, tmp_path / "first")
    (stored,) = tmp_path.glob("reference-*.safetensors")
    (logps_M,) = load_file(stored).values()
    other = {
        "shorter": {"reference": logps_M[:-1]},
        "named": {"start": logps_M},
        "not-finite": {"reference": logps_M / 0},
        "wide": {"reference": logps_M.double()},
        "two-dimensional": {"reference": logps_M[None]},
    }
    data = save(other[damage])
    planted = tmp_path / f"{stored.stem.rpartition('-')[0]}-{sha256(data).hexdigest()[:16]}.safetensors"
    stored.rename(planted)
    planted.write_bytes(data)

    _, again = fit(pairs, policy, tmp_path / "again")

    assert f"{planted} is not what was written there: it is computed anew" in caplog.text
    assert steps_of(again) == steps_of(first)
    assert list(tmp_path.glob("reference-*.safetensors")) == [stored]


def test_a_policy_has_one_writer_and_no_link_is_followed(tiny_policy: Path, tmp_path: Path) -> None:
    with lock_beside(tmp_path / "out"), pytest.raises(RunError, match=r"process \d+ on .* is working on .*out; wait"):
        fit(make_pairs(1), Checkpoint(str(tiny_policy)), tmp_path / "out")
    for name in ("out", ".out.partial"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(tmp_path / "mine")
        with pytest.raises(RunError, match=f"{name} is a symbolic link"):
            fit(make_pairs(1), Checkpoint(str(tiny_policy)), tmp_path / "out")
        (tmp_path / name).unlink()
    assert list((tmp_path / "mine").iterdir()) == []


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


def policy_with(
    folder: Path, out: Path, change: Callable[[PreTrainedModel], None] | None = None, **settings: Any
) -> Path:
    """A copy of a policy with other settings, and perhaps other weights."""
    config = AutoConfig.from_pretrained(folder, **settings)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=torch.float32)
    if change is not None:
        with torch.no_grad():
            change(model)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(folder).save_pretrained(out)
    return out


def demonstrations(num: int) -> list[Demonstration]:
    reply = Step("#### 4\n", stop=Stop.EOS)
    return [
        Demonstration(f"d{n}", Trajectory(Problem(f"p{n}", f"Is {n} right?")), reply, weight=1.0 + n)
        for n in range(num)
    ]


def test_a_tie_is_no_accuracy(tiny_policy: Path, tmp_path: Path) -> None:
    _, rows = fit(make_pairs(3), Checkpoint(str(tiny_policy)), tmp_path / "out", batch_pairs=100)

    assert steps_of(rows)[0]["rewards/accuracies"] == 0.0


@pytest.mark.parametrize("kind", ["dpo", "ipo"])
def test_margins_weigh_the_loss_of_their_pairs(tiny_policy: Path, tmp_path: Path, kind: str) -> None:
    margins = [1.0, 0.25, 0.5, 0.125]
    pairs = [replace(pair, margin=margin) for pair, margin in zip(make_pairs(3), margins, strict=False)]
    start = {"dpo": math.log(2), "ipo": 1.0}[kind]

    for weight, mean in (("margin", sum(margins[: len(pairs)]) / len(pairs)), ("equal", 1.0)):
        of = objective(kind, beta=0.5, weight=weight)
        _, rows = fit(pairs, Checkpoint(str(tiny_policy)), tmp_path / weight, of=of, batch_pairs=100)
        assert steps_of(rows)[0]["loss"] == pytest.approx(mean * start, rel=1e-4)


def test_dropout_is_off_while_the_reference_is_computed(tiny_policy: Path, tmp_path: Path) -> None:
    policy = policy_with(tiny_policy, tmp_path / "policy", attention_dropout=0.5)
    pairs = make_pairs(2)

    fit(pairs, Checkpoint(str(policy)), tmp_path / "out", batch_pairs=100)

    (stored,) = tmp_path.glob("reference-*.safetensors")
    lessons, model = tokenise(pairs, tiny_policy), load(tiny_policy)
    parts = torch.split(load_file(stored)["reference"], [n for lesson in lessons for n in lesson.lengths])
    naive = [naive_logp(model, lesson.prefix, reply).item() for lesson in lessons for reply in lesson.replies]
    assert [part.sum().item() for part in parts] == pytest.approx(naive, rel=1e-4)


def test_dropout_is_off_while_a_model_in_training_is_scored(tiny_policy: Path, tmp_path: Path) -> None:
    model = load(policy_with(tiny_policy, tmp_path / "policy", attention_dropout=0.5))
    lessons = tokenise(make_pairs(2), tiny_policy)
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = LessonTrainer(model, arguments, lessons, [], pack_tokens=1000)
    model.train()

    parts = torch.split(trainer.score(model), [length for lesson in lessons for length in lesson.lengths])

    plain = load(tiny_policy)
    naive = [naive_logp(plain, lesson.prefix, reply).item() for lesson in lessons for reply in lesson.replies]
    assert [part.sum().item() for part in parts] == pytest.approx(naive, rel=1e-4)


@pytest.mark.parametrize("packs", [True, False])
def test_a_model_whose_rotary_factors_depend_on_the_length_is_trained_as_if_each_lesson_were_alone(
    tiny_policy: Path, tmp_path: Path, packs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = [max(map(len, lesson.rows)) for lesson in tokenise(make_pairs(4), tiny_policy)]
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [8.0] * 4,
        "original_max_position_embeddings": sorted(longest)[len(longest) // 2],
    }
    policy = policy_with(tiny_policy, tmp_path / "policy", rope_parameters=rope)
    if not packs:
        monkeypatch.setattr("presrm.training.packed.accept_packs", lambda model, longest: False)

    gradients = one_step_gradients(policy, tmp_path, 10_000)

    for name, gradient in naive_gradients(policy).items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("pack_tokens", [1, 10_000])
def test_mixed_lessons_have_each_its_objective_over_its_own_number(
    tiny_policy: Path, tmp_path: Path, pack_tokens: int
) -> None:
    pairs, shown = make_pairs(2), demonstrations(3)
    lessons = [shown[0], *pairs, *shown[1:]]

    _, rows = fit(lessons, Checkpoint(str(tiny_policy)), tmp_path / "out", batch_pairs=100, pack_tokens=pack_tokens)

    (row,) = steps_of(rows)
    model, tokens = load(tiny_policy), tokenise(shown, tiny_policy)
    naive = [-each.weight * naive_logp(model, each.prefix, each.replies[0]).item() for each in tokens]
    imitated = sum(naive) / sum(each.lengths[0] for each in tokens)
    assert row["step/loss/dpo"] == pytest.approx(math.log(2), rel=1e-4)
    assert row["step/loss/imitation"] == pytest.approx(imitated, rel=1e-4)
    assert row["loss"] == pytest.approx(math.log(2) + imitated, rel=1e-4)
    assert row["step/lessons"] == len(lessons)


def test_lessons_that_an_objective_does_not_learn_from_are_refused(tiny_policy: Path, tmp_path: Path) -> None:
    attempt = Attempt("a", Trajectory(Problem("p", "?")), Step("7"), 1.0, "p")

    with pytest.raises(ConfigError, match="'dpo' learns from PreferencePair, not from Attempt"):
        fit([attempt], Checkpoint(str(tiny_policy)), tmp_path / "out")
    with pytest.raises(ConfigError, match="'policy-gradient' learns from Attempt, not from PreferencePair"):
        fit(make_pairs(1), Checkpoint(str(tiny_policy)), tmp_path / "out", of=objective("policy-gradient"))


@pytest.mark.parametrize("lora", [None, LoraConfig(r=2, alpha=4)])
def test_another_policy_may_be_the_reference(tiny_policy: Path, tmp_path: Path, lora: LoraConfig | None) -> None:
    pairs, first = make_pairs(3), Checkpoint(str(tiny_policy))
    second, _ = fit(pairs, first, tmp_path / "2", lora=lora)

    _, rows = fit(pairs, second, tmp_path / "3", reference=first, lora=lora, batch_pairs=100)
    _, same = fit(pairs, second, tmp_path / "4", reference=second, lora=lora, batch_pairs=100)

    before, lessons = load(tiny_policy), tokenise(pairs, tiny_policy)
    reference = sum(naive_logp(before, each.prefix, each.replies[0]).item() for each in lessons) / len(lessons)
    row = steps_of(rows)[0]
    assert row["rewards/chosen"] == pytest.approx(0.5 * (row["logps/chosen"] - reference), rel=1e-3, abs=1e-3)
    assert row["rewards/margins"] > 0.1
    assert steps_of(same)[0]["rewards/margins"] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.1])
def test_policy_gradient_makes_rewarded_attempts_likelier_and_counts_what_tells_nothing(
    tiny_policy: Path, tmp_path: Path, beta: float
) -> None:
    def attempt(number: int, text: str, reward: float | None) -> Attempt:
        return Attempt(
            f"{number}/{text}", Trajectory(Problem(f"p{number}", f"{number} + 1?")), Step(text), reward, f"p{number}"
        )

    tried = [
        attempt(n, text, reward) for n in range(3) for text, reward in (("yes\n", 1.0), ("no\n", 0.0), ("?\n", None))
    ]
    tried += [attempt(9, text, 1.0) for text in ("yes\n", "no\n")]
    of = objective("policy-gradient", beta=beta)

    checkpoint, rows = fit(tried, Checkpoint(str(tiny_policy)), tmp_path / "out", of=of, epochs=4)

    assert {name: rows[0][f"lessons/{name}"] for name in ("trained", "no_reward", "no_spread")} == {
        "trained": 6,
        "no_reward": 3,
        "no_spread": 2,
    }
    assert ("kl" in steps_of(rows)[-1]) == (beta > 0)
    before, after = load(tiny_policy), load(Path(checkpoint.model))
    gains = [
        [naive_logp(model, lesson.prefix, lesson.replies[0]).item() for model in (before, after)]
        for lesson in tokenise(tried, tiny_policy, of)
    ]
    rewarded, others = ([after - before for before, after in gains[start::2]] for start in (0, 1))
    assert all(more > less for more, less in zip(rewarded, others, strict=True))


def test_training_stops_at_the_first_number_that_is_not_finite_and_writes_nothing(
    tiny_policy: Path, tmp_path: Path
) -> None:
    rows: list[Row] = []
    settings = TrainingConfig(learning_rate=1e30, batch_pairs=1, epochs=3)
    trainer = PackedTrainer(settings, HALF, CPU, PROMPTS, seed=0, on_log=rows.append)

    with pytest.raises(
        DivergedError, match=r"optimiser step 2 of .* learning rate 1e\+30 in float32; .*lower the learn"
    ):
        trainer.fit(make_pairs(4), Checkpoint(str(tiny_policy)), tmp_path / "out")

    assert list(tmp_path.iterdir()) == list(tmp_path.glob("reference-*.safetensors"))
    assert [math.isfinite(value) for row in rows for value in row.values()].count(False) == 0


def test_weights_that_the_last_step_ruined_are_not_saved(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LessonTrainer, "train", lambda self: ruin(self.model))

    with pytest.raises(DivergedError, match="the policy that was trained holds weights that are not finite"):
        fit(make_pairs(1), Checkpoint(str(tiny_policy)), tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


@torch.no_grad()
def ruin(model: PreTrainedModel) -> None:
    model.get_input_embeddings().weight[0, 0] = math.nan


def enlarge(model: PreTrainedModel) -> None:
    model.model.norm.weight.fill_(3e38)


def test_a_ruined_policy_is_named_when_it_is_loaded_for_training(tiny_policy: Path, tmp_path: Path) -> None:
    ruined = Checkpoint(str(policy_with(tiny_policy, tmp_path / "ruined", ruin)))

    for policy, reference in ((ruined, None), (Checkpoint(str(tiny_policy)), ruined)):
        with pytest.raises(DivergedError, match=r"ruined' holds weights that are not finite.*too high a rate"):
            fit(make_pairs(1), policy, tmp_path / "out", reference=reference)

    assert list(tmp_path.iterdir()) == [tmp_path / "ruined"]


def test_a_reference_that_is_not_finite_is_named_and_not_kept(tiny_policy: Path, tmp_path: Path) -> None:
    huge = Checkpoint(str(policy_with(tiny_policy, tmp_path / "huge", enlarge)))

    for policy, reference in ((huge, None), (Checkpoint(str(tiny_policy)), huge)):
        with pytest.raises(DivergedError, match=r"gives \d+ of \d+ tokens a log-probability that is not finite"):
            fit(make_pairs(1), policy, tmp_path / "out", reference=reference)

    assert list(tmp_path.iterdir()) == [tmp_path / "huge"]


def gpt2_of(tiny_policy: Path, out: Path, num_positions: int) -> Path:
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=num_positions, n_embd=32, n_layer=2, n_head=4)
    GPT2LMHeadModel(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    return out


def test_lessons_beyond_the_positions_of_the_model_are_left_out(tiny_policy: Path, tmp_path: Path) -> None:
    pairs = make_pairs(3)
    lengths = [max(map(len, lesson.rows)) for lesson in tokenise(pairs, tiny_policy)]
    longest = sorted(lengths)[len(lengths) // 2]
    fitting = sum(length <= longest for length in lengths)
    assert 0 < fitting < len(pairs)
    rotary = policy_with(tiny_policy, tmp_path / "rotary", max_position_embeddings=longest)

    for policy in (gpt2_of(tiny_policy, tmp_path / "gpt2", longest), rotary):
        _, rows = fit(pairs, Checkpoint(str(policy)), tmp_path / "out")
        assert rows[0] == {
            "lessons/trained": fitting,
            "lessons/too_long": len(pairs) - fitting,
            "lessons/longest": longest,
        }
        with pytest.raises(NoLessonsError, match="longer than the 9 tokens that the model reads"):
            fit(pairs, Checkpoint(str(gpt2_of(tiny_policy, tmp_path / "short", 9))), tmp_path / "none")


def test_every_lesson_is_told_as_it_is_scored_and_trained_on(tiny_policy: Path, tmp_path: Path) -> None:
    told: dict[str, list[int | None]] = {}

    @contextmanager
    def stage(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
        told[name] = [total]
        yield told[name].append

    settings = TrainingConfig(learning_rate=3e-3, batch_pairs=4, epochs=2, pack_tokens=64)
    pairs = make_pairs(3)
    PackedTrainer(settings, HALF, CPU, PROMPTS, seed=0, stage=stage).fit(
        pairs, Checkpoint(str(tiny_policy)), tmp_path / "out"
    )
    (scored_total, *scored), (trained_total, *trained) = (told[name] for name in sorted(told))
    assert (scored_total, sum(filter(None, scored))) == (len(pairs), len(pairs))
    assert (trained_total, sum(filter(None, trained))) == (2 * len(pairs), 2 * len(pairs))
    assert len(trained) > 3, "more often than once an optimiser step"


def test_lessons_on_disk_make_what_lessons_in_memory_make(
    tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = make_pairs(6)
    fit(pairs, Checkpoint(str(tiny_policy)), tmp_path / "held")
    monkeypatch.setattr(spool, "MOST_HELD", 2)
    fit(Spool(PreferencePair, pairs), Checkpoint(str(tiny_policy)), tmp_path / "on-disk")

    both = [tmp_path / name / "model.safetensors" for name in ("held", "on-disk")]
    assert len({sha256(path.read_bytes()).hexdigest() for path in both}) == 1


def test_lessons_are_scored_a_few_at_a_time(tiny_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = tokenise(make_pairs(6), tiny_policy)
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = LessonTrainer(load(tiny_policy), arguments, pairs, [tuple(range(len(pairs)))], pack_tokens=200)
    whole = trainer.score(trainer.model)
    laid_out, share = [], LessonTrainer._share
    monkeypatch.setattr(packed, "_SCORED_AT_ONCE", 5)
    monkeypatch.setattr(
        LessonTrainer, "_share", lambda trainer, few, packs: laid_out.append(list(few)) or share(trainer, few, packs)
    )

    assert torch.allclose(trainer.score(trainer.model), whole, atol=1e-5)
    assert laid_out == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]
    laid_out.clear()
    some = trainer.score(trainer.model, lessons=range(3, 9))
    assert laid_out == [[3, 4, 5, 6, 7], [8]]
    start, end = trainer._ends[3], trainer._ends[9]
    assert torch.allclose(some[start:end], whole[start:end], atol=1e-5)
    assert not some[:start].any()
    assert not some[end:].any()
