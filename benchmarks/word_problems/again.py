"""One iteration again from the trees of a run, with other settings of pairs, objective and training.

    python benchmarks/word_problems/again.py build/loops/self-101 --m1 runs/word-problems/iterations/1/policy \
        --words words --set pairs.ends=alike --set training.learning_rate=5e-6 --out build/again/alike

Search and judging take most of a loop and depend on none of these. M2 is measured on problems of the loop that the
trees are not about, so that no setting is chosen on the held-out ones. `--labels exact` puts the exact checker's labels
in the place of the judge's scores: the ceiling. `--verdicts` only counts what the judge said of which kind of step, of
answers that were written whole, and the lowest score within the solutions that the searches arrived at.
"""

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from loops import settings

from presrm.assembly.engines import open_engine
from presrm.assembly.parts import Parts
from presrm.checkers.operations import find
from presrm.cli.progress import RichProgress
from presrm.config import Config
from presrm.credit.attempts import credit_attempts
from presrm.credit.pairs import mine_pairs
from presrm.credit.solutions import imitate_solutions, lowest_score
from presrm.engines.hf_files import policy_at
from presrm.files.jsonl import load_typed
from presrm.problems import load_problems
from presrm.prompts import PromptSet
from presrm.protocols import Request, Sampling
from presrm.types import Judgement, Lesson, Problem, SearchTree, Status, Step, Trajectory

WAYS = ("self", "sft", "rlsr steps")


def main() -> None:
    """Train M2 and measure it, or count verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run of loops.py")
    parser.add_argument("--m1", type=Path, required=True)
    parser.add_argument("--words", type=Path, required=True, help="what split.py wrote")
    parser.add_argument("--iteration", type=int, default=2, help="of the trees that --verdicts counts")
    parser.add_argument("--way", default="self", choices=WAYS)
    parser.add_argument("--labels", default="judge", choices=("judge", "exact"))
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c")
    parser.add_argument("--num", type=int, default=400, help="problems that M2 is measured on")
    parser.add_argument("--out", type=Path, help="folder of M2; what is there is only measured; none: M1 is measured")
    parser.add_argument("--verdicts", action="store_true")
    options = parser.parse_args()
    trees = [*load_typed(SearchTree, options.run / "iterations" / str(options.iteration) / "trees.jsonl")]
    known = {
        p.id: p for p in load_problems(str(options.words / "loop_answers.jsonl"), split="train", num=10**6, seed=0)
    }
    if options.verdicts:
        for (kind, label, score), num in sorted(verdicts(trees, known).items(), key=str):
            print(json.dumps({"step": kind, "label": label, "score": score, "num": num}))
        return
    config = settings(options.way, 101, options.m1, options.words, options.set, pairs=True)
    row: dict[str, object] = {"way": options.way, "labels": options.labels, "settings": options.set}
    if options.out is not None:
        lessons = lessons_of(config, trees if options.labels == "judge" else [relabel(t, known) for t in trees])
        row["lessons"] = len(lessons)
        if not options.out.exists():
            parts = Parts(config, RichProgress(), lambda **row: None)
            parts.trainer.fit(lessons, policy_at(str(options.m1)), options.out)
    used = {tree.problem.id for tree in trees}
    unseen = [problem for _, problem in sorted(known.items()) if problem.id not in used][: options.num]
    print(json.dumps({**row, **measure(config, options.out or options.m1, unseen)}), flush=True)


def label(problem: Problem, prefix: Trajectory, step: Step) -> str | None:
    """What the exact checker says of a step."""
    found = find(problem, [one.text for one in (*prefix.steps, step)])[-1]
    return None if found is None else str(found)


def verdicts(trees: list[SearchTree], known: dict[str, Problem]) -> Counter[tuple[str, str | None, float | None]]:
    """Count scores by what is to be said of it: of operations, of ends, of whole answers, the lowest of solutions."""
    counts: Counter[tuple[str, str | None, float | None]] = Counter()
    for tree in trees:
        for number, expansion in enumerate(tree.expansions):
            for one in expansion.whole.values():
                kind = "operation" if one.step.stop is None else "end"
                said = label(known[tree.problem.id], tree.prefix(number), one.step)
                counts[kind, said, one.judgement.score] += 1
                if expansion.parent is None and kind == "end":
                    counts["answer", grade(one.step.text, known[tree.problem.id]), one.judgement.score] += 1
        for end in tree.solutions:
            counts["solution", grade(tree.trajectory(end).text, known[tree.problem.id]), lowest_score(tree, end)] += 1
    return counts


def grade(solution: str, problem: Problem) -> str:
    """Whether a solution comes to the answer."""
    return "right" if solution.rpartition("####")[2].strip() == problem.answer else "wrong"


def relabel(tree: SearchTree, known: dict[str, Problem]) -> SearchTree:
    """Give a tree whose judged candidates have exact scores; what cannot be told has none."""
    expansions = []
    for number, expansion in enumerate(tree.expansions):
        candidates = []
        for one in expansion.candidates:
            if one.judgement.score is not None:
                said = label(known[tree.problem.id], tree.prefix(number), one.step)
                exact = Judgement(None, Status.REFUSED) if said is None else Judgement(float(said == "right"))
                one = replace(one, judgement=exact, worth=None)
            candidates.append(one)
        expansions.append(replace(expansion, candidates=tuple(candidates)))
    return replace(tree, expansions=tuple(expansions))


def lessons_of(config: Config, trees: list[SearchTree]) -> list[Lesson]:
    """What the method makes of the trees."""
    if config.method.kind == "rlsr":
        return [*credit_attempts(trees, "2").attempts]
    weight = config.pairs.solution_weight
    solutions = imitate_solutions(trees, "2", weight, min_score=config.pairs.solution_min) if weight else ()
    return [*mine_pairs(trees, config.pairs, 2).pairs, *solutions]


def measure(config: Config, policy: Path, problems: list[Problem]) -> dict[str, object]:
    """Solve greedily: how many are right, by the number of operations that there are and that were written."""
    prompts, greedy = PromptSet(config.prompts), Sampling(0.0, 1.0, config.evaluation.max_tokens)
    with open_engine(policy_at(str(policy)), config.model) as engine:
        drawn = engine.generate([Request(prompts.solve(Trajectory(problem)), 1, greedy) for problem in problems])
    right: Counter[str] = Counter()
    of: Counter[str] = Counter()
    stopped = 0
    for problem, (completion,) in zip(problems, drawn, strict=True):
        num = len((problem.solution or "").strip().splitlines()) - 1
        kind = "one operation" if num == 1 else "more"
        of[kind] += 1
        right[kind] += completion.text.rpartition("####")[2].strip() == problem.answer
        stopped += num > max(1, completion.text.count(" = ")) and "####" in completion.text
    total = {"right": right.total(), "of": of.total(), "stopped_early": stopped}
    return {**total, **{kind: f"{right[kind]} of {of[kind]}" for kind in sorted(of)}}


if __name__ == "__main__":
    main()
