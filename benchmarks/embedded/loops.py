"""What does the loop buy? The same frozen policies, several ways to go on, the same held-out problems.

    python benchmarks/embedded/loops.py build/embedded-0 build/embedded-1 --ways self random --out build/loops

Ways: the loop with the policy's own judge (`self`); with a judge that tosses a coin (`random`, the floor) and with the
exact checker (`checker`, the ceiling); SFT on the chosen steps instead of DPO (`sft`); no loop (`score`: more seed SFT
at equal compute is made by `make.py` and scored so). Held-out problems derive from --seed, which no tuning has used.
"""

import argparse
import json
import random
from pathlib import Path

from presrm.assembly.runs import train
from presrm.cli.progress import RichProgress
from presrm.config import load_config
from presrm.judges import JUDGES
from presrm.types import Candidates, Judgement

WAYS = {
    "self": [],
    "random": ["judge.kind=random"],
    "checker": ["judge.kind=checker"],
    "sft": ["objective.kind=imitation"],
    "score": ["iterations=0"],
}


class RandomJudge:
    """The floor: a score drawn from the text of the candidate, so that equal candidates score alike."""

    scale = "relative"

    def __init__(self, **_: object) -> None: ...

    def judge(self, batch: list[Candidates]) -> list[tuple[Judgement, ...]]:
        """Score every candidate."""
        return [
            tuple(
                Judgement(random.Random(f"{item.prefix.problem.id}{item.prefix.text}{s.text}").random())
                for s in item.steps
            )
            for item in batch
        ]


JUDGES.register("random")(RandomJudge)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policies", nargs="+", type=Path)
    parser.add_argument("--ways", nargs="+", default=["self"], choices=WAYS)
    parser.add_argument("--seed", type=int, default=101)
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for policy in options.policies:
        for way in options.ways:
            settings = [f"model.id={policy}", f"seed={options.seed}", *WAYS[way], *options.set]
            out = options.out / f"{policy.name}-{way}"
            summaries = train(load_config("embedded", settings), out, RichProgress())
            for summary in summaries:
                siblings, vs_first, accuracy = summary.health.siblings, summary.vs_first, summary.scores.accuracy
                change = (vs_first and vs_first.difference.value) or 0.0
                row = {
                    "policy": policy.name,
                    "seed": options.seed,
                    "way": way,
                    "model": summary.name,
                    "accuracy": round(accuracy.value or 0.0, 4),
                    "interval": [round(end, 4) for end in accuracy.interval or ()],
                    "vs_M1": vs_first and {"points": round(100 * change, 1), "p": vs_first.p_value},
                    "siblings": siblings and siblings.accuracy.right.value,
                    "sibling_pairs": siblings and siblings.accuracy.right.num,
                    "pairs": summary.num_lessons,
                }
                print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
