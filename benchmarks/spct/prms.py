"""Process reward models by the same card: one with a head, one that writes, and one without any label.

    python benchmarks/spct/prms.py --policy embedded --out build/prms            # the same command resumes
    python benchmarks/spct/prms.py --policy DIR --problems stories --prm DIR --trained DIR --out build/prms
    python benchmarks/spct/prms.py --policy DIR --rows gsm8k:train.jsonl processbench.jsonl --out build/prms
    python benchmarks/spct/prms.py --summary build/prms/results.jsonl

The policy's own solutions, drawn at temperature 1, are labelled by the exact checker: those of training problems teach
the head, those of held-out problems are judged. Beside it stand the policy as it is, asked step by step, and without
any label or reply by the probabilities of its verdicts alone, step by step and for the first error; a policy that
learned to judge (`--trained`, for example by `embedded-stepwiser`); and process reward models made otherwise (`--prm`,
for example from a run's trees or with soft labels). With `--rows` labelled rows are learned from and judged instead.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from presrm.assembly.engines import limit_threads, open_engine
from presrm.checkers import CHECKERS
from presrm.config import Config, load_config
from presrm.engines.hf_files import policy_at
from presrm.files.jsonl import dump
from presrm.judging.problems import of_perturbed
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.protocols import Request, Sampling
from presrm.seeding import derive_seed
from presrm.splitters import SPLITTERS
from presrm.types import UNFINISHED, Step, Trajectory

Row = dict[str, Any]
DIRECT = ["--set", "judge.verdict=direct"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="embedded", help="policy folder, or the embedded one")
    parser.add_argument("--problems", default="arithmetic", help="a problem set that has an exact checker")
    parser.add_argument("--num", type=int, nargs=2, default=[600, 200], help="problems to learn from, and to judge")
    parser.add_argument("--trained", help="policy that learned to judge")
    parser.add_argument("--prm", nargs="*", default=[], help="further process reward models")
    parser.add_argument(
        "--rows",
        nargs=2,
        metavar=("LEARN", "JUDGE"),
        help="labelled rows; LEARN may be a problem set, a number of whose reference solutions is changed each",
    )
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="of every command")
    parser.add_argument("--out", type=Path, default=Path("build/prms"))
    parser.add_argument("--summary", type=Path, metavar="ROWS", help="print the table of these rows, and run nothing")
    options = parser.parse_args()
    if options.summary:
        summarise([json.loads(line) for line in options.summary.read_text().splitlines()])
        return
    options.out.mkdir(parents=True, exist_ok=True)
    config = load_config("embedded", [f"model.id={options.policy}", *options.set])
    if options.rows:
        learn, judged = options.rows
        files = [Path(learn) if Path(learn).is_file() else slips(learn, config, options), Path(judged)]
    else:
        files = [
            labelled_rows(config, options, split, num)
            for split, num in zip(("train", "test"), options.num, strict=True)
        ]
    head = options.out / "prm"
    if not head.exists():
        learned = ["training.learning_rate=1e-3", "training.epochs=3", "training.batch_pairs=32"]
        given = [part for setting in (*learned, *options.set) for part in ("--set", setting)]
        presrm("fit-prm", str(files[0]), "--model", options.policy, "--out", str(head), *given)
    judges = {"head, hard labels": prm(head), **{Path(one).name: prm(Path(one)) for one in options.prm}}
    asked = {"": options.policy, ", trained to judge": options.trained}
    for name, model in asked.items():
        if model:
            judges |= {
                f"pointwise{name}": ["--judge", "pointwise", "--model", model],
                f"pointwise, direct{name}": ["--judge", "pointwise", "--model", model, *DIRECT],
                f"first error, direct{name}": ["--judge", "first-error", "--model", model, *DIRECT],
            }
    rows = []
    for name, given in judges.items():
        rows.append({"policy": Path(options.policy).name, "judge": name, **card(files[1], name, given, options)})
        print(json.dumps(rows[-1]), flush=True)
        (options.out / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    summarise(rows)


def prm(folder: Path) -> list[str]:
    """The judge that a process reward model is."""
    return ["--judge", "prm", "--set", f"judge.options.model={folder}"]


def labelled_rows(config: Config, options: argparse.Namespace, split: Any, num: int) -> Path:
    """Draw solutions of the policy, and label them by the exact checker: rows as of ProcessBench."""
    path = options.out / f"{split}.jsonl"
    if path.exists():
        return path
    limit_threads(config.threads)
    problems = load_problems(options.problems, split=split, num=num, seed=options.seed)
    prompts, splitter = PromptSet(config.prompts), SPLITTERS.create(config.splitter)
    sampling = Sampling(1.0, 1.0, config.evaluation.max_tokens)
    requests = [
        Request(prompts.solve(Trajectory(one)), 2, sampling, seed=derive_seed(options.seed, split, one.id))
        for one in problems
    ]
    with open_engine(policy_at(options.policy), config.model) as engine:
        drawn = engine.generate(requests)
    rows = []
    for problem, completions in zip(problems, drawn, strict=True):
        texts = dict.fromkeys(one.text for one in completions if one.stop not in UNFINISHED and one.text)
        for text in texts:
            steps = splitter.split(text)
            label = first_error(Trajectory(problem, tuple(map(Step, steps))))
            rows.append({"id": problem.id, "question": problem.question, "steps": steps, "label": label})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def slips(source: str, config: Config, options: argparse.Namespace) -> Path:
    """Take reference solutions of a problem set, each as it is and with a number of one step changed."""
    path = options.out / "slips.jsonl"
    problems = load_problems(source, split="train", num=options.num[0], seed=options.seed)
    splitter = SPLITTERS.create(config.splitter)
    path.write_text("".join(dump(of_perturbed(one, splitter, options.seed)) + "\n" for one in problems))
    return path


def first_error(solution: Trajectory) -> int:
    """0-based index of the first step that the exact checker finds wrong, or -1."""
    (labels,) = CHECKERS.create(solution.problem.kind).check([solution])
    return next((place for place, is_right in enumerate(labels) if is_right is False), -1)


def presrm(*arguments: str) -> None:
    """Run a command."""
    subprocess.run([sys.executable, "-m", "presrm", *arguments], check=True, stdout=sys.stderr)


def card(file: Path, name: str, given: Sequence[str], options: argparse.Namespace) -> Row:
    """Judge the held-out rows, and give the figures of the card."""
    out = options.out / f"{name.replace(', ', '-').replace(' ', '-')}.jsonl"
    settings = [part for setting in options.set for part in ("--set", setting)]
    presrm("judge-steps", str(file), "--out", str(out), *given, *settings)
    found = json.loads(Path(f"{out}.card.json").read_text())
    figures = {"F1": found["f1"], "AUC": found["steps"]["auc"], "unknown": found["unknown"]}
    return {name: {key: figure[key] for key in ("num", "value", "interval")} for name, figure in figures.items()}


def summarise(rows: Sequence[Row]) -> None:
    """Print the table."""
    print("| policy | judge | F1 | AUC of steps | unknown |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['policy']} | {row['judge']} | {' | '.join(cell(row[name]) for name in ('F1', 'AUC', 'unknown'))} |"
        )


def cell(figure: Row) -> str:
    """A value with its interval."""
    if figure["value"] is None:
        return f"- of {figure['num']}"
    low, high = figure["interval"] or (float("nan"), float("nan"))
    return f"{figure['value']:.3f} [{low:.3f}, {high:.3f}] of {figure['num']}"


if __name__ == "__main__":
    main()
