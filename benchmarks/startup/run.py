"""How long commands take to start: CPU seconds of a whole process, beside those of `import torch`.

    python benchmarks/startup/run.py [--repeats 5] [--out benchmarks/startup/results.json]

CPU time, the least of several repeats, is what a loaded machine disturbs least; wall time stands beside it. The ratios
to `import torch` carry over to other machines, the seconds do not.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CODE = {
    "python": "pass",
    "import torch": "import torch",
    "import transformers' Llama": "from transformers import LlamaForCausalLM, PreTrainedTokenizerFast",
}
COMMANDS = {
    "presrm --help": ["--help"],
    "presrm train --help": ["train", "--help"],
    "presrm train --dry-run": ["train", "--dry-run"],
    "presrm split": ["split", "--solution", "1 + 1 = 2"],
    "presrm judge-steps, 15 regular expressions": ["judge-steps", "rows.jsonl", "--judge", "my.py:Sums", "--out", "-"],
    "presrm solve": ["solve"],
}
JUDGE = """
import re

from presrm import Judgement

PATTERNS = [re.compile(rf"(\\d+) {re.escape(sign)} (\\d+) = (\\d+)") for sign in "+-*/^%&|<>=@#!?"]


class Sums:
    scale = "absolute"

    def judge(self, batch):
        return [tuple(self.one(step.text) for step in item.steps) for item in batch]

    def one(self, text):
        sums = [found for pattern in PATTERNS for found in pattern.findall(text)]
        return Judgement(float(all(int(a) + int(b) == int(c) for a, b, c in sums)))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    programs = {name: ["-c", code] for name, code in CODE.items()}
    programs |= {name: ["-m", "presrm", *arguments] for name, arguments in COMMANDS.items()}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "my.py").write_text(JUDGE)
        row = {"question": "q", "solution": "1 + 1 = 2\\n2 + 2 = 5"}
        (Path(folder) / "rows.jsonl").write_text(json.dumps(row) + "\n")
        seconds = {name: measure(program, Path(folder), options.repeats) for name, program in programs.items()}
    torch = seconds["import torch"]["cpu"]
    rows = {name: {**found, "of_import_torch": round(found["cpu"] / torch, 2)} for name, found in seconds.items()}
    for name, found in rows.items():
        print(f"{name:45} {found['cpu']:6.2f} s CPU {found['wall']:6.2f} s wall {found['of_import_torch']:6.2f}")
    if options.out is not None:
        options.out.write_text(json.dumps({"machine": machine(), "commands": rows}, indent=1) + "\n")


def machine() -> dict[str, object]:
    """What this runs on."""
    told = subprocess.check_output([sys.executable, Path(__file__).parents[1] / "machine.py"], text=True)
    return json.loads(told)


def measure(program: list[str], folder: Path, repeats: int) -> dict[str, float]:
    """The least CPU and wall seconds of a process over several repeats."""
    cpu, wall = [], []
    for _ in range(repeats):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run([sys.executable, *program], cwd=folder, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        wall.append(time.monotonic() - began)
    return {"cpu": round(min(cpu), 3), "wall": round(min(wall), 3)}


if __name__ == "__main__":
    main()
