"""Policy gradient against the real GRPOTrainer of TRL, on the same attempts and in float32."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, TrainingArguments

from presrm.config import ObjectiveConfig
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.training.objectives import make_objective
from presrm.training.packed import LessonTrainer
from presrm.training.tokens import LessonTokens, tokenise
from presrm.types import Attempt, Problem, Step, Stop, Trajectory

trl = pytest.importorskip("trl")
REWARDS = {"p0": (1.0, 0.0, 0.25, 0.5), "p1": (0.0, 0.0, 1.0, 0.0)}
LONGEST = 24


def attempts() -> list[Attempt]:
    """Two groups of four, the second and the last of each alike; some end, some end for their step."""
    made = []
    for name, rewards in REWARDS.items():
        prefix = Trajectory(Problem(name, f"What is {name[1]} + 12?"))
        for i, reward in enumerate(rewards):
            completion = Step("12 + " + "1" * (2 if i == 3 else i + 1), stop=Stop.EOS if i % 2 else Stop.MAX_STEPS)
            made.append(Attempt(f"{name}/{i}", prefix, completion, reward, name))
    return made


def load(folder: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def gradients_of(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def frozen_of(lessons: list[LessonTokens], shift: float) -> list[torch.Tensor]:
    """Log-probabilities near those of the policy, so that some ratios are clipped on either side and some are not."""
    drift = torch.Generator().manual_seed(round(10 * shift))
    return [0.4 * torch.randn(each.lengths[0], generator=drift) + shift for each in lessons]


def pad(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)


def theirs(
    folder: Path, out: Path, lessons: list[LessonTokens], options: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor], list[torch.Tensor]]:
    rewards = [reward for of in REWARDS.values() for reward in of]

    def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
        prompt_ids, completion_ids = (
            [list(each.prefix) for each in lessons],
            [list(each.replies[0]) for each in lessons],
        )
        return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}

    arguments = trl.GRPOConfig(
        str(out),
        use_cpu=True,
        bf16=False,
        report_to=[],
        disable_tqdm=True,
        gradient_checkpointing=False,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=LONGEST,
        temperature=1.0,
        **options,
    )
    trainer = trl.GRPOTrainer(
        load(folder),
        lambda completions, **_: rewards,
        arguments,
        train_dataset=Dataset.from_dict({"prompt": [name for name in REWARDS for _ in range(4)]}),
        processing_class=AutoTokenizer.from_pretrained(folder),
        rollout_func=rollout,
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._generate_and_score_completions([{"prompt": name} for name in REWARDS for _ in range(4)])
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    with torch.no_grad():
        logps, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, mask, batch["completion_ids"].size(1)
        )
    rows = [row[: each.lengths[0]] for row, each in zip(logps, lessons, strict=True)]
    start = [row + drift for row, drift in zip(rows, frozen_of(lessons, 0.0), strict=True)]
    reference = [row + drift for row, drift in zip(rows, frozen_of(lessons, 0.1), strict=True)]
    batch |= {"old_per_token_logps": pad(start), "ref_per_token_logps": pad(reference)}
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    return loss.detach(), batch["advantages"], gradients_of(trainer.model), [torch.cat(start), torch.cat(reference)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("loss_type", ["grpo", "dapo", "dr_grpo"])
@pytest.mark.parametrize("scale", ["group", "none"])
@pytest.mark.parametrize(("high", "beta", "corrected"), [(0.2, 0.0, True), (0.28, 0.04, True), (0.28, 0.04, False)])
def test_advantages_loss_and_gradients_are_those_of_grpo_trainer(
    tiny_policy: Path, tmp_path: Path, loss_type: str, scale: str, high: float, beta: float, corrected: bool
) -> None:
    options = {"loss_type": loss_type, "scale_rewards": scale, "epsilon": 0.2, "epsilon_high": high, "beta": beta}
    options["use_bias_correction_kl"] = corrected
    length = {"max_completion_length": LONGEST} if loss_type == "dr_grpo" else {}
    objective = make_objective(ObjectiveConfig(kind="policy-gradient", options={**options, **length}))
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(tiny_policy))
    lessons = list(tokenise(attempts(), objective, encoder, PromptSet("compact"), 512)[0].values())
    their_loss, their_advantages, their_gradients, (start, reference) = theirs(
        tiny_policy, tmp_path / "theirs", lessons, options
    )

    arguments = TrainingArguments(str(tmp_path / "ours"), use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = LessonTrainer(load(tiny_policy), arguments, lessons, [tuple(range(8))], pack_tokens=8192)
    trainer._frozen = {"start": start, "reference": reference}
    trainer.model.train()
    (step,) = iter(trainer.get_train_dataloader())
    trainer.current_gradient_accumulation_steps = 1
    loss = trainer.training_step(trainer.model, step)

    advantages = torch.tensor([each.weight for each in lessons])
    torch.testing.assert_close(advantages, their_advantages, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(loss, their_loss, rtol=1e-5, atol=1e-6)
    clipped = [trainer._observed[f"clip_ratio/{side}_mean"][0].item() for side in ("low", "high")]
    assert min(clipped) > 0
    gradients = gradients_of(trainer.model)
    assert gradients.keys() == their_gradients.keys()
    for name, gradient in their_gradients.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-4, atol=1e-6)
