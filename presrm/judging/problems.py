"""Problems whose solution is a judgement: a judge is shown steps, and the answer is the right verdict.

| kind | shown | answer |
|---|---|---|
| ``pairwise`` | two next steps, of which one is right | ``A`` or ``B`` |
| ``pointwise`` | one next step | ``yes`` or ``no`` |
| ``listwise`` | next steps, one of them right | ``2 of 4``: the second of four is to get strictly the highest score |
| ``first-error`` | a solution | the 0-based index of its first wrong step, -1 if none is wrong |

A policy learns to judge from them as it learns to solve: the grader reads what it writes as the judge of the kind does.
"""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Literal, get_args

from presrm.errors import ConfigError
from presrm.files.jsonl import load_typed, open_input
from presrm.files.ledger import short_hash
from presrm.formats.labelled import rows
from presrm.judging.health import LabelledCandidates
from presrm.judging.labels import perturbed, solution_steps
from presrm.judging.verdicts import BRACKETS, read_end, read_first_error, read_scores, word_of
from presrm.problems import load_problems
from presrm.protocols import Completion, Grader, StepSplitter
from presrm.seeding import derive_seed
from presrm.splitters import SPLITTERS
from presrm.types import (
    Candidates,
    Grade,
    Judgement,
    LabelledSolution,
    LabelledSteps,
    Problem,
    Step,
    Stop,
    Trajectory,
)

Kind = Literal["pairwise", "pointwise", "listwise", "first-error"]
KINDS: tuple[str, ...] = get_args(Kind)
_WORDS = (("A", "B"), ("yes", "no"))
_BEST = re.compile(r"(\d{1,4}) of (\d{1,4})")


@dataclass(frozen=True, slots=True)
class LabelledProblem:
    """What is known of steps of one problem's solutions.

    Attributes:
        id: Of the problem.
        candidates: Next steps after some prefixes, each right or wrong.
        solutions: Solutions whose first wrong step is known.
    """

    id: str
    candidates: tuple[LabelledCandidates, ...] = ()
    solutions: tuple[LabelledSolution, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgements:
    """What a judge says of the candidates of one item, in a file."""

    judgements: tuple[Judgement, ...]


class LabelJudge:
    """Judges what a policy wrote about problems with an answer by that answer: 1 for right, 0 for anything else.

    A reply whose verdict cannot be read is not right (SPCT, arXiv 2504.02495, 3.2, which gives +1 and -1: the advantage
    within a group is the same).

    Args:
        grader: Compares a reply with the answer of its problem.
    """

    scale: Literal["absolute", "relative"] = "absolute"

    def __init__(self, grader: Grader) -> None:
        self._grader = grader

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item; the rationale is the grade."""
        return [tuple(self._one(item.prefix, step) for step in item.steps) for item in batch]

    def _one(self, prefix: Trajectory, step: Step) -> Judgement:
        grade = self._grader.grade(prefix.text + step.text, prefix.problem.answer or "")
        return Judgement(float(grade is Grade.CORRECT), rationale=grade.value)


class JudgementGrader:
    """Grades a judgement by its verdict, read as a judge reads it; the form of the answer says which kind of judge."""

    def extract(self, solution: str) -> str | None:
        """Find the verdict that a reply ends with, whatever its kind."""
        reply = Completion(solution, None, Stop.EOS)
        for words in _WORDS:
            word, _ = read_end(reply, BRACKETS, word_of(words))
            if word is not None:
                return word
        scores, _ = read_scores(reply)
        if scores is not None:
            return ", ".join(map(str, scores))
        index, _ = read_first_error(reply)
        return None if index is None else str(index)

    def grade(self, solution: str, answer: str) -> Grade:
        """Compare the verdict with the right one; another kind of verdict is none."""
        reply = Completion(solution, None, Stop.EOS)
        for words in _WORDS:
            if answer in words:
                word, _ = read_end(reply, BRACKETS, word_of(words))
                return _compare(word, answer)
        if best := _BEST.fullmatch(answer):
            scores, _ = read_scores(reply, int(best[2]))
            if scores is None:
                return Grade.NO_ANSWER
            highest = [place for place, score in enumerate(scores, start=1) if score == max(scores)]
            return _compare(" ".join(map(str, highest)), best[1])
        index, _ = read_first_error(reply)
        return _compare(None if index is None else str(index), answer)


def _compare(verdict: str | None, answer: str) -> Grade:
    if verdict is None:
        return Grade.NO_ANSWER
    return Grade.CORRECT if verdict == answer else Grade.INCORRECT


def judge_problems(labelled: Iterable[LabelledProblem], kinds: Sequence[str], seed: int) -> list[Problem]:
    """Make the problems of some kinds that labelled steps allow, in the order of the labels.

    Of candidates after one prefix one right and one wrong step are drawn: ``pairwise`` shows them in both orders,
    ``pointwise`` each alone. ``listwise`` shows the right one among all wrong ones, in a drawn order. What is not known
    to be right or wrong is not shown. Of a solution ``pointwise`` takes every step up to the first wrong one,
    ``first-error`` all of it; with a right step in its place the wrong one makes a pair, too.

    Args:
        labelled: What is known.
        kinds: Some of `KINDS`.
        seed: Of the draws, which go by the content that is shown.

    Raises:
        ConfigError: for another kind.
    """
    if odd := [kind for kind in kinds if kind not in KINDS]:
        raise ConfigError(f"there are no problems of kind {odd[0]!r:.40}: known are {', '.join(KINDS)}")
    problems: dict[str, Problem] = {}
    for one in labelled:
        made = [*chain.from_iterable(_of_candidates(each, kinds, seed) for each in one.candidates)]
        made += chain.from_iterable(_of_solution(each, kinds, seed) for each in one.solutions)
        for problem in made:
            problems.setdefault(problem.id, problem)
    return list(problems.values())


def balance(problems: Sequence[Problem], seed: int) -> list[Problem]:
    """Draw every class of verdicts down to the rarest of its kind: yes and no, A and B, an error and none.

    Without this a judge learns to be content: StepWiser (arXiv 2508.19229) falls from 60.5 to 47.9. Lists, whose right
    verdicts are places, stay as they are.
    """
    classes: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for problem in problems:
        answer = problem.answer or ""
        if problem.kind == "listwise":
            answer = "place"
        elif problem.kind == "first-error":
            answer = "none" if answer == "-1" else "some"
        classes[problem.kind][answer].append(problem.id)
    kept: set[str] = set()
    for kind, by_answer in sorted(classes.items()):
        rng = random.Random(derive_seed(seed, "balance", kind))
        least = min(map(len, by_answer.values())) if len(by_answer) > 1 or kind == "listwise" else 0
        for _, names in sorted(by_answer.items()):
            kept.update(rng.sample(names, least))
    return [problem for problem in problems if problem.id in kept]


def _of_candidates(labelled: LabelledCandidates, kinds: Sequence[str], seed: int) -> Iterator[Problem]:
    prefix = labelled.candidates.prefix
    shown = zip(labelled.candidates.steps, labelled.labels, strict=True)
    right, wrong = list[Step](), list[Step]()
    for step, label in shown:
        if label is not None:
            (right if label else wrong).append(step)
    if not right or not wrong:
        return
    rng = random.Random(derive_seed(seed, prefix.problem.id, prefix.text, *(s.text for s in (*right, *wrong))))
    good, bad = rng.choice(right), rng.choice(wrong)
    order = rng.sample([good, *wrong], len(wrong) + 1)
    if "pairwise" in kinds:
        yield _problem("pairwise", prefix, (good, bad), "A")
        yield _problem("pairwise", prefix, (bad, good), "B")
    if "pointwise" in kinds:
        yield _problem("pointwise", prefix, (good,), "yes")
        yield _problem("pointwise", prefix, (bad,), "no")
    if "listwise" in kinds:
        yield _problem("listwise", prefix, tuple(order), f"{order.index(good) + 1} of {len(order)}")


def _of_solution(labelled: LabelledSolution, kinds: Sequence[str], seed: int) -> Iterator[Problem]:
    problem, steps, first = labelled.solution.problem, labelled.solution.steps, labelled.first_error
    if "first-error" in kinds:
        yield _problem("first-error", Trajectory(problem, steps), (), str(first))
    if first >= 0 and labelled.right is not None:
        pair = Candidates(Trajectory(problem, steps[:first]), (labelled.right, steps[first]))
        yield from _of_candidates(LabelledCandidates(pair, (True, False)), kinds, seed)
    if "pointwise" in kinds:
        for place, step in enumerate(steps[: first + 1] if first >= 0 else steps):
            yield _problem("pointwise", Trajectory(problem, steps[:place]), (step,), "no" if place == first else "yes")


def _problem(kind: str, prefix: Trajectory, steps: tuple[Step, ...], answer: str) -> Problem:
    name = short_hash("\0".join([prefix.text, *(step.text for step in steps)]))
    question = prefix.problem.question
    return Problem(f"{prefix.problem.id}/{kind}/{name}", question, answer, kind=kind, shown=Candidates(prefix, steps))


def of_steps(labelled: Sequence[LabelledSteps]) -> list[LabelledProblem]:
    """Put labelled steps together by their problem, in its first place."""
    found: defaultdict[str, list[LabelledCandidates]] = defaultdict(list)
    alone: defaultdict[str, list[LabelledSolution]] = defaultdict(list)
    for one in labelled:
        name = one.prefix.problem.id
        if one.good is not None and one.bad is not None:
            found[name].append(LabelledCandidates(Candidates(one.prefix, (one.good, one.bad)), (True, False)))
        elif step := one.good or one.bad:
            whole = one.prefix.extend(step)
            alone[name].append(LabelledSolution(whole, -1 if one.good else len(whole.steps) - 1))
    names = dict.fromkeys(one.prefix.problem.id for one in labelled)
    return [LabelledProblem(name, tuple(found[name]), tuple(_longest(alone[name]))) for name in names]


def _longest(solutions: Sequence[LabelledSolution]) -> list[LabelledSolution]:
    """Leave out what another solution begins with: its steps were labelled one by one."""
    texts = [tuple(step.text for step in one.solution.steps) for one in solutions]
    begun = {text[:length] for text in texts for length in range(len(text))}
    return [one for one, text in zip(solutions, texts, strict=True) if text not in begun]


def of_perturbed(problem: Problem, splitter: StepSplitter, seed: int) -> LabelledProblem:
    """Change a number in one step of the reference solution; behind it the solution goes on as it was."""
    steps = solution_steps(problem, splitter)
    clean = LabelledSolution(Trajectory(problem, steps), -1)
    made = perturbed([problem], splitter, 1, derive_seed(seed, problem.id))
    if not made or made[0].bad is None:
        return LabelledProblem(problem.id, solutions=(clean,) if steps else ())
    place, bad = len(made[0].prefix.steps), made[0].bad
    slip = Trajectory(problem, (*steps[:place], bad, *steps[place + 1 :]))
    pair = LabelledCandidates(Candidates(made[0].prefix, (steps[place], bad)), (True, False))
    return LabelledProblem(problem.id, (pair,), (LabelledSolution(slip, place), clean))


def load_judge(
    path: str | None = None,
    *,
    split: Literal["train", "test"] = "train",
    num: int | None = None,
    seed: int = 0,
    kinds: tuple[Kind, ...] = ("pairwise",),
    of: str = "arithmetic",
    splitter: str = "newline",
) -> list[Problem]:
    """Load problems whose solution is a judgement: the problem set ``judge``.

    Args:
        path: ``judge_problems.jsonl`` of a run, or rows of steps with labels (`presrm.formats.labelled`). None: one
            number is changed in reference solutions.
        split: Of the problems that `of` names.
        num: How many; a larger number gives the same ones and more. None: all of a file, else 500.
        seed: Of the draws.
        kinds: Some of `KINDS`; a run's problems have theirs.
        of: The problem set whose reference solutions are shown.
        splitter: Cuts them.

    Raises:
        DataError: if a file is not as it should be.
    """
    if path is not None:
        made = _load_file(Path(path), kinds, seed)
        return made if num is None else random.Random(seed).sample(made, len(made))[:num]
    num = 500 if num is None else num
    solved = load_problems(of, split=split, num=num, seed=seed)
    cut = SPLITTERS.create(splitter)
    found: Iterable[LabelledProblem] = (of_perturbed(problem, cut, seed) for problem in solved)
    return list(islice(chain.from_iterable(judge_problems([one], kinds, seed) for one in found), num))


def _load_file(path: Path, kinds: Sequence[str], seed: int) -> list[Problem]:
    with open_input(path, "a file of judgements") as file:
        is_ours = b'"shown"' in file.readline()
    if is_ours:
        return list(load_typed(Problem, path))
    return judge_problems(of_steps(list(rows(path))), kinds, seed)


def unhinted(problem: Problem) -> Problem:
    """Give the problem as it is when its right verdict is not told."""
    return replace(problem, kind=problem.kind.removesuffix("-hinted"))


def hinted(problem: Problem) -> Problem:
    """Give the problem with its right verdict told."""
    return replace(problem, kind=f"{problem.kind}-hinted")


def count(problems: Iterable[Problem]) -> dict[str, int]:
    """Count problems by kind."""
    return dict(Counter(problem.kind for problem in problems))
