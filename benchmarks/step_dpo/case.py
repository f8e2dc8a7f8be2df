"""One measurement of `run.py`, in a process of its own so that its peak memory is its own.

    python benchmarks/step_dpo/case.py '{"what": "time", "trainer": "trl", "model": "random:llama", ...}'

The last line printed is the result as JSON.
"""

import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import psutil
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from trl import DPOConfig, DPOTrainer

from presrm.engines.hf_loading import load_policy
from presrm.training.packed import LessonTrainer
from presrm.training.preference import DPO
from presrm.training.tokens import LessonTokens
from presrm.types import Checkpoint

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LORA = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
RANDOM = {
    "random:llama": LlamaConfig(
        vocab_size=1024,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32768,
    ),
    "random:qwen2.5-0.5b": Qwen2Config(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
    "random:qwen2.5-1.5b": Qwen2Config(
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
    "random:qwen2.5-7b": Qwen2Config(
        vocab_size=152064,
        hidden_size=3584,
        intermediate_size=18944,
        num_hidden_layers=28,
        num_attention_heads=28,
        num_key_value_heads=4,
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: ``prompt`` tokens, ``depth`` steps of ``step`` tokens, one rejected candidate a step.

    An optimiser step has ``trees`` of these; TRL takes ``trl_batch`` pairs at a time, we rows of ``pack_tokens``.
    """

    what: str
    trainer: str
    model: str
    prompt: int
    step: int
    depth: int
    dtype: str
    lora: bool
    checkpointing: bool
    trees: int
    trl_batch: int
    liger: bool
    pack_tokens: int


class TRLOnIds(DPOTrainer):
    """TRL's trainer on ready token ids; nothing that is timed is touched.

    TRL takes text, tokenises it and puts an end token behind every completion. That would train every step as if it
    were the last, and is no token of ours: losses could not be compared. There is no option against it, and columns of
    ids are not recognised as such, so this one method, which runs before training, gives the data back as it came.
    """

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset


@dataclass
class Watch(TrainerCallback):
    """Notes, for every optimiser step, its seconds and the ids that the model was fed.

    A step lasts from the end of the one before (the first: the start of the epoch) to its own: data loading, packing,
    forward, backward and the optimiser are all inside.
    """

    seconds: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    fed: int = 0
    last: tuple[float, int] = (0.0, 0)

    def count(self, module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        """Count the ids that go into the embedding."""
        self.fed += inputs[0].numel()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start."""
        self.last = (now(), self.fed)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Note the step."""
        ended, (began, fed_before) = now(), self.last
        self.seconds.append(ended - began)
        self.tokens.append(self.fed - fed_before)
        self.last = (ended, self.fed)


@dataclass
class Gradients(TrainerCallback):
    """Keeps the gradients of the last optimiser step."""

    of: dict[str, torch.Tensor] = field(default_factory=dict)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Copy them."""
        self.of = {name: p.grad.float().cpu().clone() for name, p in model.named_parameters() if p.grad is not None}


def main() -> None:
    case = Case(**json.loads(sys.argv[1]))
    print(json.dumps(compare(case) if case.what == "compare" else measure(case)))


def measure(case: Case) -> dict[str, Any]:
    """Time an optimiser step; before it one warms up, where our trainer computes its reference, too.

    On a CPU the first step has as many pairs as the second, but short ones: warming up at full size would double the
    hours and warm nothing more. On a GPU it has the same shape, for kernels are compiled for shapes, a second time once
    they change; there the median of the last three of five steps counts.
    """
    model = load(case)
    loaded, loaded_peak = memory()
    shape, vocab = (case.prompt, case.step), model.config.vocab_size
    shapes = [shape] * 5 if DEVICE == "cuda" else [(8, 4), shape]
    each = [
        tree(*of, case.depth, vocab, seed) for seed, of in enumerate(of for of in shapes for _ in range(case.trees))
    ]
    pairs = [pair for one in each for pair in one]
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        optim = "adamw_torch_fused" if DEVICE == "cuda" else "adamw_torch"
        trainer = make_trainer(
            case, model, pairs, watch, folder, num_steps=len(shapes), optim=optim, learning_rate=1e-6
        )
        trainer.model.get_input_embeddings().register_forward_pre_hook(watch.count)
        trainer.train()
    _, peak = memory()
    logged = trainer.state.log_history[len(shapes) - 1]
    return {
        "seconds": median(watch.seconds[-3:] if DEVICE == "cuda" else watch.seconds[-1:]),
        "tokens": watch.tokens[-1],
        "loss": logged["loss"],
        "grad_norm": float(logged["grad_norm"]),
        "memory_loaded": loaded,
        "memory_peak": peak if peak > loaded_peak else None,  # unknown where loading took more than training
        "layer_parameters": model.base_model.num_parameters(exclude_embeddings=True),
        "head_parameters": model.get_output_embeddings().weight.numel(),
    }


def compare(case: Case) -> dict[str, float]:
    """Train both trainers for two optimiser steps on the same tree: greatest relative differences.

    Plain SGD, for it carries a difference on in proportion; the second step counts, for in the first the policy is
    the reference and every loss is log 2.
    """
    losses, gradients = [], []
    for name in ("trl", "presrm"):
        model = load(case)
        seen = Gradients()
        pairs = tree(case.prompt, case.step, case.depth, model.config.vocab_size) * 2
        with tempfile.TemporaryDirectory() as folder:
            trainer = make_trainer(case, model, pairs, seen, folder, name, optim="sgd", learning_rate=0.01)
            trainer.train()
        losses.append(trainer.state.log_history[1]["loss"])
        gradients.append(seen.of)
    theirs, ours = gradients
    if theirs.keys() != ours.keys():
        raise SystemExit("the two trainers train different weights")
    apart = sum(float((theirs[name] - ours[name]).double().square().sum()) for name in theirs) ** 0.5
    whole = sum(float(gradient.double().square().sum()) for gradient in theirs.values()) ** 0.5
    return {"loss": losses[0], "loss_apart": abs(losses[1] / losses[0] - 1), "gradient_apart": apart / whole}


def load(case: Case) -> Any:
    """Load or make the model without adapter; full training in bfloat16 keeps float32 weights."""
    set_seed(0)
    dtype = case.dtype if case.lora else "float32"
    if case.model not in RANDOM:
        return load_policy(Checkpoint(case.model), dtype=dtype, device=DEVICE)[0]
    with torch.device(DEVICE):  # a copy, for TRL writes its pad token into the config of the model that it is given
        return AutoModelForCausalLM.from_config(deepcopy(RANDOM[case.model]), dtype=getattr(torch, dtype))


def tree(prompt: int, step: int, depth: int, vocab: int, seed: int = 0) -> list[LessonTokens]:
    """Pairs of one problem, of random ids: each hangs on the prompt and the chosen steps before it."""
    rng = random.Random(seed)

    def draw(num: int) -> tuple[int, ...]:
        return tuple(rng.randrange(vocab) for _ in range(num))

    prefix = draw(prompt)
    pairs = []
    for _ in range(depth):
        pairs.append(LessonTokens(DPO(), prefix, (draw(step), draw(step))))
        prefix += pairs[-1].replies[0]
    return pairs


def make_trainer(
    case: Case,
    model: Any,
    pairs: Sequence[LessonTokens],
    callback: TrainerCallback,
    folder: str,
    name: str | None = None,
    num_steps: int = 2,
    **how: Any,
) -> Trainer:
    """Build either trainer for some optimiser steps, of equally many of the pairs each, in order."""
    how |= {
        "output_dir": folder,
        "num_train_epochs": 1,
        "lr_scheduler_type": "constant",
        "gradient_checkpointing": case.checkpointing,  # on by default in TRL, which makes it slower
        "bf16": case.dtype == "bfloat16",
        "use_cpu": DEVICE == "cpu",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
    }
    if case.liger:  # not its loss: it would take the place of ours and of TRL's
        kernels = {"fused_linear_cross_entropy": False, "cross_entropy": False}
        how |= {"use_liger_kernel": True, "liger_kernel_config": kernels}
    share = len(pairs) // num_steps
    if (name or case.trainer) == "trl":
        how |= {"per_device_train_batch_size": case.trl_batch}
        return trl_trainer(case, model, pairs, callback, how | {"gradient_accumulation_steps": share // case.trl_batch})
    arguments = TrainingArguments(**how)
    if case.lora:
        set_seed(arguments.seed)
        model = get_peft_model(model, LORA)
    steps = [tuple(range(first, first + share)) for first in range(0, len(pairs), share)]
    return LessonTrainer(model, arguments, pairs, steps, pack_tokens=case.pack_tokens, callbacks=[callback])


def trl_trainer(
    case: Case, model: Any, pairs: Sequence[LessonTokens], callback: TrainerCallback, how: dict[str, Any]
) -> Trainer:
    """Build TRL's: a pair is two rows; whatever is not named here is its default."""
    names = ("prompt_ids", "chosen_ids", "rejected_ids")
    rows = [dict(zip(names, (pair.prefix, *pair.replies), strict=True)) for pair in pairs]
    arguments = DPOConfig(
        **how,
        precompute_ref_log_probs=True,
        max_length=None,  # by default longer pairs are cut
        train_sampling_strategy="sequential",
    )
    # Asked for by TRL, but there is no text: only its pad token is used.
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"<end>": 0}, unk_token="<end>")), eos_token="<end>", pad_token="<end>"
    )
    return TRLOnIds(
        model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[callback],
        peft_config=LORA if case.lora else None,
    )


def now() -> float:
    """Seconds, once the GPU is done."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def memory() -> tuple[int, int]:
    """Bytes held now and at most so far: of the GPU, or of this process."""
    if DEVICE == "cuda":
        return torch.cuda.memory_allocated(), torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024
    return psutil.Process().memory_info().rss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


if __name__ == "__main__":
    main()
