"""What does the loop buy a real language model? One frozen M1, several ways to go on, the same measured problems.

    python benchmarks/word_problems/loops.py --m1 runs/word-problems/iterations/1/policy --words words \
        --ways self checker random --seeds 101 202 303 --out build/loops

The loop is that of the config, where solutions that the judge accepts are imitated; with `--pairs` it learns from
pairs of steps by DPO, as in PReSRM. Ways: the policy's own judge (`self`), a judge that tosses a coin (`random`, the
floor), the exact checker (`checker`, the ceiling), and the checker some of whose verdicts are turned round (`noisy
20`: 20 %). Without the loop: as many passes over the solutions of the seed stage, each from the policy of the one
before (`seed solutions`). Others have settings of their own: imitation of the chosen steps (`sft`); Self-Rewarding LMs
with whole answers; RLSR with the inverse task, or with credit for single steps (`rlsr steps`), by the exact checker,
too. Rows are appended; what stands there, and what a run has done, is not done again.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from presrm.assembly.evaluation import evaluate_policies, load_benchmark
from presrm.assembly.runs import train
from presrm.cli.progress import RichProgress
from presrm.config import Config, load_config
from presrm.evaluation.answers import compare_outcomes
from presrm.iteration import IterationSummary
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
PASSES = "seed solutions"


def turned(percent: int) -> list[str]:
    """The exact checker with some of its verdicts turned round: with half of them it tosses a coin."""
    return ["judge.kind=noisy", f"judge.options={{judge: checker, rate: {percent / 100}}}"]


WAYS: dict[str, list[str]] = {
    "self": [],
    "checker": EXACT,
    "random": turned(50),
    **{f"noisy {n}": turned(n) for n in (10, 20, 30)},
    PASSES: [
        "seed_stage.eft=perturbed",
        "seed_stage.num_eft=1",
        "seed_stage.batch_size=16",
        "seed_stage.learning_rate=1e-4",
        "seed_stage.epochs=0.75",
    ],
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
    given = [] if way == PASSES else ["seed_stage=null"]
    given += [f"model.id={m1}", f"problems.train={problems}", f"seed={seed}"]
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


@dataclass(frozen=True)
class Made:
    """A policy that a way made: what its run holds of it, where it is, what is known of it, tokens drawn and read."""

    folder: Path
    policy: Path
    summary: IterationSummary
    tokens: int

    @property
    def name(self) -> str:
        """``M1``, ``M2`` ..."""
        return self.summary.name


def run_folder(out: Path, way: str, seed: object, name: str) -> Path:
    """Where a way's run is."""
    return out / "-".join(filter(None, (way.replace(",", "").replace(" ", "-"), str(seed), name)))


def iteration(run: Path, number: int) -> Path:
    """Where M(number) is: an iteration of a run; of passes over seed solutions the only one of a run of its own."""
    passed = run / f"M{number}"
    return passed / "iterations/1" if passed.exists() else run / "iterations" / str(number)


def loop(config: Config, run: Path, progress: RichProgress) -> Iterator[Made]:
    """Run the loop, and give its policies, M1 first."""
    summaries = train(config, run, progress)
    facts = read_facts(run)
    for number, summary in enumerate(summaries, start=1):
        made = iteration(run, number)
        policy = Path(config.model.id) if number == 1 else made / "policy"
        yield Made(made, policy, summary, facts.num_tokens(number))


def passes(config: Config, run: Path, progress: RichProgress) -> Iterator[Made]:
    """Pass over the seed solutions as often as the loop would iterate, and give the policies, M1 first."""
    policy = Path(config.model.id)
    for number in range(1, config.iterations + 2):
        one = run / f"M{number}"
        first = number == 1
        stage = {"seed_stage": None} if first else {"seed": config.seed + number - 2}
        model = config.model.model_copy(update={"id": str(policy)})
        (summary,) = train(config.model_copy(update={"iterations": 0, "model": model, **stage}), one, progress)
        made = iteration(run, number)
        policy = policy if first else made / "policy"
        yield Made(made, policy, replace(summary, name=one.name), read_facts(one).num_tokens(1))


def run_way(way: str, seed: int, options: argparse.Namespace) -> None:
    """Run a way, measure its policies on both sets, and append its rows where they are missing."""
    config = settings(way, seed, options.m1, options.words, options.set, pairs=options.pairs)
    run = run_folder(options.out, way, seed, options.name)
    progress = RichProgress()
    greedy = config.model_copy(update={"seed": 0})  # M1 is measured once for all seeds, which play no part in it
    svamp = load_benchmark(str(options.words / "svamp.jsonl"), greedy, None, "gsm8k")
    table = options.out / "results.jsonl"
    known = set(table.read_text("utf-8").splitlines()) if table.exists() else set()
    first: dict[str, dict[str, bool]] = {}
    for made in (passes if way == PASSES else loop)(config, run, progress):
        folder = (run if first else options.out) / "svamp" / made.name
        evaluate_policies([str(made.policy)], [svamp], greedy, folder, progress)
        (samples,) = folder.glob("*/samples_*.jsonl")
        solved = {"held_out": outcomes(made.folder / "answers.jsonl"), "svamp": outcomes(samples)}
        changes = {name: against(first[name], of) for name, of in solved.items()} if first else {}
        first = first or solved
        summary = made.summary
        siblings = summary.health.siblings
        row = {
            "way": way,
            "seed": seed,
            "settings": options.name,
            "model": made.name,
            **{
                name: {"right": sum(of.values()), "of": len(of), **changes.get(name, {})} for name, of in solved.items()
            },
            "siblings": siblings and siblings.accuracy.right.value,
            "sibling_pairs": siblings and siblings.accuracy.right.num,
            "pairs": summary.num_lessons,
            "dropped": summary.dropped,
            "steps": summary.scores.mean_steps,
            "tokens": made.tokens,
        }
        if (line := json.dumps(row)) not in known:
            with table.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
