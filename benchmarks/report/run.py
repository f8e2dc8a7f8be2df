"""How long the page of a very large run takes, how much memory, and how large the file is.

``python benchmarks/report/run.py [FOLDER] [--pairs 1000000] [--out FILE]`` makes a run of that many pairs in FOLDER (a
temporary one unless given), five a tree, with two verdicts each in the ledger, and draws it by ``presrm report`` in a
process of its own. A FOLDER that holds a run already is used as it is.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import yaml

from presrm.config import Config
from presrm.files.ledger import Call, Ledger, short_hash
from presrm.types import Status

PER_TREE = 5
BLOCK = 20_000


def problem(number: int) -> dict[str, object]:
    """A question, as in the files of a run."""
    question = f"A box holds {number} marbles. {number % 97} are taken out, and the rest is shared by {number % 7 + 2}."
    fields = {"id": f"p{number}", "question": question, "answer": str(number % 50), "solution": None, "kind": "text"}
    return {**fields, "shown": None, "system": None, "history": []}


def step(number: int, place: int, kind: str) -> dict[str, object]:
    """A step of some 80 characters."""
    text = (
        f"Step {place + 1}: ${number} - {number % 97} = {number - number % 97}$, and then the {kind} rest, {place}.\n"
    )
    return {"text": text, "tokens": list(range(20)), "stop": None}


def tree(number: int) -> dict[str, object]:
    """A tree of as many expansions as a tree has pairs, each with four candidates."""
    expansions = []
    for place in range(PER_TREE):
        scores = (0.5 + (number + place) % 50 / 100, 0.1, 0.3, 0.2)
        candidates = [
            {
                "step": step(number, place, kind),
                "judgement": {"score": score, "status": "ok", "rationale": "A is better."},
                "worth": None,
            }
            for kind, score in zip(("right", "wrong", "odd", "long"), scores, strict=True)
        ]
        expansions.append({"parent": [place - 1, 0] if place else None, "candidates": candidates, "kept": [0]})
    ends = {"solutions": [[PER_TREE - 1, 0]], "dropped": [], "given_up": None}
    return {"problem": problem(number), "expansions": expansions, **ends}


def pairs(number: int) -> Iterator[dict[str, object]]:
    """The pairs of a tree."""
    for place in range(PER_TREE):
        before = [step(number, one, "right") for one in range(place)]
        sides = {"chosen": step(number, place, "right"), "rejected": step(number, place, "wrong")}
        margin = 0.4 + (number + place) % 50 / 100
        prefix = {"problem": problem(number), "steps": before}
        yield {"id": f"2/p{number}/{place}", "prefix": prefix, **sides, "margin": margin}


def calls(number: int) -> Iterator[Call]:
    """Both orders of every pair of a tree."""
    for pair in pairs(number):
        before = "".join(one["text"] for one in pair["prefix"]["steps"])  # type: ignore[index]
        sides = [short_hash(pair[side]["text"]) for side in ("chosen", "rejected")]  # type: ignore[index]
        for shown, letter in ((sides, "A"), (sides[::-1], "B")):
            asked = ("pairwise", "0", "M1", 2, "search", f"p{number}", short_hash(before), tuple(shown))
            yield Call(*asked, "{}", 0, f"[[{letter}]]", letter, float(letter == "A"), Status.OK, 100, 4, 0.01)


def make_run(folder: Path, num_pairs: int) -> None:
    """Write a run whose M2 was trained on `num_pairs` pairs, and is not assessed yet."""
    iteration = folder / "iterations" / "2"
    iteration.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(Config(name="large").model_dump(mode="json")))
    entries = {}
    numbers = range(num_pairs // PER_TREE)
    for name, rows in (
        ("trees.jsonl", (tree(number) for number in numbers)),
        ("pairs.jsonl", (pair for number in numbers for pair in pairs(number))),
    ):
        num = 0
        with (iteration / name).open("w") as file:
            for row in rows:
                file.write(json.dumps(row) + "\n")
                num += 1
        entries[f"2/{name}"] = {"rows": num, "bytes": (iteration / name).stat().st_size, "sha256": ""}
    (folder / "manifest.json").write_text(json.dumps({"format": 2, "artefacts": entries}))
    with Ledger(folder / "ledger.sqlite") as ledger:
        for start in range(0, len(numbers), BLOCK):
            ledger.record(call for number in numbers[start : start + BLOCK] for call in calls(number))


def measure(folder: Path) -> dict[str, object]:
    """Draw the run, and give what that took."""
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    rows = json.loads((folder / "manifest.json").read_text())["artefacts"]
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "presrm", "report", str(folder)], check=True, env=dict(os.environ))
    seconds, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    with Ledger(folder / "ledger.sqlite", read_only=True) as ledger:
        num_calls = sum(1 for _ in ledger.calls())
    return {
        "pairs": rows["2/pairs.jsonl"]["rows"],
        "trees": rows["2/trees.jsonl"]["rows"],
        "calls": num_calls,
        "run_gigabytes": round(size / 1e9, 2),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_memory_gigabytes": round(used.ru_maxrss * 1024 / 1e9, 2),
        "page_megabytes": round((folder / "report.html").stat().st_size / 1e6, 2),
    }


def main() -> None:
    """Make the run, draw it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("results.json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "run"
        if not (folder / "manifest.json").exists():
            make_run(folder, arguments.pairs)
        measured = measure(folder)
    print(json.dumps(measured, indent=1))
    arguments.out.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
