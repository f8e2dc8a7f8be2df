"""What kinds of wrong steps does a search sample, and does the judge prefer the right sibling?

    python benchmarks/embedded/mistakes.py build/loops/embedded-1-self/iterations/*/trees.jsonl

A row a file: how many distinct candidates are right, slip, do what is not due, stop too early, go on behind the end, or
end in another number; and, where a right sibling stands beside a wrong one, which of the two the judge scores higher.
"""

import argparse
import json
import re
from collections import Counter
from itertools import takewhile
from pathlib import Path
from typing import Any

from world import Results, states

from presrm.checkers.arithmetic import locate
from presrm.problems.arithmetic import plan_of
from presrm.problems.arithmetic.plan import Plan, apply
from presrm.types import Problem

STEP, ANSWER = re.compile(r"\s*(\d+) ([-+*/]) (\d+) = (\d+)\s*"), re.compile(r"\s*#### (\d+)\s*")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trees", nargs="+", type=Path)
    for path in parser.parse_args().trees:
        print(json.dumps({"trees": str(path), **count(map(json.loads, path.read_text().splitlines()))}))


def count(trees: Any) -> dict[str, dict[str, int]]:
    """Count the kinds of candidates, and who is preferred where a right and a wrong one are siblings."""
    kinds, preferred = Counter[str](), Counter[str]()
    for tree in trees:
        plan = plan_of(Problem(tree["problem"]["id"], tree["problem"]["question"]))
        for expansion in tree["expansions"]:
            path = list(takewhile(STEP.fullmatch, path_of(tree["expansions"], expansion)))
            known = states(plan, path)[-1]
            scores = {}
            for candidate in expansion["candidates"]:
                text = candidate["step"]["text"]
                scores[text] = kind_of(plan, known, text), candidate["judgement"]["score"]
            kinds.update(kind for kind, _ in scores.values())
            scored = [(kind, score) for kind, score in scores.values() if score is not None]
            right = max((score for kind, score in scored if kind == "right"), default=None)
            for kind, score in scored:
                if right is not None and kind != "right":
                    preferred[f"{kind}: {'right' if right > score else 'tie' if right == score else 'wrong'}"] += 1
    return {"candidates": dict(sorted(kinds.items())), "preferred": dict(sorted(preferred.items()))}


def path_of(expansions: list[Any], expansion: Any) -> list[str]:
    """The texts before an expansion."""
    texts: list[str] = []
    while (parent := expansion["parent"]) is not None:
        expansion = expansions[parent[0]]
        texts.insert(0, expansion["candidates"][parent[1]]["step"]["text"])
    return texts


def kind_of(plan: Plan, known: Results, text: str) -> str:
    """Name what a step does, where so much is known."""
    if answer := ANSWER.fullmatch(text):
        if known[-1] is None:
            return "stops too early"
        return "right" if int(answer[1]) == known[-1] else "another answer"
    step = STEP.fullmatch(text)
    if not step:
        return "no step"
    if known[-1] is not None:
        return "one more"
    left, operator, right = int(step[1]), step[2], int(step[3])
    _, is_due = locate(plan, known, left, operator, right)
    if not is_due:
        return "misread"
    return "right" if apply(operator, left, right) == int(step[4]) else "slip"


if __name__ == "__main__":
    main()
