"""What did a way gain over all its seeds together? The unit is the measured problem, which every seed solves anew.

    python benchmarks/word_problems/together.py build/loops --way checker --name all --model M2

The gain of a problem is the number of seeds that solve it with the later policy less that with M1; its mean is given in
points, with a bootstrap interval over problems and a p-value by turning round the signs of whole problems.
"""

import argparse
from pathlib import Path

import numpy as np
from loops import outcomes
from scipy.stats import permutation_test

from presrm.statistics import bootstrap_mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="of loops.py")
    parser.add_argument("--way", default="self")
    parser.add_argument("--name", default="", help="of the settings")
    parser.add_argument("--model", default="M4")
    parser.add_argument("--against", nargs="+", type=Path, help="iterations of other runs to compare with, not M1")
    options = parser.parse_args()
    way = options.way.replace(",", "").replace(" ", "-")
    ending = "-".join(filter(None, ("[0-9]*", options.name)))  # a seed: self-rewarding is another way than self
    number = options.model.removeprefix("M")
    runs = sorted(
        run for run in options.out.glob(f"{way}-{ending}") if (run / "iterations" / number / "answers.jsonl").exists()
    )
    first = options.against or [run / "iterations/1" for run in runs]
    before, after = (
        [outcomes(folder / "answers.jsonl") for folder in each]
        for each in (first, [run / "iterations" / number for run in runs])
    )
    problems = sorted(before[0])
    earlier_P, later_P = (
        np.array([np.mean([of_run[problem] for of_run in each]) for problem in problems]) for each in (before, after)
    )
    gain = permutation_test(
        (later_P, earlier_P),
        lambda later, earlier: np.mean(later) - np.mean(earlier),
        permutation_type="samples",
        n_resamples=99_999,
        rng=np.random.default_rng(0),
    )
    low, high = bootstrap_mean([*(later_P - earlier_P)]) or (float("nan"),) * 2
    print(
        f"{options.way}: {' and '.join(map(str, options.against or ['M1']))} {100 * earlier_P.mean():.1f} %, "
        f"{options.model} {100 * later_P.mean():.1f} % of {len(problems)} problems on {len(runs)} seeds; "
        f"{100 * gain.statistic:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], p = {gain.pvalue:.4f}"
    )


if __name__ == "__main__":
    main()
