r"""A judge of whole solutions: which step is the first wrong one? The protocol of ProcessBench (arXiv 2412.06559)."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from presrm.prompts import PromptSet
from presrm.protocols import Completion, Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import Candidates, Judgement, Problem, Status, Step, Stop, Trajectory
from presrm.verdicts import EXPLANATION

_Texts = tuple[str, ...]


class FirstErrorJudge:
    """Reads a solution once, and judges all its steps by where the first error was found.

    The items of a batch that belong to one solution (the same problem, and a prefix of the same steps) are answered by
    one question about the longest of them. Steps before the first error get 1, the error itself 0; of the steps after
    it nothing was asked, so they are `Status.REFUSED`. Of several votes the index named most often counts, of indices
    named equally often the earliest; "no error" stands after the last step.

    Args:
        engine: Runs the policy that judges.
        prompts: The set whose ``first_error`` template is asked.
        sampling: Of the replies.
        votes: How many replies are drawn for a solution.
    """

    scale: Literal["absolute", "relative"] = "absolute"

    def __init__(self, engine: Engine, prompts: PromptSet, *, sampling: Sampling = EXPLANATION, votes: int = 1) -> None:
        self._engine = engine
        self._prompts = prompts
        self._sampling = sampling
        self._votes = votes

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item with one call of the engine, which gets one question a solution.

        The rationale counts the votes, unreadable ones included, and holds the replies.
        """
        covered_by = _longest(batch)
        solutions = list(dict.fromkeys(covered_by.values()))
        found = dict(zip(solutions, self._ask(solutions), strict=True))

        def judgement(item: Candidates, step: Step) -> Judgement:
            solution = covered_by[item.prefix.problem, _texts(item, step)]
            return _judgement(len(item.prefix.steps), *found[item.prefix.problem, solution[1]])

        return [tuple(judgement(item, step) for step in item.steps) for item in batch]

    def _ask(self, solutions: Sequence[tuple[Problem, _Texts]]) -> list[tuple[int | Status, str]]:
        """Give, for each solution, the index of the first error (its length if none) or why there is none."""
        prompts = [
            self._prompts.first_error(Trajectory(problem, tuple(map(Step, texts)))) for problem, texts in solutions
        ]
        requests = [Request(p, self._votes, self._sampling, seed=derive_seed("verdict", p.text)) for p in prompts]
        drawn = self._engine.generate(requests) if requests else []
        return [_vote(replies, len(texts)) for replies, (_, texts) in zip(drawn, solutions, strict=True)]


def _texts(item: Candidates, step: Step) -> _Texts:
    return (*(before.text for before in item.prefix.steps), step.text)


def _longest(batch: Sequence[Candidates]) -> dict[tuple[Problem, _Texts], tuple[Problem, _Texts]]:
    """Map each partial solution to the longest one in the batch that begins with it; itself if there is none.

    Longest first, then by text, so that neither duplicates nor the order of the batch change what is asked.
    """
    partial = {(item.prefix.problem, _texts(item, step)) for item in batch for step in item.steps}
    covered_by: dict[tuple[Problem, _Texts], tuple[Problem, _Texts]] = {}
    for problem, texts in sorted(partial, key=lambda key: (key[0].id, -len(key[1]), key[1], key[0].question)):
        for length in range(len(texts), 0, -1):
            covered_by.setdefault((problem, texts[:length]), (problem, texts))
    return covered_by


def _read(reply: str, num_steps: int) -> int | None:
    r"""Read the last ``\boxed{index}``; "no error" is `num_steps`, so that it stands after every step."""
    boxes = re.findall(r"\\boxed\{([^{}]*)\}", reply)
    index = re.fullmatch(r"\s*(-1|[0-9]{1,9})\s*", boxes[-1]) if boxes else None
    if index is None or int(index[1]) >= num_steps:
        return None
    return num_steps if index[1] == "-1" else int(index[1])


def _vote(replies: Sequence[Completion], num_steps: int) -> tuple[int | Status, str]:
    votes = Counter(_read(reply.text, num_steps) for reply in replies)
    num_unreadable = votes.pop(None, 0)
    named = {(-1 if index == num_steps else index): num for index, num in sorted(votes.items()) if index is not None}
    tally = ", ".join([*(f"{index}: {num}" for index, num in named.items()), f"unreadable: {num_unreadable}"])
    rationale = "\n\n".join([f"votes for the first error: {tally}", *(reply.text for reply in replies)])
    if votes:
        return min((index for index in votes if index is not None), key=lambda index: (-votes[index], index)), rationale
    is_cut_off = all(reply.stop is Stop.MAX_TOKENS for reply in replies)
    return Status.TRUNCATED if is_cut_off else Status.UNREADABLE, rationale


def _judgement(position: int, found: int | Status, rationale: str) -> Judgement:
    if isinstance(found, Status):
        return Judgement(None, found, rationale)
    if position > found:
        return Judgement(None, Status.REFUSED, "after the first error")
    return Judgement(float(position < found), rationale=rationale)
