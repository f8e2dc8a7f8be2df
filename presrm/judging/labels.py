"""Steps whose rightness is known, to teach a policy to judge (EFT; PReSRM, arXiv 2503.03746, section 2.3).

Each source is a function that gives `LabelledSteps`. The paper labels siblings with a trained process reward model and
an outside LLM; these sources need neither.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from statistics import fmean

from presrm.judging.verdicts import ask_explained
from presrm.prompts import Prompt, PromptSet
from presrm.protocols import Engine, Generator, Grader, Request, Sampling, StepSplitter, split_steps
from presrm.seeding import derive_seed
from presrm.types import (
    UNFINISHED,
    Candidates,
    Demonstration,
    Grade,
    LabelledSteps,
    Problem,
    Step,
    Stop,
    Trajectory,
)

_ANNOTATION = re.compile(r"<<[^<>\n]*=[^<>\n]*>>")
_NUMBER = re.compile(r"(?<![\w.,])(?<!Step )\d+(?:,\d{3})*(?:\.\d+)?")
_RESULT = re.compile(r"=\s*\\?\$?(?=\d)")
PAIRWISE = ("A", "B")
POINTWISE = ("yes", "no")


def without_annotations(solution: str) -> str:
    """Remove the calculator annotations of GSM8K.

    >>> without_annotations("48/2 = <<48/2=24>>24 clips")
    '48/2 = 24 clips'
    """
    return _ANNOTATION.sub("", solution)


def solution_steps(problem: Problem, splitter: StepSplitter) -> tuple[Step, ...]:
    """Split the reference solution as the policy is to write it; empty without one."""
    return tuple(map(Step, split_steps(splitter, without_annotations(problem.solution or ""))))


def perturbed(problems: Sequence[Problem], splitter: StepSplitter, num: int, seed: int) -> list[LabelledSteps]:
    """Change one number in a step of the reference solution, a result where the step has one.

    Args:
        problems: Training problems with solutions.
        splitter: Cuts solutions into steps.
        num: How many to make; fewer if there are not so many steps with a number.
        seed: Decides which steps and how they are changed.
    """
    rng = random.Random(seed)
    paths = [(problem, solution_steps(problem, splitter)) for problem in problems]
    places = [
        (p, depth) for p, (_, steps) in enumerate(paths) for depth, s in enumerate(steps) if _NUMBER.search(s.text)
    ]
    found = []
    for place, depth in rng.sample(places, min(num, len(places))):
        problem, steps = paths[place]
        bad = Step(_change_a_number(steps[depth].text, rng))
        found.append(LabelledSteps(Trajectory(problem, steps[:depth]), steps[depth], bad))
    return found


def _change_a_number(text: str, rng: random.Random) -> str:
    """Replace one digit of one number: the number differs, its format does not."""
    results = {match.end() for match in _RESULT.finditer(text)}
    numbers = list(_NUMBER.finditer(text))
    number = rng.choice([match for match in numbers if match.start() in results] or numbers)
    at = rng.choice([i for i in range(*number.span()) if text[i].isdigit()])
    leads = at == number.start() and text[at + 1 : at + 2].isdigit()
    digit = rng.choice([d for d in "0123456789" if d != text[at] and not (leads and d == "0")])
    return text[:at] + digit + text[at + 1 :]


def rollouts(
    problems: Sequence[Problem],
    generator: Generator,
    grader: Grader,
    prompts: PromptSet,
    splitter: StepSplitter,
    sampling: Sampling,
    *,
    num_candidates: int = 4,
    num_completions: int = 4,
    max_steps: int = 8,
    seed: int,
) -> Iterator[LabelledSteps]:
    """Label the policy's own candidates by completions that reach the reference answer.

    A candidate is good if any of its completions does (the hard estimate of Math-Shepherd, arXiv 2312.08935, section
    3.3), bad if none does and a sibling is good. The path goes on with the best candidate. What is not whole says
    nothing: neither a candidate nor a completion that was cut off or had no room counts, for or against.

    Args:
        problems: Training problems with answers; those without are passed over.
        generator: Runs the policy.
        grader: Compares answers.
        prompts: The set to solve with.
        splitter: Cuts the policy's text into steps.
        sampling: Of candidates and completions alike.
        num_candidates: Candidates a step.
        num_completions: Completions a candidate.
        max_steps: Depth to look at.
        seed: Of the draws.
    """
    for problem in problems:
        prefix = Trajectory(problem)
        while problem.answer is not None and not prefix.is_complete and len(prefix.steps) < max_steps:
            draw = derive_seed(seed, problem.id, len(prefix.steps))
            request = Request(prompts.solve(prefix), num_candidates, sampling, splitter, draw)
            whole = [found for found in generator.generate([request])[0] if found.stop not in UNFINISHED]
            drawn = {found.text: found for found in whole if found.text}
            paths = [prefix.extend(Step(found.text, found.tokens, found.stop)) for found in drawn.values()]
            shares = [_share_right(path, generator, grader, prompts, sampling, num_completions, draw) for path in paths]
            labelled = [(share, path) for share, path in zip(shares, paths, strict=True) if share is not None]
            best, right = max(labelled, key=itemgetter(0), default=(0.0, prefix))
            if best == 0:
                break
            worst, wrong = min(labelled, key=itemgetter(0))
            if worst == 0:
                yield LabelledSteps(prefix, right.steps[-1], wrong.steps[-1])
            prefix = right


def _share_right(
    path: Trajectory,
    generator: Generator,
    grader: Grader,
    prompts: PromptSet,
    sampling: Sampling,
    num: int,
    seed: int,
) -> float | None:
    """Share of whole completions of `path` that reach the reference answer; none where none is whole."""
    endings = [""]
    if not path.is_complete:
        request = Request(prompts.solve(path), num, sampling, seed=derive_seed(seed, path.text))
        endings = [found.text for found in generator.generate([request])[0] if found.stop not in UNFINISHED]
    answer = path.problem.answer or ""
    right = [grader.grade(path.text + ending, answer) is Grade.CORRECT for ending in endings]
    return fmean(right) if right else None


@dataclass(frozen=True, slots=True)
class Question:
    """One question to the judge and the reply to be learned.

    Attributes:
        kind: ``pairwise`` or ``pointwise``.
        prompt: The question.
        words: The two verdicts it may get.
        verdict: The right one.
        reply: What is learned.
        ends: Whether the reply ends there: a direct verdict is only ever read, so no end token is learned behind it.
    """

    kind: str
    prompt: Prompt
    words: tuple[str, str]
    verdict: str
    reply: str
    ends: bool


def questions(labelled: LabelledSteps, prompts: PromptSet, *, direct: bool) -> list[Question]:
    """Ask all there is to ask about labelled steps: both pairwise orders together, and each step alone."""
    prefix, good, bad = labelled.prefix, labelled.good, labelled.bad
    asked: list[tuple[str, Prompt, tuple[str, str], str]] = []
    if good is not None and bad is not None:
        asked.append(("pairwise", prompts.pairwise(prefix, good, bad, direct=direct), PAIRWISE, "A"))
        asked.append(("pairwise", prompts.pairwise(prefix, bad, good, direct=direct), PAIRWISE, "B"))
    for step, verdict in ((good, "yes"), (bad, "no")):
        if step is not None:
            asked.append(("pointwise", prompts.pointwise(prefix, step, direct=direct), POINTWISE, verdict))
    return [
        Question(kind, prompt, words, verdict, verdict if direct else f"[[{verdict}]]", ends=not direct)
        for kind, prompt, words, verdict in asked
    ]


def explain(asked: Sequence[Sequence[Question]], engine: Engine, sampling: Sampling) -> list[list[Question]]:
    """Have the policy write the replies: kept where every verdict on the same kind comes out right.

    For pairs that means both orders (PReSRM, section 2.3: consistent in both).

    Args:
        asked: The questions about each labelled steps, in explained form.
        engine: Runs the policy.
        sampling: Of explanations.

    Returns:
        For each, the questions that are kept, with the policy's replies; may be empty.
    """
    kept: list[list[Question]] = [[] for _ in asked]
    for kind, words in (("pairwise", PAIRWISE), ("pointwise", POINTWISE)):
        flat = [(place, q) for place, group in enumerate(asked) for q in group if q.kind == kind]
        verdicts = ask_explained(engine, [q.prompt for _, q in flat], words, sampling)
        wrong = {
            place
            for (place, q), verdict in zip(flat, verdicts, strict=True)
            if verdict.probability != float(q.verdict == words[0])
        }
        for (place, q), verdict in zip(flat, verdicts, strict=True):
            if place not in wrong:
                kept[place].append(replace(q, reply=verdict.rationale.rstrip()))
    return kept


def demonstrations(asked: Sequence[Question], name: str) -> list[Demonstration]:
    """Make lessons of questions and their replies: problems whose solution is a judgement.

    Args:
        asked: Each with its subject.
        name: Of the lessons, which are numbered.
    """
    made = []
    for number, question in enumerate(asked):
        subject = question.prompt.subject
        assert subject is not None  # a question to a judge has one
        problem = Problem(
            f"{name}/{number}",
            subject.prefix.problem.question,
            answer=question.verdict,
            kind=question.kind if question.ends else f"{question.kind}-direct",
            shown=Candidates(subject.prefix, subject.shown),
        )
        reply = Step(question.reply, stop=Stop.EOS if question.ends else None)
        made.append(Demonstration(problem.id, Trajectory(problem), reply))
    return made
