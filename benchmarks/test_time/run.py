"""What does the judge buy at test time, and for how many tokens? The embedded policy, 500 held-out problems.

    python benchmarks/test_time/run.py            # evaluates every way, resumable; a quarter of an hour
    python benchmarks/test_time/run.py --summary  # the table, and results.svg

Every way is one call of ``presrm eval``; tokens are those drawn and those read, the judge's included; what the
prompts of one batch share is read, and counts, once.
"""

import argparse
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

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
    (HERE / "results.svg").write_text(plot(points["points"]))


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


def plot(points: list[dict[str, Any]]) -> str:
    """SVG: accuracy against tokens a problem (logarithmic)."""
    least, most = (f(math.log10(point["tokens"]) for point in points) for f in (min, max))
    low, high = (f(point["accuracy"] for point in points) for f in (min, max))
    low, high = low - 0.02, high + 0.03
    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="820" height="440" font-family="sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="white"/>'
    ]

    def place(point: dict[str, Any]) -> tuple[float, float]:
        x = 60 + 560 * (math.log10(point["tokens"]) - least) / (most - least)
        return x, 390 - 360 * (point["accuracy"] - low) / (high - low)

    for tenth in range(math.ceil(low * 20), math.floor(high * 20) + 1):
        y = 390 - 360 * (tenth / 20 - low) / (high - low)
        out.append(f'<path d="M60 {y:.0f}H630" stroke="#ddd"/><text x="20" y="{y + 4:.0f}">{5 * tenth} %</text>')
    for tokens in (50, 100, 200, 500, 1000, 2000, 5000, 10000):
        if least <= math.log10(tokens) <= most:
            x = 60 + 560 * (math.log10(tokens) - least) / (most - least)
            out.append(f'<text x="{x - 12:.0f}" y="410">{tokens}</text>')
    out.append('<text x="250" y="430">tokens a problem, drawn and read</text>')
    families: dict[str, list[dict[str, Any]]] = {}
    for point in points:
        families.setdefault(family(point["way"]), []).append(point)
    for number, (name, members) in enumerate(families.items()):
        colour = next((c for key, c in COLOURS.items() if name.startswith(key)), "#000")
        dash = ' stroke-dasharray="4 3"' if "direct" in name else ""
        spots = [place(point) for point in sorted(members, key=lambda point: float(point["tokens"]))]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in spots]
        y = 40 + 22 * number
        out.append(
            f'<path d="M645 {y}H670" stroke="{colour}" stroke-width="2"{dash}/><text x="676" y="{y + 4}">{name}</text>'
        )
    return "".join([*out, "</svg>\n"])


def family(way: str) -> str:
    """``best of 4, direct`` is a point of ``best of n, direct``."""
    return re.sub(r"\d+", "n", way)


if __name__ == "__main__":
    main()
