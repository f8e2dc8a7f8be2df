"""Steps judged a second by each kind of judge, on the same candidates.

    python benchmarks/judging/kinds.py --model embedded
    python benchmarks/judging/kinds.py --model SmolLM2-135M-Instruct-Q4_1.gguf --problems 2 --tokens 48
    python benchmarks/judging/kinds.py --summary

Every kind judges the candidates of every prefix of some solved arithmetic problems: the right step, and others with a
digit changed. The process reward model has the policy's architecture and random weights. Time is both that of the clock
and that of the processor, which other work on the machine does not change much.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoModelForTokenClassification

from presrm import Candidates, PromptSet, Step
from presrm.assembly.engines import limit_threads
from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.hf import HFEngine
from presrm.engines.hf_loading import load_policy
from presrm.judging.labels import perturbed
from presrm.problems.arithmetic import load_arithmetic
from presrm.splitters.newline import NewlineSplitter
from presrm.types import Checkpoint

HERE = Path(__file__).parent
NUM_CANDIDATES = 4
KINDS: dict[str, dict[str, Any]] = {
    "pairwise, direct": {"kind": "pairwise", "verdict": "direct"},
    "pairwise, explained": {"kind": "pairwise"},
    "pointwise, direct": {"kind": "pointwise", "verdict": "direct"},
    "pointwise, explained": {"kind": "pointwise"},
    "first-error": {"kind": "first-error"},
    "additive": {"kind": "additive"},
    "listwise": {"kind": "listwise"},
    "jury of pointwise and additive": {"kind": "jury", "options": {"judges": ["pointwise", "additive"]}},
    "prm": {"kind": "prm"},
    "callable": {"kind": "callable", "options": {"function": "recompute:score"}},
    "checker": {"kind": "checker"},
}
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder, .gguf or embedded")
    parser.add_argument("--problems", type=int, default=8, help="whose prefixes are expanded")
    parser.add_argument("--tokens", type=int, default=24, help="longest reply")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="kinds with this in their name")
    parser.add_argument("--results", type=Path, default=HERE / "results_kinds.jsonl", help="rows are appended")
    parser.add_argument("--summary", action="store_true", help="measure nothing, show the results")
    options = parser.parse_args()
    if options.model:
        measure(options)
    elif not options.summary:
        parser.error("give --model or --summary")
    print(table([json.loads(line) for line in options.results.read_text().splitlines()]))


def measure(options: argparse.Namespace) -> None:
    """Time every kind, after one prefix that warms it up."""
    machine = json.loads(subprocess.check_output([sys.executable, HERE.parent / "machine.py"]))
    limit_threads(options.threads)
    batch = list(expansions(options.problems))
    num_steps = sum(len(item.steps) for item in batch)
    name = Path(options.model).name if Path(options.model).exists() else options.model
    with (
        TemporaryDirectory(prefix="presrm-") as folder,
        HFEngine(Checkpoint(options.model), dtype="float32", device="cpu") as engine,
    ):
        for kind, settings in KINDS.items():
            if options.only not in kind:
                continue
            config = JudgeConfig(**{"max_tokens": options.tokens, **settings})
            if kind == "prm":
                config = config.model_copy(update={"options": {"model": random_prm(options.model, Path(folder))}})
            judge = make_judge(config, engine, PromptSet("compact"))
            judge.judge(batch[:1])
            generated, began, cpu_began = engine.tokens_generated, time.perf_counter(), time.process_time()
            judged = judge.judge(batch)
            found = {
                "kind": kind,
                "steps": num_steps,
                "seconds": time.perf_counter() - began,
                "cpu_seconds": time.process_time() - cpu_began,
                "tokens_generated": engine.tokens_generated - generated,
                "statuses": Counter(judgement.status for of_item in judged for judgement in of_item),
            }
            setting = {"model": name, "threads": options.threads, "max_tokens": options.tokens}
            with options.results.open("a") as file:
                file.write(json.dumps({**machine, **setting, **found}) + "\n")
            print(f"{kind}: {num_steps / found['seconds']:.4g} steps a second", file=sys.stderr, flush=True)


def expansions(num: int) -> Iterator[Candidates]:
    """Give every prefix of `num` solved problems with distinct candidates, the right one first."""
    for problem in load_arithmetic(split="test", num=num):
        wrong: dict[int, dict[str, None]] = {}
        right = {}
        for seed in range(60):
            [found] = perturbed([problem], NewlineSplitter(), 1, seed)
            if found.good and found.bad:
                right[len(found.prefix.steps)] = found.prefix, found.good
                wrong.setdefault(len(found.prefix.steps), {})[found.bad.text] = None
        for place, (prefix, good) in sorted(right.items()):
            texts = list(wrong[place])[: NUM_CANDIDATES - 1]
            yield Candidates(prefix, (good, *map(Step, texts)))


def random_prm(model: str, folder: Path) -> str:
    """Save a token classifier of the policy's architecture, of random weights, with its tokenizer."""
    policy, tokenizer = load_policy(Checkpoint(model), dtype="float32", device="cpu")
    config = policy.config
    config.num_labels = 2
    torch.manual_seed(0)
    AutoModelForTokenClassification.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def table(rows: list[Row]) -> str:
    """Markdown, a line a kind and a column a model; of several runs the last."""
    last = {(row["kind"], row["model"], row["threads"]): row for row in rows}
    columns = list(dict.fromkeys((model, threads) for _, model, threads in last))
    lines = ["| kind | " + " | ".join(f"{model}, threads {threads} | unread" for model, threads in columns) + " |"]
    lines += ["|---|" + "---:|" * (2 * len(columns))]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        cells = []
        for column in columns:
            row = last.get((kind, *column))
            cells += cells_of(row) if row else ["-", "-"]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cells_of(row: Row) -> list[str]:
    """Steps a second of the processor's time (of the clock's), and the share of steps without a score."""
    unread = row["steps"] - row["statuses"].get("ok", 0)
    rate, by_clock = (row["steps"] / row[name] for name in ("cpu_seconds", "seconds"))
    return [f"{rate:.3g} ({by_clock:.3g})", f"{unread} of {row['steps']}"]


if __name__ == "__main__":
    main()
