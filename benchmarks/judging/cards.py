"""Judge cards: how well judges find the first wrong step of labelled solutions, each through ``presrm judge-steps``.

    python benchmarks/judging/cards.py --steps DIR --smol SmolLM2-135M-Instruct-Q4_1.gguf --work DIR
    python benchmarks/judging/cards.py --summary

--steps holds processbench.jsonl and bigbench_mistake_arithmetic.jsonl (`problem`, `steps`, `label`); what is missing is
left out. Judged rows stay in --work, so that a stopped run goes on; figures alone go into results_cards.json. Rows are
drawn in random order, so those finished when --seconds are over are a random draw, too.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from presrm import Step
from presrm.judging.card import JudgedSolution, make_card
from presrm.judging.labels import perturbed
from presrm.problems.arithmetic import load_arithmetic, plan_of
from presrm.problems.arithmetic.plan import LARGEST, Plan, apply, write
from presrm.splitters.newline import NewlineSplitter

HERE = Path(__file__).parent
SEED = 0
ARITHMETIC, BIGBENCH, PROCESSBENCH = "arithmetic", "bigbench_mistake_arithmetic", "processbench"
SMOL = "SmolLM2-135M-Instruct"
Row = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One judge on one set of rows; `num` is how many are drawn, all unless said."""

    model: str
    judge: str
    rows: str
    num: int | None = None
    settings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What the table calls the judge."""
        return " ".join([self.model, self.judge, *(s.partition("=")[2] for s in self.settings if "verdict" in s)])


BOUNDED = ("prompts=compact", "search.group_size=4", "model.batch_tokens=4096", "judge.max_tokens=96")
DIRECT = (*BOUNDED, "judge.verdict=direct")
WRITTEN = (*BOUNDED, "judge.verdict=explained")
RECOMPUTE = ("judge.options.function=recompute:score",)
CASES = (
    Case("no model", "checker", ARITHMETIC),
    Case("no model", "callable", ARITHMETIC, None, RECOMPUTE),
    Case("no model", "callable", BIGBENCH, None, RECOMPUTE),
    Case("no model", "callable", PROCESSBENCH, None, RECOMPUTE),
    Case("embedded", "pointwise", ARITHMETIC, None, ("judge.verdict=explained",)),
    Case("embedded", "pointwise", ARITHMETIC, None, ("judge.verdict=direct",)),
    Case("embedded", "first-error", ARITHMETIC, None, ("judge.max_tokens=96",)),
    Case(SMOL, "pointwise", BIGBENCH, 80, DIRECT),
    Case(SMOL, "pointwise", PROCESSBENCH, 60, DIRECT),
    Case(SMOL, "pointwise", BIGBENCH, 16, WRITTEN),
    Case(SMOL, "first-error", BIGBENCH, 24, BOUNDED),
    Case(SMOL, "pointwise", PROCESSBENCH, 16, WRITTEN),
    Case(SMOL, "first-error", PROCESSBENCH, 24, BOUNDED),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=Path, help="folder with the labelled rows")
    parser.add_argument("--smol", type=Path, help=f"the .gguf of {SMOL}")
    parser.add_argument("--work", type=Path, help="where judged rows stay")
    parser.add_argument("--only", default="", help="cases with this in their name, as printed")
    parser.add_argument("--arithmetic", type=int, default=240, help="solutions of arithmetic problems")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--part", default=":", metavar="A:B", help="judge these of the drawn rows, in files of their own"
    )
    parser.add_argument("--seconds", type=float, help="a case may take; the card is then of the rows finished")
    parser.add_argument("--results", type=Path, default=HERE / "results_cards.json")
    parser.add_argument("--summary", action="store_true", help="measure nothing, show the results")
    options = parser.parse_args()
    if not options.summary:
        if options.work is None:
            parser.error("give --work, or --summary")
        options.work.mkdir(parents=True, exist_ok=True)
        for case in CASES:
            if options.only in f"{case.name} {case.rows}":
                measure(case, options)
    print(table(json.loads(options.results.read_text())))


def measure(case: Case, options: argparse.Namespace) -> None:
    """Judge the rows of a case, and put its card among the results."""
    rows = read_rows(case, options)
    if not rows or (case.model == SMOL and options.smol is None):
        print(f"left out: {case.name} on {case.rows}", flush=True)
        return
    stem = f"{case.name} {case.rows} {len(rows)}".replace(" ", "_")
    name = stem if options.part == ":" else f"{stem}.part{options.part.replace(':', '-')}"
    source, out = (options.work / f"{name}.{end}" for end in ("jsonl", "judged.jsonl"))
    part = slice(*(int(end) if end else None for end in options.part.split(":")))
    source.write_text("".join(json.dumps(row) + "\n" for row in rows[part]))
    model = str(options.smol) if case.model == SMOL else "embedded"
    settings = (*case.settings, "model.dtype=float32", "model.device=cpu", f"threads={options.threads}")
    flags = [flag for setting in settings for flag in ("--set", setting)]
    command = [sys.executable, "-m", "presrm", "judge-steps", source, "--out", out]
    path = os.pathsep.join(filter(None, (str(HERE), os.environ.get("PYTHONPATH"))))
    began = time.perf_counter()
    with suppress(subprocess.TimeoutExpired):
        subprocess.run(
            [*command, "--judge", case.judge, "--model", model, *flags],
            check=True,
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            timeout=options.seconds,
        )
    judged = finished(options.work, stem)
    took = time.perf_counter() - began
    print(f"{case.name} on {case.rows}: {len(judged)} of {len(rows)} solutions, {took:.0f} s", flush=True)
    if not judged:
        return
    found = {
        **json.loads(subprocess.check_output([sys.executable, HERE.parent / "machine.py"])),
        "threads": options.threads,
        "judge": case.name,
        "rows": case.rows,
        "seed": SEED,
        "settings": case.settings,
        "drawn": len(rows),
        "card": asdict(make_card([JudgedSolution.of_row(row, row["label"]) for row in judged])),
    }
    results = json.loads(options.results.read_text()) if options.results.exists() else {}
    results[f"{case.name} on {case.rows}"] = found
    options.results.write_text(json.dumps(results, indent=1) + "\n")


def finished(work: Path, stem: str) -> list[Row]:
    """Read what is judged so far, of all parts."""
    lines = [
        line
        for path in sorted(work.glob(f"{stem}.*judged.jsonl"))
        for line in path.read_text("utf-8").splitlines(keepends=True)
    ]
    rows = {row["id"]: row for row in map(json.loads, (line for line in lines if line.endswith("\n")))}
    return list(rows.values())


def read_rows(case: Case, options: argparse.Namespace) -> list[Row]:
    """Give the rows of a case; fewer drawn are the first of more."""
    if case.rows == ARITHMETIC:
        return planted(options.arithmetic)
    path = options.steps / f"{case.rows}.jsonl" if options.steps else None
    if path is None or not path.is_file():
        return []
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return rows if case.num is None else random.Random(SEED).sample(rows, len(rows))[: case.num]


def planted(num: int) -> list[Row]:
    """Solutions of arithmetic problems; in every other one a digit of a step is changed, and the rest follows."""
    problems = load_arithmetic(split="test", num=num, seed=SEED)
    rows = []
    for number, problem in enumerate(problems):
        plan = plan_of(problem)
        steps, label = plan.steps(), -1
        if number % 2:
            [error] = perturbed([problem], NewlineSplitter(), 1, SEED + number)
            label = len(error.prefix.steps)
            steps = [*steps[:label], *follow(plan, label, error.bad)] if error.bad else steps
        rows.append(
            {"id": problem.id, "kind": problem.kind, "problem": problem.question, "steps": steps, "label": label}
        )
    return rows


def follow(plan: Plan, place: int, wrong: Step) -> list[str]:
    """Write the rest of a solution from its wrong step on, as far as its numbers stay in the world of the problems."""
    steps = [wrong.text]
    if "####" in wrong.text:
        return steps
    results = [*plan.results()[:place], int(wrong.text.split()[-1])]
    for operation in plan.operations[place + 1 :]:
        left, right = operation.operands(results) or (0, 0)
        result = apply(operation.operator, left, right)
        if result is None or not 0 <= result <= LARGEST:
            return steps
        results.append(result)
        steps.append(write(left, operation.operator, right, result))
    return [*steps, f"#### {results[-1]}"]


def table(results: dict[str, Row]) -> str:
    """Markdown, a line a case; in brackets 95 % intervals."""
    names = ("judge", "rows", "solutions", "erroneous, %", "clean, %", "F1, %", "AUC", "Brier", "of p", "ECE")
    lines = [f"| {' | '.join((*names, 'unknown, %'))} |", "|---|---|" + "---:|" * (len(names) - 1)]
    for found in results.values():
        card, steps = found["card"], found["card"]["steps"]
        num_scored = steps["num_right"] + steps["num_wrong"]
        right = steps["num_right"] / num_scored if num_scored else None
        cells = [
            found["judge"],
            found["rows"],
            f"{card['erroneous']['num']} + {card['clean']['num']}",
            *(percent(card[name]["value"], card[name]["interval"]) for name in ("erroneous", "clean", "f1")),
            *(decimal(steps[name]["value"], steps[name]["interval"]) for name in ("auc", "brier")),
            decimal(None if right is None else right * (1 - right), None),
            decimal(steps["calibration_error"]["value"], steps["calibration_error"]["interval"]),
            percent(card["unknown"]["value"], card["unknown"]["interval"]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def percent(value: float | None, ends: list[float] | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + (f" [{100 * ends[0]:.1f}, {100 * ends[1]:.1f}]" if ends else "")


def decimal(value: float | None, ends: list[float] | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "")


if __name__ == "__main__":
    main()
