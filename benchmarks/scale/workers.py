"""What do workers on Ray cost and gain? The same search here, by one worker and by two, in turns, one thread each.

    python benchmarks/scale/workers.py --problems 200 --repeats 2      # appends to workers.jsonl

Seconds are those of the stage: opening policies and starting workers are inside, starting Ray and the command are not.
The trees have to be the same bytes, or nothing is told.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).parent
WAYS = {"here": 0, "1 worker": 1, "2 workers": 2}
STAGE = re.compile(r"search and judge: done, \d+ in (?:(\d+) min )?([\d.]+) s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--out", type=Path, default=HERE / "workers.jsonl", help="rows are appended")
    options = parser.parse_args()
    machine = json.loads(subprocess.check_output([sys.executable, HERE.parent / "machine.py"]))
    rows: list[dict[str, Any]] = []
    for repeat in range(options.repeats):
        for way, workers in WAYS.items():
            seconds, digest = search(options, workers)
            row = {"way": way, "problems": options.problems, "repeat": repeat, "seconds": seconds, "sha256": digest}
            rows.append(machine | {"threads": 1} | row)
            print(f"{way}: {seconds:.1f} s", flush=True)
    if len({row["sha256"] for row in rows}) > 1:
        sys.exit("the trees are not the same")
    with options.out.open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    here = median(row["seconds"] for row in rows if row["way"] == "here")
    for way in WAYS:
        print(f"{way}: {here / median(row['seconds'] for row in rows if row['way'] == way):.2f} times as fast")


def search(options: argparse.Namespace, workers: int) -> tuple[float, str]:
    """Search once: the seconds of the stage, and the hash of the trees."""
    with tempfile.TemporaryDirectory() as folder:
        trees = Path(folder, "trees.jsonl")
        runner = ["--set", f"runner={{kind: ray, options: {{workers: {workers}}}}}"] if workers else []
        given = [f"problems.num_train={options.problems}", "threads=1", *options.set]
        settings = [word for each in given for word in ("--set", each)]
        command = [sys.executable, "-m", "presrm", "search", "embedded", "--out", str(trees), *settings, *runner]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        found = STAGE.search(done.stderr)
        if done.returncode or found is None:
            sys.exit(f"{done.stderr}\n{command} failed")
        minutes, seconds = found.groups()
        return 60 * int(minutes or 0) + float(seconds), sha256(trees.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
