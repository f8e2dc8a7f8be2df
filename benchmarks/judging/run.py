"""Steps judged a second: packed against one prompt a step.

    python benchmarks/judging/run.py --model SmolLM2-135M-Instruct-Q4_1.gguf --problems train.jsonl --out results.jsonl
    python benchmarks/judging/run.py --summary results.jsonl

After each step of a finished solution the direct pointwise judge is asked whether it is right. Ours is the public
`PointwiseJudge`; the peer is plain transformers with the same prompts, ids and formula, in left-padded batches sorted
by length. Both render and encode their prompts inside the time that is taken. Solutions are real text: a question of
GSM8K (--problems: its JSON Lines) with the lines of its solution, then those of the problems after it.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import torch

from presrm import Candidates, Problem, PromptSet, Step, Trajectory
from presrm.engines.hf import HFEngine
from presrm.engines.hf_loading import load_policy
from presrm.judges.pointwise import PointwiseJudge
from presrm.types import LEAST_MASS, Checkpoint

HERE = Path(__file__).parent
PROMPTS = PromptSet("compact")
BATCH_SIZES = (1, 4, 8)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SETTING = ("model", "device", "threads", "dtype", "solutions")
Row = dict[str, Any]
Scores = list[float | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder, .gguf or embedded")
    parser.add_argument("--problems", type=Path, help="JSON Lines with question and answer, as GSM8K's")
    parser.add_argument("--depths", nargs="+", type=int, default=[4, 8, 16, 32], help="steps a solution")
    parser.add_argument("--solutions", type=int, default=8, help="judged at once, of each depth")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--out", type=Path, default=HERE / "results.jsonl", help="rows are appended")
    parser.add_argument("--summary", type=Path, metavar="RESULTS", help="measure nothing, show these")
    options = parser.parse_args()
    if options.summary:
        print(table([json.loads(line) for line in options.summary.read_text().splitlines()]))
    elif options.model and options.problems:
        measure(options)
    else:
        parser.error("give --model and --problems, or --summary")


def measure(options: argparse.Namespace) -> None:
    """Time both, taking turns; exits with 1 if a verdict differs."""
    machine = json.loads(subprocess.check_output([sys.executable, HERE.parent / "machine.py"]))
    engine = HFEngine(Checkpoint(options.model), dtype=options.dtype, device=DEVICE)
    judge = PointwiseJudge(engine, PROMPTS, verdict="direct")
    peer = Peer(options.model, options.dtype, engine)
    problems = [json.loads(line) for line in options.problems.read_text("utf-8").splitlines()]
    differs = False
    for depth in options.depths:
        batch = [item for solution in solutions(problems, depth, options.solutions) for item in questions(solution)]

        def packed(batch: Sequence[Candidates] = batch) -> Scores:
            return [judged.score for (judged,) in judge.judge(batch)]

        expected = packed()  # warms up, too
        for repeat in range(options.repeats):
            for size in (None, *BATCH_SIZES):
                before = engine.tokens_read + peer.tokens_read
                began = now()
                scores = peer.judge(batch, size) if size else packed()
                seconds = now() - began
                found = {
                    "batch_size": size,  # none: packed
                    "repeat": repeat,
                    "seconds": seconds,
                    "steps": len(batch),
                    "tokens": engine.tokens_read + peer.tokens_read - before,
                    **agreement(expected, scores),
                }
                model = Path(options.model).name if Path(options.model).exists() else options.model
                setting = {"model": model, "dtype": options.dtype, "solutions": options.solutions}
                with options.out.open("a") as file:
                    file.write(json.dumps({**machine, **setting, "depth": depth, **found}) + "\n")
                way = f"batches of {size}" if size else "packed"
                print(f"{depth} steps, {way}: {len(batch) / seconds:.2f} a second", flush=True)
                differs |= found["verdicts_differ"] > 0
    if differs:
        sys.exit("verdicts differ: see verdicts_differ in the rows")


def solutions(problems: Sequence[Row], depth: int, num: int) -> list[Trajectory]:
    """Finished solutions of `depth` steps; no two share a line."""
    rows = iter(problems)
    made = []
    for number in range(num):
        question, lines = None, []
        while len(lines) < depth:
            row = next(rows)
            question = question or row["question"]
            shown = re.sub(r"<<.*?>>", "", row["answer"].partition("####")[0])
            lines += [line for line in shown.splitlines(keepends=True) if line.strip()]
        made.append(Trajectory(Problem(str(number), question or ""), tuple(Step(line) for line in lines[:depth])))
    return made


def questions(solution: Trajectory) -> list[Candidates]:
    """One after each step: is it right, given those before?"""
    steps = solution.steps
    return [Candidates(Trajectory(solution.problem, steps[:i]), (steps[i],)) for i in range(len(steps))]


class Peer:
    """One prompt a step on plain transformers; the prompts and their ids are ours."""

    def __init__(self, model: str, dtype: str, engine: HFEngine) -> None:
        self.tokens_read = 0
        self._model, tokenizer = load_policy(Checkpoint(model), dtype=dtype, device=DEVICE)
        self._encoder = engine.encoder
        self._pad = int(tokenizer.pad_token_id)
        words = [self._encoder.scaffold(word) for word in ("yes", "no")]
        if any(len(ids) != 1 for ids in words):
            sys.exit(f"{model}: yes and no have to be one token each")
        self._words = [ids[0] for ids in words]

    @torch.inference_mode()
    def judge(self, batch: Sequence[Candidates], size: int) -> Scores:
        """Score every step, `size` prompts at once."""
        prompts = [PROMPTS.pointwise(item.prefix, item.steps[0], direct=True) for item in batch]
        rows = [self._encoder.encode(prompt) for prompt in prompts]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        scores: Scores = [None] * len(rows)
        for start in range(0, len(rows), size):
            indices = order[start : start + size]
            for i, score in zip(indices, self._score([rows[i] for i in indices]), strict=True):
                scores[i] = score
        return scores

    def _score(self, rows: list[list[int]]) -> Scores:
        """P(yes) / (P(yes) + P(no)); none where both together are too improbable to mean anything."""
        width = max(map(len, rows))
        ids_B_T = torch.tensor([[self._pad] * (width - len(row)) + row for row in rows], device=DEVICE)
        mask_B_T = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=DEVICE)
        self.tokens_read += sum(map(len, rows))
        output = self._model(
            input_ids=ids_B_T,
            attention_mask=mask_B_T,
            position_ids=(mask_B_T.cumsum(-1) - 1).clamp(min=0),
            use_cache=False,
            logits_to_keep=1,
        )
        probabilities = output.logits[:, -1].float().softmax(-1)[:, self._words].tolist()
        return [yes / (yes + no) if yes + no >= LEAST_MASS else None for yes, no in probabilities]


def agreement(expected: Scores, scores: Scores) -> Row:
    """How far scores are apart from the packed ones, and whether a verdict (right, wrong, unreadable) differs."""
    both = [(a, b) for a, b in zip(expected, scores, strict=True) if a is not None and b is not None]
    verdicts = [[None if score is None else score >= 0.5 for score in each] for each in (expected, scores)]
    return {
        "most_apart": max((abs(a - b) for a, b in both), default=None),
        "verdicts_differ": sum(a is not b for a, b in zip(*verdicts, strict=True)),
        "unreadable": scores.count(None),
    }


def now() -> float:
    """Seconds, once the GPU is done."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def grouped(rows: list[Row], *names: str) -> list[tuple[tuple[Any, ...], list[Row]]]:
    """Rows by what they have under `names`, in order of it."""

    def key(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in names)

    return [(values, list(members)) for values, members in groupby(sorted(rows, key=key), key)]


def table(rows: list[Row]) -> str:
    """Markdown, a table a setting: medians over repeats, the peer at its best batch size."""
    lines = []
    for setting, members in grouped(rows, *SETTING):
        lines += ["", ", ".join(f"{name} {value}" for name, value in zip(SETTING, setting, strict=True)), ""]
        lines += ["| steps | steps a second, one prompt each (batch) | packed | token ratio | speed-up | scores apart "]
        lines[-1] += "| verdicts that differ | unreadable |"
        lines += ["|---" * 8 + "|"]
        lines += [f"| {depth} | {line(same)} |" for (depth,), same in grouped(members, "depth")]
    return "\n".join(lines[1:])


def line(rows: list[Row]) -> str:
    """The cells of one depth."""
    packed = [row for row in rows if row["batch_size"] is None]
    plain = [row for row in rows if row["batch_size"]]
    seconds, size = min(
        (median(row["seconds"] for row in same), size) for (size,), same in grouped(plain, "batch_size")
    )
    ours = median(row["seconds"] for row in packed)
    steps = packed[0]["steps"]
    apart = [row["most_apart"] for row in rows if row["most_apart"] is not None]
    cells = [f"{steps / seconds:.2f} ({size})", f"{steps / ours:.2f}"]
    cells += [f"{plain[0]['tokens'] / packed[0]['tokens']:.2f}", f"{seconds / ours:.2f}"]
    cells += [f"{max(apart):.1e}" if apart else "unknown", str(max(row["verdicts_differ"] for row in rows))]
    return " | ".join([*cells, f"{packed[0]['unreadable']} of {steps}"])


if __name__ == "__main__":
    main()
