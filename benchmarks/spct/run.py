"""SPCT on a policy: judge accuracy after each stage, with k votes and with a meta-judge; and what it is good for.

    python benchmarks/spct/run.py --policy embedded --out build/spct             # the same command resumes
    python benchmarks/spct/run.py --summary benchmarks/spct/results.jsonl

One set of siblings a seed, steps that M1 drew and an exact checker labelled, is judged by every policy: M1, after
rejective fine-tuning, after each iteration of reinforcement, and those of PReSRM's loop, which starts both from the
trained policy and from M1, on the same problems.
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
from presrm.iteration import IterationSummary
from presrm.judging.health import LabelledCandidates, compare_pairs
from presrm.prompts import PromptSet
from presrm.statistics import mcnemar_exact, share
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
TRAINED = "loop with the trained judge"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="embedded", help="policy folder, or the embedded one")
    parser.add_argument("--seeds", nargs="+", type=int, default=[101, 102, 103])
    parser.add_argument("--kind", default="pairwise", help="what is learned and measured: pairwise or listwise")
    parser.add_argument("--votes", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--pairs", type=int, default=400, help="the most pairs of siblings that are judged")
    parser.add_argument("--loops", nargs="*", default=[*LOOPS, TRAINED], choices=[*LOOPS, TRAINED])
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
    siblings = f"evaluation.num_judge_problems={options.pairs}"  # a problem gives about one pair
    config = load_config("embedded-spct", [*given, *judging, siblings])
    out = options.out / f"spct-{seed}"
    summaries = train(config, out, RichProgress())
    labelled = load_typed(LabelledCandidates, out / "iterations/1/siblings.jsonl")
    pairs = [pair for one in labelled for pair in one.pairs][: options.pairs]
    policies = {
        "M1": options.policy,
        **{one.name: str(out / f"iterations/{one.number}/policy") for one in summaries[1:]},
    }
    first: dict[str, list[bool]] = {}
    for summary in summaries:
        yield solves("solves", summary)
        for votes in options.votes:
            for meta in (False, True) if options.kind == "listwise" and votes > 1 else (False,):
                what = f"judges, {votes} votes{', meta-judge' if meta else ''}"
                hits = judge(config, policies[summary.name], pairs, options.kind, votes, meta)
                yield judges(what, summary.name, hits, first.setdefault(what, hits))
    for name in options.loops:
        start = policies[summaries[-1].name] if name == TRAINED else options.policy
        run = options.out / f"{slug(name)}-{seed}"
        settings = [*given, f"model.id={start}", *LOOPS.get(name, [])]
        for summary in train(load_config("embedded", settings), run, RichProgress()):
            policy = str(run / f"iterations/{summary.number}/policy") if summary.number > 1 else start
            hits = judge(config, policy, pairs, options.kind, 1, False)
            yield solves(name, summary)
            yield judges(f"{name}: judges", summary.name, hits, first.setdefault(name, hits))


def solves(what: str, summary: IterationSummary) -> dict[str, object]:
    """How many held-out problems a policy solves, and against M1 of its run."""
    accuracy, vs_first = summary.scores.accuracy, summary.vs_first
    return {
        "what": what,
        "model": summary.name,
        "value": accuracy.value,
        "interval": accuracy.interval,
        "num": accuracy.num,
        "vs_M1": vs_first and {"points": 100 * (vs_first.difference.value or 0.0), "p": vs_first.p_value},
    }


def judges(what: str, name: str, hits: list[bool], first: list[bool]) -> dict[str, object]:
    """How many pairs a judge orders rightly, and against M1 of its run on the same pairs (exact McNemar)."""
    right = share(hits)
    lost, gained = (sum(a == state and b != state for a, b in zip(first, hits, strict=True)) for state in (True, False))
    return {
        "what": what,
        "model": name,
        "value": right.value,
        "interval": right.interval,
        "num": right.num,
        "vs_M1": {"points": 100 * (gained - lost) / len(hits), "p": mcnemar_exact(lost, gained)},
    }


def judge(config: Config, policy: str, pairs: list[LabelledSteps], kind: str, votes: int, meta: bool) -> list[bool]:
    """Let a policy judge the siblings; tied and unreadable pairs are not right."""
    settings = JudgeConfig(
        kind=kind,
        votes=votes,
        temperature=0.5 if votes > 1 else 0.0,  # the paper's section 4: drawn at 0.5, a single one greedily
        max_tokens=config.judge.max_tokens,
        options={"meta": True} if meta else {},
    )
    with open_engine(policy_at(policy), config.model) as engine:
        margins = compare_pairs(pairs, make_judge(settings, engine, PromptSet(config.prompts)))
    return [margin is not None and margin > 0 for margin in margins]


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
    """Per cent, with the interval, and behind M1 the p of the paired test against it."""
    if row is None or row["value"] is None:
        return "-"
    low, high = row["interval"] if isinstance(row["interval"], list | tuple) else (float("nan"), float("nan"))
    text = f"{100 * float(str(row['value'])):.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    found = row["vs_M1"]
    return text if row["model"] == "M1" or not isinstance(found, dict) else f"{text}, p = {found['p']:.2g}"


def slug(text: str) -> str:
    """Give a name of a folder."""
    return "-".join("".join(char if char.isalnum() else " " for char in text.lower()).split())


if __name__ == "__main__":
    main()
