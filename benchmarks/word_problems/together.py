"""What did a way gain over all its seeds together? The unit is the measured problem, which every seed solves anew.

    python benchmarks/word_problems/together.py build/loops --way checker --name all --model M2

The gain of a problem is the share of seeds that solve it with the later policy less that with M1, or less that of
another way's seeds (`--against`); its mean is given in points, with a bootstrap interval over problems and a p-value by
turning round the signs of whole problems. Neither knows how far seeds spread: what each seed solved is printed, and an
interval and a p-value over seeds (Student's t, Welch's where two ways are compared), which knows nothing of problems.
"""

import argparse
from pathlib import Path

import numpy as np
from loops import iteration, outcomes, run_folder
from scipy.stats import permutation_test, ttest_1samp, ttest_ind

from presrm.statistics import bootstrap_mean


def answered(out: Path, way: str, name: str, number: int) -> list[dict[str, bool]]:
    """Which problems M(number) of a way solved, seed by seed."""
    runs = sorted(out.glob(run_folder(Path(), way, "[0-9]*", name).name))  # self-rewarding is another way than self
    folders = [iteration(run, number) for run in runs]
    return [outcomes(file) for of in folders if (file := of / "answers.jsonl").exists()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="of loops.py")
    parser.add_argument("--way", default="self")
    parser.add_argument("--name", default="", help="of the settings")
    parser.add_argument("--model", default="M4")
    parser.add_argument("--against", metavar="WAY", help="compare with the same model of another way, not with M1")
    options = parser.parse_args()
    number = int(options.model.removeprefix("M"))
    after = answered(options.out, options.way, options.name, number)
    other = options.against or options.way
    before = answered(options.out, other, options.name, number if options.against else 1)
    if not (after and before):
        parser.error(f"no {options.model} of these settings in {options.out}: of {options.way} or {other}")
    problems = sorted(before[0])
    earlier_P, later_P = (
        np.array([100 * np.mean([of_run[problem] for of_run in each]) for problem in problems])
        for each in (before, after)
    )
    gain = permutation_test(
        (later_P, earlier_P),
        lambda later, earlier: np.mean(later) - np.mean(earlier),
        permutation_type="samples",
        n_resamples=99_999,
        batch=1_000,
        rng=np.random.default_rng(0),
    )
    low, high = bootstrap_mean([*(later_P - earlier_P)]) or (float("nan"),) * 2
    first = f"{options.model} of {other}" if options.against else "M1"
    print(
        f"{options.way}: {options.model} {solved(after)}, {first} {solved(before)} of {len(problems)} problems; "
        f"over problems {points(gain.statistic, low, high, gain.pvalue)}"
    )
    if min(len(after), len(before)) > 1:
        later, earlier = ([100 * np.mean([*of_seed.values()]) for of_seed in seeds] for seeds in (after, before))
        over = (
            ttest_ind(later, earlier, equal_var=False) if options.against else ttest_1samp(later - np.mean(earlier), 0)
        )
        within = over.confidence_interval()
        print(f"over seeds {points(gain.statistic, within.low, within.high, over.pvalue)}")


def points(gained: float, low: float, high: float, p: float) -> str:
    """Say a gain with its interval and p-value."""
    return f"{gained:+.1f} points [{low:+.1f}, {high:+.1f}], p = {p:.2g}"


def solved(seeds: list[dict[str, bool]]) -> str:
    """Say how many problems each seed solved."""
    return ", ".join(str(sum(of_seed.values())) for of_seed in seeds)


if __name__ == "__main__":
    main()
