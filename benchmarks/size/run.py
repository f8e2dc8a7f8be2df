"""Time and memory of what reads a whole run, by its number of pairs.

``python benchmarks/size/run.py [--pairs 1000 10000 100000 1000000] [--verbs status verify ...] [--out FILE]`` makes a
run of each size (five pairs a tree, as `benchmarks/report`), and runs every verb on it in a process of its own.
A row is one verb on one run: seconds, processor seconds, and the most memory that its process held.
"""

import argparse
import json
import os
import runpy
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from presrm.config import Config
from presrm.files.run import RunDir

made = runpy.run_path(str(Path(__file__).parents[1] / "report" / "run.py"))
tree, pairs, PER_TREE = made["tree"], made["pairs"], made["PER_TREE"]


def make_run(folder: Path, num_pairs: int) -> None:
    """Write a run whose M2 was trained on `num_pairs` pairs, and is not assessed yet; its manifest is as a run's."""
    with RunDir(folder, Config(name="large"), {}, {}) as run:
        iteration = run.iteration(2)
        numbers = range(num_pairs // PER_TREE)
        for name, rows in (
            ("trees.jsonl", (tree(number) for number in numbers)),
            ("pairs.jsonl", (pair for number in numbers for pair in pairs(number))),
        ):
            digest, num = sha256(), 0
            with (iteration.path / name).open("wb") as file:
                for row in rows:
                    line = json.dumps(row).encode() + b"\n"
                    file.write(line)
                    digest.update(line)
                    num += 1
            size = (iteration.path / name).stat().st_size
            run.manifest["artefacts"][f"2/{name}"] = {"rows": num, "bytes": size, "sha256": digest.hexdigest()}
        run.commit()


def verbs(folder: Path, out: Path) -> dict[str, list[str]]:
    """The commands, by what they are called in the table."""
    trees, config = folder / "iterations/2/trees.jsonl", folder / "config.yaml"
    return {
        "status": ["status", str(folder)],
        "verify": ["verify", str(folder)],
        "pairs": ["pairs", str(trees), "--config", str(config), "--iteration", "2", "--out", str(out)],
        "export-trl": ["export", str(folder), "--to", "trl", "--out", str(out)],
        "export-prm800k": ["export", str(folder), "--to", "prm800k", "--out", str(out)],
    }


def measure(arguments: list[str]) -> dict[str, float]:
    """Run a command, and give what it took."""
    began = time.monotonic()
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "presrm", *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)],
    )
    _, status, used = os.wait4(process, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"presrm {' '.join(arguments)}: exit code {code}")
    return {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "megabytes": round(used.ru_maxrss / 1024),
    }


def rows(sizes: list[int], wanted: list[str] | None, folder: Path) -> Iterator[dict[str, object]]:
    """Measure."""
    for num_pairs in sizes:
        run, out = folder / f"run-{num_pairs}", folder / "out.jsonl"
        make_run(run, num_pairs)
        size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
        for name, arguments in verbs(run, out).items():
            if wanted is None or name in wanted:
                out.unlink(missing_ok=True)
                yield {"verb": name, "pairs": num_pairs, "run_megabytes": round(size / 1e6), **measure(arguments)}
        out.unlink(missing_ok=True)
        shutil.rmtree(run)


def main() -> None:
    """Measure, and write a row each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--verbs", nargs="+", help="Those alone.")
    parser.add_argument("--folder", type=Path, help="Where the runs are made; some 3 GB for a million pairs.")
    parser.add_argument("--out", type=Path, help="A JSON Lines file, appended to.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for row in rows(options.pairs, options.verbs, Path(folder)):
            print(json.dumps(row), flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
