"""Cut the word problems into parts that know nothing of each other.

    python benchmarks/word_problems/split.py word_problems/train.jsonl word_problems/svamp_half.jsonl --out words

Writes ``seed.jsonl`` (part A: questions, answers and solutions, for the seed stage), ``loop.jsonl`` (part B: questions
alone), ``loop_answers.jsonl`` (the same with solutions, for the controls that check exactly), ``held_out.jsonl`` and
``svamp.jsonl`` (for measuring). Training problems that share 13 words in a row with a measured one are left out. The
folder ``trial`` in it is for choosing settings: 464 problems of the loop stand there in the place of the held-out ones.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from presrm.evaluation.decontamination import decontaminate
from presrm.types import Problem

KIND = "operations"
NUM_TRIAL = 464
Row = dict[str, Any]


def split(
    rows: Sequence[Row], svamp: Sequence[Row], *, seed: int, num_held_out: int, num_seed: int
) -> tuple[dict[str, list[Row]], dict[str, int]]:
    """Draw the parts.

    Args:
        rows: Training problems with solutions.
        svamp: The other measured problems.
        seed: Of the draw.
        num_held_out: Measured problems of the kind of `rows`.
        num_seed: Problems of the seed stage; what is left is for the loop.

    Returns:
        The parts by name, and how many problems were left out, by cause.
    """
    drawn = random.Random(seed).sample(list(rows), len(rows))
    held_out, rest = drawn[:num_held_out], drawn[num_held_out:]
    kept, causes = decontaminate(map(_problem, rest), map(_problem, [*held_out, *svamp]))
    names = {problem.id for problem in kept}
    clean = [row for row in rest if row["id"] in names]
    loop = clean[num_seed:]
    parts = {
        "seed": clean[:num_seed],
        "loop": [{"id": row["id"], "question": row["question"]} for row in loop],
        "loop_answers": loop,
        "held_out": held_out,
        "svamp": [{key: row[key] for key in ("id", "question", "answer")} for row in svamp],
    }
    checked = ("seed", "loop_answers", "held_out")
    return {
        name: [{**row, "kind": KIND} if name in checked else row for row in part] for name, part in parts.items()
    }, asdict(causes)


def trial(parts: dict[str, list[Row]]) -> dict[str, list[Row]]:
    """Take what the loop is measured on from its own problems, so that no setting is chosen on the held-out ones.

    ``measured`` is both together: more problems tell smaller gains from chance.
    """
    order = [*range(len(parts["loop"]))]
    random.Random(0).shuffle(order)
    taken = set(order[:NUM_TRIAL])
    left = {
        name: [row for number, row in enumerate(parts[name]) if number not in taken]
        for name in ("loop", "loop_answers")
    }
    held_out = [row for number, row in enumerate(parts["loop_answers"]) if number in taken]
    both = [*parts["held_out"], *held_out]
    return {**left, "seed": parts["seed"], "held_out": held_out, "measured": both, "svamp": parts["svamp"]}


def _problem(row: Row) -> Problem:
    return Problem(row["id"], row["question"])


def read(path: Path) -> list[Row]:
    """Read JSON Lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")


def main() -> None:
    """Write the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("svamp", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-held-out", type=int, default=400)
    parser.add_argument("--num-seed", type=int, default=1200)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    parts, causes = split(
        read(options.train),
        read(options.svamp),
        seed=options.seed,
        num_held_out=options.num_held_out,
        num_seed=options.num_seed,
    )
    for folder, files in ((options.out, parts), (options.out / "trial", trial(parts))):
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in files.items():
            write(folder / f"{name}.jsonl", rows)
    print(json.dumps({"problems": {name: len(rows) for name, rows in parts.items()}, "left out": causes}))


if __name__ == "__main__":
    main()
