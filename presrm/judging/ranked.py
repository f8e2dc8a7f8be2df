"""Judgements to imitate, from answers that people put in order (Self-Rewarding LMs, arXiv 2401.10020, section 2.1).

The policy gives points to each answer, and says why. What it writes about a question is kept if its points put the
answers in the order that people did. Points that it gives too often are thinned out.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from presrm.formats.ranked import RankedAnswers
from presrm.judging.labels import Question
from presrm.judging.verdicts import NUM_POINTS, read_points
from presrm.prompts import PromptSet
from presrm.protocols import Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import Step, Stop, Trajectory

_WORDS = ("0", str(NUM_POINTS))


def agreeing_judgements(
    rows: Sequence[RankedAnswers], engine: Engine, prompts: PromptSet, sampling: Sampling, seed: int
) -> list[list[Question]]:
    """Have the policy judge ranked answers, and keep what agrees with their order.

    Agreement is that no answer gets more points than one that people preferred, and the best more than the worst.
    A reply that cannot be read disagrees.

    Args:
        rows: Questions with their answers, best first.
        engine: Runs the policy.
        prompts: The set whose ``additive`` template is asked.
        sampling: Of the replies.
        seed: Of the draws.

    Returns:
        For each question one `Question` an answer, with the policy's reply; empty where it disagrees.
    """
    asked = [
        (number, prompts.additive(Trajectory(row.problem), Step(answer, stop=Stop.EOS)))
        for number, row in enumerate(rows)
        for answer in row.answers
    ]
    requests = [
        Request(prompt, sampling=sampling, seed=derive_seed(seed, "ranked", place))
        for place, (_, prompt) in enumerate(asked)
    ]
    found: list[list[tuple[Question, int | None]]] = [[] for _ in rows]
    for (number, prompt), (reply,) in zip(asked, engine.generate(requests) if requests else [], strict=True):
        points, _ = read_points(reply)
        question = Question("additive", prompt, _WORDS, str(points), reply.text.rstrip(), ends=True)
        found[number].append((question, points))
    return [[question for question, _ in of] if _agrees([points for _, points in of]) else [] for of in found]


def _agrees(points: Sequence[int | None]) -> bool:
    """Whether points of answers, best first, never rise, and fall at least once."""
    known = [one for one in points if one is not None]
    return len(known) == len(points) and all(a >= b for a, b in pairwise(known)) and known[0] > known[-1]


def thin_out(groups: Sequence[Sequence[Question]], seed: int) -> list[list[Question]]:
    """Draw the questions with the most frequent points down to as many as those with the second most frequent.

    Args:
        groups: As of `agreeing_judgements`.
        seed: Decides which stay.
    """
    by_points: dict[str, list[int]] = defaultdict(list)
    flat = [question for group in groups for question in group]
    for place, question in enumerate(flat):
        by_points[question.verdict].append(place)
    if len(by_points) < 2:
        return [[question] for question in flat]
    fullest, second = sorted(by_points, key=lambda points: (-len(by_points[points]), points))[:2]
    kept = set(random.Random(seed).sample(by_points[fullest], len(by_points[second])))
    return [[question] for place, question in enumerate(flat) if question.verdict != fullest or place in kept]
