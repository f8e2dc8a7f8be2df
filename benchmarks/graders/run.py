"""Graders against the test suites of other graders, and their speed; see README.md beside this file.

$ python benchmarks/graders/run.py cases grader_cases.jsonl --out benchmarks/graders/cases.jsonl
$ python benchmarks/graders/run.py speed math math_train.jsonl --num 10000
$ python benchmarks/graders/run.py speed gsm8k gsm8k_train.jsonl --num 10000
"""

import argparse
import json
import logging
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from presrm.errors import DataError
from presrm.graders import GRADERS
from presrm.types import Grade

WHY = {
    "case-0028": "the suite wants a formula that has a line break left unread; we read the 9",
    "case-0133": "the suite rounds to two digits (`precision: 2`); we take no tolerance that is not stated",
    "case-0181": "the same pair as case-0180, which is to pass: the suite switches set-relation comparison on and off",
    "case-0244": "the same pair as case-0243, which is to fail: the suite switches strictness off",
    "case-0270": "string comparison: the suite tells lists of another order apart; MATH's lists of roots have none",
    "case-0289": "50% for 1/2 is refused here; NeMo-Skills and inspect_ai take 10% for 0.1 and 33.5% for 0.335",
    "case-0379": "rLLM demands a box; we read `The answer is 10.`, as Math-Verify and lighteval do",
}
_SEED = 20261121


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    cases = commands.add_parser("cases", help="agreement with other suites, by source")
    cases.add_argument("file", type=Path)
    cases.add_argument("--out", type=Path, help="gets one row a case")
    speed = commands.add_parser("speed", help="presrm grade on a file of answers made from references")
    speed.add_argument("kind", choices=("gsm8k", "math"))
    speed.add_argument("file", type=Path)
    speed.add_argument("--num", type=int, default=10_000)
    options = parser.parse_args()
    if options.command == "cases":
        print(table(compare(options.file, options.out)))
    else:
        print(json.dumps(measure(options.kind, options.file, options.num), indent=1))


def compare(path: Path, out: Path | None) -> list[dict[str, Any]]:
    """Ask our grader and math-verify alone about every case that is not suspect."""
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    grader = GRADERS.create("auto")
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        if "suspect" in case:
            continue
        gold, prediction = case["gold"] or "", case["prediction"] or ""
        row = {"id": case["id"], "source": case["source"], "expected": case["expected"]}
        rows.append({**row, "ours": accepts(grader, gold, prediction), "math_verify": verifies(gold, prediction)})
    if out:
        out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def accepts(grader: Any, gold: str, prediction: str) -> bool:
    try:
        return grader.grade(prediction, gold) is Grade.CORRECT
    except DataError:  # no reference to grade against
        return False


def verifies(gold: str, prediction: str) -> bool:
    from math_verify import parse, verify

    return bool(gold and prediction and verify(parse(gold), parse(prediction)))


def table(rows: list[dict[str, Any]]) -> str:
    """Write agreement by source, and each disagreement with its reason, as Markdown."""
    num, ours, theirs = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        for source in (row["source"], "all"):
            num[source] += 1
            ours[source] += row["ours"] == row["expected"]
            theirs[source] += row["math_verify"] == row["expected"]
    lines = ["| source | cases | agree | math-verify alone |", "|---|---|---|---|"]
    for source in [*(source for source in num if source != "all"), "all"]:
        shares = [f"{count[source]} ({count[source] / num[source]:.1%})" for count in (ours, theirs)]
        lines.append(f"| {source} | {num[source]} | {shares[0]} | {shares[1]} |")
    lines += ["", "| case | source | expected | why we differ |", "|---|---|---|---|"]
    for row in rows:
        if row["ours"] != row["expected"]:
            verdict = "accept" if row["expected"] else "refuse"
            lines.append(f"| {row['id']} | {row['source']} | {verdict} | {WHY.get(row['id'], 'UNEXPLAINED')} |")
    return "\n".join(lines)


def measure(kind: str, path: Path, num: int) -> dict[str, Any]:
    """Time ``presrm grade`` on `num` answers: by the clock, in seconds of processor, and in memory."""
    grader = "gsm8k" if kind == "gsm8k" else "math"
    with tempfile.TemporaryDirectory() as folder:
        answers, out = Path(folder, "answers.jsonl"), Path(folder, "graded.jsonl")
        answers.write_text("".join(json.dumps(row) + "\n" for row in make_answers(kind, path, num)), encoding="utf-8")
        began = time.monotonic()
        command = [sys.executable, "-m", "presrm", "grade", str(answers), "--grader", grader, "--out", str(out)]
        subprocess.run(command, check=True, stdout=sys.stderr)
        seconds = time.monotonic() - began
        grades = Counter((row["expects"], row["grade"]) for row in map(json.loads, out.open(encoding="utf-8")))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "kind": kind,
        "num": num,
        "seconds": round(seconds, 1),
        "processor_seconds": round(used.ru_utime + used.ru_stime, 1),
        "largest_process_mib": used.ru_maxrss // 1024,
        "graded": {f"{expected} -> {grade}": count for (expected, grade), count in sorted(grades.items())},
    }


def make_answers(kind: str, path: Path, num: int) -> list[dict[str, str]]:
    """Make answers from references: half are the reference solution, a quarter the answer rewritten, a quarter wrong.

    Wrong ones are the answer of another problem, of the same subject where there are subjects.
    """
    draw = random.Random(_SEED)
    problems = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if kind == "gsm8k":
        problems = [{"solution": row["answer"], "answer": row["answer"].rpartition("#### ")[2]} for row in problems]
    problems = [row for row in problems if row["answer"].strip()]
    rows = []
    for i in range(num):
        row = problems[i % len(problems)]
        other = draw.choice(problems)
        form, expects = row["solution"], "right"
        if i % 4 == 2:
            form = f"Therefore the answer is $\\boxed{{{rewrite(row['answer'])}}}$."
        elif i % 4 == 3:
            form, expects = f"Therefore the answer is $\\boxed{{{other['answer']}}}$.", "wrong"
            expects = "right" if other["answer"] == row["answer"] else "wrong"
        rows.append({"solution": form, "answer": row["answer"], "expects": expects})
    return rows


def rewrite(answer: str) -> str:
    """Write an answer otherwise, of the same value, so that its text is no longer the reference's."""
    return (
        f"\\${answer}.00"
        if answer.replace(",", "").isdigit()
        else answer.replace("\\frac", "\\dfrac").replace("+", " + ")
    )


if __name__ == "__main__":
    main()
