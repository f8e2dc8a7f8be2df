"""Which mends keep the loop from running downhill when the judge errs? A share of its verdicts is turned round.

    python benchmarks/noise/run.py --policy embedded --out build/noise           # the same command resumes
    python benchmarks/noise/run.py --summary benchmarks/noise/results.jsonl

Every mend is an option of PReSRM's loop; nothing else changes. What asks the policy more often gets fewer problems: a
short run of each mend on other problems measures its tokens (written and read, as the engine counts them) against those
of the plain loop, and the number of training problems is divided by the ratio. What each run took stands in its rows.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from presrm.assembly.runs import train
from presrm.cli.progress import RichProgress
from presrm.config import Config, load_config

PLAIN = ["pairs.ends=any", "pairs.solution_weight=0"]
MENDS: dict[str, list[str]] = {
    "plain": [],
    "ends alike": ["pairs.ends=alike"],
    "solutions": ["pairs.solution_weight=1"],
    "ends alike, solutions": ["pairs.ends=alike", "pairs.solution_weight=1"],
    "CREAM, by set": ["pairs.consistency=set"],
    "CREAM, by pair": ["pairs.consistency=pair"],
    "soft labels": ["pairs.labels=votes"],
    "margins": ["objective.options.weight=margin"],
    "smoothing 0.2": ["objective.options.label_smoothing=0.2"],
    "both orders": ["pairs.require_both_orders=true"],
    "second judge": ["pairs.second_judge=pointwise"],
    "anchored": ["pairs.anchor=true"],
    "length tiers": ["pairs.length_tier=0.4"],
    "held to M1": ["policies.reference=initial"],
    "lessons mixed": ["policies.lessons=mix"],
    "replay of traces": ["policies.replay=0.25", "policies.replay_as=traces"],
    "replay of pairs": ["policies.replay=0.25", "policies.replay_as=pairs"],
}
LEAST = 20
"""Problems of the run that measures tokens."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="embedded", help="policy folder, or the embedded one")
    parser.add_argument("--config", default="embedded")
    parser.add_argument("--rates", nargs="+", type=float, default=[0.1, 0.2, 0.3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102, 103])
    parser.add_argument("--mends", nargs="+", default=[*MENDS], choices=MENDS)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="of every run")
    parser.add_argument("--out", type=Path, default=Path("build/noise"))
    parser.add_argument("--summary", type=Path, metavar="ROWS", help="print the tables of these rows, and run nothing")
    options = parser.parse_args()
    if options.summary:
        summarise([json.loads(line) for line in options.summary.read_text().splitlines()])
        return
    rows = []
    for mend in options.mends:
        given = [f"model.id={options.policy}", *PLAIN, *options.set]
        ratio = cost(options, given, mend) / cost(options, given, "plain")
        for rate in options.rates:
            for seed in options.seeds:
                rows += one_run(options, given, mend, rate, seed, ratio)
                (options.out / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summarise(rows)


def settings(options: argparse.Namespace, given: list[str], mend: str, rate: float, *others: str) -> Config:
    """Give the settings of a run; the noise is that of what it judges by, whatever it judged by before."""
    kind = load_config(options.config, given).judge.kind
    noise = [f"judge.options={{judge: {kind}, rate: {rate}}}"] if rate else []
    return load_config(options.config, [*given, *(["judge.kind=noisy"] if rate else []), *noise, *MENDS[mend], *others])


def cost(options: argparse.Namespace, given: list[str], mend: str) -> float:
    """Measure the tokens that a short run of a mend takes."""
    out = options.out / "cost" / slug(mend)
    few = (f"problems.num_train={LEAST}", "problems.num_held_out=8", "iterations=2", "seed=99")
    train(settings(options, given, mend, options.rates[0], *few), out, RichProgress())
    return tokens(out)


def tokens(run: Path) -> int:
    """Add up the tokens, written and read, that went into lessons: neither those of assessment nor of training."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    stages = {"search", "again", "propose", "trace", "label"}
    made = (row for row in rows if row.get("stage") in stages)
    return sum(row.get("tokens_generated", 0) + row.get("tokens_read", 0) for row in made)


def one_run(
    options: argparse.Namespace, given: list[str], mend: str, rate: float, seed: int, ratio: float
) -> list[dict[str, object]]:
    """Run the loop, or resume it, and give a row for each policy."""
    num = round(load_config(options.config, given).problems.num_train / ratio)
    out = options.out / f"{slug(mend)}-{rate}-{seed}"
    config = settings(options, given, mend, rate, f"problems.num_train={max(LEAST, num)}", f"seed={seed}")
    summaries = train(config, out, RichProgress())
    rows = []
    for summary in summaries:
        siblings, vs_first = summary.health.first_siblings, summary.vs_first
        rows.append(
            {
                "policy": Path(options.policy).name,
                "mend": mend,
                "rate": rate,
                "seed": seed,
                "model": summary.name,
                "num_train": config.problems.num_train,
                "tokens": tokens(out),
                "accuracy": summary.scores.accuracy.value,
                "interval": summary.scores.accuracy.interval,
                "vs_M1": vs_first and {"points": 100 * (vs_first.difference.value or 0.0), "p": vs_first.p_value},
                "siblings_of_M1": siblings and siblings.right.value,
                "lessons": summary.num_lessons,
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return rows


def summarise(rows: list[dict[str, object]]) -> None:
    """Print, for each mend and rate, by how many points the last policy differs from M1: mean, least and most."""
    last: dict[tuple[object, object], dict[object, dict[str, object]]] = defaultdict(dict)
    for row in rows:
        if row["model"] != "M1":
            last[row["mend"], row["rate"]][row["seed"]] = row
    rates = sorted({rate for _, rate in last}, key=str)
    print(f"| mend | {' | '.join(f'{float(str(rate)):.0%} turned round' for rate in rates)} | tokens of plain |")
    print("|---|" + "---|" * (len(rates) + 1))
    taken = {mend: fmean(float(str(row["tokens"])) for row in of_mend(rows, mend)) for mend, _ in last}
    for mend in dict.fromkeys(mend for mend, _ in last):
        cells = [cell([*last[mend, rate].values()]) for rate in rates]
        share = f"{taken[mend] / taken['plain']:.2f}" if "plain" in taken else "?"
        print(f"| {mend} | {' | '.join(cells)} | {share} |")


def of_mend(rows: list[dict[str, object]], mend: object) -> list[dict[str, object]]:
    """The rows of a mend."""
    return [row for row in rows if row["mend"] == mend]


def cell(rows: list[dict[str, object]]) -> str:
    """Points against M1 over the seeds, and in how many of them the last policy solves significantly fewer."""
    found = [row["vs_M1"] for row in rows]
    points = [each["points"] for each in found if isinstance(each, dict)]
    if not points:
        return "-"
    worse = sum(isinstance(each, dict) and each["points"] < 0 and each["p"] < 0.05 for each in found)
    return f"{fmean(points):+.1f} [{min(points):+.1f}, {max(points):+.1f}], worse in {worse} of {len(points)}"


def slug(text: str) -> str:
    """Give a name of a folder."""
    return "-".join("".join(char if char.isalnum() or char == "." else " " for char in text.lower()).split())


if __name__ == "__main__":
    main()
