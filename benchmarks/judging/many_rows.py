"""Rows a second of `presrm judge-steps` itself: a policy that costs nothing judges many short solutions.

    python benchmarks/judging/many_rows.py                     # 100,000 rows of four steps
    python benchmarks/judging/many_rows.py --rows 2000 --profile

What is measured is everything around the model: reading rows, rendering prompts, reading verdicts, recording every call
in the verdict ledger, writing and syncing rows, and the judge card. Verdicts are explained ones of the pointwise judge,
of which a twentieth cannot be read. Prints one JSON object; peak memory is that of the process, resident.
"""

import argparse
import cProfile
import json
import pstats
import random
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory

from presrm.engines.scripted import ScriptedEngine
from presrm.files.ledger import Ledger
from presrm.judges.pointwise import PointwiseJudge
from presrm.judging.recording import RecordingEngine
from presrm.judging.solutions import JudgedFile, judge_file
from presrm.prompts import Prompt, PromptSet
from presrm.splitters.newline import NewlineSplitter

NUM_STEPS = 4
REPLIES = {"The numbers are added as asked. [[yes]]": 16, "The sum is off by one. [[no]]": 3, "Hard to say.": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="presrm-") as name:
        source = Path(name) / "rows.jsonl"
        write_rows(source, options.rows)
        if options.profile:
            profile = cProfile.Profile()
            profile.runcall(judge, source)
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            return
        began, cpu_began = time.perf_counter(), time.process_time()
        judged = judge(source)
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    result = {
        "rows": judged.tally.num_judged,
        "steps": sum(judged.tally.statuses.values()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "rows_per_second": round(judged.tally.num_judged / seconds),
        "peak_mb": round(peak_memory() / 1e6),
    }
    print(json.dumps(result))


def write_rows(path: Path, num: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for i in range(num):
            steps = [f"Step {k}: {i} and {k} are added, which gives {i} + {k} = {i + k}." for k in range(NUM_STEPS)]
            row = {"id": f"sum/{i}", "problem": f"Add small numbers to {i}, one after the other.", "steps": steps}
            file.write(json.dumps({**row, "label": i % (NUM_STEPS + 1) - 1}) + "\n")


def judge(source: Path) -> JudgedFile:
    prompts = PromptSet("compact")

    @contextmanager
    def open_judge() -> Iterator[PointwiseJudge]:
        with (
            Ledger(source.with_name("ledger.sqlite")) as ledger,
            ScriptedEngine(reply) as policy,
            RecordingEngine(
                policy, ledger, policy="scripted", stage="judge-steps", template_hash=prompts.hash
            ) as engine,
        ):
            yield PointwiseJudge(engine, prompts)

    return judge_file(
        source,
        source.with_name("judged.jsonl"),
        open_judge,
        NewlineSplitter(),
        {"judge": "pointwise"},
        lambda name, total: nullcontext(lambda units: None),
    )


def reply(prompt: Prompt, rng: random.Random) -> str:
    [text] = rng.choices(list(REPLIES), list(REPLIES.values()))
    return text


def peak_memory() -> int:
    """Peak resident memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
