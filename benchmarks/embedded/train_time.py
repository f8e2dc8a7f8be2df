"""Is `presrm train` faster than it was? The run of the config `embedded` by an earlier commit and by this one, in turn.

    python benchmarks/embedded/train_time.py 9afdf6c [--repeats 3]

Both run the policy, the draws and the training settings of today, as far as the earlier commit knows them: 9afdf6c has
no `pairs.ends` and no `pairs.solution_weight`, so it learns from fewer lessons, and it draws no page. It is checked out
to a folder of its own and runs with the packages of today.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
TODAY = [
    f"model.id={HERE / 'presrm' / 'embedded'}",
    "search.temperature=0.6",
    "search.top_p=0.95",
    "training.learning_rate=2.5e-5",
    "training.batch_pairs=16",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commit")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        subprocess.run(
            ["git", "-C", HERE, "worktree", "add", "--quiet", "--detach", before, options.commit], check=True
        )
        try:
            took = [
                (run(before, Path(folder) / f"b{number}"), run(HERE, Path(folder) / f"n{number}"))
                for number in range(options.repeats)
            ]
        finally:
            subprocess.run(["git", "-C", HERE, "worktree", "remove", "--force", before], check=True)
    for place, clock in enumerate(("wall", "processor")):
        ratios = [now[place] / then[place] for then, now in took]
        seconds = [[round(pair[side][place], 1) for pair in took] for side in (0, 1)]
        print(f"{clock}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); seconds {seconds}")


def run(code: Path, out: Path) -> tuple[float, float]:
    """Train once by the package in a folder: wall and processor seconds of the whole command."""
    command = [sys.executable, "-m", "presrm", "train", "--out", str(out)]
    for setting in TODAY:
        command += ["--set", setting]
    used, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, env={**os.environ, "PYTHONPATH": str(code)}, check=True, capture_output=True)
    wall, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


if __name__ == "__main__":
    main()
