"""Make the embedded policy from nothing: tokenizer, model, training.

Run it as a stranger would::

    python benchmarks/embedded/make.py --seed 0 --out build/embedded-0

It trains on trees (see `presrm.packing.layout`): one problem gives a solution to imitate and verdicts on two of its
steps, in one pass over the tokens that they share.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from world import Lesson, Teacher, corpus

from presrm.packing.layout import lay_out
from presrm.problems.arithmetic import LARGEST, apply, make_plan
from presrm.prompts import PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.types import Problem, Step, Trajectory

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
WIDTH, LAYERS = 128, 4
AMPLITUDE = 0.5
PERIODS = (2, 5, 10, 20, 25, 50, 100, 200, 10 / 3, 10 / 4 * 3)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE whose merges are learned from the world's own text: one token a word, one token a number."""
    prompts, rng = PromptSet("compact"), random.Random(0)
    numbers = "".join(f" {n}" for n in range(LARGEST + 1))
    texts = [numbers] * 3000
    for problem in corpus(20000, seed=1):
        texts += [problem.question, problem.solution or ""]
    step, start = Step(" 1 + 1 = 2\n"), Trajectory(Problem("frame", ""))
    frames = [prompts.solve(start)]
    for direct in (True, False):
        frames += [prompts.pairwise(start, step, step, direct=direct), prompts.pointwise(start, step, direct=direct)]
    texts += [frame.text for frame in frames] * 100
    rng.shuffle(texts)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d{1,2}| ?[A-Za-z]+| ?[^\sA-Za-z0-9]+|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=1024,
            min_frequency=30,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", clean_up_tokenization_spaces=False
    )
    fast.chat_template = TEMPLATE
    for n in range(LARGEST + 1):
        assert len(fast(f" {n}", add_special_tokens=False)["input_ids"]) == 1, n
    return fast


def make_model(tokenizer: PreTrainedTokenizerFast, width: int, layers: int) -> LlamaForCausalLM:
    """A small Llama whose number embeddings begin as points on circles and as two digits, so that sums come easily."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        for n in range(LARGEST + 1):
            row = embedding[tokenizer(f" {n}", add_special_tokens=False)["input_ids"][0]]
            for i, period in enumerate(PERIODS):
                angle = 2 * math.pi * n / period
                row[2 * i], row[2 * i + 1] = AMPLITUDE * math.cos(angle), AMPLITUDE * math.sin(angle)
            digits = 2 * len(PERIODS)
            row[digits : digits + 20] = 0.0
            row[digits + n % 10] = row[digits + 10 + n // 10] = 1.5 * AMPLITUDE
    return model


class Lessons:
    """Batches of lessons, each packed into one row; endless."""

    def __init__(self, teacher: Teacher, seed: int, batch: int, pad: int) -> None:
        self.teacher, self.seed, self.batch, self.pad = teacher, seed, batch, pad

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        rng = random.Random(self.seed)
        while True:
            lessons = [self.teacher.lesson(problem, rng) for problem in corpus(self.batch * 8, rng.getrandbits(48))]
            lessons.sort(key=lambda lesson: sum(len(s.ids) for s in lesson.segments))
            batches = [lessons[i : i + self.batch] for i in range(0, len(lessons), self.batch)]
            rng.shuffle(batches)
            for lessons in batches:
                yield collate(lessons, self.pad)


def collate(lessons: list[Lesson], pad: int) -> dict[str, torch.Tensor]:
    """Pad packed lessons to one batch: ids, positions, mask, and where the loss is taken (row, from, to, kind)."""
    layouts = [lay_out(lesson.segments) for lesson in lessons]
    longest = max(len(layout.ids_T) for layout in layouts)
    ids = np.full((len(layouts), longest), pad)
    positions = np.zeros_like(ids)
    visible = np.zeros((len(layouts), 1, longest, longest), np.bool_)
    visible[:, 0] |= np.eye(longest, dtype=np.bool_)
    wanted: list[tuple[int, int, int, int]] = []
    for row, (lesson, layout) in enumerate(zip(lessons, layouts, strict=True)):
        size = len(layout.ids_T)
        ids[row, :size], positions[row, :size] = layout.ids_T, layout.positions_T
        visible[row, 0, :size, :size] = layout.visible()
        for kind, numbers in enumerate((lesson.solve, lesson.workings, lesson.verdicts)):
            for number in numbers:
                parent = lesson.segments[number].parent
                start, end = layout.spans[number]
                before = [layout.spans[parent][1] - 1, *range(start, end - 1)]
                wanted += [(row, *places, kind) for places in zip(before, range(start, end), strict=True)]
    return {
        "ids": torch.from_numpy(ids),
        "positions": torch.from_numpy(positions),
        "visible": torch.from_numpy(visible),
        "wanted": torch.tensor(wanted),
    }


def losses(model: LlamaForCausalLM, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, float]:
    """Mean loss of solutions, workings and verdicts (3), and the share of verdicts that are the likeliest token."""
    hidden = model.model(
        input_ids=batch["ids"], attention_mask=batch["visible"], position_ids=batch["positions"], use_cache=False
    ).last_hidden_state
    row, before, at, kind = batch["wanted"].T
    logits = model.lm_head(hidden[row, before])
    targets = batch["ids"][row, at]
    loss = cross_entropy(logits, targets, reduction="none")
    right = (logits[kind == 2].argmax(-1) == targets[kind == 2]).float().mean().item()
    return torch.stack([loss[kind == k].mean() for k in range(3)]), right


def drill(model: LlamaForCausalLM, encoder: PromptEncoder, rng: random.Random, size: int) -> torch.Tensor:
    """Mean loss on the results of `size` bare sums, all right: the tables, before any word problem."""
    rows = []
    while len(rows) < size:
        plan = make_plan(rng)
        value = plan.start
        for operator, n in plan.operations:
            result = apply(operator, value, n)
            rows.append(encoder.content(f" {value} {operator} {n} = {result}"))
            value = result
    ids = torch.tensor(rows[:size])
    logits = model(input_ids=ids[:, :-1], logits_to_keep=1).logits[:, -1]
    return cross_entropy(logits, ids[:, -1])


@dataclass(frozen=True)
class Course:
    """A stretch of training.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Peak; warms up, then falls as a cosine.
        misreads: Share of the wrong steps shown to the judge in which a number was misread: what a policy that has had
            the first course still does wrong by itself.
    """

    steps: int
    learning_rate: float
    misreads: float


COURSES = (Course(1500, 1.5e-3, 0.0), Course(500, 1.0e-3, 0.5), Course(500, 1.0e-3, 0.5))
BATCH = 24  # problems an optimiser step
DRILL = 300  # optimiser steps on bare sums, before the courses


def make_optimizer(model: LlamaForCausalLM, learning_rate: float) -> torch.optim.AdamW:
    """AdamW as all of the training uses it."""
    return torch.optim.AdamW(model.parameters(), lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.01)


def step(model: LlamaForCausalLM, optimizer: torch.optim.AdamW, loss: torch.Tensor) -> None:
    """Take one optimiser step."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def take(number: int, model: LlamaForCausalLM, encoder: PromptEncoder, seed: int, log: TextIO) -> None:
    """Take course `number` (from 0)."""
    course = COURSES[number]
    teacher = Teacher(encoder, PromptSet("compact"), course.misreads)
    lessons = Lessons(teacher, 1000 * (number + 1) + seed, BATCH, int(encoder.tokenizer.pad_token_id))
    optimizer = make_optimizer(model, course.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, course.learning_rate, total_steps=course.steps, pct_start=0.05, cycle_momentum=False
    )
    began, tokens = time.monotonic(), 0
    for count, batch in zip(range(1, course.steps + 1), lessons, strict=False):
        loss, right = losses(model, batch)
        step(model, optimizer, loss.sum())
        schedule.step()
        tokens += batch["ids"].numel()
        if count % 25 == 0 or count == 1:
            solve, working, verdict = (round(value, 4) for value in loss.tolist())
            row = {"course": number + 1, "step": count, "solve": solve, "working": working, "verdict": verdict}
            row |= {"right": round(right, 4), "tokens": tokens, "seconds": round(time.monotonic() - began, 1)}
            log.write(json.dumps(row) + "\n")
            log.flush()


def main() -> None:
    """Make one policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin with course N ...")
    parser.add_argument("--after", type=Path, metavar="FOLDER", help="... on the policy that the one before left here")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    tokenizer = make_tokenizer()
    encoder = PromptEncoder(tokenizer)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "train.jsonl").open("w") as log:
        if options.after:
            model = LlamaForCausalLM.from_pretrained(options.after)
        else:
            model = make_model(tokenizer, WIDTH, LAYERS)
            optimizer, rng = make_optimizer(model, COURSES[0].learning_rate), random.Random(2000 + options.seed)
            for _ in range(DRILL):
                step(model, optimizer, drill(model, encoder, rng, 512))
        for number in range(options.first - 1, len(COURSES)):
            take(number, model, encoder, options.seed, log)
            model.save_pretrained(options.out / f"course-{number + 1}")
            tokenizer.save_pretrained(options.out / f"course-{number + 1}")
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)


if __name__ == "__main__":
    main()
