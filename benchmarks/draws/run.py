"""How often does a token come out otherwise in another batch? The embedded policy on made-up problems.

    python benchmarks/draws/run.py            # some ten minutes on one core
    python benchmarks/draws/run.py --summary  # the table of results.json

Draws belong to requests, so the same requests are made with batches of several sizes, and completions compared token
by token, up to the first that differs: what follows it is another text. Only the last bits of a logit can make one.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from presrm import ENGINES, PROBLEMS, Checkpoint, Completion, PromptSet, Request, Sampling, Trajectory
from presrm.seeding import derive_seed

HERE = Path(__file__).parent
WHOLE = 65_536
"""Tokens in a batch: all completions that are asked for at once, in a few batches."""
SAMPLINGS = {
    "greedy": Sampling(0.0, max_tokens=96),
    "temperature 1": Sampling(1.0, max_tokens=96),
    "temperature 1, top_p 0.95": Sampling(1.0, 0.95, 96),
}
SIZES = {"some 16 rows": 3_000, "one row": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--completions", type=int, default=4, help="of each problem; at temperature 0 a single one")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--summary", action="store_true", help="run nothing, show results.json")
    options = parser.parse_args()
    results = HERE / "results.json"
    if not options.summary:
        told = subprocess.run([sys.executable, HERE.parent / "machine.py"], check=True, capture_output=True, text=True)
        rows = [row for dtype in ("float32", "bfloat16") for row in measure(options, dtype)]
        results.write_text(json.dumps({"machine": json.loads(told.stdout), "rows": rows}, indent=1) + "\n")
    print(table(json.loads(results.read_text())["rows"]))


def measure(options: argparse.Namespace, dtype: str) -> list[dict[str, Any]]:
    """Compare every way to draw between batches of all sizes."""
    problems = PROBLEMS.create("arithmetic", split="test")[: options.problems]
    prompts = [PromptSet("compact").solve(Trajectory(problem)) for problem in problems]
    rows = []
    for name, sampling in SAMPLINGS.items():
        num = options.completions if sampling.temperature else 1
        requests = [Request(p, num, sampling, seed=derive_seed("draws", i)) for i, p in enumerate(prompts)]
        whole = generate(options, dtype, WHOLE, requests)
        for size, batch_tokens in SIZES.items():
            found = compare(whole, generate(options, dtype, batch_tokens, requests))
            rows.append({"dtype": dtype, "sampling": name, "against": size, **found})
            print(rows[-1], flush=True)
    return rows


def generate(
    options: argparse.Namespace, dtype: str, batch_tokens: int, requests: Sequence[Request]
) -> list[Completion]:
    """Complete every request with batches of one size."""
    checkpoint = Checkpoint(options.model)
    with ENGINES.create(
        "hf", checkpoint=checkpoint, dtype=dtype, device=options.device, batch_tokens=batch_tokens
    ) as engine:
        return [completion for of in engine.generate(requests) for completion in of]


def compare(ones: Sequence[Completion], others: Sequence[Completion]) -> dict[str, int]:
    """Count the completions that differ, and the tokens that were compared."""
    num_tokens = num_differ = 0
    for one, other in zip(ones, others, strict=True):
        for a, b in zip_longest((*one.tokens, one.stop), (*other.tokens, other.stop)):
            num_tokens += 1
            if a != b:
                num_differ += 1
                break
    return {"completions": len(ones), "tokens": num_tokens, "differ": num_differ}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Write the results as Markdown."""
    lines = [
        "| dtype | drawn | whole batches against | completions | that differ | tokens compared | that differ |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rate = f"{row['differ'] / row['tokens']:.1e}" if row["differ"] else f"0 (below {3 / row['tokens']:.0e})"
        lines.append(
            f"| {row['dtype']} | {row['sampling']} | {row['against']} | {row['completions']:,} | {row['differ']} "
            f"| {row['tokens']:,} | {rate} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
