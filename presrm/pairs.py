"""Trees -> preference pairs (paper section 3.3). Pure.

Each expansion that was kept gives at most one pair: the kept candidate over the lowest one. Every expansion that gives
none is counted by cause, so pairs and causes add up to the expansions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from presrm.config import PairsConfig
from presrm.types import Expansion, PreferencePair, SearchTree, Stop

_CAUSES = {
    "tie": "tied",
    "rolled_back": "taken back after a tie",
    "unanimous": "with one distinct candidate",
    "unreadable": "without two readable judgements",
    "truncated": "with every candidate cut off",
    "given_up": "of problems given up",
    "min_margin": "below pairs.min_margin",
    "over_max_per_problem": "over pairs.max_per_problem",
}
_ADVICE = {
    "tie": "raise search.temperature, or lower judge.tie_tolerance",
    "unanimous": "raise search.temperature or search.num_candidates",
    "unreadable": "raise judge.max_tokens, or set judge.verdict: direct",
    "truncated": "raise search.max_step_tokens, or check that splitter suits what the policy writes",
    "min_margin": "lower pairs.min_margin",
}


@dataclass(frozen=True, slots=True)
class MinedPairs:
    """Pairs, and what gave none.

    Attributes:
        pairs: In the order of the trees and of their expansions.
        dropped: Number of expansions that gave no pair, by cause: ``tie``, ``rolled_back``, ``unanimous``,
            ``unreadable``, ``truncated``, ``given_up``, ``min_margin``, ``over_max_per_problem``. Causes that did not
            occur are absent.
    """

    pairs: tuple[PreferencePair, ...]
    dropped: Mapping[str, int]


def mine_pairs(trees: Iterable[SearchTree], options: PairsConfig) -> MinedPairs:
    """Mine the pairs of all trees.

    Chosen is the kept candidate, rejected the one with the lowest readable score (the first sampled of several). A
    problem that was given up gives no pairs: the paper mines complete solutions alone, and a step that led nowhere is
    no example to follow. Its kept expansions count as ``given_up``.
    """
    pairs: list[PreferencePair] = []
    dropped: Counter[str] = Counter()
    for tree in trees:
        found: list[PreferencePair] = []
        for number in range(len(tree.expansions)):
            result = _mine(tree, number)
            if isinstance(result, str):
                dropped[result] += 1
            elif result.margin < options.min_margin:
                dropped["min_margin"] += 1
            else:
                found.append(result)
        widest = {pair.id for pair in sorted(found, key=lambda pair: -pair.margin)[: options.max_per_problem]}
        if len(widest) < len(found):
            dropped["over_max_per_problem"] += len(found) - len(widest)
        pairs += [pair for pair in found if pair.id in widest]
    return MinedPairs(tuple(pairs), dict(dropped))


def explain_no_pairs(trees: Sequence[SearchTree], mined: MinedPairs) -> str:
    """Say in one line why `mined` holds no pairs, with counts, and what to change."""
    num_expansions = sum(len(tree.expansions) for tree in trees)
    line = f"no preference pairs from {len(trees)} problems and {num_expansions} expansions"
    causes = sorted(mined.dropped.items(), key=lambda item: (-item[1], item[0]))
    if causes:
        line += ": " + ", ".join(f"{count} {_CAUSES[cause]}" for cause, count in causes)
    given_up = Counter(tree.given_up for tree in trees if tree.given_up is not None)
    if given_up:
        line += "; given up: " + ", ".join(f"{count} for {reason}" for reason, count in sorted(given_up.items()))
    advice = next((_ADVICE[cause] for cause, _ in causes if cause in _ADVICE), None)
    return f"{line}; {advice}" if advice else line


def _mine(tree: SearchTree, number: int) -> PreferencePair | str:
    """Give the pair of one expansion, or the cause why it has none."""
    made = tree.expansions[number]
    cause = _no_pair(made)
    if number in tree.dropped:
        return "rolled_back"
    if not made.kept:
        return cause or "tie"
    if tree.given_up is not None:
        return "given_up"
    if cause is not None:
        return cause
    scores = _scores(made)
    readable_kept = [i for i in made.kept if i in scores]
    if not readable_kept:
        return "unreadable"
    chosen = max(readable_kept, key=scores.__getitem__)
    others = [i for i in scores if made.steps[i].text != made.steps[chosen].text]
    rejected = min(others, key=scores.__getitem__)
    margin = scores[chosen] - scores[rejected]
    if margin <= 0:
        return "tie"
    return PreferencePair(
        id=f"{tree.problem.id}/{number}",
        prefix=tree.prefix(number),
        chosen=made.steps[chosen],
        rejected=made.steps[rejected],
        margin=margin,
        chosen_stop=made.stops[chosen],
        rejected_stop=made.stops[rejected],
    )


def _no_pair(made: Expansion) -> str | None:
    """Say why an expansion cannot hold a pair, whatever was kept."""
    whole = {step.text for step, stop in zip(made.steps, made.stops, strict=True) if stop is not Stop.MAX_TOKENS}
    if not whole:
        return "truncated"
    if len(whole) == 1:
        return "unanimous"
    if len({made.steps[i].text for i in _scores(made)}) < 2:
        return "unreadable"
    return None


def _scores(made: Expansion) -> dict[int, float]:
    """Readable scores by candidate."""
    return {i: judgement.score for i, judgement in enumerate(made.judgements) if judgement.score is not None}
