"""Have a policy draw steps, say exactly which are right, and write explained judgements about them (EFT).

    python benchmarks/word_problems/siblings.py words/seed.jsonl --model runs/scout/... --out words/eft.jsonl

The steps are siblings as a search sees them: drawn on the problems of the seed stage, whose reference solutions label
them, along right prefixes. Where no candidate is right, the reference step takes its place. The rows are problems whose
solution is a judgement, for ``seed_stage.eft: judgements``. The same command resumes.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from explain import explain, written

from presrm.checkers.operations import Finding, find, read_operation
from presrm.engines.hf import HFEngine
from presrm.files.jsonl import dump
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.splitters import SPLITTERS
from presrm.types import UNFINISHED, Candidates, Checkpoint, Problem, Step, Trajectory

GROUP = 100
MAX_STEPS = 6
Labelled = tuple[Trajectory, list[tuple[Step, Finding]]]


def draw(problems: Sequence[Problem], engine: Engine, prompts: PromptSet, num: int, seed: int) -> list[Labelled]:
    """Draw candidates along a right path of each problem, and say of each distinct one what is to be said.

    Args:
        problems: With reference solutions.
        engine: Runs the policy.
        prompts: The set to solve with.
        num: Candidates a step.
        seed: Of the draws.
    """
    splitter, found = SPLITTERS.create("newline"), list[Labelled]()
    live = [Trajectory(problem) for problem in problems]
    while live:
        requests = [
            Request(
                prompts.solve(prefix),
                num,
                Sampling(1.0, 1.0, 40),
                splitter,
                derive_seed(seed, prefix.problem.id, prefix.text),
            )
            for prefix in live
        ]
        following = []
        for prefix, completions in zip(live, engine.generate(requests), strict=True):
            drawn = {
                one.text: Step(one.text, one.tokens, one.stop) for one in completions if one.stop not in UNFINISHED
            }
            labelled = [(step, finding) for step in drawn.values() if (finding := label(prefix, step)) is not None]
            right = [step for step, finding in labelled if finding is Finding.RIGHT] or reference_step(prefix)
            if labelled:
                found.append((prefix, labelled))
            if right and not right[0].text.startswith("####") and len(prefix.steps) + 1 < MAX_STEPS:
                following.append(prefix.extend(right[0]))
        live = following
    return found


def label(prefix: Trajectory, step: Step) -> Finding | None:
    """Say what is to be said of a step behind a prefix; none where that cannot be told."""
    return find(prefix.problem, [each.text for each in (*prefix.steps, step)])[-1]


def reference_step(prefix: Trajectory) -> list[Step]:
    """The step of the reference solution at this depth, if it is right here."""
    lines = (prefix.problem.solution or "").splitlines()
    place = len(prefix.steps)
    step = Step(lines[place] + "\n" * (place + 1 < len(lines))) if place < len(lines) else None
    return [step] if step is not None and label(prefix, step) is Finding.RIGHT else []


def judgements(labelled: Sequence[Labelled], *, num_right: int, num_wrong: int, seed: int) -> list[Problem]:
    """Write a judgement about some of the candidates behind each prefix.

    Equally many right and wrong ones among the operations, and among the ends: of the more frequent kind some are left
    out by lot. Since policies seldom stop too early, every place where one could is an end that is wrong.

    Args:
        labelled: Candidates as drawn.
        num_right: Right ones behind a prefix at most.
        num_wrong: Wrong ones, likewise: one of each kind of mistake first.
        seed: Of the lots.
    """
    rng = random.Random(seed)
    made: dict[tuple[bool, str], list[Problem]] = {(ends, said): [] for ends in (False, True) for said in ("yes", "no")}
    for prefix, candidates in labelled:
        right = [one for one in candidates if one[1] is Finding.RIGHT]
        right = right or [(step, Finding.RIGHT) for step in reference_step(prefix)]
        wrong = by_kind([one for one in candidates if one[1] is not Finding.RIGHT])
        early = [(step, Finding.END) for step in early_end(prefix)]
        for step, finding in dict([*right[:num_right], *wrong[:num_wrong], *early]).items():
            verdict = "yes" if finding is Finding.RIGHT else "no"
            before = [each.text.strip() for each in prefix.steps]
            about = Problem(prefix.problem.id, prefix.problem.question)
            shown = Candidates(Trajectory(about, tuple(Step(each.text) for each in prefix.steps)), (Step(step.text),))
            made[step.text.startswith("####"), verdict].append(
                Problem(
                    f"{about.id}/{sum(map(len, made.values()))}",
                    about.question,
                    verdict,
                    explain(about.question, before, step.text.strip(), finding),
                    "pointwise",
                    shown,
                )
            )
    kept = set()
    for ends in (False, True):
        least = min(len(made[ends, said]) for said in ("yes", "no"))
        kept |= {problem.id for said in ("yes", "no") for problem in rng.sample(made[ends, said], least)}
    return [problem for each in made.values() for problem in each if problem.id in kept]


def early_end(prefix: Trajectory) -> list[Step]:
    """The end behind the last result, where something is left to do: what a policy that stops too early writes."""
    last = read_operation(prefix.steps[-1].text) if prefix.steps else None
    step = Step(f"#### {written(last.result)}") if last else None
    return [step] if step is not None and label(prefix, step) is Finding.END else []


def by_kind(wrong: Sequence[tuple[Step, Finding]]) -> list[tuple[Step, Finding]]:
    """Order wrong steps so that the first ones are each of another kind."""
    seen: Counter[Finding] = Counter()
    ranked = []
    for place, one in enumerate(wrong):
        ranked.append((seen[one[1]], place, one))
        seen[one[1]] += 1
    return [one for *_, one in sorted(ranked, key=lambda each: each[:2])]


def main() -> None:
    """Draw, label, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--num", type=int, default=4, help="candidates a step")
    parser.add_argument("--num-right", type=int, default=1)
    parser.add_argument("--num-wrong", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    problems = load_problems(str(options.problems), split="train")
    parts = options.out.with_suffix(".drawn")
    parts.mkdir(parents=True, exist_ok=True)
    rows: list[Problem] = []
    findings: Counter[str] = Counter()
    engine = HFEngine(
        Checkpoint(options.model), chat_template="chatml", dtype="bfloat16", device="cpu", batch_tokens=16384
    )
    prompts = PromptSet("compact")
    labelled = []
    for start in range(0, len(problems), GROUP):
        part = parts / f"{start}.json"
        group = problems[start : start + GROUP]
        if not part.exists():
            drawn = draw(group, engine, prompts, options.num, options.seed)
            written = [
                [prefix.problem.id, [s.text for s in prefix.steps], [(step.text, finding) for step, finding in found]]
                for prefix, found in drawn
            ]
            new = part.with_suffix(".new")
            new.write_text(json.dumps(written), "utf-8")
            new.replace(part)
        known = {problem.id: problem for problem in group}
        for name, before, found in json.loads(part.read_text("utf-8")):
            prefix = Trajectory(known[name], tuple(map(Step, before)))
            labelled.append((prefix, [(Step(text), Finding(finding)) for text, finding in found]))
            findings.update(finding for _, finding in found)
    rows = judgements(labelled, num_right=options.num_right, num_wrong=options.num_wrong, seed=options.seed)
    options.out.write_text("".join(f"{dump(row)}\n" for row in rows), "utf-8")
    mixed = sum(len({finding is Finding.RIGHT for _, finding in found}) == 2 for _, found in labelled)
    print(
        json.dumps(
            {
                "rows": len(rows),
                "distinct candidates": findings,
                "expansions": len(labelled),
                "with right and wrong": mixed,
            }
        )
    )


if __name__ == "__main__":
    main()
