"""A judge of whole solutions: which step is the first wrong one? The protocol of ProcessBench (arXiv 2412.06559)."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from presrm.judging.coverage import Texts, longest_solutions, texts_up_to
from presrm.judging.verdicts import EXPLANATION, Reading, ask_or_refuse, read_first_error, shown, tell
from presrm.prompts import PromptSet
from presrm.protocols import Completion, Composition, Engine, Request, Sampling
from presrm.seeding import derive_seed
from presrm.types import LEAST_MASS, Candidates, Judgement, Problem, Status, Step, Trajectory, Verdict


class FirstErrorJudge:
    """Reads a solution once, and judges all its steps by where the first error was found.

    The items of a batch that belong to one solution (the same problem, and a prefix of the same steps) are answered by
    one question about the longest of them. Steps before the first error get 1, the error itself 0; of the steps after
    it nothing was asked, so they are `Status.REFUSED`. Of several votes the index named most often counts, of indices
    named equally often the earliest; "no error" stands after the last step. A path is as good as its worst step, so one
    with an error in it is worth nothing, although the steps after the error are unknown.

    A direct verdict has no reply: from the probabilities that each step is the first wrong one, and that none is, a
    step's score is how likely it is right if those before it are. So the product over a solution is the probability of
    no error. uPRM (arXiv 2605.10158) takes such probabilities, too, but assesses those of a batch of solutions jointly.

    Args:
        engine: Runs the policy that judges.
        prompts: The set whose ``first_error`` template is asked.
        verdict: ``explained``: an explanation, then the index; ``direct``: from the probabilities of all indices.
        sampling: Of the replies.
        votes: How many replies are drawn for a solution.
    """

    scale: Literal["absolute", "relative"] = "absolute"
    composition: Composition

    def __init__(
        self,
        engine: Engine,
        prompts: PromptSet,
        *,
        verdict: Literal["explained", "direct"] = "explained",
        sampling: Sampling = EXPLANATION,
        votes: int = 1,
    ) -> None:
        self._verdict = verdict
        self.composition = "product" if verdict == "direct" else "min"
        self._engine = engine
        self._prompts = prompts
        self._sampling = sampling
        self._votes = votes

    def judge(self, batch: Sequence[Candidates]) -> list[tuple[Judgement, ...]]:
        """Judge every candidate of every item with one call of the engine, which gets one question a solution.

        The rationales count the votes, unreadable ones included; that of the error, or of the last step where there is
        none, also holds the replies.
        """
        covered_by = longest_solutions(batch)
        solutions = list(dict.fromkeys(covered_by.values()))
        found = dict(zip(solutions, self._ask(solutions), strict=True))

        def judgement(item: Candidates, step: Step) -> Judgement:
            solution = covered_by[item.prefix.problem, texts_up_to(item, step)]
            finding = found[solution]
            return finding.judgement() if isinstance(finding, Verdict) else finding.at(len(item.prefix.steps))

        return [tuple(judgement(item, step) for step in item.steps) for item in batch]

    def _ask(self, solutions: Sequence[tuple[Problem, Texts]]) -> list["_Finding | _Weighed | Verdict"]:
        if self._verdict == "direct":
            return self._weigh(solutions)
        prompts = [
            self._prompts.first_error(Trajectory(problem, tuple(map(Step, texts)))) for problem, texts in solutions
        ]
        requests = [Request(p, self._votes, self._sampling, seed=derive_seed("verdict", p.text)) for p in prompts]
        findings: list[_Finding | _Weighed | Verdict] = [
            drawn if isinstance(drawn, Verdict) else _vote(drawn, len(texts))
            for drawn, (_, texts) in zip(ask_or_refuse(self._engine, requests), solutions, strict=True)
        ]
        asked = [finding for finding in findings if isinstance(finding, _Finding)]
        tell(self._engine, [_reading(reply, finding.num_steps) for finding in asked for reply in finding.replies])
        return findings

    def _weigh(self, solutions: Sequence[tuple[Problem, Texts]]) -> list["_Finding | _Weighed | Verdict"]:
        """Ask for the probabilities of all indices, of solutions of equal length together: they have the same ones."""
        found: dict[tuple[Problem, Texts], _Weighed | Verdict] = {}
        for num in sorted({len(texts) for _, texts in solutions}):
            alike = [solution for solution in solutions if len(solution[1]) == num]
            prompts = [
                self._prompts.first_error(Trajectory(problem, tuple(map(Step, texts))), direct=True)
                for problem, texts in alike
            ]
            options = [f"{index}}}" for index in (-1, *range(num))]  # closed, or 1 would be the beginning of 10
            rows = self._engine.logprobs(prompts, options)
            for solution, row in zip(alike, rows, strict=True):
                found[solution] = _NO_ROOM if row is None else _Weighed(*(math.exp(logp) for logp in row))
            tell(self._engine, [_Weighed(*map(math.exp, row)).reading() for row in rows if row is not None])
        return [found[solution] for solution in solutions]


def _read(reply: Completion, num_steps: int) -> tuple[int | None, Status]:
    """Read the index of the first error; "no error" is `num_steps`, so that it stands after every step."""
    first, status = read_first_error(reply, num_steps)
    return num_steps if first == -1 else first, status


def _reading(reply: Completion, num_steps: int) -> Reading:
    first, status = _read(reply, num_steps)
    return Reading("" if first is None else "-1" if first == num_steps else str(first), status=status)


def _vote(replies: Sequence[Completion], num_steps: int) -> "_Finding":
    read, statuses = zip(*(_read(reply, num_steps) for reply in replies), strict=True)
    votes = Counter(index for index in read if index is not None)
    named = [f"{-1 if index == num_steps else index}: {num}" for index, num in sorted(votes.items())]
    tally = ", ".join([*named, f"unreadable: {read.count(None)}"])
    first = min(votes, key=lambda index: (-votes[index], index)) if votes else None
    return _Finding(first, _common(statuses), num_steps, f"votes for the first error: {tally}", tuple(replies))


def _common(statuses: Sequence[Status]) -> Status:
    """The status of all replies, where they agree."""
    return statuses[0] if len(set(statuses)) == 1 else Status.UNREADABLE


@dataclass(frozen=True, slots=True)
class _Finding:
    """What the votes on one solution say.

    Attributes:
        first: Index of the first error, `num_steps` if there is none; none if no vote is readable.
        status: Then, why not.
        num_steps: Steps of the solution.
        tally: How often each index was named.
        replies: What was read.
    """

    first: int | None
    status: Status
    num_steps: int
    tally: str
    replies: tuple[Completion, ...]

    def at(self, position: int) -> Judgement:
        """Judge the step at a 0-based position."""
        told_at = self.num_steps - 1 if self.first is None else min(self.first, self.num_steps - 1)
        said = [shown(reply) for reply in self.replies] if position == told_at else []
        rationale = "\n\n".join([self.tally, *said])
        if self.first is None:
            return Judgement(None, self.status, rationale)
        if position > self.first:
            return Judgement(None, Status.REFUSED, "after the first error")
        return Judgement(float(position < self.first), rationale=rationale)


_NO_ROOM = Verdict(None, Status.REFUSED, "the question leaves the policy no room for a reply")


class _Weighed:
    """The probabilities that no step of a solution is wrong, and of each that it is the first wrong one."""

    def __init__(self, none: float, *firsts: float) -> None:
        self._none = none
        self._firsts = firsts

    def at(self, position: int) -> Judgement:
        """Judge the step at a 0-based position: how likely is it right if those before it are?"""
        told = ", ".join(f"{index}: {p:.4f}" for index, p in enumerate(self._firsts))
        rationale = f"P(first error) = {{-1: {self._none:.4f}, {told}}}"
        behind = self._none + sum(self._firsts[position + 1 :])
        here = behind + self._firsts[position]
        # Written so that a NaN, too, is unreadable.
        if not self._none + sum(self._firsts) >= LEAST_MASS or not here > 0:
            return Judgement(None, Status.UNREADABLE, rationale)
        return Judgement(min(1.0, behind / here), rationale=rationale)

    def reading(self) -> Reading:
        """What the ledger keeps: the likeliest index."""
        total = self._none + sum(self._firsts)
        if not total >= LEAST_MASS:
            return Reading("", status=Status.UNREADABLE)
        likeliest = max(range(len(self._firsts)), key=self._firsts.__getitem__, default=0)
        return Reading("-1" if self._none >= max(self._firsts, default=0.0) else str(likeliest))
