"""The exact judge, for problems whose steps can be checked: the ceiling of what a judge can do."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

from presrm.checkers import CHECKERS
from presrm.judging.coverage import longest_solutions, texts_up_to
from presrm.protocols import Composition
from presrm.types import Candidates, Judgement, Status, Step, Trajectory


class CheckerJudge:
    """Scores 1 for a right step and 0 for a wrong one; what no checker can label is `Status.UNREADABLE`.

    The checker is the one that `presrm.checkers.CHECKERS` holds for the problem's kind.
    """

    scale: Literal["absolute", "relative"] = "absolute"
    composition: Composition = "product"

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Check every candidate of every item."""
        by_kind: defaultdict[str, list[Candidates]] = defaultdict(list)
        for item in batch:
            by_kind[item.prefix.problem.kind].append(item)
        labels = {kind: iter(_label(kind, items)) for kind, items in by_kind.items()}
        return [
            tuple(_judgement(next(labels[kind := item.prefix.problem.kind]), kind) for _ in item.steps)
            for item in batch
        ]


def _label(kind: str, items: Sequence[Candidates]) -> list[bool | None]:
    """Label every candidate of some items of one kind, one after the other; no step of a solution is checked twice."""
    partial = [(item.prefix.problem, texts_up_to(item, step)) for item in items for step in item.steps]
    if kind not in CHECKERS.names():
        return [None] * len(partial)
    covered_by = longest_solutions(items)
    solutions = list(dict.fromkeys(covered_by.values()))
    asked = [Trajectory(problem, tuple(map(Step, texts))) for problem, texts in solutions]
    labels = dict(zip(solutions, CHECKERS.create(kind).check(asked), strict=True))
    return [labels[covered_by[one]][len(one[1]) - 1] for one in partial]


def _judgement(label: bool | None, kind: str) -> Judgement:
    if label is None:
        return Judgement(None, Status.UNREADABLE, f"no checker can label this step of a problem of kind {kind!r:.80}")
    return Judgement(float(label))
