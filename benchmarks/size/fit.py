"""Memory of `presrm fit` by the number of pairs, each of some 300 tokens.

    python benchmarks/size/fit.py --pairs 10000 100000 1000000

Writes a file of pairs, starts `presrm fit` on the embedded policy, and reads the most memory that the process has held
once all pairs are read and encoded, and some of them scored. Then it stops the command: its optimiser steps are not
measured.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from presrm.problems import load_problems

LONG = 1000  # characters of a question


def write_pairs(path: Path, num: int) -> None:
    """Write pairs that prefer the first step of a reference solution to one with another result, four a problem."""
    problems = load_problems("arithmetic", split="train", num=500, seed=0)
    with path.open("w") as file:
        for i in range(num):
            problem = problems[i // 4 % len(problems)]
            right = (problem.solution or "").splitlines()[0]
            question = " ".join([problem.question] * max(1, LONG // len(problem.question)))
            row = {
                "id": str(i),
                "prefix": {"problem": {"id": f"p{i // 4}", "question": question}, "steps": []},
                "chosen": {"text": f"{right}\n"},
                "rejected": {"text": f"{right}{i % 4}\n"},
                "margin": 1.0,
            }
            file.write(json.dumps(row) + "\n")


def most_memory(pairs: Path, out: Path) -> float:
    """Run the command until it has scored lessons; megabytes."""
    command = [sys.executable, "-m", "presrm", "fit", str(pairs), "--model", "embedded", "--out", str(out)]
    log = out.with_suffix(".log")
    with (
        log.open("w") as told,
        subprocess.Popen([*command, "--set", "threads=1"], stdout=told, stderr=told) as process,
    ):
        while process.poll() is None and not re.search(r"log-probabilities.*: [1-9]\d+/", log.read_text()):
            time.sleep(1)
        if process.returncode is not None:
            raise SystemExit(log.read_text()[-500:])
        (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        process.kill()
    return int(peak) * 1024 / 1e6


def main() -> None:
    """Print a row a size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    for num in options.pairs:
        with tempfile.TemporaryDirectory() as folder:
            write_pairs(Path(folder, "pairs.jsonl"), num)
            megabytes = most_memory(Path(folder, "pairs.jsonl"), Path(folder, "out"))
        print(json.dumps({"pairs": num, "megabytes": round(megabytes)}), flush=True)


if __name__ == "__main__":
    main()
