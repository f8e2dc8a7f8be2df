"""SPCT on a policy: judge accuracy after each stage, with k votes and with a meta-judge; and what it is good for.

    python benchmarks/spct/run.py --policy embedded --out build/spct             # the same command resumes
    python benchmarks/spct/run.py --summary benchmarks/spct/results.jsonl

One set of siblings a seed, steps that M1 drew and an exact checker labelled, is judged by every policy: M1, after
rejective fine-tuning, after each iteration of reinforcement, and those of PReSRM's loop, which starts both from the
trained policy and from M1, on the same problems. The judgements that the run drew teach a meta-judge, a head on M1,
which keeps the better half of the votes; with ``--kind listwise`` the policy's own yes does so, too, for comparison.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
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
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Completion, Engine, Request
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
META = ["training.learning_rate=1e-3", "training.epochs=3", "training.batch_pairs=32"]


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
    first: dict[str, list[float | None]] = {}
    metas: dict[str, str | bool] = {", meta-judge": fit_meta(options, seed)}
    metas |= {", own yes": True} if options.kind == "listwise" else {}
    for summary in summaries:
        yield solves("solves", summary)
        with open_engine(policy_at(policies[summary.name]), config.model) as engine:
            drawn = DrawnOnce(engine, max(options.votes))
            for votes in options.votes:
                what = f"judges, {votes} votes"
                every = judge(config, drawn, pairs, options.kind, votes)
                yield judges(what, summary.name, every, first.setdefault(what, every))
                for name, meta in metas.items() if votes > 1 else []:
                    half = judge(config, drawn, pairs, options.kind, votes, meta=meta)
                    row = judges(what + name, summary.name, half, first.setdefault(what + name, half))
                    yield row | {"vs_all": compare(every, half)}
    for name in options.loops:
        start = policies[summaries[-1].name] if name == TRAINED else options.policy
        run = options.out / f"{slug(name)}-{seed}"
        settings = [*given, f"model.id={start}", *LOOPS.get(name, [])]
        for summary in train(load_config("embedded", settings), run, RichProgress()):
            policy = str(run / f"iterations/{summary.number}/policy") if summary.number > 1 else start
            with open_engine(policy_at(policy), config.model) as engine:
                found = judge(config, engine, pairs, options.kind, 1)
            yield solves(name, summary)
            yield judges(f"{name}: judges", summary.name, found, first.setdefault(name, found))


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


def judges(what: str, name: str, found: list[float | None], first: list[float | None]) -> dict[str, object]:
    """How many pairs a judge orders rightly, and against M1 of its run on the same pairs."""
    right = share(are_right(found))
    return {
        "what": what,
        "model": name,
        "value": right.value,
        "interval": right.interval,
        "num": right.num,
        "ties": found.count(0.0),
        "vs_M1": compare(first, found),
    }


def compare(first: list[float | None], second: list[float | None]) -> dict[str, float]:
    """By how many points the second order more of the pairs rightly, and the p of the exact McNemar test."""
    both = list(zip(are_right(first), are_right(second), strict=True))
    lost, gained = both.count((True, False)), both.count((False, True))
    return {"points": 100 * (gained - lost) / len(both), "p": mcnemar_exact(lost, gained)}


def are_right(margins: list[float | None]) -> list[bool]:
    """Tied and unreadable pairs are not right."""
    return [margin is not None and margin > 0 for margin in margins]


def fit_meta(options: argparse.Namespace, seed: int) -> str:
    """Train a meta-judge on the judgements that SPCT drew, hinted ones apart: which of them are right."""
    made, judgements = options.out / f"meta-{seed}", options.out / f"judgements-{seed}.jsonl"
    if not made.exists():
        traces = sorted((options.out / f"spct-{seed}").glob("iterations/*/traces.jsonl"))
        judgements.write_text("".join(path.read_text() for path in traces))
        settings = [f"seed={seed}", *META, *options.set]
        given = [part for setting in settings for part in ("--set", setting)]
        command = ["fit-prm", str(judgements), "--model", options.policy, "--out", str(made), *given]
        subprocess.run([sys.executable, "-m", "presrm", *command], check=True, stdout=sys.stderr)
    return str(made)


def judge(
    config: Config, engine: Engine, pairs: list[LabelledSteps], kind: str, votes: int, *, meta: bool | str = False
) -> list[float | None]:
    """Let a policy judge the siblings: by how much it scores the right one higher, or none if it does not say."""
    settings = JudgeConfig(
        kind=kind,
        votes=votes,
        temperature=0.5 if votes > 1 else 0.0,  # the paper's section 4: drawn at 0.5, a single one greedily
        max_tokens=config.judge.max_tokens,
        options={"meta": meta} if meta else {},
    )
    return compare_pairs(pairs, make_judge(settings, engine, PromptSet(config.prompts)))


class DrawnOnce:
    """An engine that draws every reply once: fewer votes are the first ones of more, with and without a meta-judge."""

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine = engine
        self._most = most
        self._drawn: dict[tuple[str, object, int], list[Completion]] = {}

    def __enter__(self) -> "DrawnOnce":
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def generate(self, requests: Sequence[Request]) -> list[list[Completion]]:
        """Give the first replies to each request; what is drawn belongs to request, seed and number."""
        new = {self._key(request): request for request in requests if self._key(request) not in self._drawn}
        asked = [replace(request, num=self._most) if request.num > 1 else request for request in new.values()]
        self._drawn |= zip(new, self._engine.generate(asked) if asked else [], strict=True)
        return [self._drawn[self._key(request)][: request.num] for request in requests]

    def logprobs(self, prompts: Sequence[Prompt], options: Sequence[str]) -> list[tuple[float, ...] | None]:
        """Give the log-probabilities of the engine."""
        return self._engine.logprobs(prompts, options)

    @staticmethod
    def _key(request: Request) -> tuple[str, object, int]:
        return request.prompt.text, request.sampling, request.seed


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
