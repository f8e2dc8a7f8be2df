"""Trees -> preference pairs (paper section 3.3). Pure.

Each expansion that was kept gives at most one pair, the kept candidate over the lowest one; with ``rejected: all`` one
for each candidate that scored below it. Every expansion that gives none is counted once, by cause: the expansions with
pairs and the causes add up to the expansions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

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
        pairs: In the order of the trees and of their expansions; of one expansion the widest first.
        dropped: Number of expansions that gave no pair at all, by cause: ``tie``, ``rolled_back``, ``unanimous``,
            ``unreadable``, ``truncated``, ``given_up``, ``min_margin``, ``over_max_per_problem``. Causes that did not
            occur are absent.
    """

    pairs: tuple[PreferencePair, ...]
    dropped: Mapping[str, int]


def mine_pairs(trees: Iterable[SearchTree], options: PairsConfig) -> MinedPairs:
    """Mine the pairs of all trees.

    Chosen is the kept candidate, rejected the one with the lowest readable score (the first sampled of several); its
    pair is called ``<problem>/<expansion>``. With ``rejected: all`` every other text with a readable score below the
    chosen one's is rejected too, in a pair called ``<problem>/<expansion>/<candidate>``. A problem that was given up
    gives no pairs: the paper mines complete solutions alone, and a step that led nowhere is no example to follow. Its
    kept expansions count as ``given_up``.

    ``min_margin`` and ``max_per_problem`` take single pairs away. An expansion counts under them only when that leaves
    it without any.
    """
    pairs: list[PreferencePair] = []
    dropped: Counter[str] = Counter()
    for tree in trees:
        found: list[list[PreferencePair]] = []
        for number in range(len(tree.expansions)):
            result = _mine(tree, number, options.rejected)
            if isinstance(result, str):
                dropped[result] += 1
            elif result[0].margin < options.min_margin:
                dropped["min_margin"] += 1
            else:
                found.append([pair for pair in result if pair.margin >= options.min_margin])
        by_margin = sorted(chain.from_iterable(found), key=lambda pair: -pair.margin)
        widest = {pair.id for pair in by_margin[: options.max_per_problem]}
        for expansion in found:
            kept = [pair for pair in expansion if pair.id in widest]
            if not kept:
                dropped["over_max_per_problem"] += 1
            pairs += kept
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


def _mine(tree: SearchTree, number: int, wanted: Literal["lowest", "all"]) -> list[PreferencePair] | str:
    """Give the pairs of one expansion, widest first, or the cause why it has none."""
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
    below: dict[str, int] = {}
    for i in sorted(scores, key=scores.__getitem__):
        if scores[i] < scores[chosen] and made.steps[i].text != made.steps[chosen].text:
            below.setdefault(made.steps[i].text, i)
    if not below:
        return "tie"
    lowest, *others = below.values()
    return [
        PreferencePair(
            id=f"{tree.problem.id}/{number}" + ("" if rejected == lowest else f"/{rejected}"),
            prefix=tree.prefix(number),
            chosen=made.steps[chosen],
            rejected=made.steps[rejected],
            margin=scores[chosen] - scores[rejected],
            chosen_stop=made.stops[chosen],
            rejected_stop=made.stops[rejected],
        )
        for rejected in (lowest, *(others if wanted == "all" else ()))
    ]


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
