"""How many tokens does the seed stage compute, and how many would padded batches? And do both come to the same loss?

    python benchmarks/word_problems/packing.py words --model SmolLM2-135M-Instruct.Q4_1.gguf --time 4

Three ways to train on the same examples in the same optimiser steps: rows padded to the longest of each batch of
``--batch`` examples, as TRL's SFTTrainer takes them; the same rows sorted by length within the step; and packed trees.
With ``--time K`` the first K steps are trained by SFTTrainer and by the seed stage's trainer, from the same weights.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from presrm.config import ModelConfig, load_config
from presrm.engines.hf_loading import load_tokenizer
from presrm.files.jsonl import load_typed
from presrm.packing.layout import fill_packs, tree_size
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.splitters import SPLITTERS
from presrm.training.plan import plan_steps
from presrm.training.seed import Example, imitation
from presrm.types import Checkpoint, Problem

Step = Sequence[Example]
T = TypeVar("T")


def padded(step: Sequence[int], batch: int) -> int:
    """Tokens of rows of these lengths, each batch padded to its longest.

    >>> padded([3, 5, 2, 9], 2)
    28
    """
    return sum(max(rows) * len(rows) for rows in cut(step, batch))


def cut(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut a sequence into parts of `size`; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def count(steps: Sequence[Step], batch: int, pack_tokens: int) -> dict[str, int]:
    """Tokens that each way computes for all steps; ``rows`` is without any padding, ``replies`` what is trained on."""
    totals = dict.fromkeys(("padded", "sorted", "rows", "packed", "replies"), 0)
    for step in steps:
        lengths = [len(example) for example in step]
        rows = [example.prompt + example.reply for example in step]
        totals["padded"] += padded(lengths, batch)
        totals["sorted"] += padded(sorted(lengths), batch)
        totals["rows"] += sum(lengths)
        packs = fill_packs([[row] for row in rows], pack_tokens)
        totals["packed"] += sum(tree_size([rows[i] for i in pack]) for pack in packs)
        totals["replies"] += sum(len(example.reply) for example in step)
    return totals


def measure(steps: Sequence[Step], model: str, batch: int, pack_tokens: int, dtype: str) -> dict[str, Any]:
    """Train the first steps by either trainer: the losses, and seconds a step without the first."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback, TrainingArguments
    from trl import SFTConfig, SFTTrainer

    from presrm.training.fitting import LogTo, load_trainable, make_arguments
    from presrm.training.imitation import Imitation
    from presrm.training.packed import LessonTrainer
    from presrm.training.tokens import LessonTokens

    class Clock(TrainerCallback):
        def __init__(self) -> None:
            self.at: list[float] = []

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.at.append(time.perf_counter())

    settings = ModelConfig(id=model, dtype=dtype, device="cpu", chat_template="chatml")
    found: dict[str, Any] = {}
    sizes = {len(step) for step in steps}
    if len(sizes) > 1:
        raise SystemExit("steps of one size are needed to compare: cut them")
    rate = {"learning_rate": 1e-4, "lr_scheduler_type": "constant", "num_train_epochs": 1}
    for name in ("trl", "presrm"):
        loaded, tokenizer = load_trainable(Checkpoint(model), settings, None, 0)
        clock, losses = Clock(), list[float]()
        on_log = LogTo(lambda row, losses=losses: losses.append(row["loss"]) if "loss" in row else None)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "policy"
            if name == "trl":
                rows = [
                    {
                        "input_ids": [*example.prompt, *example.reply],
                        "completion_mask": [0] * len(example.prompt) + [1] * len(example.reply),
                    }
                    for step in steps
                    for example in step
                ]
                arguments = make_arguments(
                    SFTConfig,
                    settings,
                    seed=0,
                    out=out,
                    per_device_train_batch_size=batch,
                    gradient_accumulation_steps=sizes.pop() // batch,
                    max_length=None,
                    completion_only_loss=True,
                    train_sampling_strategy="sequential",
                    **rate,
                )
                trainer: Any = SFTTrainer(
                    loaded, arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer
                )
                trainer.add_callback(clock)
                trainer.add_callback(on_log)
            else:
                lessons = [LessonTokens(Imitation(), each.prompt, (each.reply,)) for step in steps for each in step]
                ends = [sum(map(len, steps[:n])) for n in range(len(steps) + 1)]
                plan = [tuple(range(ends[n], ends[n + 1])) for n in range(len(steps))]
                arguments = make_arguments(TrainingArguments, settings, seed=0, out=out, **rate)
                trainer = LessonTrainer(
                    loaded, arguments, lessons, plan, pack_tokens=pack_tokens, callbacks=[clock, on_log]
                )
            torch.manual_seed(0)
            trainer.train()
        seconds = [round(b - a, 2) for a, b in zip(clock.at, clock.at[1:], strict=False)]
        found[name] = {"losses": [round(loss, 5) for loss in losses], "seconds": seconds}
    found["speed-up"] = round(sum(found["trl"]["seconds"]) / sum(found["presrm"]["seconds"]), 2)
    return found


def main() -> None:
    """Count, and time where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", type=Path, help="what split.py and siblings.py wrote")
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, default=8, help="rows of a padded batch")
    parser.add_argument("--time", type=int, default=0, metavar="K")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = load_config("word-problems")
    assert config.seed_stage is not None
    size, pack_tokens = config.seed_stage.batch_size, config.training.pack_tokens
    encoder = PromptEncoder(load_tokenizer(options.model), config.model.chat_template)
    prompts, splitter = PromptSet(config.prompts), SPLITTERS.create(config.splitter)
    problems = [*load_problems(str(options.words / "seed.jsonl"), split="train")]
    problems += load_typed(Problem, options.words / "eft.jsonl")
    examples = [imitation(problem, splitter, encoder, prompts) for problem in problems]
    plan = plan_steps([example.problem for example in examples], size, 1, options.seed)
    rng = random.Random(options.seed)
    together = [[examples[i] for i in rng.sample(step, len(step))] for step in plan]
    mixed = rng.sample(examples, len(examples))
    by_lot = cut(mixed, size)
    counts = {
        name: count(steps, options.batch, pack_tokens) for name, steps in (("by problem", together), ("by lot", by_lot))
    }
    print(json.dumps({"examples": len(examples), **counts}))
    ratio = counts["by lot"]["padded"] / counts["by problem"]["packed"]
    print(json.dumps({"padded by lot / packed by problem": round(ratio, 2)}))
    if options.time:
        steps = [step[:size] for step in together[: options.time]]
        print(json.dumps(measure(steps, options.model, options.batch, pack_tokens, "float32")))


if __name__ == "__main__":
    main()
