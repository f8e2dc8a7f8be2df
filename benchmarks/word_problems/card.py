"""How good a judge is a policy, of its own steps? By kind of mistake and by depth.

    python benchmarks/word_problems/card.py words/held_out.jsonl --models runs/word-problems/iterations/1/policy

Each policy draws four candidates a step on the first ``--num`` problems, along right paths, and judges every distinct
one; the reference solutions say which are right. The judge of ``--judge`` judges the same candidates, if it is another.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from siblings import Labelled, draw

from presrm.checkers.operations import Finding
from presrm.config import load_config
from presrm.engines.hf import HFEngine
from presrm.judges.pointwise import PointwiseJudge
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.protocols import Sampling
from presrm.statistics import share
from presrm.types import Candidates, Checkpoint, Judgement

NUM_CANDIDATES = 4
Case = tuple[Finding, int, Judgement]


def card(labelled: Sequence[Labelled], judged: Sequence[Sequence[Judgement]]) -> dict[str, Any]:
    """Put together how a judge does.

    Args:
        labelled: Candidates behind each prefix.
        judged: What the judge says of each.

    Returns:
        Shares with intervals: of verdicts that are right by what the candidate is and by depth, of candidates without
        a verdict, of pairs of a right and a wrong sibling of which the right one scores higher or as high, and of
        expansions that hold such a pair.
    """
    cases = [
        (finding, len(prefix.steps), judgement)
        for (prefix, candidates), judgements in zip(labelled, judged, strict=True)
        for (_, finding), judgement in zip(candidates, judgements, strict=True)
    ]
    pairs: Counter[str] = Counter()
    num_mixed = 0
    for (_, candidates), judgements in zip(labelled, judged, strict=True):
        scores = [(finding, judgement.score) for (_, finding), judgement in zip(candidates, judgements, strict=True)]
        right = [score for finding, score in scores if finding is Finding.RIGHT]
        wrong = [(finding, score) for finding, score in scores if finding is not Finding.RIGHT]
        num_mixed += bool(right and wrong)
        for good in right:
            for finding, bad in wrong:
                if good is None or bad is None:
                    how = "unreadable"
                else:
                    how = "right" if good > bad else "tied" if good == bad else "wrong"
                pairs.update([how, f"{finding}: {how}"])
    return {
        "candidates": _right(cases),
        **{finding.value: _right(case for case in cases if case[0] is finding) for finding in Finding},
        **{
            f"depth {depth}": _right(case for case in cases if case[1] == depth)
            for depth in sorted({c[1] for c in cases})
        },
        "unreadable": sum(judgement.score is None for *_, judgement in cases),
        "pairs": dict(sorted(pairs.items())),
        "expansions": len(labelled),
        "with right and wrong": num_mixed,
    }


def _right(cases: Iterable[Case]) -> dict[str, Any]:
    figure = share(
        [
            judgement.score is not None and (judgement.score > 0.5) == (finding is Finding.RIGHT)
            for finding, _, judgement in cases
        ]
    )
    rounded = figure.interval and [round(end, 3) for end in figure.interval]
    return {"share": None if figure.value is None else round(figure.value, 3), "interval": rounded, "of": figure.num}


def main() -> None:
    """Print a card for each policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", type=Path)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--judge", help="another policy that judges")
    parser.add_argument("--num", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    config, prompts = load_config("word-problems"), PromptSet("compact")
    problems = load_problems(str(options.problems), split="test")[: options.num]
    judging = engine_of(options.judge) if options.judge else None
    for model in options.models:
        engine = engine_of(model)
        labelled = draw(problems, engine, prompts, NUM_CANDIDATES, options.seed)
        judge = PointwiseJudge(judging or engine, prompts, sampling=Sampling(max_tokens=config.judge.max_tokens))
        items = [Candidates(prefix, tuple(step for step, _ in candidates)) for prefix, candidates in labelled]
        judged = [found for start in range(0, len(items), 50) for found in judge.judge(items[start : start + 50])]
        print(json.dumps({"policy": model, "judge": options.judge or model, **card(labelled, judged)}), flush=True)


def engine_of(model: str) -> HFEngine:
    """Load a policy as the config runs it."""
    settings = load_config("word-problems").model
    return HFEngine(
        Checkpoint(model),
        chat_template=settings.chat_template,
        dtype=settings.dtype,
        device=settings.device,
        batch_tokens=settings.batch_tokens,
    )


if __name__ == "__main__":
    main()
