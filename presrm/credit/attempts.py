"""Trees -> attempts: every candidate with what it was found to be worth, compared with its siblings. Pure.

The group of a candidate are the candidates of its expansion, which follow one prefix: whole answers where the search
draws whole answers (GRPO, arXiv 2402.03300, section 4.1), single steps where it goes step by step. So steps get credit
against their siblings alone, and no answer is needed to tell a good step in a bad solution.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from presrm.types import Attempt, Candidate, Expansion, SearchTree

_CAUSES = {
    "tie": "with rewards all alike",
    "unanimous": "with one distinct candidate",
    "unreadable": "with fewer than two known rewards",
}


@dataclass(frozen=True, slots=True)
class CreditedAttempts:
    """Attempts, and what gave none.

    Attributes:
        attempts: In the order of the trees, of their expansions, and of the candidates.
        dropped: Number of expansions that gave none, by cause: ``unanimous``, ``unreadable`` (fewer than two known
            rewards), ``tie`` (known rewards all alike). Causes that did not occur are absent.
        num_unknown: Candidates of the other expansions whose reward is unknown: they are no attempts.
    """

    attempts: tuple[Attempt, ...]
    dropped: Mapping[str, int]
    num_unknown: int


def credit_attempts(trees: Iterable[SearchTree], name: str) -> CreditedAttempts:
    """Make an attempt of every candidate whose reward is known, where its siblings' rewards differ.

    The reward is what the search came to think of a candidate (`Candidate.worth`) where it thinks in paths, else the
    judge's score. An unknown one is not zero: the candidate is left out, and changes no statistic of its group.
    Candidates with the same text are as many attempts: that a text was drawn often is part of the estimate.

    Args:
        trees: As searched.
        name: What the ids begin with, as in ``<name>/<problem>/<expansion>/<candidate>``.
    """
    attempts: list[Attempt] = []
    dropped: Counter[str] = Counter()
    num_unknown = 0
    for tree in trees:
        for number, expansion in enumerate(tree.expansions):
            group = f"{name}/{tree.problem.id}/{number}"
            rewards = [reward_of(candidate) for candidate in expansion.candidates]
            if cause := _no_spread(expansion, rewards):
                dropped[cause] += 1
                continue
            num_unknown += rewards.count(None)
            prefix = tree.prefix(number)
            attempts += [
                Attempt(f"{group}/{i}", prefix, candidate.step, reward, group)
                for i, (candidate, reward) in enumerate(zip(expansion.candidates, rewards, strict=True))
                if reward is not None
            ]
    return CreditedAttempts(tuple(attempts), dict(dropped), num_unknown)


def reward_of(candidate: Candidate) -> float | None:
    """What a candidate is worth, or none where that is unknown."""
    return candidate.judgement.score if candidate.worth is None else candidate.worth


def explain_no_attempts(dropped: Mapping[str, int]) -> str:
    """Say in one line why nothing can be learned, with counts, and what to change."""
    causes = sorted(dropped.items(), key=lambda item: (-item[1], item[0]))
    counted = ", ".join(f"{count} {_CAUSES[cause]}" for cause, count in causes)
    return (
        f"no group of attempts has rewards that differ: {sum(dropped.values())} groups, {counted}; raise "
        "search.temperature or search.num_candidates, or choose problems that are neither too easy nor too hard"
    )


def _no_spread(expansion: Expansion, rewards: Sequence[float | None]) -> str | None:
    """Say why siblings cannot be compared, or none if they can."""
    known = [reward for reward in rewards if reward is not None]
    if len(known) > 1 and len(set(known)) > 1:
        return None
    if len(expansion.whole) == 1:
        return "unanimous"
    return "unreadable" if len(known) < 2 else "tie"
