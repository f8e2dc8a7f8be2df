"""How long would the paper's run take on 1 to 1,024 GPUs? A simulation from published rates, without a GPU.

    python benchmarks/scale/simulate.py                    # tables for 7B and 72B
    python benchmarks/scale/simulate.py --group 64         # problems searched in lockstep
    python benchmarks/scale/simulate.py --problems 1000000 # one iteration of so many instead of the paper's three

Discrete events: groups of problems wait for engines, each of which may fail and then does its group again; training
follows, whose steps are as wide as an optimiser step has trees. README.md names the source of every rate.
"""

import argparse
import heapq
import random
from dataclasses import dataclass

GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class Case:
    """A model on A100 80 GB.

    Attributes:
        name: Of the model.
        billions: Parameters.
        engine_gpus: GPUs that serve one copy.
        peak: Tokens a second that such an engine writes with many requests under way.
        single: Tokens a second with one request.
        train: Tokens a second and GPU, forward and backward.
        train_gpus: The fewest that hold weights, gradients and AdamW (16 bytes a parameter), and activations.
        num_steps: Of a solution, and `step_tokens` of a step: M1 on MATH, as the paper's tables have it.
    """

    name: str
    billions: float
    engine_gpus: int
    peak: float
    single: float
    train: float
    train_gpus: int
    num_steps: float
    step_tokens: int


CASES = (
    Case("7B", 7.6, 1, 3_363, 75, 2_904, 2, 9.35, 62),
    Case("72B", 72.7, 4, 4_700, 35, 331, 16, 8.41, 61),
)
PAPER = (400, 800, 1200)  # problems of the three iterations
HELD_OUT = 500
CANDIDATES, VERDICTS = 6, 30  # all pairs of six candidates, in both orders
PROMPT_TOKENS, VERDICT_TOKENS = 100, 200
MOST_STEPS, BATCH_PAIRS = 20, 32
HOURS_BETWEEN_FAILURES = 50_700  # of one GPU
RELOAD = 120.0  # seconds to replace a worker and load the policy again


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", type=int, default=16, help="problems searched in lockstep")
    parser.add_argument(
        "--problems", type=int, help="of a single iteration, in place of the paper's 400, 800 and 1,200"
    )
    parser.add_argument("--dollars", type=float, default=1.79, help="for a GPU an hour")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for case in CASES:
        print(table(case, options), end="\n\n")


def table(case: Case, options: argparse.Namespace) -> str:
    """One row for each number of GPUs that the model fits on."""
    lines = [
        f"**{case.name}**, groups of {options.group}\n",
        "| GPUs | search, h | answers, h | training, h | all, h | speed-up | GPU-hours | dollars | engines busy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    first: tuple[int, float] | None = None
    for num in GPUS:
        if num < max(case.engine_gpus, case.train_gpus):
            continue
        iterations = (options.problems,) if options.problems else PAPER
        found = [iterate(case, num, problems, options.group, options.seed) for problems in iterations]
        search, answers, train = (sum(each[part] for each in found) / 3600 for part in range(3))
        total = search + answers + train
        first = first or (num, total)
        speed, busy = first[1] / total, sum(each[3] for each in found) / len(found)
        lines.append(
            f"| {num} | {search:.2f} | {answers:.2f} | {train:.2f} | {total:.2f} | {speed:.1f} of {num / first[0]:.0f} "
            f"| {num * total:,.0f} | {num * total * options.dollars:,.0f} | {busy:.0%} |"
        )
    return "\n".join(lines)


def iterate(case: Case, gpus: int, problems: int, group: int, seed: int) -> tuple[float, float, float, float]:
    """One iteration: seconds of search, of answers and of training, and the share of the search that engines work."""
    rng = random.Random(f"{seed} {case.name} {gpus} {problems}")
    steps = [min(MOST_STEPS, max(2, round(rng.gauss(case.num_steps, case.num_steps / 2.5)))) for _ in range(problems)]
    work = [search_seconds(case, steps[start : start + group]) for start in range(0, problems, group)]
    engines = gpus // case.engine_gpus
    search, busy = dispatch(work, engines, case.engine_gpus, rng)
    solution = case.num_steps * case.step_tokens
    share = -(-HELD_OUT // engines)
    answers = sum(write_seconds(case, 64, solution) for _ in range(-(-share // 64)))
    return search, answers, train_seconds(case, gpus, steps), busy


def search_seconds(case: Case, steps: list[int]) -> float:
    """A group in lockstep: at each depth the problems that are not finished, their candidates, then their verdicts."""
    total = 0.0
    for depth in range(max(steps)):
        alive = sum(depth < num for num in steps)
        total += write_seconds(case, alive * CANDIDATES, case.step_tokens)
        total += write_seconds(case, alive * VERDICTS, VERDICT_TOKENS)
    return total


def write_seconds(case: Case, rows: int, tokens: float) -> float:
    """Write so many rows at once.

    The rate saturates as peak * rows / (rows + k), with k from the rate of a single request.
    """
    k = case.peak / case.single - 1
    return tokens * (rows + k) / case.peak


def dispatch(work: list[float], engines: int, engine_gpus: int, rng: random.Random) -> tuple[float, float]:
    """Work groups in order on engines that may fail: seconds until all are done, and the share that engines work."""
    mean_life = HOURS_BETWEEN_FAILURES * 3600 / engine_gpus
    free = [(0.0, rng.expovariate(1 / mean_life)) for _ in range(engines)]  # when it is free, and when it fails
    heapq.heapify(free)
    end = 0.0
    for seconds in work:
        begin, fails = heapq.heappop(free)
        while begin + seconds > fails:  # what it did of the group is lost
            begin = max(begin, fails) + RELOAD
            fails = begin + rng.expovariate(1 / mean_life)
        end = max(end, begin + seconds)
        heapq.heappush(free, (begin + seconds, fails))
    return end, sum(work) / (engines * end)


def train_seconds(case: Case, gpus: int, steps: list[int]) -> float:
    """One epoch over packed trees, and a pass for the reference; no GPU has less than a tree of an optimiser step."""
    trees = [PROMPT_TOKENS + 2 * num * case.step_tokens for num in steps]
    total, pairs, tokens, longest = 0.0, 0, 0, 0
    for num, size in zip(steps, trees, strict=True):
        pairs, tokens, longest = pairs + num, tokens + size, max(longest, size)
        if pairs >= BATCH_PAIRS:
            total += max(tokens / gpus, longest) / case.train
            pairs, tokens, longest = 0, 0, 0
    total += max(tokens / gpus, longest) / case.train
    return total + sum(trees) / 3 / (gpus * case.train)  # a forward pass is a third


if __name__ == "__main__":
    main()
