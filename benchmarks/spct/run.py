"""SPCT on a policy: judge accuracy after each stage, with k votes and with a meta-judge; and what it is good for.

    python benchmarks/spct/run.py --policy embedded --out build/spct             # the same command resumes
    python benchmarks/spct/run.py --summary benchmarks/spct/results.jsonl

One set of siblings, steps that M1 drew and an exact checker labelled, is judged by every policy: M1, after rejective
fine-tuning, after each iteration of reinforcement. Then PReSRM runs with the judge of the trained policy and with the
old one, on the same problems.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from presrm.assembly.engines import open_engine
from presrm.assembly.judges import make_judge
from presrm.assembly.runs import train
from presrm.cli.progress import RichProgress
from presrm.config import Config, JudgeConfig, load_config
from presrm.engines.hf_files import policy_at
from presrm.files.jsonl import load_typed
from presrm.judging.health import LabelledCandidates, judge_pairs
from presrm.prompts import PromptSet
from presrm.types import LabelledSteps

LOOPS = {
    "loop": [],
    "loop with replay of traces": [
        "policies.replay=0.25",
        "policies.replay_as=traces",
        "judge_problems.labels=checker",
    ],
    "loop with replay of pairs": ["policies.replay=0.25", "policies.replay_as=pairs", "judge_problems.labels=checker"],
    "loop with replay, no labels": [
        "policies.replay=0.25",
        "policies.replay_as=pairs",
        "judge_problems.labels=agreement",
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="embedded", help="policy folder, or the embedded one")
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102, 103])
    parser.add_argument("--kind", default="pairwise", help="what is learned and measured: pairwise or listwise")
    parser.add_argument("--votes", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--pairs", type=int, default=400, help="the most pairs of siblings that are judged")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="of every run")
    parser.add_argument("--out", type=Path, default=Path("build/spct"))
    parser.add_argument("--summary", type=Path, metavar="ROWS", help="print the table of these rows, and run nothing")
    options = parser.parse_args()
    if options.summary:
        summarise([json.loads(line) for line in options.summary.read_text().splitlines()])
        return
    rows = []
    for seed in options.seeds:
        for row in one_seed(options, seed):
            rows.append({"policy": Path(options.policy).name, "seed": seed, **row})
            print(json.dumps(rows[-1]), flush=True)
            (options.out / "results.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    summarise(rows)


def one_seed(options: argparse.Namespace, seed: int) -> Iterator[dict[str, object]]:
    """Train a judge, measure it, and run the loop with it, with the old one, and with judging replayed."""
    given = [f"model.id={options.policy}", f"seed={seed}", *options.set]
    judging = [f"judge.kind={options.kind}", f"judge_problems.kinds=[{options.kind}]"]
    config = load_config("embedded-spct", [*given, *judging])
    out = options.out / f"spct-{seed}"
    summaries = train(config, out, RichProgress())
    labelled = load_typed(LabelledCandidates, out / "iterations/1/siblings.jsonl")
    pairs = [pair for one in labelled for pair in one.pairs][: options.pairs]
    policies = {
        "M1": options.policy,
        **{one.name: str(out / f"iterations/{one.number}/policy") for one in summaries[1:]},
    }
    for summary in summaries:
        accuracy = summary.scores.accuracy
        yield {"what": "solves", "model": summary.name, "value": accuracy.value, "interval": accuracy.interval}
        yield from measure(config, policies[summary.name], summary.name, pairs, options)
    for name, settings in {
        **LOOPS,
        "loop with the trained judge": [f"model.id={policies[summaries[-1].name]}"],
    }.items():
        for summary in train(
            load_config("embedded", [*given, *settings]), options.out / f"{slug(name)}-{seed}", RichProgress()
        ):
            first, vs_first = summary.health.first_siblings, summary.vs_first
            yield {
                "what": name,
                "model": summary.name,
                "value": summary.scores.accuracy.value,
                "interval": summary.scores.accuracy.interval,
                "vs_M1": vs_first and {"points": 100 * (vs_first.difference.value or 0.0), "p": vs_first.p_value},
                "judge": first and first.right.value,
                "judge_interval": first and first.right.interval,
                "judge_pairs": first and first.right.num,
            }


def measure(
    config: Config, policy: str, name: str, pairs: list[LabelledSteps], options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Judge the siblings with k votes, of a listwise judge also with a meta-judge."""
    with open_engine(policy_at(policy), config.model) as engine:
        for votes in options.votes:
            for meta in (False, True) if options.kind == "listwise" and votes > 1 else (False,):
                judge = JudgeConfig(
                    kind=options.kind,
                    votes=votes,
                    temperature=0.5 if votes > 1 else 0.0,  # the paper's section 4: drawn at 0.5, a single one greedily
                    max_tokens=config.judge.max_tokens,
                    options={"meta": True} if meta else {},
                )
                found = judge_pairs(pairs, make_judge(judge, engine, PromptSet(config.prompts)))
                yield {
                    "what": f"judges, {votes} votes{', meta-judge' if meta else ''}",
                    "model": name,
                    "value": found.right.value,
                    "interval": found.right.interval,
                    "num": found.right.num,
                    "unreadable": found.unreadable,
                    "ties": found.ties,
                }


def summarise(rows: list[dict[str, object]]) -> None:
    """Print every figure, a row for what it is and a column for each policy, seed by seed."""
    models = sorted({str(row["model"]) for row in rows})
    print(f"| seed | what | {' | '.join(models)} |\n|---|---|" + "---|" * len(models))
    by_line: dict[tuple[object, object], dict[object, dict[str, object]]] = {}
    for row in rows:
        by_line.setdefault((row["seed"], row["what"]), {})[row["model"]] = row
    for (seed, what), found in by_line.items():
        print(f"| {seed} | {what} | {' | '.join(cell(found.get(model)) for model in models)} |")


def cell(row: dict[str, object] | None) -> str:
    """A share with its interval, of a loop with the accuracy of its judge on the siblings of M1."""
    if row is None or row["value"] is None:
        return "-"
    text = share(row["value"], row["interval"])
    if row.get("judge") is not None:
        text += f"; judge {share(row['judge'], row['judge_interval'])}"
    return text


def share(value: object, interval: object) -> str:
    """Per cent, with the interval."""
    low, high = interval if isinstance(interval, list | tuple) else (float("nan"), float("nan"))
    return f"{100 * float(str(value)):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def slug(text: str) -> str:
    """Give a name of a folder."""
    return "-".join("".join(char if char.isalnum() else " " for char in text.lower()).split())


if __name__ == "__main__":
    main()
