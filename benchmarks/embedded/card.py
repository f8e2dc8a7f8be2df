"""How well does a policy play each of its parts, on held-out problems? A JSON row a part.

    python benchmarks/embedded/card.py presrm/embedded --plain plain_questions.jsonl

Judges are asked as `presrm train` and `judge-steps` ask them, with the prompt set ``compact``. Steps are labelled by
`presrm.checkers.arithmetic`; wrong ones are made as in `world.py`, with numbers misread in 40 of 100.
"""

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from scipy.stats import mannwhitneyu
from world import HOWS, broken, critique, right_step, solution, wrong_step

from presrm import Candidates, Problem, PromptSet, Step, Trajectory
from presrm.assembly.judges import make_judge
from presrm.config import JudgeConfig
from presrm.engines.hf import HFEngine
from presrm.graders import GRADERS
from presrm.judging.verdicts import ask_direct
from presrm.problems.arithmetic import load_arithmetic, plan_of
from presrm.problems.arithmetic.plan import LARGEST
from presrm.protocols import Request, Sampling
from presrm.statistics import share
from presrm.training.segmenting import segment
from presrm.types import Checkpoint, Grade, Judgement

PROMPTS = PromptSet("compact")
REPLY = Sampling(max_tokens=96)
DRAWN = Sampling(temperature=0.8, top_p=0.95, max_tokens=128)
Row = dict[str, object]
_ASKS = re.compile(
    r"\b(how|what|work out|compute|calculate|find|solve|evaluate|give|tell|add|subtract|take|multiply|divide|share)\b",
    re.I,
)


class Card:
    """Asks one policy."""

    def __init__(self, engine: HFEngine, num: int) -> None:
        self.engine = engine
        self.num = num
        self.rng = random.Random(0)
        self.problems = load_arithmetic(split="test", num=num, seed=77)

    def rows(self, files: Sequence[Path]) -> Iterator[Row]:
        """Measure every part."""
        yield from self.solving("held out", self.problems)
        for file in files:
            yield from self.solving(file.stem, [problem_of(row) for row in read(file)])
        yield from self.steps()
        yield self.lists()
        yield self.critiques()
        yield from self.solutions()
        yield self.segments()
        yield from self.written()

    def solve(self, problems: Sequence[Problem], sampling: Sampling = REPLY, num: int = 1) -> list[list[str]]:
        """Draw `num` solutions of each problem."""
        asked = [Request(PROMPTS.solve(Trajectory(p)), num, sampling, seed=i) for i, p in enumerate(problems)]
        return [[reply.text for reply in replies] for replies in self.engine.generate(asked)]

    def solving(self, name: str, problems: Sequence[Problem]) -> Iterator[Row]:
        """Greedy accuracy, and by number of operations."""
        grader = GRADERS.create("gsm8k")
        right = [
            grader.grade(text, problem.answer or "") is Grade.CORRECT
            for problem, (text,) in zip(problems, self.solve(problems), strict=True)
        ]
        yield {"part": f"solve: {name}", **told(right)}
        sizes = [len((problem.solution or "").strip().splitlines()) - 1 for problem in problems]
        for size in sorted(set(sizes)):
            if size > 0:
                yield {
                    "part": f"solve: {name}, {size} operations",
                    **told([r for r, s in zip(right, sizes, strict=True) if s == size]),
                }

    def judge(self, batch: Sequence[Candidates], **settings: object) -> list[tuple[Judgement, ...]]:
        """Have a judge of these settings judge."""
        return list(make_judge(JudgeConfig(max_tokens=128, **settings), self.engine, PROMPTS).judge(batch))  # type: ignore[arg-type]

    def pairs(self, num: int = 2) -> list[Candidates]:
        """A right step and others, at a random place of each problem."""
        batch = []
        for problem in self.problems:
            plan = plan_of(problem)
            steps, states = solution(plan, self.rng, slips=False)
            at = self.rng.randrange(len(steps))
            right, _ = right_step(plan, states[at])
            wrong = [wrong_step(plan, states[at], self.rng, 0.4) for _ in range(num - 1)]
            batch.append(
                Candidates(Trajectory(problem, tuple(map(Step, steps[:at]))), tuple(map(Step, (right, *wrong))))
            )
        return batch

    def steps(self) -> Iterator[Row]:
        """Steps, two by two and one by one."""
        batch = self.pairs()
        for verdict in ("explained", "direct"):
            judged = self.judge(batch, kind="pairwise", verdict=verdict)
            yield {"part": f"pairwise, {verdict}", **readable(judged), **told([is_first(one) for one in judged])}
            judged = self.judge(batch, kind="pointwise", verdict=verdict)
            labels = [place == 0 for one in judged for place, _ in enumerate(one)]
            yield {
                "part": f"pointwise, {verdict}",
                **readable(judged),
                **area([j for one in judged for j in one], labels),
            }

    def lists(self) -> Row:
        """Three steps at once: is the right one strictly best?"""
        judged = self.judge(self.pairs(3), kind="listwise")
        return {"part": "listwise", **readable(judged), **told([is_first(one) for one in judged])}

    def critiques(self) -> Row:
        """Is a critique sound? Half of them believe a wrong step."""
        asked, sound = [], []
        for item in self.pairs(3):
            texts = list(dict.fromkeys(step.text for step in item.steps))
            right = texts[0]
            self.rng.shuffle(texts)
            believed = right if self.rng.random() < 0.5 else self.rng.choice([t for t in texts if t != right])
            text = "{}[[{}]]".format(*critique(believed, texts))
            asked.append(PROMPTS.critique(item.prefix, tuple(map(Step, texts)), text))
            sound.append(believed == right)
        verdicts = ask_direct(self.engine, asked, ("yes", "no"))
        known = [verdict.probability for verdict in verdicts]
        right_ones = [p is not None and (p > 0.5) == flag for p, flag in zip(known, sound, strict=True)]
        return {
            "part": "critique (meta)",
            "readable": sum(p is not None for p in known) / len(known),
            **told(right_ones),
        }

    def solutions(self) -> Iterator[Row]:
        """Whole solutions, half of them broken: where is the first error, and how many points?"""
        trajectories, wrong = [], []
        for problem in self.problems:
            plan = plan_of(problem)
            clean, _ = solution(plan, self.rng, slips=False)
            steps = broken(plan, self.rng, 0.4) if self.rng.random() < 0.5 else clean
            wrong.append(next((i for i, (a, b) in enumerate(zip(steps, clean, strict=False)) if a != b), len(clean)))
            trajectories.append((Trajectory(problem, tuple(map(Step, steps[:-1]))), Step(steps[-1]), steps, clean))
        items = [
            Candidates(Trajectory(whole.problem, whole.steps[:place]), (step,))
            for whole, last, _, _ in trajectories
            for place, step in enumerate((*whole.steps, last))
        ]
        judged = iter(self.judge(items, kind="first-error"))
        hits, seen = [], []
        for (_, _, steps, clean), first in zip(trajectories, wrong, strict=True):
            scores = [next(judged)[0] for _ in steps]
            known = scores[0].score is not None
            seen.append(known)
            named = next((i for i, one in enumerate(scores) if one.score == 0), len(clean))
            hits.append(known and named == first)
        yield {"part": "first error", "readable": sum(seen) / len(seen), **told(hits)}
        judged_whole = self.judge([Candidates(whole, (last,)) for whole, last, _, _ in trajectories], kind="additive")
        labels = [steps == clean for _, _, steps, clean in trajectories]
        yield {"part": "additive", **readable(judged_whole), **area([one for (one,) in judged_whole], labels)}

    def segments(self) -> Row:
        """Old solutions, written in one line."""
        rows = []
        for problem in self.problems:
            lines = [line.strip() for line in (problem.solution or "").splitlines()]
            rows.append((problem.question, self.rng.choice((". ", ", then ", "\n")).join(lines)))
        cut = segment(self.engine, PROMPTS, rows)
        return {"part": "segment", **told([isinstance(steps, list) and len(steps) > 1 for steps in cut])}

    def written(self) -> Iterator[Row]:
        """New problems, and variants: are they well-formed?"""
        num = len(self.problems)
        prompts = [PROMPTS.write([self.problems[(i + k) % num] for k in range(3)]) for i in range(num)]
        yield from self._written("write", prompts)
        for how in HOWS:
            yield from self._written(f"variant, {how}", [PROMPTS.variant(problem, how) for problem in self.problems])

    def _written(self, name: str, prompts: Sequence[object]) -> Iterator[Row]:
        asked = [Request(prompt, 1, DRAWN, seed=i) for i, prompt in enumerate(prompts)]  # type: ignore[arg-type]
        texts = [reply.text.strip() for (reply,) in self.engine.generate(asked)]
        known = {problem.question for problem in self.problems}
        formed = [is_well_formed(text) and text not in known for text in texts]
        yield {"part": name, "distinct": len(set(texts)) / len(texts), **told(formed)}
        some = [Problem(f"w{i}", text) for i, text in enumerate(texts) if formed[i]][:100]
        agreed = []
        for replies in self.solve(some, Sampling(temperature=0.3, max_tokens=96), 8):
            answers = Counter(reply.rpartition("####")[2].strip() for reply in replies)
            agreed.append(answers.most_common(1)[0][1] >= 5)
        yield {"part": f"{name}: one answer in 5 of 8 solutions", **told(agreed)}


def is_well_formed(text: str) -> bool:
    """Whether it asks for something, of one to eight numbers, all of them of this world."""
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    asks = text.endswith(("?", "=")) or _ASKS.search(text)
    return bool(asks) and 1 <= len(numbers) <= 8 and max(numbers) <= LARGEST and "\n" not in text


def is_first(judged: tuple[Judgement, ...]) -> bool:
    """Whether the first is strictly best."""
    scores = [one.score for one in judged]
    return scores[0] is not None and all(score is not None and score < scores[0] for score in scores[1:])


def readable(judged: Sequence[tuple[Judgement, ...]]) -> Row:
    known = [one.score is not None for item in judged for one in item]
    return {"readable": sum(known) / len(known)}


def told(hits: Sequence[bool]) -> Row:
    figure = share(hits)
    return {"value": figure.value, "interval": figure.interval, "num": figure.num}


def area(judged: Sequence[Judgement], labels: Sequence[bool]) -> Row:
    """AUC over the readable ones, with a bootstrap interval over steps."""
    known = [(one.score, label) for one, label in zip(judged, labels, strict=True) if one.score is not None]
    rng = random.Random(0)
    values = sorted(v for v in (_auc(rng.choices(known, k=len(known))) for _ in range(400) if known) if v is not None)
    interval = (values[len(values) // 40], values[-1 - len(values) // 40]) if values else None
    return {"auc": _auc(known), "interval": interval, "num": len(known)}


def _auc(known: Sequence[tuple[float, bool]]) -> float | None:
    right, wrong = ([score for score, label in known if label is flag] for flag in (True, False))
    return float(mannwhitneyu(right, wrong).statistic) / (len(right) * len(wrong)) if right and wrong else None


def read(file: Path) -> Iterator[Row]:
    yield from map(json.loads, file.read_text("utf-8").splitlines())


def problem_of(row: Row) -> Problem:
    return Problem(str(row["id"]), str(row["question"]), answer=str(row["answer"]), solution=row.get("solution"))  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policy")
    parser.add_argument(
        "--plain", nargs="*", type=Path, default=[], help="files of questions and answers to solve as well"
    )
    parser.add_argument("--num", type=int, default=300)
    parser.add_argument("--only", default="", help="stop after the first part with this in its name")
    options = parser.parse_args()
    with HFEngine(Checkpoint(options.policy), dtype="float32", device="cpu") as engine:
        for row in Card(engine, options.num).rows(options.plain):
            print(json.dumps({name: round(v, 4) if isinstance(v, float) else v for name, v in row.items()}), flush=True)
            if options.only and options.only in str(row["part"]):
                break


if __name__ == "__main__":
    main()
