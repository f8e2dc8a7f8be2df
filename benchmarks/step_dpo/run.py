"""Step-wise DPO on packed trees against TRL's DPOTrainer: same model, same pairs, same loss and gradients.

    python benchmarks/step_dpo/run.py --model SmolLM2-135M-Instruct-Q4_1.gguf --out results.jsonl
    python benchmarks/step_dpo/run.py --summary results.jsonl      # the table, and a plot beside the file

Each shape, as `100x30`, is a prompt of 100 tokens and steps of 30; at depth L a tree has L pairs, one rejected
candidate a step, and is one optimiser step of either trainer, or one of `--trees`. First both train two steps on the
shallowest tree of each shape, and their losses and gradients have to agree. Then they take turns, every measurement in
a process of its own. `case.py` says what exactly is measured.
"""

import argparse
import json
import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

HERE = Path(__file__).parent
TOLERANCE = 1e-4
QUIET = {"TQDM_DISABLE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"}
SETTING = ("model", "device", "threads", "dtype", "lora", "checkpointing", "trees", "trl_batch", "liger", "pack_tokens")
LATER = {"trees": 1, "trl_batch": 1, "liger": False, "pack_tokens": 8192}
"""What rows from before these settings were measured with."""
COLUMNS = (
    "prompt + step, steps | seconds a pair, TRL | ours | tokens, TRL | ours | token ratio | speed-up "
    "| speed-up / token ratio | memory, TRL (MiB) | ours | gradient norms apart"
)
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="folder, .gguf, or random:llama, random:qwen2.5-0.5b, -1.5b or -7b")
    parser.add_argument("--shapes", nargs="+", default=["100x30", "150x40", "150x60"])
    parser.add_argument("--depths", nargs="+", type=int, default=[4, 8, 16, 32])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--lora", action="store_true", help="an adapter of rank 16 instead of all weights")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing, in both")
    parser.add_argument("--trees", type=int, default=1, help="of an optimiser step")
    parser.add_argument("--pack-tokens", type=int, default=8192, help="tokens in a packed row of ours")
    parser.add_argument("--trl-batch", type=int, default=1, help="pairs in a forward pass of TRL's")
    parser.add_argument("--liger", action="store_true", help="Liger's kernels, in both")
    parser.add_argument("--out", type=Path, default=HERE / "results.jsonl", help="rows are appended")
    parser.add_argument("--summary", type=Path, metavar="RESULTS", help="measure nothing, show these")
    parser.add_argument("--peak-tflops", type=float, help="of the GPU: adds its utilisation to the table")
    options = parser.parse_args()
    if options.summary:
        rows = [LATER | json.loads(line) for line in options.summary.read_text().splitlines()]
        print(table(rows, options.peak_tflops))
        plot(rows, options.summary.with_suffix(".svg"))
    elif options.model:
        measure(options)
    else:
        parser.error("give --model or --summary")


def measure(options: argparse.Namespace) -> None:
    """Compare, then time everything asked for; exits with 1 if the trainers do not compute the same."""
    shapes = [tuple(map(int, shape.split("x"))) for shape in options.shapes]
    if any(depth % options.trl_batch for depth in options.depths):
        sys.exit("--trl-batch has to divide every one of --depths, so that each optimiser step has whole batches")
    setting = {name: getattr(options, name) for name in SETTING if name not in ("device", "threads", "dtype")}
    for prompt, step in shapes:
        shape = {"prompt": prompt, "step": step, "depth": min(options.depths)}
        found = run_case({"what": "compare", "trainer": "both", **shape, **setting, "dtype": "float32"})
        print(f"{shape}: loss {found['loss']:.4f}, apart by {found['loss_apart']:.1e} of it", end="; ")
        print(f"gradients apart by {found['gradient_apart']:.1e} of their norm", flush=True)
        if not max(found["loss_apart"], found["gradient_apart"]) <= TOLERANCE:
            sys.exit(f"the trainers do not compute the same: more than {TOLERANCE} apart")
    model = Path(options.model).name if Path(options.model).exists() else options.model
    machine = json.loads(subprocess.check_output([sys.executable, HERE.parent / "machine.py"]))
    for prompt, step in shapes:
        for depth in options.depths:
            for repeat in range(options.repeats):
                for trainer in ("trl", "presrm"):
                    case = {"prompt": prompt, "step": step, "depth": depth, **setting, "dtype": options.dtype}
                    found = run_case({"what": "time", "trainer": trainer, **case})
                    row = {**machine, "trainer": trainer, **case, "model": model, "repeat": repeat, **found}
                    with options.out.open("a") as file:
                        file.write(json.dumps(row) + "\n")
                    print(f"{prompt}x{step} depth {depth} {trainer}: {found['seconds']:.2f} s", flush=True)


def run_case(case: Row) -> Row:
    """Run `case.py` in a process of its own; its last line is the answer."""
    # This process stays small: Linux counts the memory of the one that starts a process to the peak of the new one.
    command = [sys.executable, str(HERE / "case.py"), json.dumps(case)]
    done = subprocess.run(command, env=os.environ | QUIET, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{done.stderr}\n{case} failed")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def grouped(rows: list[Row], *names: str) -> list[tuple[tuple[Any, ...], list[Row]]]:
    """Rows by what they have under `names`, in order of it."""

    def key(row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in names)

    return [(values, list(members)) for values, members in groupby(sorted(rows, key=key), key)]


def middle(rows: list[Row], trainer: str, name: str) -> float:
    """Median over a trainer's repeats; nan if a value is unknown or none is there."""
    values = [row[name] for row in rows if row["trainer"] == trainer]
    return median(values) if values and None not in values else float("nan")


def table(rows: list[Row], peak_tflops: float | None) -> str:
    """Markdown, a table a setting."""
    lines = []
    for setting, members in grouped(rows, *SETTING):
        head = COLUMNS + (" | utilisation, TRL | ours" if peak_tflops else "")
        lines += ["", ", ".join(f"{name} {value}" for name, value in zip(SETTING, setting, strict=True)), ""]
        lines += [f"| {head} |", "|---" * (head.count("|") + 1) + "|"]
        lines += [f"| {line(case, same, peak_tflops)} |" for case, same in grouped(members, "prompt", "step", "depth")]
    return "\n".join(lines[1:])


def line(case: tuple[int, ...], rows: list[Row], peak_tflops: float | None) -> str:
    """The cells of one case. Memory is the peak, less what the loaded model took, in MiB."""
    prompt, step, depth = case
    seconds = [middle(rows, trainer, "seconds") for trainer in ("trl", "presrm")]
    tokens = [middle(rows, trainer, "tokens") for trainer in ("trl", "presrm")]
    added = [middle(rows, t, "memory_peak") - middle(rows, t, "memory_loaded") for t in ("trl", "presrm")]
    speed_up, ratio = seconds[0] / seconds[1], tokens[0] / tokens[1]
    cells = [f"{prompt} + {step}, {depth}"]
    trees = rows[0]["trees"]
    cells += [f"{second / depth / trees:.3g}" for second in seconds] + [f"{token:,.0f}" for token in tokens]
    cells += [f"{ratio:.2f}", f"{speed_up:.2f}", f"{speed_up / ratio:.2f}"]
    cells += [f"{value / 2**20:,.0f}" for value in added]
    cells += [f"{abs(middle(rows, 'presrm', 'grad_norm') / middle(rows, 'trl', 'grad_norm') - 1):.0e}"]
    if peak_tflops:
        # Operations a parameter and token: 2 forward, 2 for the gradient behind it, 2 for its own, which a frozen base
        # has not. The head counts for the tokens of steps alone; embedding, attention and what is computed anew do not.
        each = 4 if rows[0]["lora"] else 6
        scored = 2 * step * depth * trees * rows[0]["head_parameters"]
        used = [each * (rows[0]["layer_parameters"] * token + scored) for token in tokens]
        cells += [f"{one / second / peak_tflops / 1e12:.0%}" for one, second in zip(used, seconds, strict=True)]
    return " | ".join(cells)


def plot(rows: list[Row], path: Path) -> None:
    """Draw seconds a pair against the steps of a solution: a panel a setting and shape, a point a repeat."""
    panels = grouped(rows, *SETTING, "prompt", "step")
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.2), squeeze=False, layout="constrained")
    for axis, (_, members) in zip(axes[0], panels, strict=True):
        cases = grouped(members, "depth")
        depths = [depth for (depth,), _ in cases]
        for trainer, name in (("trl", "TRL"), ("presrm", "presrm")):
            middles = [middle(same, trainer, "seconds") / depth for (depth,), same in cases]
            (drawn,) = axis.plot(depths, middles, label=name)
            repeats = [(row["depth"], row["seconds"] / row["depth"]) for row in members if row["trainer"] == trainer]
            axis.plot(*zip(*repeats, strict=True), "o", color=drawn.get_color(), markersize=4, alpha=0.6)
        axis.set_xscale("log", base=2)
        axis.set_xticks(depths, map(str, depths))
        axis.set_ylim(bottom=0)
        axis.set_xlabel("steps of the solution")
        one = members[0]
        axis.set_title(f"{one['threads']} thread(s), prompt {one['prompt']}, steps of {one['step']}", fontsize=9)
    axes[0][0].set_ylabel("seconds a pair")
    axes[0][0].legend(frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write an SVG that is the same for the same figures."""
    with plt.rc_context({"svg.hashsalt": "presrm"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
