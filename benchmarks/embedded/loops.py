"""What does the loop buy? The same frozen policies, several ways to go on, the same held-out problems.

    python benchmarks/embedded/loops.py build/embedded-0 build/embedded-1 --ways self random --out build/loops

Ways: the loop with the policy's own judge (`self`); with a judge that tosses a coin (`random`, the floor) and with the
exact checker (`checker`, the ceiling); SFT on the chosen steps instead of DPO (`sft`); no loop (`score`: more seed SFT
at equal compute is made by `make.py` and scored so); and the other methods, with the same problems. Held-out problems
derive from --seed, which no tuning has used. Tokens are those drawn and read to make the policy, its measurement apart.
"""

import argparse
import json
import random
from pathlib import Path

from presrm.assembly.runs import train
from presrm.cli.progress import RichProgress
from presrm.config import load_config
from presrm.judges import JUDGES
from presrm.report.facts import read_facts
from presrm.types import Candidates, Judgement

LOOP, RLSR, OTHER = "embedded", "embedded-rlsr", "embedded-self-rewarding"
WAYS: dict[str, tuple[str, list[str]]] = {
    "self": (LOOP, []),
    "random": (LOOP, ["judge.kind=random"]),
    "checker": (LOOP, ["judge.kind=checker"]),
    "sft": (LOOP, ["objective.kind=imitation"]),
    "score": (LOOP, ["iterations=0"]),
    "mcts": (LOOP, ["search.kind=mcts", "search.options={num_descents: 16}", "judge.kind=pointwise", "pairs.by=worth"]),
    "self-rewarding": (OTHER, []),
    "self-rewarding checker": (OTHER, ["judge.kind=checker", "judge.votes=1"]),
    "rlsr": (RLSR, []),
    "rlsr steps": (RLSR, ["search.kind=greedy"]),
    "rlsr checker": (RLSR, ["judge.kind=checker"]),
    "rlsr steps checker": (RLSR, ["search.kind=greedy", "judge.kind=checker"]),
    "rlsr made-up": ("embedded-rlsr-self", ["search.kind=best-of-n"]),
    "rlsr made-up steps": ("embedded-rlsr-self", []),
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
            config, changes = WAYS[way]
            settings = [f"model.id={policy}", f"seed={options.seed}", *changes, *options.set]
            out = options.out / f"{policy.name}-{way.replace(' ', '-')}"
            summaries = train(load_config(config, settings), out, RichProgress())
            facts = read_facts(out)
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
                    "steps": summary.scores.mean_steps,
                    "tokens": facts.num_tokens(summary.number),
                    "shadow": shadows(out / "iterations" / str(summary.number)),
                }
                print(json.dumps(row), flush=True)


def _round(file: Path) -> int:
    return int(file.parent.name)


def shadows(iteration: Path) -> list[dict[str, float | int | None]]:
    """What the exact checker says of the attempts behind a policy, a row a round: where a method has such a shadow."""
    rows = []
    for file in [*sorted(iteration.glob("rounds/*/shadow.json"), key=_round), iteration / "shadow.json"]:
        if file.exists() and (seen := json.loads(file.read_text())) is not None:
            known = seen["judged"]["num"]
            rows.append(
                {
                    "judged_right": seen["judged"]["value"],
                    "right": seen["false_rejects"]["num"] / known if known else None,
                    "false_accepts": seen["false_accepts"]["value"],
                    "false_rejects": seen["false_rejects"]["value"],
                    "gate_false_accepts": seen["gate_false_accepts"]["value"],
                    "attempts": known,
                }
            )
    return rows


if __name__ == "__main__":
    main()
