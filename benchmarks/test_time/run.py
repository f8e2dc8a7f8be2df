"""What does the judge buy at test time, and for how many tokens? The embedded policy, 500 held-out problems.

    python benchmarks/test_time/run.py            # evaluates every way, resumable; a quarter of an hour
    python benchmarks/test_time/run.py --summary  # the table, and results.svg

Every way is one call of ``presrm eval``; tokens are those drawn and those read, the judge's included; what the
prompts of one batch share is read, and counts, once.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

HERE = Path(__file__).parent
SAMPLES = 16
WAYS: dict[str, list[str]] = {
    "greedy": [],
    "samples": ["--samples", str(SAMPLES)],
    **{
        f"best of {n}, {verdict}": [
            *("--search", "best-of-n", "--set", f"search.num_candidates={n}", "--set", f"judge.verdict={verdict}")
        ]
        for verdict in ("explained", "direct")
        for n in (2, 4, 8, 16)
    },
    **{f"step search of {w}": ["--search", "greedy", "--set", f"search.num_candidates={w}"] for w in (2, 4, 6, 12)},
    **{
        f"beam of {width}": [
            *("--search", "beam", "--set", f"search.options.beam_width={width}", "--set", "search.num_candidates=4")
        ]
        for width in (2, 4)
    },
}
COLOURS = {"majority": "#888", "best of": "#c33", "vote": "#36c", "step search": "#293", "beam": "#a3a"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("evals/test_time"), help="samples go here")
    parser.add_argument("--seed", type=int, default=505, help="draws problems that no recipe has seen")
    parser.add_argument("--summary", action="store_true", help="evaluate nothing, show results.json")
    options = parser.parse_args()
    if not options.summary:
        measure(options.work, options.seed)
    points = json.loads((HERE / "results.json").read_text())
    print(table(points["points"]))
    plot(points["points"], HERE / "results.svg")


def measure(work: Path, seed: int) -> None:
    """Evaluate every way and put what it gives into results.json."""
    points = []
    for way, flags in WAYS.items():
        out = work / way.replace(" ", "-").replace(",", "").replace("=", "")
        command = [
            sys.executable,
            "-m",
            "presrm",
            "eval",
            "--out",
            str(out),
            "--set",
            f"seed={seed}",
            "--set",
            "threads=1",
            *flags,
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (found,) = json.loads((out / "embedded/results.json").read_text())["results"].values()
        points += [point for point in read_points(way, found) if point["tokens"]]
        machine = json.loads(subprocess.check_output([sys.executable, str(HERE.parent / "machine.py")]))
        (HERE / "results.json").write_text(
            json.dumps({"machine": machine, "seed": seed, "points": points}, indent=1) + "\n"
        )


def read_points(way: str, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Accuracy and tokens a problem of one evaluation; several samples give a point for each number of votes."""
    num = 500
    tokens = (found["tokens_generated,none"] + found["tokens_read,none"]) / num

    def point(name: str, key: str, spent: float = tokens) -> dict[str, Any]:
        return {
            "way": name,
            "accuracy": found[f"{key},none"],
            "interval": found[f"{key}_interval,none"],
            "tokens": spent,
        }

    if way == "samples":
        read = found["tokens_read,none"] / num
        drawn = found["tokens_generated,none"] / num / SAMPLES
        return [point(f"majority of {k}", f"maj@{k}", read + k * drawn) for k in (2, 4, 8, 16)]
    if way.startswith("best of"):
        n = way.split(",")[0].removeprefix("best of ")
        return [point(way, f"best of {n}"), point(way.replace("best of", "vote of"), f"judge-weighted vote of {n}")]
    return [point(way, "exact_match")]


def table(points: list[dict[str, Any]]) -> str:
    """Markdown, by tokens."""
    lines = ["| way | accuracy | 95 % interval | tokens a problem |", "|---|---|---|---|"]
    for point in sorted(points, key=lambda point: float(point["tokens"])):
        low, high = (100 * end for end in point["interval"])
        share = f"{100 * point['accuracy']:.1f} %"
        lines.append(f"| {point['way']} | {share} | {low:.1f} to {high:.1f} | {point['tokens']:,.0f} |")
    return "\n".join(lines)


def plot(points: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy, with its interval, against tokens a problem."""
    figure, axis = plt.subplots(figsize=(8.5, 4.8), layout="constrained")
    families: dict[str, list[dict[str, Any]]] = {}
    for point in sorted(points, key=lambda point: float(point["tokens"])):
        families.setdefault(family(point["way"]), []).append(point)
    for name, members in families.items():
        colour = next((c for key, c in COLOURS.items() if name.startswith(key)), "black")
        accuracies = [100 * point["accuracy"] for point in members]
        ends = [[100 * abs(point["interval"][end] - point["accuracy"]) for point in members] for end in (0, 1)]
        style = "--" if "direct" in name else "-"
        tokens = [point["tokens"] for point in members]
        axis.errorbar(tokens, accuracies, ends, fmt=f"o{style}", color=colour, ms=4, elinewidth=0.5, label=name)
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("tokens a problem, drawn and read")
    axis.set_ylabel("accuracy, % (95 % interval)")
    axis.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    with plt.rc_context({"svg.hashsalt": "presrm"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def family(way: str) -> str:
    """``best of 4, direct`` is a point of ``best of n, direct``."""
    return re.sub(r"\d+", "n", way)


if __name__ == "__main__":
    main()
