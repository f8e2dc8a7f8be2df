"""What does a step of a search cost, by its depth? The hf engine with and without a cache, and transformers' own way.

    python benchmarks/search_cache/run.py --model SmolLM2.gguf   # four solvers at four depths, each a few times
    python benchmarks/search_cache/run.py --summary              # the tables of results.jsonl

Paths of steps with the same number of tokens grow from made-up questions; at every depth w candidates are drawn, and
with --judge every pair of them is compared in both orders, by token probabilities. Seconds are the median of the steps
around a depth, so that a busy moment does not count. Plain `generate` gets the same prompts, draws as many tokens, and
reads each prompt once for each candidate, in batches of the size that is fastest.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from presrm import ENGINES, Checkpoint, Problem, PromptSet, Request, Sampling, Step, Trajectory
from presrm.engines.hf_loading import load_policy
from presrm.protocols import Engine, keeping
from presrm.seeding import derive_seed

HERE = Path(__file__).parent
PROMPTS = PromptSet("compact")
AROUND = 3
"""Steps up to a depth whose median is taken."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--depths", type=int, nargs="+", default=[4, 8, 16, 32])
    parser.add_argument("--tokens", type=int, default=30, help="of a step")
    parser.add_argument("--candidates", type=int, default=4)
    parser.add_argument("--problems", type=int, default=2, help="searched in lockstep")
    parser.add_argument("--cache-tokens", type=int, default=65_536)
    parser.add_argument("--judge", action="store_true", help="compare the candidates, too")
    parser.add_argument("--summary", action="store_true", help="run nothing, show results.jsonl")
    options = parser.parse_args()
    results = HERE / "results.jsonl"
    if not options.summary:
        told = subprocess.run([sys.executable, HERE.parent / "machine.py"], check=True, capture_output=True, text=True)
        about = {"machine": json.loads(told.stdout), "model": Path(options.model).name, "judge": options.judge}
        about |= {"problems": options.problems, "candidates": options.candidates, "tokens": options.tokens}
        with results.open("w") as file:
            for row in measure(options):
                file.write(json.dumps(about | row) + "\n")
                file.flush()
    print(summary([json.loads(line) for line in results.read_text().splitlines()]))


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure every way at every depth, on one load of the model."""
    factory = ENGINES.factory("hf")
    with factory(Checkpoint(options.model), chat_template=None, cache_tokens=options.cache_tokens) as engine:
        paths = make_paths(engine.encoder, options)
        expand(engine, paths, 1, options)  # what is only done once
        for way in ("kept", "read anew"):
            with keeping(engine) if way == "kept" else nullcontext():
                yield from ({"way": way, **row} for row in along(engine, paths, options))
        if not options.judge:
            model, _ = load_policy(Checkpoint(options.model))
            for depth in options.depths:
                yield {"way": "plain generate", **plain(model, engine, paths, depth, options)}


def make_paths(encoder: Any, options: argparse.Namespace) -> list[Trajectory]:
    """Solutions whose steps all have the same number of tokens: sums, so that the policy reads what it could write."""
    paths = []
    for number in range(options.problems):
        rng, steps = random.Random(number), []
        for _ in range(max(options.depths)):
            text = "".join(f"{(a := rng.randrange(90))} + {(b := rng.randrange(9))} = {a + b}, " for _ in range(60))
            ids = tuple(encoder.content(text)[: options.tokens])
            steps.append(Step(encoder.decode(ids), ids))
        question = "Add up the numbers of a list, two at a time, and say each sum before you go on to the next one."
        paths.append(Trajectory(Problem(f"p{number}", f"{question} List {number}."), tuple(steps)))
    return paths


def along(engine: Any, paths: Sequence[Trajectory], options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Expand every depth in turn; gives the depths that were asked for."""
    rows = []
    for depth in range(1, max(options.depths) + 1):
        before = engine.tokens_read, engine.tokens_recalled, engine.tokens_generated
        began = time.perf_counter()
        expand(engine, paths, depth, options)
        seconds = time.perf_counter() - began
        now = engine.tokens_read, engine.tokens_recalled, engine.tokens_generated
        read, recalled, written = ((b - a) / len(paths) for a, b in zip(before, now, strict=True))
        rows.append({"read": read, "recalled": recalled, "written": written, "seconds": seconds / len(paths)})
        if not written:
            raise SystemExit(f"the model has no room for step {depth}: choose smaller --depths or --tokens")
        if depth in options.depths:
            typical = statistics.median(row["seconds"] for row in rows[-AROUND:])
            yield {"depth": depth, **rows[-1], "seconds": round(typical, 4)}


def prefix(path: Trajectory, depth: int) -> Trajectory:
    return Trajectory(path.problem, path.steps[: depth - 1])


def expand(engine: Engine, paths: Sequence[Trajectory], depth: int, options: argparse.Namespace) -> None:
    """Draw the candidates of step number `depth` of every path, and compare them."""
    how = Sampling(temperature=1.0, max_tokens=options.tokens)
    drawn = engine.generate(
        [
            Request(PROMPTS.solve(prefix(path, depth)), options.candidates, how, seed=derive_seed("bench", depth, i))
            for i, path in enumerate(paths)
        ]
    )
    if options.judge:
        asked = [
            PROMPTS.pairwise(prefix(path, depth), Step(a.text), Step(b.text), direct=True)
            for path, of in zip(paths, drawn, strict=True)
            for a in of
            for b in of
            if a is not b
        ]
        engine.logprobs(asked, ["A", "B"])


def plain(
    model: Any, engine: Any, paths: Sequence[Trajectory], depth: int, options: argparse.Namespace
) -> dict[str, Any]:
    """The same candidates by transformers' `generate`, in the best of some sizes of batches."""
    import torch

    ids = [engine.encoder.encode(PROMPTS.solve(prefix(path, depth))) for path in paths]
    best: dict[str, Any] = {}
    size = 1
    while size <= len(paths):
        times = []
        for _ in range(AROUND):
            began = time.perf_counter()
            for start in range(0, len(ids), size):
                batch = ids[start : start + size]
                longest = max(map(len, batch))
                padded = torch.tensor([[0] * (longest - len(one)) + one for one in batch], device=model.device)
                mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in batch], device=model.device)
                with torch.inference_mode():
                    model.generate(
                        padded,
                        attention_mask=mask,
                        do_sample=True,
                        num_return_sequences=options.candidates,
                        min_new_tokens=options.tokens,
                        max_new_tokens=options.tokens,
                        eos_token_id=engine.encoder.eos_id,
                        pad_token_id=0,
                    )
            times.append((time.perf_counter() - began) / len(paths))
        seconds = statistics.median(times)
        if not best or seconds < best["seconds"]:
            read = options.candidates * sum(map(len, ids)) / len(ids)
            written = options.candidates * options.tokens
            best = {"depth": depth, "read": read, "written": written, "seconds": round(seconds, 4), "batch": size}
        size *= 2
    return best


def summary(rows: Sequence[dict[str, Any]]) -> str:
    """A table for each way, and the two figures that matter."""
    lines = [
        "| way | depth | tokens read | recalled | written | seconds an expansion | ms a token written |",
        "|" + "---|" * 7,
    ]
    for row in rows:
        recalled = f"{row['recalled']:.0f}" if "recalled" in row else "-"
        per_token = 1000 * row["seconds"] / row["written"]
        lines.append(
            f"| {row['way']} | {row['depth']} | {row['read']:.0f} | {recalled} | {row['written']:.0f} | "
            f"{row['seconds']:.3f} | {per_token:.2f} |"
        )
    by_way = {(row["way"], row["depth"]): row["seconds"] / row["written"] for row in rows}
    for way in dict.fromkeys(row["way"] for row in rows):
        if {(way, 8), (way, 32)} <= by_way.keys():
            lines.append(f"\n{way}: a token at depth 32 takes {by_way[way, 32] / by_way[way, 8]:.2f} times one at 8")
    if {("kept", 16), ("plain generate", 16)} <= by_way.keys():
        lines.append(
            f"at depth 16, plain generate takes {by_way['plain generate', 16] / by_way['kept', 16]:.2f} times as long"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
