"""What does the loop buy a real language model? One frozen M1, several ways to go on, the same measured problems.

    python benchmarks/word_problems/loops.py --m1 runs/word-problems/iterations/1/policy --words words \
        --ways self checker random --seeds 101 202 303 --out build/loops

The loop is that of the config, where solutions that the judge accepts are imitated; with `--pairs` it learns from
pairs of steps by DPO, as in PReSRM. Ways: the policy's own judge (`self`), a judge that tosses a coin (`random`, the
floor), the exact checker (`checker`, the ceiling), and the checker some of whose verdicts are turned round (`noisy
20`: 20 %). Others have settings of their own: imitation of the chosen steps (`sft`); Self-Rewarding LMs with whole
answers; RLSR with the inverse task, or with credit for single steps (`rlsr steps`), by the exact checker, too. Rows
are appended; what stands there, and what a run has done, is not done again.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

from presrm.assembly.evaluation import evaluate_policies, load_benchmark
from presrm.assembly.runs import train
from presrm.cli.progress import RichProgress
from presrm.config import Config, load_config
from presrm.evaluation.answers import compare_outcomes
from presrm.report.facts import read_facts

EXACT = ["judge.kind=checker"]
WHOLE = [
    "search.kind=best-of-n",
    "search.unit=solution",
    "method.kind=self-rewarding",
    "evaluation.num_judge_problems=0",
]
RLSR = ["method.kind=rlsr", "search.kind=best-of-n", "judge.kind=inverse", "judge.gate=true"]
GRADIENT = [
    "objective.kind=policy-gradient",
    "objective.options={beta: 0.001, loss_type: dapo}",
    "training.batch_pairs=64",
]
PAIRS = [
    "objective.kind=dpo",
    "training.learning_rate=5e-6",
    "training.schedule=constant",
    "pairs={ends: alike}",
    "policies.replay=0",
    "search.num_candidates=4",
    "problems.num_train=150",
]


def turned(percent: int) -> list[str]:
    """The exact checker with some of its verdicts turned round: with half of them it tosses a coin."""
    return ["judge.kind=noisy", f"judge.options={{judge: checker, rate: {percent / 100}}}"]


WAYS: dict[str, list[str]] = {
    "self": [],
    "checker": EXACT,
    "random": turned(50),
    **{f"noisy {n}": turned(n) for n in (10, 20, 30)},
    "sft": [*PAIRS, "objective.kind=imitation"],
    "self-rewarding": [*PAIRS, *WHOLE],  # judged as steps are, which is the only verdict that M1 was taught to write
    "rlsr": [*PAIRS, *RLSR, *GRADIENT, "search.unit=solution"],
    "rlsr steps": [*PAIRS, RLSR[0], "judge.gate=true", *GRADIENT],
    "checker, rlsr steps": [*PAIRS, RLSR[0], *EXACT, "judge.gate=true", *GRADIENT],
}
KNOWS_ANSWERS = {"checker", "random", "noisy 10", "noisy 20", "noisy 30", "checker, rlsr steps"}


def settings(way: str, seed: int, m1: Path, words: Path, more: list[str], *, pairs: bool = False) -> Config:
    """The settings of a run; `pairs`: it learns from pairs of steps, by DPO."""
    problems = words / ("loop_answers.jsonl" if way in KNOWS_ANSWERS else "loop.jsonl")
    given = ["seed_stage=null", f"model.id={m1}", f"problems.train={problems}", f"seed={seed}"]
    given += [f"problems.held_out={words / 'held_out.jsonl'}", "watch.num_problems=0"]
    given += PAIRS if pairs else [f"policies.replay_from={words / 'seed.jsonl'}"]
    if way != "self":
        given.append("evaluation.num_judge_problems=0")
    return load_config("word-problems", [*given, *WAYS[way], *more])


def outcomes(samples: Path) -> dict[str, bool]:
    """Which problems were solved, by id, from a file of samples."""
    rows = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
    return {row["doc"]["id"]: bool(row["exact_match"]) for row in rows}


def against(before: Mapping[str, bool], after: Mapping[str, bool]) -> dict[str, float]:
    """Compare a policy with M1: points, exact McNemar p, problems gained and lost."""
    compared = compare_outcomes(before, after)
    return {
        "points": round(100 * (compared.difference.value or 0.0), 1),
        "p": compared.p_value,
        "gained": len(compared.solved),
        "lost": len(compared.lost),
    }


def main() -> None:
    """Run what is asked for, way by way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--m1", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True, help="what split.py wrote")
    parser.add_argument("--ways", nargs="+", default=["self"], choices=WAYS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[101])
    parser.add_argument("--pairs", action="store_true", help="learn from pairs of steps, by DPO")
    parser.add_argument("--name", default="", help="of these settings, in rows and folders")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in options.seeds:
        for way in options.ways:
            run_way(way, seed, options)


def run_way(way: str, seed: int, options: argparse.Namespace) -> None:
    """Run a way, measure its policies on both sets, and append its rows where they are missing."""
    config = settings(way, seed, options.m1, options.words, options.set, pairs=options.pairs)
    run = options.out / "-".join(filter(None, (way.replace(",", "").replace(" ", "-"), str(seed), options.name)))
    progress = RichProgress()
    summaries = train(config, run, progress)
    facts = read_facts(run)
    greedy = config.model_copy(update={"seed": 0})  # M1 is measured once for all seeds, which play no part in it
    svamp = load_benchmark(str(options.words / "svamp.jsonl"), greedy, None, "gsm8k")
    table = options.out / "results.jsonl"
    known = set(table.read_text("utf-8").splitlines()) if table.exists() else set()
    first: dict[str, dict[str, bool]] = {}
    for number, summary in enumerate(summaries, start=1):
        policy = options.m1 if number == 1 else run / "iterations" / str(number) / "policy"
        folder = (options.out if number == 1 else run) / "svamp" / summary.name
        evaluate_policies([str(policy)], [svamp], greedy, folder, progress)
        (samples,) = folder.glob("*/samples_*.jsonl")
        held_out = run / "iterations" / str(number) / "answers.jsonl"
        solved = {"held_out": outcomes(held_out), "svamp": outcomes(samples)}
        first = first or solved
        siblings = summary.health.siblings
        row = {
            "way": way,
            "seed": seed,
            "settings": options.name,
            "model": summary.name,
            **{
                name: {
                    "right": sum(of.values()),
                    "of": len(of),
                    **({} if number == 1 else against(first[name], of)),
                }
                for name, of in solved.items()
            },
            "siblings": siblings and siblings.accuracy.right.value,
            "sibling_pairs": siblings and siblings.accuracy.right.num,
            "pairs": summary.num_lessons,
            "dropped": summary.dropped,
            "steps": summary.scores.mean_steps,
            "tokens": facts.num_tokens(number),
        }
        if (line := json.dumps(row)) not in known:
            with table.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
