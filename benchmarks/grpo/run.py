"""The policy gradient on packed trees against TRL's GRPOTrainer: same model, same attempts, same loss and gradients.

    python benchmarks/grpo/run.py --out results.jsonl

A group is attempts at one prompt. Both compute loss and gradients of one optimiser step over `--groups` groups, the
log-probabilities of the start being given, so that generation and optimiser have no part. They take turns in one
process; the ratio is of the medians. Loss and gradients have to agree first.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ |= {"TRL_EXPERIMENTAL_SILENCE": "1", "TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, TrainingArguments
from trl import GRPOConfig, GRPOTrainer

from presrm.training.packed import LessonTrainer
from presrm.training.policy_gradient import PolicyGradient
from presrm.training.tokens import LessonTokens

HERE = Path(__file__).parent
TOLERANCE = 1e-4
VOCABULARY = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", type=int, default=150, help="tokens of a prompt")
    parser.add_argument("--completion", type=int, default=40, help="tokens of a completion, on average")
    parser.add_argument("--group", type=int, default=8, help="attempts at a prompt")
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=HERE / "results.jsonl", help="a row is appended")
    options = parser.parse_args()
    torch.manual_seed(0)
    lessons = make_lessons(options)
    with tempfile.TemporaryDirectory() as folder:
        trl, ours = trl_step(options, lessons, folder), our_step(options, lessons, folder)
        (their_loss, their_gradients), (our_loss, our_gradients) = trl(), ours()
        apart = float((their_gradients - our_gradients).norm() / their_gradients.norm())
        if abs(their_loss - our_loss) > TOLERANCE * max(1, abs(their_loss)) or apart > TOLERANCE:
            raise SystemExit(f"not the same: losses {their_loss} and {our_loss}, gradients {apart:.2g} apart")
        seconds: dict[str, list[float]] = {"trl": [], "ours": []}
        for _ in range(options.repeats):
            for name, step in (("trl", trl), ("ours", ours)):
                began = time.perf_counter()
                step()
                seconds[name].append(time.perf_counter() - began)
    row = {
        **{name: getattr(options, name) for name in ("prompt", "completion", "group", "groups", "width", "layers")},
        "threads": torch.get_num_threads(),
        "seconds": {name: median(values) for name, values in seconds.items()},
        "speed_up": median(seconds["trl"]) / median(seconds["ours"]),
        "gradients_apart": apart,
    }
    print(json.dumps(row))
    with options.out.open("a") as file:
        file.write(json.dumps(row) + "\n")


def make_lessons(options: argparse.Namespace) -> list[LessonTokens]:
    """Random attempts: prompts of equal length, completions from half to one and a half times the average."""
    rng, objective = random.Random(0), PolicyGradient()
    lessons = []
    for _ in range(options.groups):
        prompt = tuple(rng.randrange(3, VOCABULARY) for _ in range(options.prompt))
        rewards = [float(i % 2) for i in range(options.group)]
        mean, scale = 0.5, torch.tensor(rewards).std().item() + 1e-4
        for reward in rewards:
            length = rng.randint(options.completion // 2, options.completion * 3 // 2)
            reply = tuple(rng.randrange(3, VOCABULARY) for _ in range(length))
            lessons.append(LessonTokens(objective, prompt, (reply,), (reward - mean) / scale))
    return lessons


def make_model(options: argparse.Namespace) -> LlamaForCausalLM:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=options.width,
        intermediate_size=4 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        eos_token_id=2,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).float()


def start_of(lessons: list[LessonTokens]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [0.1 * torch.randn(each.lengths[0], generator=generator) - 7 for each in lessons]


def flat(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([w.grad.flatten() for _, w in sorted(model.named_parameters()) if w.grad is not None])


def our_step(
    options: argparse.Namespace, lessons: list[LessonTokens], folder: str
) -> Callable[[], tuple[float, torch.Tensor]]:
    model = make_model(options)
    arguments = TrainingArguments(f"{folder}/ours", use_cpu=True, report_to=[], disable_tqdm=True)
    trainer = LessonTrainer(model, arguments, lessons, [tuple(range(len(lessons)))], pack_tokens=8192)
    start = torch.cat(start_of(lessons))
    trainer._frozen = {"start": start}
    trainer.current_gradient_accumulation_steps = 1
    (step,) = iter(trainer.get_train_dataloader())

    def run() -> tuple[float, torch.Tensor]:
        model.train()
        model.zero_grad()
        return float(trainer.training_step(model, step)), flat(model)

    return run


def trl_step(
    options: argparse.Namespace, lessons: list[LessonTokens], folder: str
) -> Callable[[], tuple[float, torch.Tensor]]:
    def rollout(prompts: list[str], trainer: Any) -> dict[str, Any]:
        return {
            "prompt_ids": [list(each.prefix) for each in lessons],
            "completion_ids": [list(each.replies[0]) for each in lessons],
            "logprobs": None,
        }

    rewards = [float(i % 2) for _ in range(options.groups) for i in range(options.group)]
    words = {"<pad>": 0, "<s>": 1, "</s>": 2} | {f"w{i}": i for i in range(3, VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<s>")), pad_token="<pad>", eos_token="</s>"
    )
    arguments = GRPOConfig(
        f"{folder}/trl",
        use_cpu=True,
        bf16=False,
        report_to=[],
        disable_tqdm=True,
        gradient_checkpointing=False,
        per_device_train_batch_size=len(lessons),
        num_generations=options.group,
        loss_type="dapo",
    )
    rows = [{"prompt": f"w{3 + group}"} for group in range(options.groups) for _ in range(options.group)]
    trainer = GRPOTrainer(
        make_model(options),
        lambda completions, **_: rewards,
        arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        rollout_func=rollout,
    )
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    batch = trainer._generate_and_score_completions(rows)
    start = torch.nn.utils.rnn.pad_sequence(start_of(lessons), batch_first=True)
    batch["old_per_token_logps"] = start

    def run() -> tuple[float, torch.Tensor]:
        trainer.model.zero_grad()
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        return float(loss.detach()), flat(trainer.model)

    return run


if __name__ == "__main__":
    main()
