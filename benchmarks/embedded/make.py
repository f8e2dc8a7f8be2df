"""Make the policy of plain English from nothing: tokenizer, model, training.

Run it as a stranger would::

    python benchmarks/embedded/make.py --seed 0 --out build/embedded-0

It trains on trees (see `presrm.packing.layout`): one problem gives a solution to imitate, verdicts on two of its steps
and the other parts that a policy plays, in one pass over the tokens that they share. The same command resumes.
"""

import argparse
import json
import math
import random
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from world import ALL, HOWS, OWN, PRINCIPLES, READING, Lesson, Mistake, Mix, Teacher, right_step, states

from presrm.checkers.arithmetic import ArithmeticChecker
from presrm.packing.layout import lay_out
from presrm.problems.arithmetic import make_problem, plan_of
from presrm.problems.arithmetic.plan import LARGEST, apply
from presrm.prompts import Prompt, PromptSet
from presrm.prompts.encoding import PromptEncoder
from presrm.types import Problem, Step, Trajectory

TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ["<|end|>", "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>"]
WIDTH, LAYERS, HEADS = 160, 4, 5
VOCABULARY = 1600
AMPLITUDE = 0.5
Batch = dict[str, torch.Tensor]
_STEP = re.compile(r" \d{1,2} [-+*/] \d{1,2} = \d{1,3}\n")
_WRITTEN = re.compile(rf"{_STEP.pattern}|#### \d{{1,3}}")
PERIODS = (2, 5, 10, 20, 25, 50, 100, 200, 10 / 3, 10 / 4 * 3)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE whose merges are learned from the world's own text: one token a number, and most words."""
    teacher_text = _texts()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\d{1,2}| ?[A-Za-z]+| ?[^\sA-Za-z0-9]+|\s"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        teacher_text,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            min_frequency=10,
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
        for written in (f" {n}", str(n)):
            assert len(fast(written, add_special_tokens=False)["input_ids"]) == 1, written
    return fast


def _texts() -> Iterator[str]:
    prompts, rng = PromptSet("compact"), random.Random(0)
    numbers = "".join(f" {n}" for n in range(LARGEST + 1))
    step, start = Step(" 1 + 1 = 2\n"), Trajectory(Problem("frame", "How many?"))
    two = (step, Step(" 1 + 1 = 3\n"))
    frames = [prompts.solve(start), prompts.first_error(start), prompts.additive(start, step)]
    frames += [prompts.listwise(start, two), prompts.critique(start, two, PRINCIPLES + "1: right\n2: wrong\n[[10, 3]]")]
    frames += [
        prompts.segment(start.problem, "1 + 1 = 2. Then 2 + 1 = 3, so the answer is 3"),
        prompts.write([start.problem]),
    ]
    frames += [prompts.variant(start.problem, how) for how in HOWS]
    for direct in (True, False):
        frames += [prompts.pairwise(start, step, step, direct=direct), prompts.pointwise(start, step, direct=direct)]
    for _ in range(20000):
        problem = make_problem(rng)
        yield problem.question
        yield problem.solution or ""
        if rng.random() < 0.15:
            yield numbers
            yield numbers.replace(" ", "(")  # as at the beginning of a text
        if rng.random() < 0.02:
            yield rng.choice(frames).text


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A small Llama whose number embeddings begin as points on circles and as two digits, so that sums come easily."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        embedding = model.get_input_embeddings().weight
        for n in range(LARGEST + 1):
            for written in (f" {n}", str(n)):
                row = embedding[tokenizer(written, add_special_tokens=False)["input_ids"][0]]
                for i, period in enumerate(PERIODS):
                    angle = 2 * math.pi * n / period
                    row[2 * i], row[2 * i + 1] = AMPLITUDE * math.cos(angle), AMPLITUDE * math.sin(angle)
                digits = 2 * len(PERIODS)
                row[digits : digits + 20] = 0.0
                row[digits + n % 10] = row[digits + 10 + n // 10] = 1.5 * AMPLITUDE
    return model


def batches(teacher: Teacher, course: "Course", number: int, seed: int, first: int, pad: int) -> Iterator[Batch]:
    """Batches of lessons, each packed into one row, from batch `first` on; what is in one depends on its number alone.

    Eight batches are drawn together and sorted by length, so that little of a batch is padding.
    """
    for group in count(first // 8):
        rng = random.Random(f"{seed}/{number}/{group}")
        lessons = [teacher.lesson(rng) for _ in range(8 * course.lessons)]
        lessons.sort(key=lambda lesson: sum(len(s.ids) for s in lesson.segments))
        drawn = [lessons[i : i + course.lessons] for i in range(0, len(lessons), course.lessons)]
        rng.shuffle(drawn)
        for place, batch in enumerate(drawn):
            if 8 * group + place >= first:
                yield collate(batch, pad)


def collate(lessons: list[Lesson], pad: int) -> Batch:
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


def losses(model: LlamaForCausalLM, batch: Batch) -> tuple[torch.Tensor, float]:
    """Mean loss of solutions, workings and verdicts (3), and the share of verdict tokens that are the likeliest."""
    row, before, at, kind = batch["wanted"].T
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.model(
            input_ids=batch["ids"], attention_mask=batch["visible"], position_ids=batch["positions"], use_cache=False
        ).last_hidden_state
        logits = model.lm_head(hidden[row, before]).float()
    targets = batch["ids"][row, at]
    loss = cross_entropy(logits, targets, reduction="none")
    right = (logits[kind == 2].argmax(-1) == targets[kind == 2]).float().mean().item()
    return torch.stack([loss[kind == k].mean() for k in range(3)]), right


def drill(model: LlamaForCausalLM, encoder: PromptEncoder, rng: random.Random, size: int) -> torch.Tensor:
    """Mean loss on the results of `size` bare sums, all right: the tables, before any word problem."""
    rows = []
    while len(rows) < size:
        operator = rng.choice("+-*/")
        one = rng.randint(1, LARGEST)
        other = rng.randint(1, LARGEST if operator in "+-" else 12)
        left, right = (one * other, other) if operator == "/" else (one, other)
        result = apply(operator, left, right)
        if left <= LARGEST and result is not None and 1 <= result <= LARGEST:
            rows.append(encoder.content(f" {left} {operator} {right} = {result}"))
    ids = torch.tensor(rows)
    logits = model(input_ids=ids[:, :-1], logits_to_keep=1).logits[:, -1]
    return cross_entropy(logits, ids[:, -1])


@torch.no_grad()
def own_mistakes(model: LlamaForCausalLM, encoder: PromptEncoder, seed: int, num: int = 12_000) -> list[Mistake]:
    """Have the policy solve `num` problems, and give the wrong steps of its solutions with what stood before them.

    Of those that do the right thing and only slip, which a judge soon tells, one in four.
    """
    rng, prompts, checker = random.Random(f"{seed}/own"), PromptSet("compact"), ArithmeticChecker()
    torch.manual_seed(seed)
    mistakes = []
    for _ in range(0, num, 250):
        problems = [make_problem(rng) for _ in range(250)]
        asked = [prompts.solve(Trajectory(problem)) for problem in problems]
        for problem, text in zip(problems, sample(model, encoder, asked, temperature=0.8), strict=True):
            lines = text.splitlines(keepends=True)
            path = list(takewhile(_STEP.fullmatch, lines))
            labels = checker.check([Trajectory(problem, tuple(map(Step, lines)))])[0]
            known = states(plan_of(problem), path)
            for number, (step, right) in enumerate(zip(lines, labels, strict=True)):
                if right or number > len(path) or not _WRITTEN.fullmatch(step):
                    continue
                due = right_step(plan_of(problem), known[number])[0]
                is_slip = step.split("=")[0] == due.split("=")[0] and "=" in step
                if step != due and (not is_slip or rng.random() < 0.25):
                    mistakes.append(Mistake(problem, tuple(path[:number]), step))
    return mistakes


def sample(model: LlamaForCausalLM, encoder: PromptEncoder, prompts: list[Prompt], temperature: float) -> Iterator[str]:
    """Write one reply to each prompt, all in one batch."""
    asked = [[*encoder.trunk(prompt), *encoder.tail(prompt)] for prompt in prompts]
    longest, pad = max(map(len, asked)), int(encoder.tokenizer.pad_token_id)
    replies = model.generate(
        input_ids=torch.tensor([[pad] * (longest - len(ids)) + ids for ids in asked]),
        attention_mask=torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in asked]),
        do_sample=True,
        temperature=temperature,
        top_k=0,
        max_new_tokens=64,
    )
    for ids in replies[:, longest:]:
        yield encoder.tokenizer.decode(ids, skip_special_tokens=True)


@dataclass(frozen=True)
class Course:
    """A stretch of training.

    Attributes:
        steps: Optimiser steps.
        lessons: In each of them.
        mix: What is in a lesson; none: the drill.
        rates: Peak learning rate of the matrices (Muon) and of embeddings and gains (AdamW).
    """

    steps: int
    lessons: int
    mix: Mix | None
    rates: tuple[float, float]


COURSES = {
    "drill": Course(400, 256, None, (4.0e-3, 3.0e-3)),
    "reading": Course(1300, 40, READING, (4.0e-3, 2.0e-3)),
    "all": Course(1000, 16, ALL, (3.0e-3, 1.5e-3)),
    "own mistakes": Course(600, 16, OWN, (2.0e-3, 1.0e-3)),
}
SAVE = 100  # optimiser steps between two states from which the same command resumes
WEIGHTS = torch.tensor([1.0, 1.0, 1.0])  # of the mean losses of solutions, workings and verdicts


class Pupil:
    """The model and its optimisers, anew for each course, which begins on the weights that the one before wrote.

    Hidden matrices are trained by Muon, which is `torch.optim.Muon`, all else by AdamW.
    """

    def __init__(self, model: LlamaForCausalLM) -> None:
        self.model = model
        matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
        chosen = {id(p) for p in matrices}
        rest = [p for p in model.parameters() if id(p) not in chosen]
        self.optimizers = [
            torch.optim.Muon(matrices, lr=1.0, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=1.0, betas=(0.9, 0.98), weight_decay=0.01),
        ]

    def step(self, loss: torch.Tensor, course: Course, number: int) -> None:
        """Take optimiser step `number` (from 0): the rate warms up over 5 %, then falls along a line to a fiftieth."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        along = (number + 1) / course.steps
        scale = min(along / 0.05, 1.0 - 0.98 * max(0.0, along - 0.05) / 0.95)
        for optimizer, rate in zip(self.optimizers, course.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * scale
            optimizer.step()
            optimizer.zero_grad()

    def save(self, path: Path, course: str, step: int) -> None:
        """Write a state to go on from, whole or not at all."""
        states = [optimizer.state_dict() for optimizer in self.optimizers]
        made = path.with_suffix(".new")
        torch.save({"model": self.model.state_dict(), "optimizers": states, "course": course, "step": step}, made)
        made.replace(path)

    def load(self, path: Path) -> tuple[str, int]:
        """Go on from a state; give the course and how many of its steps are done."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        return state["course"], state["step"]


def take(name: str, done: int, pupil: Pupil, encoder: PromptEncoder, seed: int, out: Path) -> None:
    """Take a course from step `done` on."""
    course, number = COURSES[name], list(COURSES).index(name)
    mix = course.mix or READING
    mistakes = []
    if mix.own:  # the policy is the one that the course before ended with, on a resume as well
        before = LlamaForCausalLM.from_pretrained(out / list(COURSES)[number - 1], dtype=torch.float32)
        mistakes = own_mistakes(before, encoder, seed)
    teacher = Teacher(encoder, PromptSet("compact"), mix, mistakes)
    drawn = batches(teacher, course, number, seed, done, int(encoder.tokenizer.pad_token_id)) if course.mix else None
    began, tokens = time.monotonic(), 0
    with (out / "train.jsonl").open("a") as log:
        for step in range(done, course.steps):
            if drawn is None:
                each = drill(pupil.model, encoder, random.Random(f"{seed}/drill/{step}"), course.lessons)
                loss, row = each, {"loss": round(each.item(), 4)}
            else:
                batch = next(drawn)
                each, right = losses(pupil.model, batch)
                loss = (WEIGHTS * each).sum()
                tokens += batch["ids"].numel()
                row = dict(
                    zip(("solve", "working", "verdict"), (round(value, 4) for value in each.tolist()), strict=True)
                )
                row |= {"right": round(right, 4), "tokens": tokens}
            pupil.step(loss, course, step)
            if (step + 1) % 25 == 0:
                row = {"course": name, "step": step + 1, **row, "seconds": round(time.monotonic() - began, 1)}
                log.write(json.dumps(row) + "\n")
                log.flush()
            if (step + 1) % SAVE == 0 or step + 1 == course.steps:
                pupil.save(out / "state.pt", name, step + 1)


def export(pupil: Pupil, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write the policy as it is shipped: bfloat16, safetensors, tokenizer, chat template."""
    state = {name: weight.clone() for name, weight in pupil.model.state_dict().items()}
    pupil.model.to(torch.bfloat16).save_pretrained(out)
    pupil.model.to(torch.float32).load_state_dict(state)
    tokenizer.save_pretrained(out)


def main() -> None:
    """Make one policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, help="the same folder resumes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--more", type=int, default=0, help="a control: so many more steps, at a tenth of the rates")
    options = parser.parse_args()
    if options.more:
        last = COURSES["own mistakes"]
        matrices, rest = last.rates
        COURSES["more"] = replace(last, steps=options.more, rates=(matrices / 10, rest / 10))
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    encoder = PromptEncoder(tokenizer)
    pupil = Pupil(make_model(tokenizer))
    names, done, state = list(COURSES), 0, options.out / "state.pt"
    if state.exists():
        name, done = pupil.load(state)
        names = names[names.index(name) :]
    for name in names:
        take(name, done, pupil, encoder, options.seed, options.out)
        export(pupil, tokenizer, options.out / name)
        pupil, done = Pupil(LlamaForCausalLM.from_pretrained(options.out / name, dtype=torch.float32)), 0
    export(pupil, tokenizer, options.out)


if __name__ == "__main__":
    main()
