"""How well does a meta-judge tell right judgements from wrong ones?

    python benchmarks/spct/meta.py META judgements-202.jsonl --learned judgements-101.jsonl     # as run.py leaves them

Of the judgements in the first file, those about problems of the second left out: how often a right one is rated higher
than a wrong one, a tie counting as half; of all, and of those about the same candidates, from which votes are chosen.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from itertools import product
from pathlib import Path

from presrm.engines.hf_prm import StepScorer
from presrm.training.prm import LabelledText, read_labelled_texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("meta", help="folder that presrm fit-prm made")
    parser.add_argument("judgements", type=Path, help="traces of a run")
    parser.add_argument("--learned", type=Path, help="traces that the meta-judge learned from")
    options = parser.parse_args()
    learned = {problem_of(one) for one in read_labelled_texts(options.learned)} if options.learned else set()
    judgements = [one for one in read_labelled_texts(options.judgements) if problem_of(one) not in learned]
    verdicts = StepScorer(options.meta).score([(one.question, one.steps) for one in judgements])
    about = defaultdict[str, list[tuple[bool, float]]](list)
    for one, (verdict,) in zip(judgements, verdicts, strict=True):
        if verdict.probability is not None:
            about[one.question].append((one.rights[-1] == 1.0, verdict.probability))
    rated = [each for of_one in about.values() for each in of_one]
    print(f"{len(rated)} judgements, {sum(not is_right for is_right, _ in rated)} of them wrong")
    print("of all: {:.3f} of {} comparisons".format(*higher([rated])))
    print("about the same candidates: {:.3f} of {} comparisons".format(*higher(about.values())))


def problem_of(judgement: LabelledText) -> str:
    """What the solution that is judged is about."""
    return judgement.question.partition("\n")[0]


def higher(groups: Iterable[list[tuple[bool, float]]]) -> tuple[float, int]:
    """How often, within the groups, a right judgement is rated higher than a wrong one, and of how many pairs."""
    won = [
        (right > wrong) + (right == wrong) / 2
        for group in groups
        for (is_right, right), (is_other_right, wrong) in product(group, repeat=2)
        if is_right and not is_other_right
    ]
    return (sum(won) / len(won) if won else float("nan")), len(won)


if __name__ == "__main__":
    main()
